"""Footage of another frame rate than the model's: what may judge it."""

from __future__ import annotations

from fractions import Fraction

from mpn.scoring.detector import Detector

OTHER_RATE = 1.5  # frame rates that are so many times each other are too far apart for a network


def at_rate(detector: Detector, fps: float | Fraction | None) -> tuple[Detector, str]:
    """Choose what judges footage of a frame rate.

    Motion is brought to the rate of the model's footage, see `mpn.motion.cameras.PlaceStream`; what
    the network makes of a window, and the units of its parts, hold for that rate alone. So where
    the rates are far apart and motion is judged by place, it alone is
    (benchmarks/results/motion_choices.md, "Another frame rate").

    Args:
        detector: the model.
        fps: frames a second of the footage, None where unknown.

    Returns:
        The detector, or one that leaves the network out, and a line that says so; else "".
    """
    usual, config = detector.checkpoint.fps, detector.score_config
    by_place = any(part.needs_place and detector.weights[part.name] for part in detector.parts)
    by_network = any(
        not part.needs_place and detector.weights[part.name] for part in detector.parts
    )
    if not (by_place and by_network and fps and usual):
        return detector, ""
    if 1 / OTHER_RATE < float(fps) / usual < OTHER_RATE:
        return detector, ""
    return detector.sibling(detector.checkpoint, config.of_place_alone().to_dict()), (
        f"{float(fps):g} frames/s, the model's footage has {usual:g}: motion judges alone, brought "
        "to that rate, and the network is left out"
    )
