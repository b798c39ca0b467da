"""What stays in the picture, in the place models of files: what comes back, and files that lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mpn.model.place_file import MAX_COUNT, unpack_places
from mpn.motion.place import PlaceModel
from tests.model.test_place_file import PATH, packed, refused, some_place


def staying_place() -> PlaceModel:
    place = some_place()
    shape = place.background.longest.shape
    generator = np.random.default_rng(3)
    place.background.spread_sum = generator.uniform(0, 9e4, shape)
    place.background.longest = generator.uniform(0, 60, shape).astype(np.float32)
    place.background.readings, place.background.seconds = 700, 349.5
    return place


def test_what_stays_comes_back_exactly_beside_a_camera_that_does_not_know_it() -> None:
    place = staying_place()
    places = unpack_places(PATH, *packed({"hall": place, "yard": some_place()}))
    background = places["hall"].background
    assert (background.readings, background.seconds, background.known) == (700, 349.5, True)
    np.testing.assert_array_equal(background.longest, place.background.longest)
    np.testing.assert_array_equal(background.spread, place.background.spread)
    assert places["yard"].background.readings == 0 and not places["yard"].background.known


def test_a_place_that_does_not_know_what_stays_is_written_as_before() -> None:
    tensors, described = packed({"hall": some_place()})
    assert sorted(tensors) == ["place.0.counts", "place.0.picture", "place.0.whole"]
    assert sorted(described[0]) == ["camera", "frames", "grid", "judged", "pictures", "version"]


def test_a_camera_of_an_endless_name() -> None:
    tensors, described = packed({"hall": some_place()})
    described[0]["camera"] = "x" * 10**6
    refused(tensors, described, "a camera's name of 1,000,000 letters")


@pytest.mark.parametrize("key", ["readings", "seconds"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "many", None, [2], MAX_COUNT])
def test_backgrounds_of_odd_numbers(key: str, value: object) -> None:
    tensors, described = packed({"hall": staying_place()})
    described[0][key] = value
    refused(tensors, described, "cannot be read")


@pytest.mark.parametrize("name", ["spread", "longest"])
@pytest.mark.parametrize("lie", ["missing", "shape", "type", "nan", "negative"])
def test_backgrounds_that_lie(name: str, lie: str) -> None:
    tensors, described = packed({"hall": staying_place()})
    tensor = tensors.pop(f"place.0.{name}")
    values = {
        "shape": tensor[1:],
        "type": tensor.double(),
        "nan": torch.full_like(tensor, math.nan),
        "negative": tensor - tensor.max() - 1,
    }
    if lie != "missing":
        tensors[f"place.0.{name}"] = values[lie].contiguous()
    refused(tensors, described, "cannot be read")


def test_a_background_that_is_not_described() -> None:
    tensors, described = packed({"hall": staying_place()})
    del described[0]["readings"]
    refused(tensors, described, "does not describe its place models")
