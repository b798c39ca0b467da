"""Deep grey footage: what of it is seen, and that training and scoring see the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks import odd_files
from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.camera_file import write_camera
from mpn.adaptation.inner_loop import Adaptation
from mpn.datasets.layouts import Video
from mpn.datasets.windows import load_clips
from mpn.model.checkpoint import load_checkpoint, save_checkpoint
from mpn.scoring.detector import Detector
from mpn.training.pretraining import train
from mpn.video.depth import FULL, WHOLE_RANGE, Levels, common_levels, levels_from, range_of
from mpn.video.sources import open_source
from tests.helpers.small_model import footage, write_model
from tests.helpers.training_runs import OPTIONS, PRESET, walkers

SIZE = (48, 64)


def ramp(low, high, size=SIZE):
    """A picture of all values from `low` to `high`, uint16."""
    return np.linspace(low, high, size[0] * size[1]).round().astype(np.uint16).reshape(size)


def thermal(path, pictures):
    """A video without loss of 16-bit grey pictures, as thermal cameras write them."""
    return odd_files.write_stream(
        path, pictures, codec="ffv1", pixels="gray16le", form="matroska", options={"g": "1"}
    )


# --- The range


def test_a_range_is_stretched_to_8_bits():
    levels = Levels(7000, 9550)  # ten values a level
    values = np.array([[0, 6999, 7000, 7004, 7006, 8000, 9540, 9550, 65535]], np.uint16)
    assert levels.stretch(values).tolist() == [[0, 0, 0, 0, 1, 100, 254, 255, 255]]
    assert levels.stretch(values).dtype == np.uint8


def test_the_range_is_what_all_pictures_use_without_dead_pixels():
    first, second = ramp(7000, 9000), ramp(7500, 9500)
    first[0, 0], second[5, 5] = 0, FULL
    levels = range_of([first, second])
    assert levels.low == pytest.approx(7000, abs=4) and levels.high == pytest.approx(9500, abs=4)


def test_what_uses_most_of_its_bits_is_shown_as_it_is():
    assert range_of([ramp(0, 40_000)]) == WHOLE_RANGE
    assert range_of([np.full(SIZE, 8000, np.uint16)]).low == 8000  # nothing to divide by 0


def test_the_common_range_holds_all():
    assert common_levels([Levels(1, 5), None, Levels(3, 9)]) == Levels(1, 9)
    assert common_levels([None, None]) is None and common_levels([]) is None


@pytest.mark.parametrize(
    "value", [None, "7000", [7000], [9, 7], [7, 7], [True, 9], [-1, 9], [0, 1e9], ["a", 3], {}]
)
def test_a_file_that_says_nonsense_says_nothing(value):
    assert levels_from(value) is None
    assert levels_from([7000, 9500]) == Levels(7000, 9500)


# --- Footage


def test_thermal_footage_is_seen_and_said(tmp_path):
    path = thermal(tmp_path / "a.mkv", [ramp(7000, 9500)] * 8)
    source = open_source(path)
    frames = list(source.frames())
    assert len(frames) == 8 and frames[0].shape == (*SIZE, 3)
    assert frames[3].min() == 0 and frames[3].max() == 255
    assert np.abs(frames[3][..., 0].astype(int) - np.rint(ramp(0, 255))).max() <= 1
    [note] = source.notes
    assert note.startswith("its pictures have more than 8 bits: 7,00") and "stretched" in note


@pytest.mark.parametrize("pixels, bits", [("gray10le", 10), ("gray12le", 12), ("gray16le", 16)])
def test_every_depth_of_grey(tmp_path, pixels, bits):
    if pixels not in {form.name for form in av.Codec("ffv1", "w").video_formats}:
        pytest.skip(f"this FFmpeg writes no {pixels}")
    top = 2**bits
    path = odd_files.write_stream(
        tmp_path / "a.mkv",
        [ramp(top // 8, top // 4)] * 4,
        codec="ffv1",
        pixels=pixels,
        form="matroska",
    )
    frames = list(open_source(path).frames())
    assert np.abs(frames[0][..., 0].astype(int) - np.rint(ramp(0, 255))).max() <= 2


def test_a_full_range_and_8_bits_are_left_alone(tmp_path):
    full = open_source(thermal(tmp_path / "a.mkv", [ramp(0, FULL)] * 4))
    assert full.notes == [] and full.levels == WHOLE_RANGE
    assert np.abs(next(full.frames())[..., 0].astype(int) - ramp(0, FULL) // 257).max() <= 1
    path = odd_files.write_stream(
        tmp_path / "b.mkv",
        [ramp(0, 90).astype(np.uint8)] * 4,
        codec="ffv1",
        pixels="gray",
        form="matroska",
    )
    grey = open_source(path)
    assert grey.levels is None and grey.notes == [] and next(grey.frames()).max() <= 91


# --- Folders of pictures


def pictures(folder, deep, suffix=".png"):
    return odd_files.write_pictures(folder, deep, suffix)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
@pytest.mark.parametrize("low, high", [(0, 1023), (7000, 9500)])
def test_deep_pictures_are_stretched_as_deep_video_is(tmp_path, suffix, low, high):
    source = open_source(pictures(tmp_path / "a", [ramp(low, high)] * 6, suffix))
    expected = np.rint(ramp(0, 255))
    for frame in (next(source.frames()), source.read(3)):
        assert frame.shape == (*SIZE, 3) and frame.min() == 0 and frame.max() == 255
        assert np.abs(frame[..., 1].astype(int) - expected).max() <= 1
    assert source.notes[0].startswith("its pictures have more than 8 bits: ")
    source.use_levels(Levels(low, 2 * high - low), "as in the model's footage")
    assert next(source.frames()).max() == pytest.approx(128, abs=1)
    assert len(source.notes) == 1 and "as in the model's footage" in source.notes[0]


def test_colours_are_stretched_alike(tmp_path):
    """So that a pixel keeps its hue."""
    blue, red = ramp(0, 4095), ramp(0, 4095)[:, ::-1] // 2
    folder = pictures(tmp_path / "a", [np.dstack([blue, np.zeros_like(blue), red])] * 2)
    frame = next(open_source(folder).frames()).astype(int)
    assert np.abs(frame[..., 0] - np.rint(ramp(0, 255))).max() <= 1
    assert frame[..., 1].max() == 0 and frame[..., 2].max() == pytest.approx(128, abs=1)


def test_a_portable_map_with_its_white_named_is_deep_too(tmp_path):
    values = ramp(1000, 1500)  # of 4095
    (tmp_path / "a").mkdir()
    for index in range(2):
        data = b"P5\n%d %d\n4095\n" % SIZE[::-1] + values.astype(">u2").tobytes()
        (tmp_path / "a" / f"{index}.pgm").write_bytes(data)
    frame = next(open_source(tmp_path / "a").frames())
    assert np.abs(frame[..., 0].astype(int) - np.rint(ramp(0, 255))).max() <= 1


@pytest.mark.parametrize(
    "low, high, black, white",
    [(-1000, 4000, -1000, 4000), (-30_000, 30_000, -(2**15), 2**15 - 1)],
)
def test_signed_pictures_are_deep_too(tmp_path, low, high, black, white):
    """Hundredths of a degree, as thermal cameras export them."""
    values = np.linspace(low, high, SIZE[0] * SIZE[1]).round().astype(np.int16).reshape(SIZE)
    source = open_source(pictures(tmp_path / "a", [values] * 2, ".tif"))
    frame = next(source.frames())[..., 0].astype(int)
    expected = 255 * (values.astype(int) - black) / (white - black)
    assert np.abs(frame - expected).max() <= 1


def test_pictures_of_a_full_range_or_8_bits_are_left_alone(tmp_path):
    full = open_source(pictures(tmp_path / "a", [ramp(0, FULL)] * 2))
    dark = open_source(pictures(tmp_path / "b", [ramp(0, 90).astype(np.uint8)] * 2))
    assert full.notes == dark.notes == [] and full.levels == WHOLE_RANGE and dark.levels is None
    assert np.abs(next(full.frames())[..., 0].astype(int) - ramp(0, FULL) // 257).max() <= 1
    assert np.array_equal(next(dark.frames())[..., 0], ramp(0, 90))


def test_a_picture_that_cannot_be_read_is_no_reason_to_look_at_none(tmp_path):
    folder = pictures(tmp_path / "a", [ramp(7000, 9500)] * 3)
    odd_files.cut(folder / "000.png", 0.5)
    source = open_source(folder, skip_bad=True)
    assert source.levels is not None and next(source.frames()).max() == 255
    assert [bad.index for bad in source.bad] == [0]


# --- Training and scoring


def test_clips_that_are_read_together_are_stretched_together(tmp_path):
    paths = [
        thermal(tmp_path / "cool.mkv", [ramp(7000, 8000)] * 6),
        thermal(tmp_path / "warm.mkv", [ramp(8000, 9000)] * 6),
    ]
    cool, warm = load_clips([Video(p.stem, p, "camera") for p in paths], SIZE, True)
    assert cool.levels == warm.levels and cool.levels.high == pytest.approx(9000, abs=4)
    assert cool.frames.max() == pytest.approx(128, abs=2)
    assert warm.frames.min() == pytest.approx(128, abs=2) and warm.frames.max() == 255


@pytest.fixture(scope="module")
def thermal_scenes(tmp_path_factory):
    """Normal footage of 7000 to 7550, and footage of the same camera with what is hotter."""
    folder = tmp_path_factory.mktemp("thermal")

    def written(name, **options):
        grey = footage(120, **options)[..., 1].astype(np.uint16)
        return thermal(folder / name, list(7000 + 5 * grey))

    return written("normal.mkv"), written("hot.mkv", intruder=(60, 90), seed=1)


def test_a_model_sees_what_it_scores_as_it_saw_its_footage(tmp_path, thermal_scenes):
    normal, hot = thermal_scenes
    base = load_checkpoint(write_model(tmp_path / "base.safetensors"))
    low, high = open_source(normal).levels
    assert open_source(hot).levels.high > high + 400
    save_checkpoint(
        tmp_path / "thermal.safetensors",
        replace(base, training=base.training | {"levels": [low, high]}),
    )
    detector = Detector(load_checkpoint(tmp_path / "thermal.safetensors"), precision="float32")
    source = open_source(hot)
    images = [result.image for result in detector.score(source, images=True)]
    assert source.levels == Levels(low, high) and "as in the model's footage" in source.notes[0]
    expected = list(open_source(normal).frames())
    # the same wall, before the intruder, in the same grey: only sensor noise is between them
    assert abs(float(np.mean(images[10])) - float(np.mean(expected[10]))) < 1


def test_a_trained_model_keeps_the_range_of_its_footage(tmp_path):
    clips = [replace(clip, levels=Levels(7000, 9000)) for clip in walkers()]
    train(clips, PRESET, replace(OPTIONS, epochs=1), tmp_path)
    assert load_checkpoint(tmp_path / "model.safetensors").levels == Levels(7000, 9000)


@pytest.mark.usefixtures("coarse_flow")
def test_an_adapted_camera_keeps_the_range_of_its_footage(tmp_path, thermal_scenes):
    normal, hot = thermal_scenes
    write_model(tmp_path / "base.safetensors")
    detector = Detector(load_checkpoint(tmp_path / "base.safetensors"), precision="float32")
    options = CameraOptions(adaptation=Adaptation(method="place"), force=True)
    adapted, report = adapt_camera(detector, normal, options)
    path = Path(tmp_path / "hall.camera.safetensors")
    write_camera(path, adapted)
    again = load_checkpoint(path)
    assert again.levels == open_source(normal).levels
    source = open_source(hot)
    list(Detector(again, precision="float32").score(source))
    assert source.levels == again.levels
