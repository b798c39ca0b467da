"""What a camera was taught, in files: there and back, and nothing from a file that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mpn.errors import CheckpointError
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.model.taught import MAX_EXAMPLES, MAX_TAUGHT, Taught, checked_name
from mpn.model.taught_file import pack_taught, unpack_taught
from tests.helpers.small_model import still_network

PATH = Path("lobby.camera.safetensors")
# Quarters: float16 keeps them to the bit.
CAR = Taught("car", "monday.mp4", 312, np.arange(10, dtype=np.float32).reshape(2, 5) / 4)
FLAG = Taught(None, "tuesday", 0, np.full((1, 5), -0.25, np.float32))


def same(one: Taught, other: Taught) -> bool:
    return (one.name, one.source, one.frame) == (other.name, other.source, other.frame) and (
        np.array_equal(one.embeddings, other.embeddings)
    )


def test_there_and_back_and_the_other_tensors_stay():
    tensors = {"other": torch.zeros(3)}
    described = pack_taught(tensors, [CAR, FLAG])["taught"]
    unpacked = unpack_taught(PATH, tensors, described)
    assert len(unpacked) == 2 and same(unpacked[0], CAR) and same(unpacked[1], FLAG)
    assert list(tensors) == ["other"] and unpacked[0].embeddings.dtype == np.float32


def test_a_file_of_a_camera_that_was_taught_nothing_is_as_it_always_was():
    tensors: dict[str, torch.Tensor] = {}
    assert pack_taught(tensors, []) == {} and tensors == {}
    assert unpack_taught(PATH, tensors, None) == ()


def test_a_whole_model_keeps_it_too(tmp_path):
    path = tmp_path / "whole.safetensors"
    save_checkpoint(path, Checkpoint(still_network(), taught=(CAR, FLAG)))
    taught = load_checkpoint(path).taught
    assert len(taught) == 2 and same(taught[0], CAR) and same(taught[1], FLAG)


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "normal"},
        {"name": "12"},
        {"name": " car"},
        {"name": 3},
        {"source": 7},
        {"frame": -1},
        {"frame": 1.5},
        {"frame": True},
    ],
)
def test_entries_that_cannot_be_are_refused(entry):
    tensors: dict[str, torch.Tensor] = {}
    described = pack_taught(tensors, [CAR])["taught"]
    described["events"][0] |= entry
    with pytest.raises(CheckpointError, match=r"lobby.camera.safetensors: what it was taught"):
        unpack_taught(PATH, tensors, described)


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(5, dtype=torch.float16),
        torch.zeros(2, 5),
        torch.zeros(0, 5, dtype=torch.float16),
        torch.zeros(2, 0, dtype=torch.float16),
        torch.zeros(MAX_EXAMPLES + 1, 5, dtype=torch.float16),
        torch.zeros(1, 5000, dtype=torch.float16),
        torch.full((2, 5), torch.nan, dtype=torch.float16),
    ],
)
def test_tensors_that_cannot_be_are_refused(values):
    tensors: dict[str, torch.Tensor] = {}
    described = pack_taught(tensors, [CAR])["taught"]
    with pytest.raises(CheckpointError, match="cannot be read"):
        unpack_taught(PATH, {"taught.0": values}, described)


@pytest.mark.parametrize(
    ("described", "tensors"),
    [
        (None, {"taught.0": torch.zeros(1, 5, dtype=torch.float16)}),
        ({"version": 1, "events": [vars(CAR) | {"embeddings": None}]}, {}),
        ({"version": 1}, {}),
        ([], {}),
        ({"version": 1, "events": [{}] * (MAX_TAUGHT + 1)}, {}),
    ],
)
def test_what_does_not_fit_together_is_refused(described, tensors):
    with pytest.raises(CheckpointError, match="cannot be read"):
        unpack_taught(PATH, dict(tensors), described)


def test_embeddings_of_two_lengths_are_refused():
    tensors: dict[str, torch.Tensor] = {}
    short = Taught("bus", "a", 1, np.zeros((1, 4), np.float32))
    described = pack_taught(tensors, [CAR, short])["taught"]
    with pytest.raises(CheckpointError, match="cannot be read"):
        unpack_taught(PATH, tensors, described)


def test_another_version_says_what_to_do():
    tensors: dict[str, torch.Tensor] = {}
    described = pack_taught(tensors, [CAR])["taught"] | {"version": 2}
    with pytest.raises(CheckpointError, match="version 2, this mpn reads 1: update mpn"):
        unpack_taught(PATH, tensors, described)


@pytest.mark.parametrize("name", ["", "  ", "3", "#3", "Normal", "a\nb", "x" * 41])
def test_what_cannot_be_a_name(name):
    with pytest.raises(ValueError):
        checked_name(name)


def test_spaces_around_a_name_go():
    assert checked_name("  Lieferwagen 2 ") == "Lieferwagen 2"
