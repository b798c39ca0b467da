"""What the unit makes of a window, against its plain form, against the scores, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import mpn
from mpn.errors import DataError, SizeError
from mpn.model.checkpoint import Checkpoint
from mpn.model.network import build_model
from mpn.scoring.inspection import Activations, frames_around, frames_around_each, inspect_frame
from mpn.video.images import fit_frame
from mpn.video.sources import open_source
from tests.helpers.published import Written, prototype_unit
from tests.helpers.small_model import footage, still_network, write_footage
from tests.helpers.trees import index_of, write_frames, write_video

FORMS = ["published", "ours"]


def detector_of(form: str) -> mpn.Detector:
    torch.manual_seed(4)
    if form == "published":
        network = build_model("base", channels=4, height=32, width=48)
        with torch.no_grad():
            network.prototype.heads.weight *= 20  # or all attention is even
    else:
        network = build_model("small", channels=4, height=32, width=48)
    return mpn.Detector(Checkpoint(network.eval()), precision="float32")


def written(detector: mpn.Detector, frames: np.ndarray) -> Written:
    """The unit's plain form of the same window."""
    network, config = detector.network, detector.config
    fitted = np.stack([fit_frame(frame, config.size, config.grey) for frame in frames[:4]])
    window = torch.from_numpy(fitted).permute(0, 3, 1, 2).flatten(0, 1)[None].float() / 127.5 - 1
    unit = network.prototype
    options = {}
    if unit.projection is not None:
        options["projection"] = (unit.projection.weight, unit.projection.bias)
        options["log_attention_scale"] = unit.log_attention_scale
        options["log_assignment_scale"] = unit.log_assignment_scale
    with torch.no_grad():
        return prototype_unit(network.decode(window)[1], unit.heads.weight, **options)


@pytest.fixture(scope="module", params=FORMS)
def seen(request: pytest.FixtureRequest) -> tuple[Activations, Written]:
    detector, frames = detector_of(request.param), footage(5, intruder=(2, 5))
    return inspect_frame(detector, frames), written(detector, frames)


def flat(maps: np.ndarray) -> np.ndarray:
    """(K, h, w) -> (N, K) in float64."""
    return maps.reshape(len(maps), -1).T.astype(np.float64)


def test_encodings_are_those_of_the_plain_form(seen: tuple[Activations, Written]) -> None:
    activations, plain = seen
    assert np.allclose(activations.query, plain.query[0], atol=1e-5)
    assert np.allclose(activations.aggregation, plain.aggregation[0], atol=1e-5)
    assert np.allclose(flat(activations.assignment), plain.assignment[0], atol=1e-5)
    assert np.allclose(activations.normalcy, (plain.aggregation - plain.query)[0], atol=1e-5)


@pytest.mark.parametrize("keys", ["window", "learned", None])
def test_other_units_are_shown_as_far_as_they_have_something(keys: str | None) -> None:
    options = {"unit": "none"} if keys is None else {"unit": "attention", "keys": keys}
    torch.manual_seed(4)
    network = build_model("small", channels=4, height=32, width=48, **options).eval()
    detector = mpn.Detector(Checkpoint(network), precision="float32")
    activations = inspect_frame(detector, footage(5))
    length = np.linalg.norm(activations.normalcy, axis=0)
    assert np.allclose(length, 0 if keys is None else 1, atol=1e-5)
    assert (activations.attention is None) == (keys != "window")
    assert len(activations.assignment) == len(activations.cosines) == (0 if keys is None else 10)
    if activations.attention is not None:
        assert np.allclose(flat(activations.attention).sum(axis=0), 1, atol=1e-5)


def test_prototypes_are_made_of_what_the_attention_says(seen: tuple[Activations, Written]) -> None:
    activations, plain = seen
    prototypes = flat(activations.attention).T @ flat(activations.query)
    assert np.allclose(prototypes, plain.prototypes[0], atol=1e-5)
    unit = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    assert np.allclose(activations.cosines, unit @ unit.T, atol=1e-5)
    normalcy = flat(activations.assignment) @ unit
    assert np.allclose(
        flat(activations.normalcy),
        normalcy / np.linalg.norm(normalcy, axis=1, keepdims=True),
        atol=1e-5,
    )


