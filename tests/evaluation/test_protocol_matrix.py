"""The protocol matrix against series made by hand and scikit-learn, and its tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import average_precision_score, roc_auc_score

from mpn.errors import DataError, LabelError
from mpn.evaluation.frame_metrics import evaluate_scores, write_metrics
from mpn.evaluation.protocol_matrix import format_matrix, protocol_matrix
from mpn.evaluation.result import MatrixCell, ProtocolMatrix

NAN, CUT = float("nan"), 4


@pytest.fixture(scope="module")
def data() -> tuple[dict, dict, dict]:
    """Four videos of different lengths and levels, with all columns."""
    rng = np.random.default_rng(0)
    labels, series = {}, {}
    for number, length in enumerate((40, 50, 60, 45)):
        y = np.zeros(length, bool)
        y[20 : 20 + 8 * number] = True
        columns = {
            "score": number + rng.normal(size=length) + 2 * y,
            "psnr_db": 35 - number + rng.normal(size=length) - 3 * y,
            "compactness": rng.uniform(0.01, 0.02, length) + 0.01 * y,
            "mine": rng.normal(size=length),
        }
        for values in columns.values():
            values[:CUT] = NAN
        labels[f"{number}"], series[f"{number}"] = y, columns
    baselines = {
        "frame_number": {name: np.arange(len(y), dtype=float) for name, y in labels.items()},
        "nearness_to_middle": {
            name: -np.abs(np.arange(len(y)) - len(y) / 2) for name, y in labels.items()
        },
    }
    return labels, series, baselines


@pytest.fixture(scope="module")
def matrix(data) -> ProtocolMatrix:
    return protocol_matrix(*data, draws=100, seed=1)


def cell(matrix: ProtocolMatrix, name: str, normalisation: str, smoothing: str) -> MatrixCell:
    return matrix.of(name)[normalisation, smoothing]


def smoothed(x: np.ndarray, smoothing: str) -> np.ndarray:
    """Both filters written out: the recursion, and scipy's Gaussian with ends held."""
    if smoothing == "off":
        return x
    if smoothing == "causal":
        result = [x[0]]
        for value in x[1:]:
            result.append(0.3 * value + 0.7 * result[-1])
        return np.array(result)
    result = gaussian_filter1d(x, 2.0, truncate=3.5)
    result[:7], result[-7:] = result[7], result[-8]
    return result


def by_hand(columns: dict, name: str, normalisation: str, smoothing: str) -> np.ndarray:
    """One video's score in one cell."""
    stretch = (
        (lambda x: (x - x.min()) / (x.max() - x.min()))
        if normalisation == "min-max"
        else (lambda x: x)
    )
    if name == "pair":
        both = columns["psnr_db"], -10 * np.log10(columns["compactness"])
        return -sum(smoothed(stretch(x[CUT:]), smoothing) for x in both) / 2
    x = columns["score"] if name == "region" else -columns["psnr_db"]
    return smoothed(stretch(x[CUT:]), smoothing)


@pytest.mark.parametrize("name", ["region", "pair", "psnr"])
def test_every_cell_against_scikit_learn(data, matrix: ProtocolMatrix, name: str) -> None:
    labels, series, _ = data
    y = np.concatenate([labels[video][CUT:] for video in labels])
    for normalisation in ("absolute", "min-max"):
        for smoothing in ("off", "causal", "gaussian15"):
            computed = cell(matrix, name, normalisation, smoothing)
            parts = [
                by_hand(columns, name, normalisation, smoothing) for columns in series.values()
            ]
            s = np.concatenate(parts)
            assert computed.metrics.micro_auc == pytest.approx(roc_auc_score(y, s), abs=1e-9)
            assert computed.metrics.average_precision == pytest.approx(
                average_precision_score(y, s), abs=1e-9
            )
            aucs = [
                roc_auc_score(labels[v][CUT:], x) for v, x in zip(labels, parts) if labels[v].any()
            ]
            assert computed.metrics.macro_auc == pytest.approx(np.mean(aucs), abs=1e-9)
            assert computed.interval.low <= computed.metrics.micro_auc <= computed.interval.high
            assert computed.interval.draws + computed.interval.skipped == 100


def test_min_max_changes_the_ranking_over_videos_and_not_within_them(
    matrix: ProtocolMatrix,
) -> None:
    plain, stretched = (
        cell(matrix, "region", normalisation, "off") for normalisation in ("absolute", "min-max")
    )
    assert plain.metrics.macro_auc == pytest.approx(stretched.metrics.macro_auc, abs=1e-12)
    assert plain.metrics.micro_auc != pytest.approx(stretched.metrics.micro_auc, abs=0.01)


def test_cells_of_the_named_protocols_are_those_of_evaluate(data, matrix: ProtocolMatrix) -> None:
    result = evaluate_scores(*data, draws=100, seed=1)
    names = {"region": "score", "psnr": "psnr_db", "pair": "paper_pair"}
    for protocol, place in (
        ("absolute", ("absolute", "off")),
        ("causal", ("absolute", "causal")),
        ("paper", ("min-max", "gaussian15")),
    ):
        for name, column in names.items():
            if protocol in result.scores[column]:
                expected = result.scores[column][protocol]
                computed = cell(matrix, name, *place)
                assert computed.metrics.values() == expected.values()
                assert expected.interval is None or computed.interval == expected.interval
        for name, entry in result.baselines.items():
            computed = cell(matrix, name, *place)
            assert computed.metrics.micro_auc == entry[protocol].micro_auc
            assert computed.region_minus_this == entry[protocol].score_minus_this
    assert matrix.counts == result.counts


