"""The evaluation of a model, or of anyone's scores, on a labelled test set: files and result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mpn.evaluation.alarms import alarm_metrics
from mpn.evaluation.frame_metrics import Series, evaluate_scores, write_metrics
from mpn.evaluation.localisation import Places, add_theirs
from mpn.evaluation.protocol_matrix import protocol_matrix
from mpn.evaluation.result import SCORE, SCORE_RAW, EvaluationResult
from mpn.evaluation.run_detector import WITH_PLACE, ScoredVideo, score_baselines, score_set
from mpn.evaluation.score_files import read_scores, write_scores
from mpn.evaluation.test_set import LabelledSet, facts_of, write_labels
from mpn.scoring.calibration import Calibration
from mpn.scoring.detector import Detector
from mpn.scoring.rates import at_rate
from mpn.video.timing import frame_rate


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and where to.

    Attributes:
        out: folder of the results.
        baselines: whether the content-free baselines are evaluated too.
        places: whether pixel and region metrics are computed, where the set has masks.
        seed: of resampling and of the noise baseline.
        checkpoint: where the model is from, for the facts.
        maps, regions: of anyone's scores, what was found where: folders, see
            `mpn.evaluation.localisation.add_theirs`.
    """

    out: Path
    baselines: bool = True
    places: bool = True
    seed: int = 0
    checkpoint: Path | None = None
    maps: Path | None = None
    regions: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that is done.

    Attributes:
        test: what was evaluated on.
        result: the metrics.
        series: video -> column -> (T,), before smoothing.
        scored: what the detector gave, by video; empty for anyone's scores.
        facts: what the metrics depend on.
        notes: what was read otherwise than it stood there.
        calibration: the detector's, at the frame rate of the set; None where there is none.
    """

    test: LabelledSet
    result: EvaluationResult
    series: Series
    scored: dict[str, ScoredVideo]
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    calibration: Calibration | None = None


def run_evaluation(
    test: LabelledSet, scorer: Detector | Path, options: EvaluationOptions
) -> Evaluation:
    """Evaluate a model, or anyone's scores, and write the results.

    Writes metrics.json, matrix.json and labels.csv into `options.out`, and of a model scores/ and
    regions/, each video's as soon as it is scored. Progress goes to stderr.

    Args:
        test: from `mpn.evaluation.test_set.open_set`.
        scorer: the model, or a folder of scores (`mpn.evaluation.score_files.read_scores`).
        options: what is evaluated, and where to.

    Raises:
        MpnError: what cannot be read, does not fit or cannot be written.
    """
    notes = list(test.labels.notes)
    notes += [f"{name}: {note}" for name, source in test.sources.items() for note in source.notes]
    places = Places(test.truth) if test.truth.known and options.places else None
    calibration, scored = None, {}
    if isinstance(scorer, Detector):
        test = with_rates(test, scorer.checkpoint.fps, notes)
        scorer, note = at_rate(scorer, next((rate for rate in test.rates.values() if rate), None))
        notes += [note] if note else []
        for name, video in score_set(scorer, test.sources, places, options.out / "regions"):
            scored[name] = video
            columns = {SCORE: video.smoothed, SCORE_RAW: video.columns[SCORE]} | {
                part: values for part, values in video.columns.items() if part != SCORE
            }
            write_scores(options.out / "scores" / f"{name}.csv", columns, video.times)
        series = {name: video.columns for name, video in scored.items()}
        rates = [rate for rate in test.rates.values() if rate]
        calibration = scorer.calibration(rates[0]) if rates else None
    else:
        series = read_scores(scorer, test.lengths, notes)
        if places is not None:
            places = add_theirs(places, series, options.maps, options.regions)
    smoothed = {name: video.smoothed for name, video in scored.items()}
    result = evaluate(test, series, options, places, calibration, smoothed)
    detector = scorer if isinstance(scorer, Detector) else None
    facts = facts_of(test.tree, test.labels, detector, options.checkpoint) | {"seed": options.seed}
    if detector is None:
        facts |= {"scores_from": str(scorer)}
    write_metrics(options.out / "metrics.json", result.document(), facts)
    write_metrics(options.out / "matrix.json", result.matrix.document(), facts)
    write_labels(options.out / "labels.csv", test.labels)
    return Evaluation(test, result, series, scored, facts, notes, calibration)


def evaluate(
    test: LabelledSet,
    series: Series,
    options: EvaluationOptions,
    places: Places | None = None,
    calibration: Calibration | None = None,
    smoothed: Mapping[str, np.ndarray] | None = None,
) -> EvaluationResult:
    """Compute every metric of scores on a test set.

    Args:
        test: the videos with their labels.
        series: video -> column -> (T,), "score" among them, before smoothing.
        options: baselines and seed are used.
        places: what was found where.
        calibration: thresholds.
        smoothed: video -> the score (T,) that they are for; with both, false alarms and events
            found are counted.
    """
    first_frames = {name: _first_frame(columns) for name, columns in series.items()}
    baseline_scores: dict[str, dict[str, np.ndarray]] = {}
    baseline_places: dict[str, Places] = {}
    if options.baselines:
        if places is not None:
            baseline_places = {name: Places(test.truth) for name in WITH_PLACE}
        baseline_scores = score_baselines(
            test.sources, test.lengths, options.seed, first_frames, baseline_places
        )
    labels, seed = test.labels.frames, options.seed
    by_place = {} if places is None else {SCORE: places} | baseline_places
    alarms = None
    if calibration is not None and smoothed is not None:
        alarms = alarm_metrics(labels, smoothed, test.rates, calibration)
    return EvaluationResult(
        frame=evaluate_scores(labels, series, baseline_scores, seed=seed),
        matrix=protocol_matrix(labels, series, baseline_scores, seed=seed),
        places={name: gatherer.compute(seed=seed) for name, gatherer in by_place.items()},
        alarms=alarms,
        baseline_scores=baseline_scores,
    )


def with_rates(test: LabelledSet, usual: float | None, notes: list[str]) -> LabelledSet:
    """Give videos whose frame rate is unknown that of the model's footage, and say so.

    Args:
        test: its sources get the rate too.
        usual: frames/s of the model's footage, None where that is unknown.
        notes: a line is added where a rate is unknown.
    """
    unknown = [name for name, rate in test.rates.items() if rate is None]
    if not unknown:
        return test
    which = "frame rate" if len(unknown) == len(test.rates) else f"{unknown[0]}: frame rate"
    rate = frame_rate(usual)
    if rate is None:
        notes.append(f"{which} unknown: no thresholds are tried and no events found; give --fps")
        return test
    notes.append(
        f"{which} unknown, {float(rate):g} frames/s assumed (as the model's training footage); "
        "--fps says otherwise"
    )
    for name in unknown:
        test.sources[name].fps = rate
    return replace(
        test, rates={name: known_rate or rate for name, known_rate in test.rates.items()}
    )


def _first_frame(columns: Mapping[str, np.ndarray]) -> int:
    """Return the first frame that has every column; the length where there is none."""
    complete = np.all([~np.isnan(values) for values in columns.values()], axis=0)
    return int(np.argmax(complete)) if complete.any() else len(complete)
