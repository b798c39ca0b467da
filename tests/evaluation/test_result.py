"""The documents that are written from a typed result."""

from __future__ import annotations

import json

from mpn.evaluation.result import (
    AlarmMetrics,
    EvaluationResult,
    FrameResult,
    Frames,
    MatrixCell,
    PlaceMetrics,
    ProtocolGap,
    ProtocolMatrix,
    ScoreMetrics,
)
from mpn.metrics import Interval, OperatorMetrics
from mpn.scoring.protocols import cell

COUNTS = Frames(90, 10, 3, 2, 12, "the first 4", [], ["psnr_db"])
WIDE = Interval(0.8, 0.7, 0.9, 1000, 0)
NAMES = ("micro_auc", "macro_auc", "padded_macro_auc", "equal_error_rate", "average_precision")


def metrics(micro: float, **options: object) -> ScoreMetrics:
    return ScoreMetrics(micro, 0.7, 0.75, 0.2, 0.6, **options)


def result() -> EvaluationResult:
    """A small result with every part."""
    intervals = dict.fromkeys(NAMES, WIDE)
    scores = {"score": {"causal": metrics(0.8, intervals=intervals)}}
    baselines = {
        "frame_number": {"causal": metrics(0.5, score_minus_this=WIDE)},
        "flow_speed": {"causal": metrics(0.65, score_minus_this=WIDE)},
    }
    frame = FrameResult(COUNTS, scores, baselines, {"causal": {"smoothing": "s"}}, 1000, 7)
    cells = [MatrixCell("region", False, cell("min-max", "off"), metrics(0.8), WIDE)]
    blind = [MatrixCell("flow_speed", True, cell("absolute", "off"), metrics(0.6), WIDE, WIDE)]
    gaps = [ProtocolGap("region", False, WIDE), ProtocolGap("flow_speed", True, WIDE)]
    matrix = ProtocolMatrix(cells, blind, gaps, ["pair"], COUNTS, 1000, 7)
    alarm = AlarmMetrics(
        6.0, False, 0.3, (1.0, 2.0), OperatorMetrics(1.5, 2, 0.5, 4, 3, 2, 0, 1, 1)
    )
    return EvaluationResult(frame, matrix, {"score": PlaceMetrics()}, [alarm])


def test_metrics_json_keeps_its_keys() -> None:
    document = json.loads(json.dumps(result().document()))
    assert (document["main"], document["frames"], document["bootstrap"]) == (
        "score",
        90,
        {"draws": 1000, "seed": 7},
    )
    causal = document["scores"][document["main"]]["causal"]
    assert [causal[name] for name in NAMES] == [0.8, 0.7, 0.75, 0.2, 0.6]
    expected = {"value": 0.8, "low": 0.7, "high": 0.9, "draws": 1000, "skipped": 0}
    assert causal["interval"] == causal["intervals"]["macro_auc"] == expected
    speed = document["baselines"]["flow_speed"]["causal"]
    assert speed["score_minus_this"] == expected and "interval" not in speed
    assert document["where"] == {"score": {}}
    (alarm,) = document["alarms"]
    assert (alarm["promised_per_hour"], alarm["threshold_interval"]) == (6.0, [1.0, 2.0])
    assert (alarm["threshold"], alarm["events"], alarm["events_found"]) == (1.5, 3, 2)


def test_matrix_json_keeps_its_keys() -> None:
    document = result().matrix.document()
    (region,), (speed,) = document["cells"], document["baselines"]
    assert (region["score"], region["normalisation"], region["live"]) == (
        "region",
        "min-max",
        False,
    )
    assert region["micro_auc"] == 0.8 and region["interval"]["high"] == 0.9
    assert region["lookahead_frames"] != region["lookahead_frames"]  # NaN: all of the video
    assert (speed["baseline"], speed["lookahead_frames"]) == ("flow_speed", 0)
    assert speed["region_minus_this"]["low"] == 0.7
    assert [gap.get("score", gap.get("baseline")) for gap in document["gap"]] == [
        "region",
        "flow_speed",
    ]
    assert document["absent"] == ["pair"] and document["frames"] == 90 and "main" not in document


def test_the_best_baseline() -> None:
    assert result().frame.best_baseline() == "flow_speed"
    assert FrameResult(COUNTS, {}, {}, {}, 1, 0).best_baseline() is None
