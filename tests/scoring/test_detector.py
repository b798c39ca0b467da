"""The Python door: a model that expects no change, so that its verdicts can be worked out by
hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import mpn
from mpn.errors import CheckpointError, FrameError, MpnError, SizeError
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.scoring.model_score import score_config_of
from mpn.scoring.parts import ERROR, PSEUDO, column_names
from mpn.scoring.scores import ScoreConfig
from mpn.video.ahead import AHEAD
from mpn.video.sources import open_source
from tests.helpers.small_model import (
    FPS,
    LEFT,
    SIZE,
    TOP,
    footage,
    still_network,
    write_film,
    write_footage,
    write_model,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "still.safetensors")


@pytest.fixture
def detector(model: Path) -> mpn.Detector:
    return mpn.load(model, precision="float32")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """20 frames, an intruder in 12-17."""
    return write_footage(tmp_path / "clip", footage(20, intruder=(12, 18)))


def small_grey(frames: np.ndarray) -> np.ndarray:
    """What the network sees: grey, 32x48, float64 (T, h, w) in [0, 255]; each pixel the mean of
    four."""
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]).astype(
        np.float64
    )
    return np.rint(grey.reshape(len(grey), SIZE[0], 2, SIZE[1], 2).mean(axis=(2, 4)))


def largest_patch(error: np.ndarray, side: int) -> float:
    """The largest mean of error (h, w) over a square that lies in it, on every second pixel, one by
    one."""
    rows, columns = (range(0, length - side + 1, 2) for length in error.shape)
    return max(error[y : y + side, x : x + side].mean() for y in rows for x in columns)


def test_the_error_is_the_largest_patch_of_the_change(detector: mpn.Detector, clip: Path) -> None:
    results = list(detector.score(clip))
    frames = small_grey(footage(20, intruder=(12, 18)))
    for result in results[4:]:
        change = np.abs(frames[result.frame] - frames[result.frame - 1]) / 255
        # Resizing rounds .5 its own way, so a pixel may be one grey level off.
        assert result.parts["error"] == pytest.approx(largest_patch(change, 16), abs=1 / 255 / 4)


def test_psnr_is_of_the_whole_frame(detector: mpn.Detector, clip: Path) -> None:
    frames = small_grey(footage(20, intruder=(12, 18)))
    for result in list(detector.score(clip))[12:18]:
        mse = ((frames[result.frame] - frames[result.frame - 1]) ** 2).mean() / 255**2
        assert result.parts["psnr_db"] == pytest.approx(-10 * math.log10(mse), abs=0.05)


def test_a_result_a_frame_the_first_without_a_score(detector: mpn.Detector, clip: Path) -> None:
    results = list(detector.score(clip, fps=FPS))
    assert [result.frame for result in results] == list(range(20))
    assert [result.time for result in results] == [frame / 10 for frame in range(20)]
    for result in results[:4]:
        assert math.isnan(result.score) and math.isnan(result.raw)
        assert result.parts == {} and result.map is None and result.region is None
    for result in results[4:]:
        assert math.isfinite(result.score)
        assert list(result.parts) == column_names((ERROR, PSEUDO))
        assert (
            result.map.ndim == 2
            and result.map.dtype == np.float32
            and np.isfinite(result.map).all()
        )


def test_without_a_frame_rate_there_is_no_time(detector: mpn.Detector, clip: Path) -> None:
    assert all(math.isnan(result.time) for result in detector.score(clip))


def test_a_planted_anomaly_scores_higher_and_is_found_where_it_is(
    detector: mpn.Detector, clip: Path
) -> None:
    results = list(detector.score(clip))
    assert min(result.raw for result in results[12:18]) > max(
        result.raw for result in results[4:12]
    )
    for result in results[13:18]:
        top, left, height, width = result.region
        assert top < TOP + 16 and top + height > TOP and left < LEFT + 24 and left + width > LEFT
        # 16 pixels of the network's, which are two of the source's
        assert (height, width) == (32, 32)


def test_the_same_frames_from_a_file_and_from_a_folder(
    detector: mpn.Detector, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "film.avi", footage(15))
    folder = write_footage(tmp_path / "film", np.stack(list(open_source(film).frames())))
    for from_file, from_folder in zip(
        detector.score(film), detector.score(folder, fps=FPS), strict=True
    ):
        assert (from_file.frame, from_file.time, from_file.region) == (
            from_folder.frame,
            from_folder.time,
            from_folder.region,
        )
        np.testing.assert_array_equal(
            [from_file.score, from_file.raw], [from_folder.score, from_folder.raw]
        )
        assert from_file.parts == from_folder.parts


def test_batches_do_not_change_the_scores(detector: mpn.Detector, clip: Path) -> None:
    singly, batched = (
        [[result.raw, *result.parts.values()] for result in detector.score(clip, batch_size=size)][
            4:
        ]
        for size in (1, 7)
    )
    np.testing.assert_allclose(singly, batched, rtol=1e-4, atol=1e-4)


def test_it_reads_no_further_than_it_must(detector: mpn.Detector, clip: Path) -> None:
    source = open_source(clip)
    decoded = 0
    read = source._decoded

    def counted(needed: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
        nonlocal decoded
        for _ in range(100_000):  # a long source: the clip, again and again
            for _, frame in read(needed):
                decoded += 1
                yield decoded - 1, frame

    source._decoded = counted
    results = detector.score(source, batch_size=2)
    assert decoded == 0
    for frame in range(60):
        assert next(results).frame == frame
        # A window and a batch ahead, and what waits decoded and with its motion (and one in each
        # thread's hand), however long it goes on.
        assert decoded <= frame + 1 + 4 + 2 + 2 * (AHEAD + 2)
    results.close()


def test_images_are_the_sources_frames(detector: mpn.Detector, clip: Path) -> None:
    frames = footage(20, intruder=(12, 18))
    results = list(detector.score(clip, images=True))
    assert len(results) == 20
    for result in results:
        np.testing.assert_array_equal(result.image, frames[result.frame])
    assert all(result.image is None for result in detector.score(clip))


def test_a_source_shorter_than_a_window(detector: mpn.Detector, tmp_path: Path) -> None:
    short = write_footage(tmp_path / "short", footage(3))
    results = list(detector.score(short, images=True))
    assert [result.frame for result in results] == [0, 1, 2]
    assert all(math.isnan(result.score) and result.image is not None for result in results)


@pytest.mark.parametrize(
    "error_weight, pseudo_weight", [(1.0, 1.0), (2.0, 0.5), (0.0, 3.0), (1.0, 0.0)]
)
def test_weights_change_the_score_as_by_hand(
    model: Path, clip: Path, error_weight: float, pseudo_weight: float
) -> None:
    score_config = ScoreConfig(
        weights={"error": error_weight, "pseudo": pseudo_weight}, smoothing=1.0
    )
    normal = load_checkpoint(model).normal
    mean = {name: np.concatenate(parts).astype(np.float64).mean() for name, parts in normal.items()}
    deviation = {
        name: np.concatenate(parts).astype(np.float64).std() for name, parts in normal.items()
    }
    for result in list(mpn.load(model, score_config=score_config, precision="float32").score(clip))[
        4:
    ]:
        units = {name: (result.parts[name] - mean[name]) / deviation[name] for name in mean}
        by_hand = error_weight * units["error"] + pseudo_weight * units["pseudo"]
        assert result.raw == pytest.approx(by_hand, rel=1e-9) and result.score == result.raw


def test_smoothing_is_the_causal_exponential_mean(model: Path, clip: Path) -> None:
    results = list(
        mpn.load(model, score_config=ScoreConfig(smoothing=0.25), precision="float32").score(clip)
    )[4:]
    mean = results[0].raw
    for result in results:
        mean = 0.25 * result.raw + 0.75 * mean
        assert result.score == pytest.approx(mean, rel=1e-9)


def test_a_patch_of_another_side(model: Path, clip: Path) -> None:
    frames = small_grey(footage(20, intruder=(12, 18)))
    change = np.abs(frames[13] - frames[12]) / 255
    result = list(
        mpn.load(model, score_config=ScoreConfig(patch=8), precision="float32").score(clip)
    )[13]
    assert result.parts["error"] == pytest.approx(largest_patch(change, 8), abs=1 / 255 / 4)
    assert result.region[2:] == (16, 16)


def test_normal_footage_scores_about_zero(detector: mpn.Detector, tmp_path: Path) -> None:
    normal = write_footage(tmp_path / "normal", footage(60, seed=77))
    raw = [result.raw for result in detector.score(normal)][4:]
    # A sum of two parts of mean 0 and deviation 1, over 56 frames.
    assert abs(np.mean(raw)) < 1.5 and 0.3 < np.std(raw) < 3


def test_thresholds_come_from_the_models_normal_scores(detector: mpn.Detector, model: Path) -> None:
    checkpoint = load_checkpoint(model)
    normal = {name: checkpoint.normal[name] for name in ("error", "pseudo")}
    units = sum(
        (part[0].astype(np.float64) - part[0].mean(dtype=np.float64))
        / part[0].std(dtype=np.float64)
        for part in normal.values()
    )
    smoothed = [units[0]]
    for value in units[1:]:
        smoothed.append(0.3 * value + 0.7 * smoothed[-1])
    calibration = detector.calibration(FPS)
    assert calibration.frames == 116 and calibration.hours == pytest.approx(116 / 10 / 3600)
    assert calibration.levels[0].score == pytest.approx(max(smoothed), rel=1e-6)
    # 12 seconds cannot show one alarm an hour: never below the highest normal score.
    assert calibration.threshold(1.0).extrapolated and calibration.threshold(1.0).value >= max(
        smoothed
    )
    # The minutes of normal footage are its own, whatever is scored: every fifth frame, or 25 fps.
    for fps in (Fraction(2), 25, Fraction(30000, 1001)):
        assert detector.calibration(fps) == calibration


def test_a_model_that_does_not_know_its_rate_takes_the_videos(model: Path) -> None:
    checkpoint = replace(load_checkpoint(model), fps=None)
    detector = mpn.Detector(checkpoint, precision="float32")
    assert detector.calibration(5).hours == pytest.approx(116 / 5 / 3600)
    assert detector.calibration(10).hours == pytest.approx(116 / 10 / 3600)


def test_normal_scores_of_another_patch_set_no_threshold(model: Path) -> None:
    detector = mpn.load(model, score_config=ScoreConfig(patch=8), precision="float32")
    assert detector.calibration(FPS) is None


def test_without_normal_scores_parts_keep_their_own_units(tmp_path: Path, clip: Path) -> None:
    detector = mpn.load(write_model(tmp_path / "m.safetensors", normal=False), precision="float32")
    assert detector.calibration(10) is None
    for result in list(detector.score(clip))[4:]:
        assert result.raw == pytest.approx(result.parts["error"] + result.parts["pseudo"], rel=1e-9)


def test_normal_footage_without_a_window_is_as_none(tmp_path: Path, clip: Path) -> None:
    empty = {name: [np.empty(0, np.float32)] for name in ("error", "pseudo")}
    save_checkpoint(tmp_path / "m.safetensors", Checkpoint(still_network(), normal=empty))
    detector = mpn.load(tmp_path / "m.safetensors", precision="float32")
    assert detector.calibration(10) is None
    assert math.isfinite(list(detector.score(clip))[-1].score)


def test_the_recipe_in_the_file_is_used(tmp_path: Path, model: Path) -> None:
    checkpoint = load_checkpoint(model)
    save_checkpoint(
        tmp_path / "m.safetensors", replace(checkpoint, score_config={"patch": 8, "smoothing": 0.5})
    )
    assert mpn.load(tmp_path / "m.safetensors").score_config == ScoreConfig(patch=8, smoothing=0.5)
    assert (
        mpn.load(tmp_path / "m.safetensors", score_config=ScoreConfig()).score_config
        == ScoreConfig()
    )


@pytest.mark.parametrize(
    "score_config, words",
    [
        ({"stride": 2}, "unknown entries .'stride'."),
        ({"patch": "big"}, "recipe cannot be used"),
        ({"patch": 8.5}, "recipe cannot be used: .*a patch of 2 pixels or more"),
        ({"patch": math.nan}, "recipe cannot be used: .*a patch of 2 pixels or more"),
        ({"error_score_weight": math.nan}, "recipe cannot be used: .*weights from 0 up"),
        ({"smoothing": math.nan}, "recipe cannot be used: smoothing is nan"),
        ({"pseudo_score_weight": 0}, "recipe cannot be used: all weights of the score are 0"),
    ],
)
def test_a_recipe_that_is_not_sound(tmp_path: Path, score_config: dict, words: str) -> None:
    checkpoint = Checkpoint(still_network(), score_config=score_config)
    with pytest.raises(CheckpointError, match=words):
        score_config_of(checkpoint)
    with pytest.raises(CheckpointError, match="m.safetensors: its recipe "):
        score_config_of(replace(checkpoint, path=tmp_path / "m.safetensors"))


def test_a_part_that_the_normal_scores_lack(tmp_path: Path, model: Path) -> None:
    checkpoint = load_checkpoint(model)
    del checkpoint.normal["pseudo"]
    with pytest.raises(CheckpointError, match="no normal scores of .'pseudo'."):
        mpn.Detector(checkpoint)
    # Nobody asks for it.
    detector = mpn.Detector(checkpoint, score_config=ScoreConfig(weights={"pseudo": 0}))
    assert "error" in detector.columns and "pseudo" not in detector.columns


def test_a_model_without_the_head_needs_the_error(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.safetensors", normal=False, pseudo_head=False)
    with pytest.raises(MpnError, match="nothing to score"):
        mpn.load(path, score_config=ScoreConfig(weights={"error": 0}))


def test_what_cannot_be_scored_fails_at_the_call(detector: mpn.Detector, tmp_path: Path) -> None:
    speck = write_footage(tmp_path / "speck", footage(6)[:, :15, :40])
    with pytest.raises(SizeError, match="15x40 .* 16x16"):
        detector.score(speck)
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(FrameError, match="text.mp4: is no video"):
        detector.score(tmp_path / "text.mp4")


def test_a_bad_frame_fails_in_its_turn_or_is_stepped_over(
    detector: mpn.Detector, clip: Path
) -> None:
    (clip / "010.png").write_bytes(b"")
    results = detector.score(clip, batch_size=1)
    assert [next(results).frame for _ in range(10)] == list(range(10))
    with pytest.raises(FrameError, match="frame 10 .010.png. is empty"):
        next(results)
    assert len(list(detector.score(clip, skip_bad=True))) == 20


def test_bfloat16_scores_nearly_the_same(model: Path, clip: Path) -> None:
    whole, half = (
        np.array(
            [
                result.parts["error"]
                for result in list(mpn.load(model, precision=name).score(clip))[4:]
            ]
        )
        for name in ("float32", "bfloat16")
    )
    np.testing.assert_allclose(half, whole, atol=1e-6)  # the change of frames itself is not rounded


def test_a_device_that_is_not_there(model: Path) -> None:
    with pytest.raises(MpnError, match="device 'abacus' cannot be used"):
        mpn.load(model, device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(MpnError, match="only cpu"):
            mpn.load(model, device="cuda")