def test_what_sums_to_one_and_has_length_one(seen: tuple[Activations, Written]) -> None:
    activations, _ = seen
    assert np.allclose(flat(activations.attention).sum(axis=0), 1, atol=1e-5)
    assert flat(activations.attention).max() > 1.5 / activations.attention[0].size  # and isn't even
    assert np.allclose(activations.assignment.sum(axis=0), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(activations.query, axis=0), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(activations.normalcy, axis=0), 1, atol=1e-5)
    assert np.allclose(activations.aggregation, activations.query + activations.normalcy, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "colours", "inner"), [("published", 3, (32, 48)), ("ours", 1, (16, 24))]
)
def test_shapes_and_types(form: str, colours: int, inner: tuple[int, int]) -> None:
    activations = inspect_frame(detector_of(form), footage(7))
    assert activations.target.shape == activations.prediction.shape == (32, 48, colours)
    assert activations.target.dtype == activations.prediction.dtype == np.uint8
    assert activations.encoding.shape == (
        32,
        inner[0] // 8,
        inner[1] // 8,
    ) and activations.error.shape == (
        32,
        48,
    )
    assert (
        activations.query.shape
        == activations.normalcy.shape
        == activations.aggregation.shape
        == (8, *inner)
    )
    assert activations.attention.shape == activations.assignment.shape == (10, *inner)
    assert activations.cosines.shape == (10, 10)
    assert (activations.pseudo is None) == (form == "published")
    maps = {
        name: values
        for name, values in vars(activations).items()
        if name not in ("target", "prediction")
    }
    assert all(values is None or values.dtype == np.float32 for values in maps.values())


def test_a_model_that_predicts_no_change_by_hand() -> None:
    detector = mpn.Detector(Checkpoint(still_network()), precision="float32")
    frames = footage(6, intruder=(5, 6))
    activations = inspect_frame(detector, frames)
    before, after = (fit_frame(frame, (32, 48), True) for frame in frames[4:])
    assert np.array_equal(activations.target, after)
    assert np.array_equal(activations.prediction, before)
    change = np.abs(after.astype(float) - before)[:, :, 0] / 255
    assert np.allclose(activations.error, change, atol=1e-6) and change.max() > 0.4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_error_is_that_of_the_scores(tmp_path: Path, precision: str) -> None:
    detector = mpn.Detector(detector_of("ours").checkpoint, precision=precision)
    folder = write_footage(tmp_path / "clip", footage(9, intruder=(6, 8)))
    results = list(detector.score(folder))
    for row in (4, 7, 8):
        activations = inspect_frame(detector, frames_around(open_source(folder), row, 4))
        psnr = -10 * np.log10(np.square(activations.error.astype(np.float64)).mean())
        assert psnr == pytest.approx(
            results[row].parts["psnr_db"], abs=1e-3 if precision == "float32" else 0.5
        )
        assert activations.pseudo.max() <= 1


def test_too_few_frames() -> None:
    with pytest.raises(
        SizeError, match="4 frames: preset 'small' takes a window of 4 and the frame after it"
    ):
        inspect_frame(detector_of("ours"), footage(4))


# --- Frames of a row


@pytest.fixture(params=["folder", "video"])
def twelve(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """12 frames that tell their index."""
    if request.param == "folder":
        return write_frames(tmp_path / "clip", 12)
    return write_video(tmp_path / "clip.avi", 12)


def indices(frames: np.ndarray) -> list[int]:
    return [index_of(frame) for frame in frames]


def test_the_window_and_its_target(twelve: Path) -> None:
    source = open_source(twelve)
    frames = frames_around(source, 4, 4)
    assert frames.dtype == np.uint8 and frames.shape == (5, 48, 64, 3)
    assert indices(frames) == [0, 1, 2, 3, 4]
    several = frames_around_each(source, [11, 6, 11], 4)
    assert {row: indices(frames) for row, frames in several.items()} == {
        6: [2, 3, 4, 5, 6],
        11: [7, 8, 9, 10, 11],
    }
    assert frames_around_each(source, [], 4) == {}


def test_rows_are_those_of_the_source_as_opened(twelve: Path) -> None:
    source = open_source(twelve, every=2, start=0.2, fps=10)
    assert indices(frames_around(source, 4, 4)) == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("row", "words"), [(3, "frame 3 has no window of 4 frames"), (12, "frame 12 .* it has 12;")]
)
def test_rows_that_are_not_there(twelve: Path, row: int, words: str) -> None:
    with pytest.raises(DataError, match=f"clip.*: {words}"):
        frames_around(open_source(twelve), row, 4)


def test_a_lost_frame_is_the_one_before_it_as_for_scoring(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "clip", 9)
    (folder / "005.png").unlink()
    assert indices(frames_around(open_source(folder, skip_bad=True), 7, 4)) == [3, 4, 4, 6, 7]
