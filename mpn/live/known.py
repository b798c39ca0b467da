"""What is checked and said of a camera's file when its camera begins to be judged by it."""

from __future__ import annotations

import logging
from pathlib import Path

from mpn.errors import MpnError
from mpn.scoring.calibration import Calibration
from mpn.scoring.detector import Detector
from mpn.scoring.parts import asks_network

log = logging.getLogger(__name__)

RATE_OFF = 0.1  # share by which the limit may differ from the camera file's rate, unsaid


def known_calibration(detector: Detector, file: Path, fps: float) -> Calibration:
    """Return the calibration of a camera.

    Args:
        detector: of the camera file.
        file: its path.
        fps: frames a second that are scored.

    Raises:
        MpnError: it has none, or knows no motion of its camera.
    """
    calibration = detector.calibration(fps)
    if calibration is None or not detector.places:
        raise MpnError(
            f"{file}: knows no normal scores or no motion of its camera: adapt again (mpn adapt), "
            "or take it away, and it is learned"
        )
    return calibration


def say_what_differs(
    name: str, detector: Detector, file: Path, fps: float, network: bool | None
) -> None:
    """Say where a camera file is not what the watch is set to.

    Args:
        name: of the camera.
        detector: of the camera file.
        file: its path.
        fps: frames a second that are scored.
        network: see `WatchConfig.network`.
    """
    made = detector.checkpoint.fps or fps
    if abs(fps / made - 1) > RATE_OFF:
        log.warning(
            "%s: was learned at %g frames/s, and %g are scored: leave fps out, or learn anew",
            name,
            made,
            fps,
        )
    if network and not asks_network(detector.parts):
        log.info(
            "%s: motion alone judges it, as %s says; to ask the network take that file away, and "
            "it is learned anew",
            name,
            file,
        )
