"""Few-shot figures, their means, deviations and paired differences, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mpn.evaluation.few_shot_summary import (
    UNADAPTED,
    FewShotRow,
    Figure,
    Key,
    Record,
    format_few_shot_table,
    key_of,
    paired_difference,
    record_of,
    summarise,
    summarise_records,
)
from mpn.scoring import protocols

NAN = float("nan")


def records(values: dict[tuple[str, str, int, int], float], name: str = "score") -> list[Record]:
    """(scene, method, K, draw) -> figure."""
    return [
        Record(scene, "clean", method, k, draw, 2.0 * (k > 0), {name: value})
        for (scene, method, k, draw), value in values.items()
    ]


@pytest.fixture
def two_scenes() -> list[Record]:
    values = {("a", UNADAPTED, 0, 0): 0.80, ("b", UNADAPTED, 0, 0): 0.60}
    for draw, (a, b) in enumerate([(0.90, 0.70), (0.94, 0.70)]):
        values |= {("a", "meta", 5, draw): a, ("b", "meta", 5, draw): b}
        values |= {("a", "fine-tuning", 5, draw): a - 0.02, ("b", "fine-tuning", 5, draw): b - 0.02}
    return records(values)


def test_means_over_scenes_then_deviation_over_draws(two_scenes):
    summary = summarise_records(two_scenes)["clean"]
    figures = summary["figures"]["score"]
    assert figures[UNADAPTED][0]["mean"] == pytest.approx(0.70) and np.isnan(
        figures[UNADAPTED][0]["deviation"]
    )
    # Draws of 0.80 and 0.82: their deviation, with one degree of freedom less, is 0.02 / sqrt(2).
    assert figures["meta"][5] == pytest.approx(
        {"mean": 0.81, "deviation": 0.02 / np.sqrt(2), "draws": 2}
    )
    assert (
        summary["seconds"]["meta"] == {5: 2.0}
        and summary["scenes"] == ["a", "b"]
        and summary["shots"] == [0, 5]
    )


def test_differences_are_paired_by_scene_and_draw(two_scenes):
    differences = summarise_records(two_scenes)["clean"]["differences"]["score"]
    assert set(differences) == {"meta - unadapted", "fine-tuning - unadapted", "meta - fine-tuning"}
    assert differences["meta - unadapted"][5]["mean"] == pytest.approx(
        (0.10 + 0.10 + 0.14 + 0.10) / 4
    )
    same = differences["meta - fine-tuning"][5]  # the scenes differ widely, the pairs not at all
    assert (same["low"], same["mean"], same["high"]) == pytest.approx((0.02, 0.02, 0.02))


def test_pairs_go_by_the_number_of_the_draw_not_by_their_order():
    values = {("a", UNADAPTED, 0, 0): 0.5}
    for draw in range(3):
        values["a", "meta", 1, draw] = 0.1 * draw
    values["a", "fine-tuning", 1, 2] = 0.2
    differences = summarise_records(records(values))["clean"]["differences"]["score"]
    assert differences["meta - fine-tuning"][1]["mean"] == pytest.approx(0.0)
    assert differences["meta - fine-tuning"][1]["draws"] == 1


def test_a_draw_without_all_scenes_and_a_scene_without_the_figure_do_not_count(two_scenes):
    unfinished = [r for r in two_scenes if (r.scene, r.method, r.draw) != ("b", "meta", 1)]
    assert summarise_records(unfinished)["clean"]["figures"]["score"]["meta"][5][
        "mean"
    ] == pytest.approx(0.80)
    undefined = records(
        {("c", UNADAPTED, 0, 0): NAN, ("c", "meta", 5, 0): NAN, ("c", "meta", 5, 1): NAN}
    )
    summary = summarise_records([*two_scenes, *undefined])["clean"]
    assert summary["figures"]["score"]["meta"][5]["mean"] == pytest.approx(0.81)
    assert summary["scenes"] == ["a", "b", "c"]


def test_the_interval_varies_with_scenes_where_there_are_several():
    values = np.array([[0.1, 0.1, 0.1], [0.3, 0.3, 0.3]])
    difference = paired_difference(values)
    assert (difference["low"], difference["high"]) == pytest.approx((0.1, 0.3)) and difference[
        "mean"
    ] == pytest.approx(0.2)
    assert paired_difference(np.array([[0.2, 0.2]]))["low"] == pytest.approx(0.2)
    assert np.isnan(paired_difference(np.array([[0.2]]))["low"])


def test_the_interval_has_about_the_width_of_the_normal_one():
    rng = np.random.default_rng(0)
    values = rng.normal(1.0, 0.5, (1, 100))
    difference = paired_difference(values)
    half = 1.96 * values.std() / 10
    assert difference["low"] == pytest.approx(values.mean() - half, abs=0.02)
    assert difference["high"] == pytest.approx(values.mean() + half, abs=0.02)


@pytest.fixture
def row() -> FewShotRow:
    rng = np.random.default_rng(1)
    columns = {}
    for video in ("01", "02"):
        parts = {name: rng.normal(size=40) for name in ("score", "error", "pseudo", "psnr_db")}
        for values in parts.values():
            values[:6] = NAN
        columns[video] = parts | {
            "compactness": rng.uniform(1, 2, 40) * np.where(np.arange(40) < 6, NAN, 1)
        }
    return FewShotRow("yard", "clean", "meta", 1, 0, columns, 1.5)


def test_figures_of_a_row_are_those_of_scikit_learn(row):
    labels = {
        "01": np.arange(40) >= 25,
        "02": np.arange(40) < 12,
        "of another camera": np.ones(3, bool),
    }
    y = np.concatenate([labels[video][6:] for video in row.columns])
    record = record_of(row, labels)
    for name in ("score", "error", "pseudo"):
        smooth = [protocols.exponential(parts[name])[6:] for parts in row.columns.values()]
        assert record.figures[name] == pytest.approx(roc_auc_score(y, np.concatenate(smooth)))
    psnr = [
        protocols.paper_filter(protocols.min_max(-parts["psnr_db"]))[6:]
        for parts in row.columns.values()
    ]
    assert record.figures["psnr_db"] == pytest.approx(roc_auc_score(y, np.concatenate(psnr)))
    assert record[:6] == ("yard", "clean", "meta", 1, 0, 1.5)
    assert (
        summarise([row], labels)["clean"]["figures"]["score"]["meta"][1]["mean"]
        == record.figures["score"]
    )


def test_the_table_says_mean_deviation_and_interval(two_scenes):
    mixed = two_scenes + records({("a", "meta", 10, 0): NAN, ("b", "meta", 10, 0): NAN})
    lines = format_few_shot_table(
        summarise_records(mixed), {"score": Figure("AUC, %")}
    ).splitlines()
    assert (
        lines[0].split()[-9:] == ["K", "=", "0", "K", "=", "5", "K", "=", "10"]
        and "2 cameras" in lines[0]
    )
    under = lines.index("AUC, %")
    assert lines[under + 1].split() == ["unadapted", "70.0"]
    assert lines[under + 2].split() == ["meta", "81.0", "+-", "1.4", "-"]
    # 0.10 and 0.14, 0.10 and 0.10: both scenes the first, all of its four draws the second, is 1 in
    # 64; all but one 1 in 16, so 13.0 is passed in less than 2.5 % and reached in more.
    assert lines[under + 4].split() == [
        "meta",
        "-",
        "unadapted,",
        "95",
        "%",
        "+11.0",
        "(+10.0",
        "to",
        "+13.0)",
    ]
    assert lines[-1].split() == ["fine-tuning", "2.0"]
    text = "\n".join(lines)
    assert "81.0 +- 1.4" in text and "+2.0 (+2.0 to +2.0)" in text and "nan" not in text
    decibel = format_few_shot_table(
        summarise_records(records({("a", UNADAPTED, 0, 0): 33.218}, "psnr")),
        {"psnr": Figure("dB", 1.0, 2)},
    )
    assert "33.22" in decibel and "seconds" not in decibel


def test_a_key_of_version_0_1_is_read():
    entry = {"scene": "a", "protocol": "paper", "method": "meta", "shots": 5, "draw": 0}
    assert key_of(entry) == Key("a", "test_prefix", "meta", 5, 0)
    assert key_of(entry | {"protocol": "clean"}).protocol == "clean"
