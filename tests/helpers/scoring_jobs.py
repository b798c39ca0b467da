"""Jobs for tests: run, stopped after some results, their summary."""

from __future__ import annotations

import json
from pathlib import Path

from mpn.jobs import JobOptions, Outcome, ScoreJob
from mpn.scoring.detector import Detector

OPTIONS = JobOptions(threshold=100.0, fps=10.0)
GROWING = ("scores.csv", "clip_regions.csv", "heat.bin")  # of a job with a report


def stopping(
    detector: Detector, at: int, error: type[BaseException] = KeyboardInterrupt
) -> Detector:
    """The detector, but for an end after `at` results."""
    score = detector.score

    def stopped(*args, **options):
        for number, result in enumerate(score(*args, **options), options.get("first", 0)):
            if number == at:
                raise error
            yield result

    stopping_detector = load_again(detector)
    stopping_detector.score = stopped
    return stopping_detector


def score_source(*arguments) -> Outcome:
    """A job's run."""
    return ScoreJob(*arguments).run()


def load_again(detector: Detector) -> Detector:
    return detector.sibling(detector.checkpoint)


def summary(folder: Path) -> dict:
    return json.loads((folder / "events.json").read_text())
