"""Where a network runs, and in which precision."""

from __future__ import annotations

import pytest

from mpn.errors import MpnError
from mpn.scoring.devices import checked_device, use_bfloat16


def test_precisions() -> None:
    assert use_bfloat16("bfloat16") is True and use_bfloat16("float32") is False
    assert isinstance(use_bfloat16("auto"), bool)
    with pytest.raises(MpnError, match="precision 'half'"):
        use_bfloat16("half")


def test_devices() -> None:
    assert checked_device("cpu") == "cpu"
    with pytest.raises(MpnError, match="device 'abacus' cannot be used"):
        checked_device("abacus")
