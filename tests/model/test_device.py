"""The device and the precision that a network runs in."""

from __future__ import annotations

import pytest
import torch

from mpn.errors import MpnError
from mpn.model.device import checked_device, enough_memory, use_bfloat16


def test_precisions() -> None:
    assert use_bfloat16("bfloat16") is True and use_bfloat16("float32") is False
    assert isinstance(use_bfloat16("auto"), bool)
    with pytest.raises(MpnError, match="precision 'half'"):
        use_bfloat16("half")


def test_a_device_that_is_not_there_is_refused() -> None:
    assert checked_device("cpu") == "cpu"
    with pytest.raises(MpnError, match="device 'nonsense' cannot be used"):
        checked_device("nonsense")


@pytest.mark.parametrize("has_instructions", [True, False])
def test_bfloat16_that_a_gpu_only_emulates_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, has_instructions: bool
) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return has_instructions or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert use_bfloat16("auto", "cuda") == has_instructions
    assert use_bfloat16("bfloat16", "cuda") is True


def test_float32_on_a_gpu_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)  # as if there were a GPU
    checked_device("cpu")
    assert torch.backends.cudnn.allow_tf32
    assert checked_device("cuda") == "cuda"
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_too_little_memory_is_a_line_and_other_errors_pass() -> None:
    with (
        pytest.raises(MpnError, match="^a batch: the GPU has not enough memory for it; take less$"),
        enough_memory("a batch", "take less"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried")
    with pytest.raises(RuntimeError, match="^other$"), enough_memory("a batch", "take less"):
        raise RuntimeError("other")