def test_what_a_live_camera_could_have_had(matrix: ProtocolMatrix) -> None:
    for entry in matrix.cells + matrix.baselines:
        middle, matrix_cell = entry.name == "nearness_to_middle", entry.cell
        assert matrix_cell.live == (matrix_cell.normalisation == "absolute" and not middle), entry
        assert matrix_cell.why
        assert (matrix_cell.lookahead_frames is None) == (not matrix_cell.live)
        assert np.isnan(entry.document()["lookahead_frames"]) == (not matrix_cell.live)
    assert len(matrix.cells) == 18 and len(matrix.baselines) == 12


def test_the_gap_is_the_paper_s_cell_minus_the_causal_one(matrix: ProtocolMatrix) -> None:
    assert [(gap.name, gap.is_baseline) for gap in matrix.gaps] == [
        ("region", False),
        ("pair", False),
        ("psnr", False),
        ("frame_number", True),
        ("nearness_to_middle", True),
    ]
    for gap in matrix.gaps:
        paper, causal = (
            cell(matrix, gap.name, "min-max", "gaussian15"),
            cell(matrix, gap.name, "absolute", "causal"),
        )
        value = gap.difference.value
        assert value == pytest.approx(paper.metrics.micro_auc - causal.metrics.micro_auc, abs=1e-12)
        assert gap.difference.low <= value <= gap.difference.high


def test_scores_alone_give_the_region_rows_and_the_rest_is_said(data) -> None:
    labels, series, _ = data
    alone = protocol_matrix(
        labels, {name: {"score": x["score"]} for name, x in series.items()}, draws=5
    )
    assert {entry.name for entry in alone.cells} == {"region"}
    assert alone.absent == ["pair", "psnr"] and alone.baselines == []
    assert (
        "without paper's pair and PSNR: the scores have no columns compactness, psnr_db"
        in format_matrix(alone)
    )


def test_the_text_shows_every_cell_in_per_cent(matrix: ProtocolMatrix) -> None:
    lines = {
        line.split("  ")[0].strip(): line.split() for line in format_matrix(matrix).splitlines()
    }
    order = [(n, s) for n in ("absolute", "min-max") for s in ("off", "causal", "gaussian15")]
    for title, name in (
        ("PSNR", "psnr"),
        ("paper's pair", "pair"),
        ("score (region score)", "region"),
    ):
        assert lines[title][-6:] == [
            f"{100 * cell(matrix, name, *place).metrics.micro_auc:.1f}" for place in order
        ]
    assert lines["a live camera has it"][5:] == [
        "yes",
        "2.3",
        "late",
        "7",
        "late",
        "no",
        "no",
        "no",
    ]
    text = format_matrix(matrix)
    interval = cell(matrix, "psnr", "min-max", "gaussian15").interval
    assert f"{100 * interval.low:.1f}-{100 * interval.high:.1f}" in text
    gap = matrix.gaps[1].difference
    assert (
        f"paper's pair {100 * gap.value:+.1f} ({100 * gap.low:+.1f} to "
        f"{100 * gap.high:+.1f})" in text
    )
    rates_text = format_matrix(matrix, "equal_error_rate")
    assert (
        f"{100 * cell(matrix, 'psnr', 'absolute', 'off').metrics.equal_error_rate:.1f}"
        in rates_text
    )
    assert "95 %" not in rates_text  # intervals are of the micro AUC
    assert max(map(len, text.splitlines())) <= 80


def test_undefined_is_a_dash_and_null(tmp_path: Path) -> None:
    labels = {"a": np.zeros(30, bool), "b": np.zeros(20, bool)}
    series = {name: {"score": np.arange(len(y), dtype=float)} for name, y in labels.items()}
    matrix = protocol_matrix(labels, series, draws=5)
    assert "nan" not in format_matrix(matrix)
    write_metrics(tmp_path / "matrix.json", matrix.document(), {"labels": {"sha256": "0f"}})
    stored = json.loads((tmp_path / "matrix.json").read_text())
    assert stored["cells"][0]["micro_auc"] is None and stored["labels"] == {"sha256": "0f"}
    with pytest.raises(ValueError, match="cells"):
        write_metrics(tmp_path / "matrix.json", matrix.document(), {"cells": []})


def test_what_does_not_fit_is_named(data) -> None:
    labels, series, baselines = data
    with pytest.raises(LabelError, match="39 labels but 40 values"):
        protocol_matrix({"0": labels["0"][1:]}, series)
    with pytest.raises(DataError, match="no scores for 1 of 1"):
        protocol_matrix({"9": labels["0"]}, series)
    negative = {"0": {**series["0"], "compactness": -series["0"]["compactness"]}}
    with pytest.raises(DataError, match="video '0': compactness .* negative"):
        protocol_matrix({"0": labels["0"]}, negative)
