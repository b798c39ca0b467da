"""What is said of a camera file that is not what the watch is set to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mpn.errors import MpnError
from mpn.live.known import known_calibration, say_what_differs
from mpn.scoring.parts import DIRECTION, ERROR, SPEED, ScorePart

FILE = Path("hall.camera.safetensors")


def detector(*parts: ScorePart, fps: float | None = 10.0) -> Any:
    """A camera's detector, as far as it is asked."""
    return SimpleNamespace(checkpoint=SimpleNamespace(fps=fps), parts=parts)


@pytest.mark.parametrize("network", [None, True, False])
def test_that_motion_alone_judges_is_said_where_the_network_is_wished_for(
    caplog: pytest.LogCaptureFixture, network: bool | None
) -> None:
    caplog.set_level("INFO", "mpn")
    say_what_differs("hall", detector(ERROR, SPEED), FILE, 10.0, network)
    assert not caplog.messages
    say_what_differs("hall", detector(SPEED, DIRECTION), FILE, 10.0, network)
    assert [one.partition(",")[0] for one in caplog.messages] == (
        ["hall: motion alone judges it"] if network else []
    )


@pytest.mark.parametrize(
    "made, fps, said", [(10.0, 10.9, 0), (10.0, 5.0, 1), (None, 5.0, 0), (10.0, 11.1, 1)]
)
def test_another_rate_is_said(
    caplog: pytest.LogCaptureFixture, made: float | None, fps: float, said: int
) -> None:
    say_what_differs("hall", detector(SPEED, fps=made), FILE, fps, None)
    lines = [f"hall: was learned at 10 frames/s, and {fps:g} are scored"] * said
    assert [one.partition(":")[0] + ":" + one.split(":")[1] for one in caplog.messages] == lines


@pytest.mark.parametrize("calibration, places", [(None, {"hall": 1}), ("known", {})])
def test_a_file_that_nothing_can_be_judged_by_is_refused(calibration: Any, places: Any) -> None:
    odd: Any = SimpleNamespace(calibration=lambda fps: calibration, places=places)
    with pytest.raises(MpnError, match=f"{FILE}: knows no .* adapt again .*mpn adapt"):
        known_calibration(odd, FILE, 10.0)
