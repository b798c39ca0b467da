"""Evaluation against metrics called by hand on cut series."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mpn.errors import DataError, LabelError, MpnError
from mpn.evaluation.frame_metrics import evaluate_scores, format_table, write_metrics
from mpn.scoring import protocols

NAN = float("nan")
CUT = 4


@pytest.fixture
def data() -> tuple[dict, dict, dict]:
    """Three videos of 40 to 60 frames, one normal throughout; the planted anomaly raises every
    column."""
    rng = np.random.default_rng(0)
    labels, series = {}, {}
    for name, length, start in (("01", 40, 20), ("02", 50, 30), ("03", 60, 60)):
        y = np.arange(length) >= start
        columns = {
            "score": rng.normal(size=length) + 2 * y,
            "error": rng.normal(size=length) + y,
            "psnr_db": 35 + rng.normal(size=length) - 3 * y,
            "compactness": rng.uniform(0.01, 0.02, length) + 0.01 * y,
            "mine": rng.normal(size=length) - y,
        }
        for values in columns.values():
            values[:CUT] = NAN
        labels[name], series[name] = y, columns
    baselines = {
        "frame_number": {name: np.arange(len(y), dtype=float) for name, y in labels.items()}
    }
    return labels, series, baselines


def joined(values: dict, cut: int = CUT) -> np.ndarray:
    return np.concatenate([values[name][cut:] for name in ("01", "02", "03")])


def column(series: dict, name: str) -> dict:
    return {video: columns[name] for video, columns in series.items()}


def test_every_column_and_protocol_against_scikit_learn(data) -> None:
    labels, series, _ = data
    result = evaluate_scores(labels, series, draws=20)
    y = joined(labels)
    assert set(result.scores) == {
        "score",
        "error",
        "psnr_db",
        "compactness",
        "mine",
        "paper_pair",
    }
    for name, sign in (
        ("score", 1),
        ("error", 1),
        ("psnr_db", -1),
        ("compactness", 1),
        ("mine", 1),
    ):
        plain = {video: sign * values for video, values in column(series, name).items()}
        smooth = {video: protocols.exponential(values) for video, values in plain.items()}
        paper = {
            video: protocols.paper_filter(protocols.min_max(values))
            for video, values in plain.items()
        }
        if name == "compactness":  # the authors' psnr() of it: 10 log10(1 / x), low = anomalous
            for video, values in plain.items():
                decibel = 10 * np.log10(1 / values[CUT:])
                normal = (decibel - decibel.min()) / (decibel.max() - decibel.min())
                padded = np.concatenate([values[:CUT], 1 - normal])
                paper[video] = protocols.paper_filter(padded)
        for protocol, scores in (("absolute", plain), ("causal", smooth), ("paper", paper)):
            auc = result.scores[name][protocol].micro_auc
            assert auc == pytest.approx(roc_auc_score(y, joined(scores)), abs=1e-12), (
                name,
                protocol,
            )
    pair = {v: protocols.paper_pair(c["psnr_db"], c["compactness"]) for v, c in series.items()}
    assert set(result.scores["paper_pair"]) == {"paper"}
    assert result.scores["paper_pair"]["paper"].micro_auc == pytest.approx(
        roc_auc_score(y, joined(pair))
    )


def test_planted_anomaly_is_high_in_every_known_column_and_unknown_ones_stay(data) -> None:
    labels, series, _ = data
    scores = evaluate_scores(labels, series, draws=5).scores
    for name in ("score", "error", "psnr_db", "compactness"):
        assert scores[name]["causal"].micro_auc > 0.8
    assert scores["paper_pair"]["paper"].micro_auc > 0.8
    assert scores["mine"]["causal"].micro_auc < 0.4


def test_facts_about_the_evaluation(data) -> None:
    labels, series, _ = data
    result = evaluate_scores(labels, series, draws=5)
    assert result.counts.frames == 150 - 3 * CUT
    assert result.counts.anomalous == 20 + 20
    assert (result.counts.videos, result.counts.videos_with_both_classes) == (3, 2)
    assert result.counts.dropped_frames == 3 * CUT
    assert "first 4 frames" in result.counts.dropped
    assert "min-max" in result.protocols["paper"]["normalisation"]
    assert result.protocols["causal"]["delay_frames"] == pytest.approx(7 / 3)


def test_baselines_see_the_same_frames(data) -> None:
    labels, series, baselines = data
    result = evaluate_scores(labels, series, baselines, draws=50)
    y = joined(labels)
    entry = result.baselines["frame_number"]
    assert entry["absolute"].micro_auc == pytest.approx(
        roc_auc_score(y, joined(baselines["frame_number"]))
    )
    started = {
        name: protocols.exponential(x[CUT:]) for name, x in baselines["frame_number"].items()
    }
    assert entry["causal"].micro_auc == pytest.approx(roc_auc_score(y, joined(started, cut=0)))
    difference = entry["absolute"].score_minus_this
    assert difference.value == pytest.approx(
        result.scores["score"]["absolute"].micro_auc - entry["absolute"].micro_auc
    )
    assert difference.low <= difference.value <= difference.high


def test_first_frames_do_not_count_whatever_stands_in_other_columns(data) -> None:
    labels, series, _ = data
    before = evaluate_scores(labels, series, draws=5).scores["mine"]
    series["01"]["mine"][:CUT] = 1e6
    assert evaluate_scores(labels, series, draws=5).scores["mine"] == before


def test_external_scores_without_gap_lose_no_frame() -> None:
    y = np.array([False, True, True, False])
    result = evaluate_scores({"a": y}, {"a": {"score": np.array([0.0, 2.0, 1.0, 1.5])}}, draws=5)
    assert result.counts.frames == 4
    assert result.counts.dropped_frames == 0
    assert result.scores["score"]["absolute"].micro_auc == pytest.approx(0.75)
    # one video: no interval
    assert np.isnan(result.scores["score"]["absolute"].interval.low)


def test_every_figure_of_the_score_has_its_interval(data) -> None:
    labels, series, _ = data
    causal = evaluate_scores(labels, series, draws=200, seed=3).scores["score"]["causal"]
    assert causal.interval == causal.intervals["micro_auc"]
    shown = {
        name: protocols.exponential(columns["score"][CUT:]) for name, columns in series.items()
    }
    truth = {name: y[CUT:] for name, y in labels.items()}
    for name in (
        "micro_auc",
        "macro_auc",
        "padded_macro_auc",
        "equal_error_rate",
        "average_precision",
    ):
        interval = causal.intervals[name]
        assert interval.value == pytest.approx(causal.value(name), abs=1e-12)
        assert interval.low <= interval.value <= interval.high and interval.low < interval.high, (
            name
        )
    assert causal.average_precision == pytest.approx(
        average_precision_score(
            np.concatenate(list(truth.values())), np.concatenate(list(shown.values()))
        )
    )


def test_videos_too_short_for_a_score_are_named(data) -> None:
    labels, series, _ = data
    labels["tiny"] = np.ones(3, bool)
    series["tiny"] = {name: np.full(3, NAN) for name in series["01"]}
    result = evaluate_scores(labels, series, draws=5)
    assert result.counts.videos_without_scores == ["tiny"]
    assert result.counts.dropped_frames == 3 * CUT + 3
    with pytest.raises(DataError, match="none of 1 videos"):
        evaluate_scores({"tiny": labels["tiny"]}, {"tiny": series["tiny"]})


def test_what_does_not_fit_is_named(data) -> None:
    labels, series, baselines = data
    with pytest.raises(DataError, match=r"no scores for 1 of 3 .*'02'"):
        evaluate_scores(labels, {"01": series["01"], "03": series["03"]})
    with pytest.raises(LabelError, match="'01': 39 labels but 40 values of 'score'"):
        evaluate_scores({**labels, "01": labels["01"][1:]}, series)
    with pytest.raises(DataError, match="'01' has columns .*expected .*score"):
        evaluate_scores({"01": labels["01"]}, {"01": {"error": series["01"]["error"]}})
    with pytest.raises(DataError, match="'02' has columns"):
        evaluate_scores(labels, {**series, "02": {"score": series["02"]["score"]}})
    with pytest.raises(DataError, match="'frame_number' has no scores for video '03'"):
        evaluate_scores(
            labels,
            series,
            {"frame_number": {k: v for k, v in baselines["frame_number"].items() if k < "03"}},
        )
    with pytest.raises(LabelError, match="50 labels but 3 values of baseline 'x'"):
        evaluate_scores({"02": labels["02"]}, {"02": series["02"]}, {"x": {"02": np.zeros(3)}})
    series["02"]["score"][20] = NAN
    with pytest.raises(DataError, match="video '02'"):
        evaluate_scores(labels, series)


def test_table_shows_the_figures_in_per_cent(data) -> None:
    labels, series, baselines = data
    result = evaluate_scores(labels, series, baselines, draws=20)
    table = format_table(result)
    lines = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert table.splitlines()[0].split()[-4:] == ["absolute", "causal", "the", "paper's"]
    for title, entry, figure in (
        ("PSNR", result.scores["psnr_db"], "micro_auc"),
        ("score (region score)", result.scores["score"], "micro_auc"),
    ):
        expected = [f"{100 * entry[p].value(figure):.1f}" for p in protocols.PROTOCOLS]
        assert lines[title][-3:] == expected
    shares = [
        f"{100 * result.baselines['frame_number'][p].micro_auc:.1f}" for p in protocols.PROTOCOLS
    ]
    assert lines["no learning: frame number"][-3:] == shares
    causal = result.scores["score"]["causal"]
    interval = f"{100 * causal.interval.low:.1f} to {100 * causal.interval.high:.1f}"
    assert interval in next(line for line in table.splitlines() if "95 %" in line)
    assert "macro AUC (2 of 3 videos)" in table
    for title, figure in (
        ("equal error rate", "equal_error_rate"),
        ("average precision", "average_precision"),
    ):
        line = next(x for x in table.splitlines() if title in x)
        assert line.split()[-2] == f"{100 * causal.value(figure):.1f}"
    figures = [line for line in table.splitlines()[2:] if line[-1:].isdigit()]
    assert len({len(line) for line in figures}) == 1  # aligned on the right


def test_undefined_figures_are_dashes_and_null(tmp_path: Path) -> None:
    result = evaluate_scores({"a": np.zeros(5, bool)}, {"a": {"score": np.arange(5.0)}}, draws=5)
    assert "nan" not in format_table(result)
    assert " - " in format_table(result)
    write_metrics(tmp_path / "metrics.json", result.document())
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["scores"]["score"]["causal"]["micro_auc"] is None
    assert stored["frames"] == 5


def test_metrics_file_holds_result_and_extra_and_replaces_whole(tmp_path: Path, data) -> None:
    labels, series, baselines = data
    result = evaluate_scores(labels, series, baselines, draws=5)
    path = tmp_path / "metrics.json"
    path.write_text("old")
    extra = {
        "labels": {"path": tmp_path, "fps": Fraction(25, 2), "counts": np.arange(2), "ok": np.True_}
    }
    write_metrics(path, result.document(), extra)
    stored = json.loads(path.read_text())
    assert stored["labels"] == {"path": str(tmp_path), "fps": 12.5, "counts": [0, 1], "ok": True}
    assert (
        stored["scores"]["score"]["causal"]["micro_auc"]
        == result.scores["score"]["causal"].micro_auc
    )
    assert [x.name for x in tmp_path.iterdir()] == ["metrics.json"]
    with pytest.raises(ValueError, match="frames"):
        write_metrics(path, result.document(), {"frames": 3})
    with pytest.raises(MpnError, match="cannot write"):
        write_metrics(path / "below" / "metrics.json", result.document())
    assert json.loads(path.read_text()) == stored
