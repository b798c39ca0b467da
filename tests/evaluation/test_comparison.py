"""Comparing systems: against the paired bootstrap of one run each, by hand, and where nothing can
be said."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mpn import metrics
from mpn.errors import DataError, LabelError
from mpn.evaluation.comparison import compare, format_comparison
from mpn.scoring import protocols

NAN = float("nan")
LABELS = {f"{k:02d}": np.arange(60) // (10 + k) % 2 == 1 for k in range(8)}


def run(quality: float, seed: int, columns: tuple[str, ...] = ("score",), first: int = 4) -> dict:
    """Scores of all videos that rise by `quality` where the labels say so."""
    rng = np.random.default_rng(seed)
    series = {}
    for video, y in LABELS.items():
        series[video] = {column: rng.normal(size=len(y)) + quality * y for column in columns}
        for values in series[video].values():
            values[:first] = NAN
    return series


def shown(series: dict, protocol: str, first: int = 4) -> dict:
    return protocols.apply(protocol, {video: x["score"][first:] for video, x in series.items()})


@pytest.mark.parametrize("protocol", protocols.PROTOCOLS)
def test_one_run_each_is_the_paired_bootstrap(protocol: str) -> None:
    a, b = run(1.5, 0), run(1.2, 1)
    result = compare(LABELS, {"a": {"x": a}, "b": {"y": b}}, protocol=protocol, draws=300, seed=5)
    truth = {video: y[4:] for video, y in LABELS.items()}
    first, second = shown(a, protocol), shown(b, protocol)
    expected = metrics.paired_bootstrap(truth, first, second, draws=300, seed=5)
    assert {key: result["differences"][0][key] for key in expected._fields} == pytest.approx(
        expected._asdict()
    )
    for entry, scores in zip(result["systems"], (first, second)):
        auc = roc_auc_score(
            np.concatenate(list(truth.values())), np.concatenate(list(scores.values()))
        )
        assert entry["micro_auc"] == entry["lowest"] == entry["highest"] == pytest.approx(auc)
        interval = metrics.bootstrap_interval(truth, scores, draws=300, seed=5)
        assert entry["interval"] == pytest.approx(interval._asdict())
    assert (
        result["frames"] == 8 * 56 and result["dropped_frames"] == 8 * 4 and result["videos"] == 8
    )


def test_the_better_one_is_named_and_equals_are_not_told_apart() -> None:
    systems = {"good": {"": run(3, 0)}, "poor": {"": run(0.5, 1)}, "twin": {"": run(3, 2)}}
    result = compare(LABELS, systems, draws=300)
    verdicts = {(x["a"], x["b"]): (x["better"], x["verdict"]) for x in result["differences"]}
    assert verdicts == {
        ("good", "poor"): ("good", "good is better than poor"),
        ("good", "twin"): (None, "good and twin are not told apart"),
        ("poor", "twin"): ("twin", "twin is better than poor"),
    }
    assert any("3 pairs are compared" in note for note in result["notes"])
    reordered = compare(LABELS, dict(reversed(systems.items())), draws=300)["differences"]
    turned = next(x for x in reordered if (x["a"], x["b"]) == ("twin", "poor"))
    straight = next(x for x in result["differences"] if (x["a"], x["b"]) == ("poor", "twin"))
    assert turned["better"] == "twin" and turned["low"] == pytest.approx(-straight["high"])


def test_the_same_scores_differ_by_nothing() -> None:
    result = compare(LABELS, {"a": {"": run(1, 0)}, "b": {"": run(1, 0)}}, draws=50)["differences"][
        0
    ]
    assert (result["value"], result["low"], result["high"], result["better"]) == (0, 0, 0, None)


def test_seeds_make_mean_range_and_a_wider_interval() -> None:
    # Two systems whose seeds spread far: single runs would be told apart, the systems are not.
    good, poor = (
        {f"{k}": run(q, k) for k, q in enumerate((0.5, 3, 3))},
        {f"{k}": run(0.5, 9 + k) for k in range(3)},
    )
    result = compare(LABELS, {"good": good, "poor": poor}, draws=500)
    entry = result["systems"][0]
    each = [
        metrics.frame_auc({v: y[4:] for v, y in LABELS.items()}, shown(x, "causal"))
        for x in good.values()
    ]
    assert entry["each"] == pytest.approx(each) and entry["micro_auc"] == pytest.approx(
        np.mean(each)
    )
    assert (entry["lowest"], entry["highest"]) == pytest.approx((min(each), max(each)))
    difference = result["differences"][0]
    assert difference["value"] == pytest.approx(
        entry["micro_auc"] - result["systems"][1]["micro_auc"]
    )
    lucky = compare(LABELS, {"good": {"1": good["1"]}, "poor": {"0": poor["0"]}}, draws=500)[
        "differences"
    ][0]
    # All three draws hit the poor seed in 1 of 27, more often than the 2.5 % below the interval.
    assert lucky["better"] == "good" and difference["better"] is None
    assert difference["high"] - difference["low"] > lucky["high"] - lucky["low"]
    assert any("fewer than 5 runs of good, poor" in note for note in result["notes"])


def test_identical_seeds_add_nothing() -> None:
    single = compare(LABELS, {"a": {"0": run(2, 0)}, "b": {"0": run(1, 1)}}, draws=200)[
        "differences"
    ][0]
    many = {"a": {f"{k}": run(2, 0) for k in range(3)}, "b": {"0": run(1, 1)}}
    assert compare(LABELS, many, draws=200)["differences"][0] == pytest.approx(single)


def test_frames_that_all_have_are_compared_and_that_is_said() -> None:
    early, late = run(1, 0, first=0), run(1, 1, first=10)
    result = compare(LABELS, {"early": {"": early}, "late": {"": late}}, draws=20)
    assert result["frames"] == 8 * 50
    assert any("(early from frame 0; late from frame 10)" in note for note in result["notes"])
    cut = {video: x["score"][10:] for video, x in early.items()}
    expected = metrics.frame_auc(
        {v: y[10:] for v, y in LABELS.items()}, protocols.apply("causal", cut)
    )
    assert result["systems"][0]["micro_auc"] == pytest.approx(expected)
    early["03"]["score"][:] = NAN
    result = compare(LABELS, {"early": {"": early}, "late": {"": late}}, draws=20)
    assert result["videos"] == 7 and any("1 of 8 videos (03)" in note for note in result["notes"])
    for columns in early.values():
        columns["score"][:] = NAN
    with pytest.raises(DataError, match="no frame has a score of every run"):
        compare(LABELS, {"early": {"": early}, "late": {"": late}})


def test_other_columns_and_the_pair() -> None:
    rng = np.random.default_rng(0)
    columns = {
        video: {
            "score": rng.normal(size=60),
            "psnr_db": 30 - 3 * y + rng.normal(size=60),
            "compactness": 0.01 + 0.01 * y + 0.001 * rng.random(60),
        }
        for video, y in LABELS.items()
    }
    systems = {"a": {"": columns}, "b": {"": columns}}
    y = np.concatenate(list(LABELS.values()))
    psnr = np.concatenate([protocols.exponential(-x["psnr_db"]) for x in columns.values()])
    pair = np.concatenate(
        [protocols.paper_pair(x["psnr_db"], x["compactness"]) for x in columns.values()]
    )
    for score in ("psnr_db", "psnr"):
        auc = compare(LABELS, systems, score=score, draws=5)["systems"][0]["micro_auc"]
        assert auc == pytest.approx(roc_auc_score(y, psnr)) and auc > 0.8
    auc = compare(LABELS, systems, score="pair", protocol="paper", draws=5)["systems"][0][
        "micro_auc"
    ]
    assert auc == pytest.approx(roc_auc_score(y, pair))
    # a column is meant before a score of that name
    named = {video: {**x, "psnr": -x["score"], "pair": x["score"]} for video, x in columns.items()}
    plain = np.concatenate([x["score"] for x in columns.values()])
    for score, sign in (("psnr", -1), ("pair", 1)):
        result = compare(LABELS, {"a": {"": named}}, score=score, protocol="absolute", draws=5)
        assert result["systems"][0]["micro_auc"] == pytest.approx(roc_auc_score(y, sign * plain))


def test_one_video_or_one_class_is_no_basis() -> None:
    single = {"00": LABELS["00"]}
    systems = {name: {"": {"00": run(3 - 2 * k, k)["00"]}} for k, name in enumerate("ab")}
    result = compare(single, systems, draws=20)
    assert result["differences"][0]["verdict"] == "a and b are not told apart: there is no interval"
    assert any("one video only" in note for note in result["notes"])
    normal = {video: np.zeros(60, bool) for video in LABELS}
    result = compare(normal, {"a": {"": run(1, 0)}, "b": {"": run(1, 1)}}, draws=20)
    assert (
        np.isnan(result["differences"][0]["value"]) and result["differences"][0]["better"] is None
    )
    assert any("all 448 frames are normal" in note for note in result["notes"])
    assert "nan" not in format_comparison(result)


def test_what_does_not_fit_is_named() -> None:
    a = run(1, 0)
    without = {video: x for video, x in a.items() if video != "03"}
    with pytest.raises(
        DataError, match="b: no scores of '03'; 1 of 8 videos are missing and 0 too many"
    ):
        compare(LABELS, {"a": {"": a}, "b": {"": without}})
    with pytest.raises(
        DataError, match="b, second: scores of 'x', which has no labels; 0 of 8 .* 1 too many"
    ):
        compare(LABELS, {"a": {"": a}, "b": {"first": a, "second": {**a, "x": a["00"]}}})
    short = {**a, "05": {"score": a["05"]["score"][1:]}}
    with pytest.raises(DataError, match="b: video '05' has 59 frames, its labels 60"):
        compare(LABELS, {"a": {"": a}, "b": {"": short}})
    with pytest.raises(DataError, match="column error; all have: score"):
        compare(LABELS, {"a": {"": run(1, 0, ("score", "error"))}, "b": {"": a}}, score="error")
    with pytest.raises(DataError, match="column psnr_db and compactness"):
        compare(LABELS, {"a": {"": a}}, score="pair")
    mixed = {**run(1, 0, ("score", "error")), "02": a["02"]}
    with pytest.raises(DataError, match="a: video '02' has no column 'error'"):
        compare(LABELS, {"a": {"": mixed}}, score="error")
    with pytest.raises(ValueError, match="expected one of absolute"):
        compare(LABELS, {"a": {"": a}}, protocol="live")
    with pytest.raises(LabelError, match="no labelled videos"):
        compare({}, {"a": {"": a}})
    gap = {**a, "04": {"score": np.where(np.arange(60) == 30, NAN, a["04"]["score"])}}
    with pytest.raises(DataError, match="video '04'"):
        compare(LABELS, {"a": {"": gap}})


def test_the_table_shows_the_figures() -> None:
    systems = {"mine": {f"{k}": run(3, k) for k in range(2)}, "theirs": {"": run(0.5, 7)}}
    result = compare(LABELS, systems, draws=200)
    lines = format_comparison(result).splitlines()
    mine = next(line for line in lines if line.startswith("mine "))
    entry = result["systems"][0]
    expected = [
        entry["micro_auc"],
        entry["lowest"],
        entry["highest"],
        entry["interval"]["low"],
        entry["interval"]["high"],
        entry["macro_auc"],
    ]
    assert [word for word in mine.split()[2:] if word != "to"] == [
        f"{100 * value:.1f}" for value in expected
    ]
    difference = result["differences"][0]
    assert (
        f"mine is better than theirs: mine minus theirs {100 * difference['value']:+.1f} points"
        in "\n".join(lines)
    )
    assert "causal protocol: 448 frames" in lines[0]
    turned = format_comparison(compare(LABELS, dict(reversed(systems.items())), draws=200))
    interval = f"{100 * difference['low']:+.1f} to {100 * difference['high']:+.1f}"
    for text in ("\n".join(lines), turned):  # the better one first, whatever the order
        assert (
            f"mine minus theirs {100 * difference['value']:+.1f} points (95 % {interval})" in text
        )
