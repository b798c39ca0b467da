"""True and found regions of small made-up videos, for RBDC and TBDC."""

from __future__ import annotations

from mpn.metrics.regions import VARIANTS, Criteria, Region, TrueRegion, region_and_track_criteria

# Places 20 pixels apart: boxes at different ones do not touch.
HERE, THERE, BESIDE = (0, 0, 10, 10), (0, 40, 10, 10), (0, 80, 10, 10)


def true(frame: int, track: int = 0, box: tuple = HERE, video: str = "a") -> TrueRegion:
    return TrueRegion(video, frame, track, box)


def found(frame: int, score: float, box: tuple = HERE, video: str = "a") -> Region:
    return Region(video, frame, box, score)


def both(truth: list, regions: list, frames: int, **options: float) -> list[Criteria]:
    return [
        region_and_track_criteria(truth, regions, frames, variant, **options)
        for variant in VARIANTS
    ]


def areas(criteria: Criteria) -> tuple[float, float]:
    return round(criteria.rbdc, 9), round(criteria.tbdc, 9)
