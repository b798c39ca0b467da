"""The calibration benchmark: which footage it takes, how it splits and counts, its picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import mpn
from benchmarks import calibration as benchmark
from benchmarks import calibration_footage as held_out
from benchmarks import calibration_questions as questions
from benchmarks.calibration_picture import draw
from mpn.datasets.demo.clips import Clip
from mpn.datasets.demo.dataset import scene_clips
from mpn.errors import DataError
from mpn.scoring.calibration import Calibration, calibrate
from mpn.scoring.reliability import Promise, reliability
from tests.helpers.small_model import write_model


def made(camera: int, number: int, length: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Raw parts of a clip, of no meaning."""
    rng = np.random.default_rng([camera, number, seed])
    return {"error": np.float32(rng.random(length)), "pseudo": np.float32(rng.random(length))}


def many(clips: int, cameras: int = 2, length: int = 8) -> dict[str, dict[str, np.ndarray]]:
    return {
        f"{c:02d}_{k:02d}": made(c, k, length) for k in range(clips) for c in range(1, cameras + 1)
    }


def promise(rate: float, ratio: float, **others) -> Promise:
    values = {"threshold": 1.0, "extrapolated": False, "interval": (0.5, 2.0), "hours_behind": 0.1}
    values |= {
        "observed": rate * ratio,
        "observed_interval": (0.0, 2 * rate),
        "episodes": 3,
        "hours": 1.0,
    }
    return Promise(rate, **values | others)


