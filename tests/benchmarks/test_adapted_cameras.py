"""Means over cameras and what training gained, by hand."""

from __future__ import annotations

import pytest

from benchmarks.adapted_cameras import ADAM, PARTS, PLACE, summary


def camera(place: float, adam: float) -> dict[str, dict[str, float]]:
    return {PLACE: dict.fromkeys(PARTS, place), ADAM: dict.fromkeys(PARTS, adam)}


def test_gains_are_paired_by_camera() -> None:
    entry = summary({"a": camera(0.5, 0.6), "b": camera(0.9, 1.0), "c": camera(0.1, 0.2)})["error"]
    assert entry[PLACE] == pytest.approx(0.5) and entry[ADAM] == pytest.approx(0.6)
    # All three gain as much, so nothing is uncertain, however far apart they lie.
    assert [entry[key] for key in ("gain", "low", "high")] == pytest.approx([0.1] * 3)


def test_one_camera_has_no_interval() -> None:
    entry = summary({"a": camera(0.7, 0.6)})["network"]
    assert entry["gain"] == pytest.approx(-0.1) and "low" not in entry
