"""Arrays on their way to a network's device and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mpn.model.transfer import on_device, on_host, packed, unpacked
from tests.helpers.fake_gpu import FAKE_GPU, fake_gpu


def test_on_the_processor_nothing_is_copied():
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    tensor = on_device(values, torch.device("cpu"))
    values[1, 2] = 77
    assert tensor[1, 2] == 77
    numbers = torch.rand(3)
    assert np.shares_memory(on_host({"a": numbers})()["a"], numbers.numpy())


def test_tensors_of_any_shape_are_packed_and_unpacked():
    tensors = [torch.rand(2, 3), torch.rand(0, 4), torch.rand(5), torch.rand(1, 2, 2)]
    tensors[3] = tensors[3].transpose(1, 2)  # not in the order of its memory
    shapes = [tuple(tensor.shape) for tensor in tensors]
    parts = unpacked(packed(tensors).numpy(), shapes)
    assert [part.shape for part in parts] == shapes
    for part, tensor in zip(parts, tensors, strict=True):
        np.testing.assert_array_equal(part, tensor.numpy())


def test_what_lies_on_a_gpu_comes_in_one_transfer_beside_what_does_not():
    here = torch.rand(4)
    with fake_gpu() as transfers:
        away = torch.empty(2, 3, device=FAKE_GPU)
        arrays = on_host({"a": away, "here": here, "b": away[0]})()
    assert transfers == [9]
    assert list(arrays) == ["a", "here", "b"] and arrays["a"].shape == (2, 3)
    np.testing.assert_array_equal(arrays["here"], here.numpy())


def test_the_fake_gpu_notices_what_a_gpu_would():
    away = torch.empty(3, device=FAKE_GPU)
    with pytest.raises(RuntimeError, match="device"):
        away + torch.empty(3)
    for read in (float, bool, lambda number: number.cpu(), lambda number: number.tolist()):
        with pytest.raises((RuntimeError, NotImplementedError), match="meta tensor"):
            read(away[0])