@pytest.fixture(scope="module")
def drawn() -> list[Clip]:
    """Three further clips of each of two cameras, 9 frames each; making a scene is slow."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(held_out, "CAMERAS", 2)
        return held_out.footage(3, 9)


def test_no_clip_of_the_demo_set_is_among_the_footage(drawn: list[Clip]) -> None:
    demo_clips = scene_clips(0, 0).training
    assert [held_out.camera_of(clip.name) for clip in drawn] == ["01", "02"] * 3
    assert len({clip.name for clip in drawn}) == 6
    assert not {clip.name for clip in demo_clips} & {clip.name for clip in drawn}
    # what a clip's random numbers hang on
    assert not {clip.key for clip in demo_clips} & {clip.key for clip in drawn}
    assert not any(clip.anomalies for clip in drawn)


def test_frames_go_through_jpeg_and_stay_close_to_what_was_drawn(drawn: list[Clip]) -> None:
    for frame, stored in zip(drawn[0].frames(), held_out.decoded(drawn[0])):
        difference = np.abs(frame.image.astype(int) - stored.astype(int))
        assert stored.shape == (160, 240, 3)
        assert 0 < difference.mean() < 4


def test_scores_are_kept_and_those_of_the_product(tmp_path: Path, drawn: list[Clip]) -> None:
    detector = mpn.load(write_model(tmp_path / "model.safetensors"), precision="float32")
    clips = drawn[:2]
    parts = held_out.score_all(detector, clips, tmp_path / "parts")
    assert list(parts) == [clip.name for clip in clips]
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(held_out.decoded(clips[0])):
        assert cv2.imwrite(str(folder / f"{number:03d}.png"), frame)
    expected = [result.score for result in detector.score(folder, fps=10)]
    # float32
    assert held_out.smoothed(detector, parts)[clips[0].name] == pytest.approx(
        expected[4:], rel=1e-4
    )
    first = tmp_path / "parts" / f"{clips[0].name}-9.npz"
    np.savez(first, **{name: values + 1 for name, values in parts[clips[0].name].items()})
    again = held_out.score_all(detector, clips, tmp_path / "parts")
    # read, not made
    assert again[clips[0].name]["error"] == pytest.approx(parts[clips[0].name]["error"] + 1)
    first.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match="remove it"):
        held_out.score_all(detector, clips, tmp_path / "parts")


def test_fitted_on_other_footage_has_its_units(tmp_path: Path) -> None:
    detector = mpn.load(write_model(tmp_path / "model.safetensors"))
    clips = many(3)
    fitted = held_out.fitted_on(detector, clips)
    errors = np.concatenate([parts["error"] for parts in clips.values()])
    assert fitted.normal["error"] == pytest.approx((errors.mean(), errors.std()))
    assert fitted.calibration(10).frames == 48
    assert detector.calibration(10).frames == 116  # as it was: 120 frames less a window


def test_a_split_takes_as_many_clips_of_each_camera_and_leaves_the_others() -> None:
    clips = many(10, cameras=3)
    fit, others = questions.split(np.random.default_rng(0), clips, 4)
    assert sorted([*fit, *others]) == sorted(clips)
    assert [
        sum(held_out.camera_of(name) == camera for name in fit) for camera in ("01", "02", "03")
    ] == [4, 4, 4]


def test_what_came_of_the_splits_by_hand() -> None:
    splits = [
        [promise(6, 0.4), promise(60, 1.0)],
        [promise(6, 0.5, extrapolated=True), promise(60, 2.5)],
        [promise(6, 2.0), promise(60, 0.0)],
    ]
    rows = questions.over_splits(splits)
    assert rows["6"]["ratio"] == {"median": 0.5, "low": 0.4, "high": 2.0, "n": 3}
    assert [rows[rate]["within_factor_two"] for rate in ("6", "60")] == [2, 1]
    assert [rows[rate]["extrapolated"] for rate in ("6", "60")] == [1, 0]


def test_rarity_shares_by_hand() -> None:
    # Of 999 normal scores 1, 2, ..., 999, those from 901 on are called rarer than 1 in 10, and 999
    # is 1 in 500.
    fitted = replace(calibrate({"v": np.arange(1.0, 1000.0)}, 10), episode_frames=1.0)
    videos = {"a": np.full(60, 950.0), "b": np.full(140, 5.0)}
    ten, hundred, thousand = questions.rarity_shares(fitted, videos)
    assert ten["share_times_x"] == pytest.approx(10 * 60 / 200)
    assert ten["interval"][0] <= 3.0 <= ten["interval"][1]
    assert hundred == {
        "one_in": 100,
        "can_be_claimed": True,
        "share_times_x": 0.0,
        "interval": [0.0, 0.0],
    }
    assert thousand["share_times_x"] == 0.0
    little = questions.rarity_shares(calibrate({"v": np.arange(50.0)}, 10), videos)[1]
    assert little == {"one_in": 100, "can_be_claimed": False}


def test_coverage_is_found_where_the_intervals_are_right_and_where_they_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = mpn.load(write_model(tmp_path / "model.safetensors"))
    clips = many(40, cameras=1, length=600)
    rng = np.random.default_rng(5)
    scores = {name: rng.uniform(-0.1, 0, 600) for name in clips}
    for values in scores.values():
        values[::20] = rng.exponential(size=30)
    monkeypatch.setattr(questions, "smoothed", lambda detector, clips: scores)
    rates = questions.coverage(detector, clips, 10, 20)["rates"]
    assert list(rates) == ["60", "360"]  # 40 minutes show 6 an hour four times: no truth
    assert all(row["not_too_low"] >= 0.85 and row["not_too_high"] >= 0.85 for row in rates.values())
    assert rates["360"]["within_factor_two"] == 1.0
    # Intervals without width hold the truth from neither side at once.
    narrow = lambda made, value, expected, extrapolated: (value, value)  # noqa: E731
    monkeypatch.setattr(Calibration, "_interval", narrow)
    row = questions.coverage(detector, clips, 10, 20)["rates"]["60"]
    assert row["not_too_low"] + row["not_too_high"] < 1.3


def test_dispersion_tells_bunches_from_chance() -> None:
    rng = np.random.default_rng(1)
    alone, bunched = {}, {}
    for clip in range(400):
        alone[str(clip)], bunched[str(clip)] = np.zeros(600), np.zeros(600)
        for videos, count in ((alone, rng.poisson(2)), (bunched, 8 * (rng.random() < 0.25))):
            videos[str(clip)][rng.permutation(np.arange(0, 600, 20))[:count]] = 5.0
    assert questions.dispersion(1.0, alone) == pytest.approx(1.0, abs=0.25)
    # 8 with chance 1/4: 12 over 2
    assert questions.dispersion(1.0, bunched) == pytest.approx(6.0, abs=1.0)
    assert questions.dispersion(9.0, alone) is None


def test_goals_look_at_nearly_all_splits_and_at_the_amount_of_footage() -> None:
    fit = {"minutes_behind": 16.0, "frames_observed": 40_000, "rates": {}}
    for rate, good in (("60", 18), ("360", 19)):
        fit["rates"][rate] = {"within_factor_two": good, "splits": 20}
    thresholds = {"promises": [{"rate": 60.0, "ratio": 3.0}, {"rate": 360.0, "ratio": 1.1}]}
    goals = benchmark.goals_of(
        {"own": thresholds, "refitted": [fit], "footage": {"frames": 60_000}}
    )
    reached = {
        name.split(",")[0]: (entry["figure"], entry["reached"]) for name, entry in goals.items()
    }
    assert reached == {
        "(a) 60 an hour": (3.0, False),
        "(b) 60 an hour": (90.0, False),
        "(a) 360 an hour": (1.1, True),
        "(b) 360 an hour": (95.0, True),
        "frames observed": (40_000, False),
    }


def test_more_normal_footage_is_written_beside_the_same_weights(tmp_path: Path) -> None:
    detector = mpn.load(write_model(tmp_path / "model.safetensors"))
    clips = many(6, cameras=4, length=40)
    result = benchmark.write_recalibrated(tmp_path / "more.safetensors", detector, clips, 2)
    written = mpn.load(tmp_path / "more.safetensors")
    assert written.calibration(10).frames == 116 + 2 * 4 * 40 == result["frames_behind"]
    for name, tensor in detector.network.state_dict().items():
        assert written.network.state_dict()[name].numpy() == pytest.approx(
            tensor.numpy(), rel=1e-3, abs=1e-6
        )
    assert list(benchmark.not_its_own(detector, clips)) == list(clips)
    # two of six clips of four cameras are its own now
    assert len(benchmark.not_its_own(written, clips)) == 4 * 4
    assert [p["hours"] for p in result["after"]] == [pytest.approx(4 * 4 * 40 / 36000)] * 4


def test_the_picture_is_one(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=6000)
    fitted = calibrate({"v": x[:3000]}, 10)
    promises = reliability(fitted, {"v": x[3000:]})
    fit = {"minutes_behind": 5.0, "rates": questions.over_splits([promises] * 3)}
    thresholds = {"frames_behind": 3000, "promises": [questions.described(p) for p in promises]}
    draw(
        tmp_path / "picture.png",
        {"own": thresholds, "refitted": [fit, fit, fit], "footage": {"fps": 10, "hours": 2.0}},
    )
    picture = cv2.imread(str(tmp_path / "picture.png"))
    assert picture.shape[1] > picture.shape[0] > 300
    blue = (np.abs(picture.astype(int) - (178, 114, 0)).max(2) < 30).sum()  # #0072B2, as BGR
    assert blue > 100
