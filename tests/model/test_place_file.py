"""Place models in model files and camera files: what comes back, and files that lie."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mpn.errors import CheckpointError
from mpn.model.camera_checkpoint import CAMERA_BYTES, save_camera
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.model.network import Network
from mpn.model.place_file import MAX_COUNT, PLACE_VERSION, pack_places, unpack_places
from mpn.motion.flow import CELLS, CHANNELS
from mpn.motion.place import JUDGED, PlaceModel
from tests.helpers.hostile_files import peak
from tests.helpers.moving import GRID, place_of

PATH = Path("some/hall.safetensors")
Described = dict[str, Any]
Tensors = dict[str, Tensor]


def some_place(grid: tuple[int, int] = GRID, seed: int = 0, pictures: int = 3) -> PlaceModel:
    generator = np.random.default_rng(seed)
    motion = generator.lognormal(0, 1.5, (20, *grid, CHANNELS)).astype(np.float16)
    frames = generator.integers(0, 256, (pictures, 48, 64, 3), np.uint8)
    return place_of(list(motion), list(frames))


@pytest.fixture(scope="module")
def places() -> dict[str, PlaceModel]:
    return {"hall": some_place(), "yard, Überweg": some_place((12, 8), 1, pictures=0)}


def assert_same(models: dict[str, PlaceModel], expected: dict[str, PlaceModel]) -> None:
    assert list(models) == list(expected)
    for place, exact in zip(models.values(), expected.values()):
        assert place.grid == exact.grid
        assert (place.frames, place.pictures) == (exact.frames, exact.pictures)
        assert place.counts.dtype == exact.counts.dtype and place.whole.dtype == exact.whole.dtype
        np.testing.assert_array_equal(place.counts, exact.counts)
        np.testing.assert_array_equal(place.whole, exact.whole)
        np.testing.assert_allclose(place.picture, exact.picture, rtol=1e-6)
        for normal, exact_normal in zip(place.normal, exact.normal):
            np.testing.assert_array_equal(normal, exact_normal)


def packed(places: dict[str, PlaceModel]) -> tuple[Tensors, list[Described]]:
    """Tensors and description, the latter by way of JSON as in a file."""
    tensors: Tensors = {}
    document = pack_places(tensors, places)
    return tensors, json.loads(json.dumps(document))["places"]


def refused(tensors: Tensors, described: object, message: str = "place") -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        unpack_places(PATH, tensors, described)
    assert str(PATH) in str(caught.value) and "\n" not in str(caught.value)


# --- What comes back


def test_places_come_back_exactly(places: dict[str, PlaceModel]) -> None:
    tensors, described = packed(places)
    weights = {"head.0.bias": torch.zeros(2)}
    together = tensors | weights
    assert_same(unpack_places(PATH, together, described), places)
    assert together == weights  # the places' own are taken out


def test_what_comes_back_can_be_added_to(places: dict[str, PlaceModel]) -> None:
    unpacked = unpack_places(PATH, *packed(places))
    unpacked["hall"].merge(unpacked["hall"])
    assert unpacked["hall"].frames == 40 and unpacked["hall"].pictures == 6
    np.testing.assert_allclose(unpacked["hall"].picture, places["hall"].picture, rtol=1e-6)


def test_the_largest_counts_come_back() -> None:
    place = some_place()
    place.counts[0, 0, 0, :2] = 2**32 - 1, MAX_COUNT
    place.frames = place.pictures = MAX_COUNT - 1
    (unpacked,) = unpack_places(PATH, *packed({"a": place})).values()
    np.testing.assert_array_equal(unpacked.counts, place.counts)
    assert unpacked.frames == unpacked.pictures == MAX_COUNT - 1


def test_no_places_leave_nothing() -> None:
    assert packed_nothing() == ({}, {})
    assert unpack_places(PATH, {}, None) == {} == unpack_places(PATH, {}, [])


def packed_nothing() -> tuple[Tensors, Described]:
    tensors: Tensors = {}
    return tensors, pack_places(tensors, {})


@pytest.mark.parametrize("half", [False, True])
def test_a_model_file_keeps_its_places(
    tiny: Network, places: dict[str, PlaceModel], tmp_path: Path, half: bool
) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, Checkpoint(tiny, places=places), half=half)
    again = load_checkpoint(path)
    assert_same(again.places, places)
    assert again.normal == {} and again.meta is None
    save_checkpoint(path, again, half=half)
    assert_same(load_checkpoint(path).places, places)


def test_a_model_file_without_places_is_as_before(tiny: Network, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, Checkpoint(tiny))
    with safe_open(path, framework="np") as file:
        assert "places" not in json.loads(file.metadata()["mpn"])
    assert set(load_file(path)) == set(tiny.state_dict())
    assert load_checkpoint(path).places == {}


@pytest.fixture
def base(tiny: Network, places: dict[str, PlaceModel], tmp_path: Path) -> Checkpoint:
    """A model that knows two cameras."""
    path = tmp_path / "base.safetensors"
    save_checkpoint(path, Checkpoint(tiny, places=places))
    return load_checkpoint(path)


def write_camera(
    base: Checkpoint, places: dict[str, PlaceModel] | None, adapted: bool = False
) -> Path:
    """A camera file beside its base; with tensors that were adapted or with none."""
    assert base.path is not None
    path = base.path.parent / "lobby.camera.safetensors"
    parameters = dict(base.network.named_parameters())
    tensors = {"head.0.bias": parameters["head.0.bias"] + 1} if adapted else {}
    normal = {"error": [np.ones(3, np.float32)]}
    save_camera(path, base.path, base.sha256, tensors, normal, 12.5, {}, {}, places)
    return path


@pytest.mark.parametrize("adapted", [False, True])
def test_a_camera_file_has_its_own_place_and_not_its_base_s(
    base: Checkpoint, adapted: bool
) -> None:
    camera_places = {"lobby": some_place(seed=7)}
    again = load_checkpoint(write_camera(base, camera_places, adapted))
    assert_same(again.places, camera_places)
    assert again.camera is not None
    assert again.camera["tensors"] == (["head.0.bias"] if adapted else [])
    for (name, weight), original in zip(
        again.network.state_dict().items(), base.network.state_dict().values()
    ):
        assert torch.equal(weight, original) != (adapted and name == "head.0.bias")


@pytest.mark.parametrize("empty", [None, {}])
def test_a_camera_file_without_a_place_has_none(
    base: Checkpoint, empty: dict[str, PlaceModel] | None
) -> None:
    assert load_checkpoint(write_camera(base, empty)).places == {}


def test_a_place_of_much_footage_fits_a_camera_file(base: Checkpoint) -> None:
    place = PlaceModel((30, 44))
    generator = np.random.default_rng(0)
    # Every square has its own speed, and every count is another number.
    centres = generator.integers(8, 40, place.counts.shape[:3])[..., None]
    shape = np.exp(-(((np.arange(48) - centres) / 6) ** 2))
    place.counts[:] = generator.poisson(3000 * shape)
    place.frames = int(place.counts[0, 0, 0].sum())
    path = write_camera(base, {"lobby": place})
    assert path.stat().st_size < CAMERA_BYTES / 2
    assert_same(load_checkpoint(path).places, {"lobby": place})


# --- Descriptions that lie


@pytest.mark.parametrize(
    "grid",
    [
        [0, 12],
        [8, 0],
        [-8, -12],
        [-8, 12],
        [7, 12],
        [1, 12],
        [2, 2 * CELLS + 2],
        [10**9, 10**9],
        [2**31, 2**33],
        [8],
        [8, 12, 2],
        [],
        None,
        8,
        "8",
        {"rows": 8},
        [None, 12],
        [[8], 12],
        [math.nan, 12],
        [12, 8],
        [8, 14],
    ],
)
def test_grids_that_are_none_or_another_s(grid: object) -> None:
    tensors, described = packed({"hall": some_place()})
    described[0]["grid"] = grid
    refused(tensors, described)


@pytest.mark.parametrize("grid", [["8", "12"], [8.5, 12], [math.inf, 12], [True, 12]])
def test_sides_of_a_grid_are_whole_numbers(grid: list[object]) -> None:
    tensors, described = packed({"hall": some_place()})
    described[0]["grid"] = grid
    refused(tensors, described)


@pytest.mark.parametrize("name", ["frames", "pictures"])
@pytest.mark.parametrize("value", [-1, MAX_COUNT, 10**30, None, [], "many", math.nan])
def test_numbers_of_frames_that_are_none(name: str, value: object) -> None:
    tensors, described = packed({"hall": some_place()})
    described[0][name] = value
    refused(tensors, described)


@pytest.mark.parametrize("name", ["frames", "pictures", "judged"])
@pytest.mark.parametrize("value", ["20", 2.5, math.inf, True])
def test_numbers_of_frames_are_whole_numbers(name: str, value: object) -> None:
    tensors, described = packed({"hall": some_place()})
    described[0][name] = value
    refused(tensors, described)


@pytest.mark.parametrize("version", [PLACE_VERSION + 1, 0, None, str(PLACE_VERSION), [1]])
def test_another_version_asks_for_another_mpn(version: object) -> None:
    tensors, described = packed({"hall": some_place()})
    described[0]["version"] = version
    refused(tensors, described, "is of version .* update mpn, or adapt again")


def test_how_a_camera_was_judged_is_kept() -> None:
    tensors, described = packed({"hall": some_place(), "yard": some_place()})
    assert [entry["judged"] for entry in described] == [JUDGED, JUDGED]
    del described[1]["judged"]  # as in files of before
    unpacked = unpack_places(Path("own"), dict(tensors), described)
    assert (unpacked["hall"].judged, unpacked["yard"].judged) == (JUDGED, 1)
    assert [entry["judged"] for entry in packed(unpacked)[1]] == [JUDGED, 1]  # written again


@pytest.mark.parametrize("key", ["camera", "version", "grid", "frames", "pictures"])
def test_descriptions_with_something_missing(key: str) -> None:
    tensors, described = packed({"hall": some_place()})
    del described[0][key]
    refused(tensors, described, "cannot be read")


@pytest.mark.parametrize("described", [3, "hall", {"hall": {}}, ["hall"], [3], [None], [[]], True])
def test_descriptions_of_another_form(described: object) -> None:
    refused(packed({"hall": some_place()})[0], described)


@pytest.mark.parametrize("described", [None, [], {}, 0, ""])
def test_place_models_that_are_not_described(described: object) -> None:
    refused(packed({"hall": some_place()})[0], described, "does not describe its place models")


# --- Tensors that lie


def tampered(change: Callable[[Tensors], Tensors | None], message: str = "place") -> None:
    """Change the tensors of a place of 8x12 cells, their names without their beginning."""
    tensors, described = packed({"hall": some_place()})
    named = {name.removeprefix("place.0."): tensor for name, tensor in tensors.items()}
    changed = change(named) or named
    refused({f"place.0.{name}": tensor for name, tensor in changed.items()}, described, message)


@pytest.mark.parametrize("name", ["counts", "whole", "picture"])
def test_tensors_that_are_missing(name: str) -> None:
    def change(tensors: Tensors) -> None:
        del tensors[name]

    tampered(change, "cannot be read")


def deflated(size: int) -> Tensor:
    """So many zeros, as counts are kept."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(min(2**20, size - at))) for at in range(0, size, 2**20))
    return torch.from_numpy(np.frombuffer(data + packer.flush(), np.uint8).copy())


