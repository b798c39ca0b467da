"""The device and the precision that a network runs in."""

from __future__ import annotations

import pytest

from mpn.errors import MpnError
from mpn.model.device import checked_device, use_bfloat16


def test_precisions() -> None:
    assert use_bfloat16("bfloat16") is True and use_bfloat16("float32") is False
    assert isinstance(use_bfloat16("auto"), bool)
    with pytest.raises(MpnError, match="precision 'half'"):
        use_bfloat16("half")


def test_a_device_that_is_not_there_is_refused() -> None:
    assert checked_device("cpu") == "cpu"
    with pytest.raises(MpnError, match="device 'nonsense' cannot be used"):
        checked_device("nonsense")
