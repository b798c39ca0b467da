"""A threshold that gets sharper with the hours, and that no intruder lifts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpn.live import recalibration
from mpn.live.recalibration import Recalibration
from mpn.scoring.calibration import calibrate
from mpn.scoring.events import events
from tests.live.driving import AtOnce

FPS = 2.0
HOUR = round(3600 * FPS)


def calm(count: int, seed: int) -> np.ndarray:
    """Scores in which something little happens some ten times an hour."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 0.3, count)
    for at in rng.integers(0, count - 8, round(10 * count / HOUR)):
        scores[at : at + 6] += rng.exponential(0.7)
    return scores


@pytest.fixture
def first(tmp_path: Path) -> Recalibration:
    scores = calm(round(120 * FPS), 1)
    scores[50:56] += 5  # two minutes of which one moment was lively
    normal = {"0": scores}
    threshold = calibrate(normal, FPS).threshold(1.0)
    assert threshold.extrapolated
    return Recalibration(normal, threshold, FPS, tmp_path / "scores.npy", AtOnce())


def after(own: Recalibration, scores: np.ndarray) -> list[float]:
    """The thresholds that come of scores."""
    found = []
    for score in scores:
        own.add(float(score))
        if (threshold := own.threshold()) is not None:
            found.append(threshold.value)
    return found


def test_hours_bring_it_down_to_what_was_asked_for(first: Recalibration) -> None:
    live = calm(5 * HOUR, 2)
    found = after(first, live)
    assert len(found) == 5 * 60 // recalibration.EVERY_MINUTES
    assert all(value <= first._first.value for value in found)
    assert found[-1] < 0.7 * found[0]
    assert 2 <= len(events(live, found[-1], FPS, min_frames=1)) <= 5  # one an hour, less that one


def test_an_intruder_does_not_lift_it_above_himself(first: Recalibration) -> None:
    live = calm(4 * HOUR, 3)
    height = first._first.value + 1
    for at in range(100, len(live), 240):  # thirty times an hour
        live[at : at + 10] = height
    assert after(first, live)[-1] <= first._first.value < height


def test_gaps_and_a_restart(first: Recalibration, tmp_path: Path) -> None:
    live = calm(HOUR, 4)
    live[1000:2000] = np.nan
    last = after(first, live)[-1]
    again = Recalibration(first._normal, first._first, FPS, tmp_path / "scores.npy", AtOnce())
    threshold = again.threshold()
    assert threshold is not None and threshold.value == pytest.approx(last, rel=0.01)
    assert again.hours == pytest.approx(first.hours, rel=0.05)
    (tmp_path / "scores.npy").write_bytes(b"no numbers")
    fresh = Recalibration(first._normal, first._first, FPS, tmp_path / "scores.npy", AtOnce())
    assert fresh.hours == 0 and fresh.threshold() is None


def test_a_start_is_no_reason_to_believe_a_minute(first: Recalibration, tmp_path: Path) -> None:
    for score in calm(HOUR // 60, 4):
        first.add(float(score))
    first.save()
    again = Recalibration(first._normal, first._first, FPS, tmp_path / "scores.npy", AtOnce())
    assert again.hours == pytest.approx(1 / 60, rel=0.05) and again.threshold() is None


def test_what_counts_is_bounded(first: Recalibration, monkeypatch: pytest.MonkeyPatch) -> None:
    after(first, np.zeros(round(recalibration.MAX_HOURS * HOUR) + 5000))
    assert first.hours == recalibration.MAX_HOURS