SIZE = 4 * GRID[0] * GRID[1] // 4 * 9 * 48  # bytes of the counts


@pytest.mark.parametrize("size", [0, SIZE - 4, SIZE - 1, SIZE + 1, SIZE + 4])
def test_counts_of_another_size(size: int) -> None:
    tampered(lambda tensors: tensors | {"counts": deflated(size)}, "bytes, .* were expected")


def test_counts_cut_short() -> None:
    whole = packed({"hall": some_place()})[0]["place.0.counts"]
    for length in {0, 1, 2, len(whole) // 2, len(whole) - 6}:
        tampered(lambda tensors, n=length: tensors | {"counts": tensors["counts"][:n]})


def test_counts_that_are_not_deflated() -> None:
    for data in (torch.arange(64, dtype=torch.uint8), torch.zeros(64, dtype=torch.uint8)):
        tampered(lambda tensors, data=data: tensors | {"counts": data}, "cannot be read")


def test_counts_that_inflate_beyond_all_memory_are_not_inflated() -> None:
    bomb = deflated(100_000_000)
    assert len(bomb) < 200_000
    tensors, described = packed({"hall": some_place()})
    tensors["place.0.counts"] = bomb
    assert peak(lambda: refused(tensors, described, "were expected")) < 2_000_000 + 2 * SIZE


@pytest.mark.parametrize("shape", [(0,), (47,), (49,), (1, 48), ()])
def test_speeds_of_the_whole_of_another_shape(shape: tuple[int, ...]) -> None:
    zeros = torch.zeros(shape, dtype=torch.int64)
    tampered(lambda tensors: tensors | {"whole": zeros}, "shapes that don't fit")


@pytest.mark.parametrize(
    "value", [torch.full((48,), -1), torch.full((48,), 0.5), torch.full((48,), torch.nan)]
)
def test_speeds_of_the_whole_that_are_no_counts(value: Tensor) -> None:
    tampered(lambda tensors: tensors | {"whole": value})


@pytest.mark.parametrize("shape", [(24, 16), (16, 23), (384,), (16, 24, 1)])
def test_pictures_of_another_shape(shape: tuple[int, ...]) -> None:
    tampered(lambda tensors: tensors | {"picture": torch.zeros(shape)}, "shapes that don't fit")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pictures_that_are_not_finite(value: float) -> None:
    def change(tensors: Tensors) -> None:
        tensors["picture"][3, 5] = value

    tampered(change, "not finite")


# --- Whole files that lie


def rewrite(
    path: Path,
    described: Callable[[list[Described]], object],
    tensors: Callable[[Tensors], Tensors] = dict,
) -> None:
    with safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()["mpn"])
    document["places"] = described(document["places"])
    save_file(tensors(load_file(path)), path, metadata={"mpn": json.dumps(document)})


def without_pictures(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(".picture")}


def as_it_is(described: list[Described]) -> list[Described]:
    return described


def of_tomorrow(described: list[Described]) -> list[Described]:
    return [entry | {"version": 2} for entry in described]


@pytest.mark.parametrize(
    ("described", "tensors"),
    [(of_tomorrow, dict), (lambda _: None, dict), (as_it_is, without_pictures)],
)
def test_model_files_and_camera_files_name_themselves(
    base: Checkpoint,
    described: Callable[[list[Described]], object],
    tensors: Callable[[Tensors], Tensors],
) -> None:
    assert base.path is not None
    camera = write_camera(base, {"lobby": some_place()})
    for path in (camera, base.path):  # the camera's base is still whole when it is read
        rewrite(path, described, tensors)
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        assert str(path) in str(caught.value) and "place model" in str(caught.value)
        assert "\n" not in str(caught.value)
