"""Adapting to a camera by few windows, on footage where it is known by hand what is normal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mpn.adaptation import camera
from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.inner_loop import Adaptation
from mpn.errors import AdaptationError, DataError, MpnError, SizeError
from mpn.model.checkpoint import load_checkpoint
from mpn.model.parameters import target_names
from mpn.scoring.detector import Detector
from tests.helpers.adapted_cameras import (
    LENGTH,
    META,
    SHOTS,
    WINDOW,
    adapted_on,
    detector_of,
    split_calibration,
    write_base,
)
from tests.helpers.small_model import FPS, footage, write_film, write_footage, write_model

pytestmark = pytest.mark.usefixtures("coarse_flow")


@pytest.fixture(scope="module")
def result(base: Path, clip: Path):
    return adapted_on(base, clip)


# --- What is adapted on, and what is not


def test_windows_are_spread_over_the_clip(result):
    _, report = result
    # 116 windows in three parts, from each the one in the middle.
    assert report.windows == [(0, 4 + 19), (0, 4 + 58), (0, 4 + 96)]
    assert report.excluded == []
    assert (report.frames, report.clips) == ([LENGTH], ["lobby"])


def test_only_frames_that_no_support_window_shows_are_held_out(base, clip, result):
    adapted, report = result
    targets = split_calibration(report.windows)
    assert report.held_out == len(targets) == sum(len(part) for part in adapted.normal["error"])
    # Their scores are those that the adapted model gives the clip as a whole.
    scores = list(Detector(adapted, precision="float32").score(clip))
    for name, clips in adapted.normal.items():
        assert np.concatenate(clips) == pytest.approx(
            [scores[t].parts[name] for t in targets], rel=1e-3, abs=1e-6
        )
    before = list(detector_of(base).score(clip))
    assert report.before.psnr_db == pytest.approx(
        np.mean([before[t].parts["psnr_db"] for t in targets]), rel=1e-5
    )
    assert report.after.psnr_db == pytest.approx(
        np.mean([scores[t].parts["psnr_db"] for t in targets]), rel=1e-5
    )
    assert report.hours * 3600 == pytest.approx(len(targets) / FPS)


def test_target_parameters_alone_change_and_the_base_not_at_all(base, result):
    adapted, report = result
    before = load_checkpoint(base)
    assert adapted.camera["base"] == {"path": str(base), "sha256": before.sha256}
    assert adapted.camera["tensors"] == sorted(target_names(before.network, ("pseudo_head.",)))
    for name, tensor in adapted.network.state_dict().items():
        assert torch.equal(tensor, before.network.state_dict()[name]) == (
            not name.startswith("pseudo_head.")
        )
    assert report.options["method"] == "meta" and (
        report.options["steps"],
        report.options["batch"],
    ) == (2, 4)


def test_the_loss_falls_on_held_out_frames(result):
    _, report = result
    assert report.after.loss < report.before.loss and not report.worse
    # The prediction is the last frame, before and after.
    assert report.after.psnr_db == pytest.approx(report.before.psnr_db)


def test_without_a_step_nothing_changes_and_both_losses_are_of_the_same_draws(clip, tmp_path):
    _, report = adapted_on(write_base(tmp_path / "b.safetensors", 0.0), clip)
    assert report.after.loss == report.before.loss and report.after.psnr_db == report.before.psnr_db


def test_a_seed_gives_the_same_model(base, clip, result):
    again, other = (adapted_on(base, clip, adaptation=Adaptation(seed=seed))[0] for seed in (0, 1))
    names = result[0].camera["tensors"]
    state = result[0].network.state_dict()
    assert all(torch.equal(state[name], again.network.state_dict()[name]) for name in names)
    assert not all(torch.equal(state[name], other.network.state_dict()[name]) for name in names)


# --- What comes of it


def test_after_is_counted_on_footage_that_it_was_not_calibrated_on(base, tmp_path):
    # An intruder in the later half only: the threshold of the earlier half does not know it, and it
    # is an alarm.
    late = write_footage(tmp_path / "late", footage(LENGTH, intruder=(76, 92), seed=5))
    _, report = adapted_on(base, late, force=True)
    assert report.after.false_alarms >= 1 and report.after.above > 0
    detector = Detector(adapted_on(base, late, force=True)[0], precision="float32")
    assert report.after.threshold == detector.calibration(FPS).threshold(1).value


def test_a_loss_that_rises_is_refused_unless_forced(clip, tmp_path):
    backwards = write_base(tmp_path / "b.safetensors", -0.5)
    with pytest.raises(
        AdaptationError,
        match=r"lobby: on its held-out frames the loss is 0.\d+ "
        r"after .* was 0.\d+",
    ):
        adapted_on(backwards, clip)
    adapted, report = adapted_on(backwards, clip, force=True)
    assert report.worse and report.after.loss > report.before.loss and adapted.camera


def test_numbers_that_are_none_are_refused_even_if_forced(base, clip, monkeypatch):
    broken = {"pseudo_head.4.bias": torch.tensor([torch.inf])}
    monkeypatch.setattr(camera, "adapt_network", lambda *_, **__: broken)
    with pytest.raises(AdaptationError, match="not finite.*--steps"):
        adapted_on(base, clip, force=True)


# --- Sources


def test_a_video_file_knows_its_frame_rate_and_a_folder_takes_the_model_s(
    base, clip, result, tmp_path
):
    film = write_film(tmp_path / "day.avi", footage(LENGTH, seed=5), fps=20)
    _, report = adapted_on(base, film)
    assert (report.fps, report.fps_from, report.clips) == (20, "footage", ["day.avi"])
    assert (result[1].fps, result[1].fps_from) == (FPS, "model")
    adapted, report = adapt_camera(detector_of(base), clip, CameraOptions(SHOTS, META), fps=5)
    assert (report.fps, report.fps_from, adapted.fps) == (5, "footage", 5)
    nobody = detector_of(base)
    nobody.checkpoint.fps = None
    assert adapt_camera(nobody, clip, CameraOptions(SHOTS, META))[1].fps_from == "assumed"


def test_several_clips_of_a_camera(base, tmp_path):
    for name, count in (("2", 70), ("10", 3), ("11", 80)):
        write_footage(tmp_path / "lobby" / name, footage(count, seed=count))
    adapted, report = adapted_on(base, tmp_path / "lobby", shots=2)
    assert report.clips == ["2", "10", "11"] and report.frames == [70, 3, 80]
    # 66 windows, none, 76: the middle of the first and of the second 71.
    assert report.windows == [(0, 4 + 35), (2, 4 + 106 - 66)]
    expected = len(split_calibration([(0, 39)], 70)) + len(split_calibration([(0, 44)], 80))
    assert report.held_out == expected == sum(map(len, adapted.normal["pseudo"]))


def test_unreadable_frames_are_nowhere_in_it(base, clip, tmp_path):
    folder = write_footage(tmp_path / "holed", footage(LENGTH, seed=5))
    for bad in (22, 60):
        (folder / f"{bad:03d}.png").write_bytes(b"")
    with pytest.raises(DataError, match="frame 22 .022.png. is empty"):
        adapt_camera(detector_of(base), folder, CameraOptions(SHOTS, META))
    adapted, report = adapt_camera(
        detector_of(base), folder, CameraOptions(SHOTS, META), skip_bad=True
    )
    for _, target in report.windows:
        assert not {22, 60} & set(range(target - WINDOW, target + 1))
    assert report.held_out == len(split_calibration(report.windows, without={22, 60}))
    assert np.isfinite(np.concatenate(adapted.normal["error"])).all()
    # Holding a neighbour's place, they would be without any error.
    assert np.concatenate(adapted.normal["error"]).min() > 0


def test_too_little_footage_says_how_much_there_is(base, clip, tmp_path):
    short = write_footage(tmp_path / "short", footage(3))
    with pytest.raises(
        DataError,
        match=r"short: 3 windows to adapt on, but there are 0 in 3 "
        r"frames",
    ):
        adapted_on(base, short)
    with pytest.raises(
        DataError,
        match=r"lobby: 200 windows to adapt on, but there are 116 in 120 "
        r"frames",
    ):
        adapted_on(base, clip, shots=200)
    with pytest.raises(
        DataError,
        match=r"lobby: of its 120 frames 12 shots leave \d+ to calibrate "
        r".*it takes 50",
    ):
        adapted_on(base, clip, shots=12)


def test_frames_that_are_too_small(base, tmp_path):
    speck = write_footage(tmp_path / "speck", footage(12)[:, :8, :12])
    with pytest.raises(SizeError, match="8x12.*16x16 at the least"):
        adapted_on(base, speck)


# --- Models


def test_a_model_that_was_not_meta_trained_takes_adam(clip, tmp_path):
    plain = write_model(tmp_path / "plain.safetensors")
    with pytest.raises(MpnError, match="not meta-trained.*--method adam"):
        adapted_on(plain, clip)
    by_adam = Adaptation("adam", steps=2, learning_rate=1e-3, batch=4)
    adapted, report = adapted_on(plain, clip, adaptation=by_adam)
    assert report.after.loss < report.before.loss
    assert {name.split(".")[0] for name in adapted.camera["tensors"]} == {"encoder", "pseudo_head"}


def test_a_whole_model_has_room_for_all_parameters(clip, tmp_path):
    plain = write_model(tmp_path / "plain.safetensors")
    by_adam = Adaptation("adam", steps=1, learning_rate=1e-6, batch=4)
    adapted, _ = adapted_on(plain, clip, adaptation=by_adam, standalone=True, force=True)
    everything = {name for name, _ in load_checkpoint(plain).network.named_parameters()}
    assert set(adapted.camera["tensors"]) == everything
    chosen = replace(by_adam, targets=("pseudo_head.",))
    adapted, _ = adapted_on(plain, clip, adaptation=chosen, standalone=True, force=True)
    assert {name.split(".")[0] for name in adapted.camera["tensors"]} == {"pseudo_head"}


def test_a_model_without_a_head_for_made_anomalies_and_without_normal_scores(clip, tmp_path):
    plain = write_model(tmp_path / "plain.safetensors", normal=False, pseudo_head=False)
    by_adam = Adaptation("adam", steps=1, learning_rate=1e-6, batch=4)
    adapted, report = adapted_on(plain, clip, adaptation=by_adam, force=True)
    assert report.before.threshold is None and report.before.false_alarms is None
    assert list(adapted.normal) == ["error", "speed", "direction"] and report.after.threshold > 0


def test_a_camera_s_model_is_not_adapted_again(base, clip, result):
    again = Detector(result[0], precision="float32")
    with pytest.raises(
        MpnError, match="is adapted to a camera already: adapt its base, .*base.safetensors"
    ):
        adapt_camera(again, clip, CameraOptions(SHOTS, META))


def test_more_numbers_than_a_camera_file_takes_are_found_before_the_work(base, clip, monkeypatch):
    monkeypatch.setattr(camera, "CAMERA_BYTES", camera.RESERVED_BYTES + 1000)
    monkeypatch.setattr(camera, "read_footage", None)  # is not called
    with pytest.raises(MpnError, match=r"pseudo_head\. are [\d,]+ numbers, 0.0\d MB.*--standalone"):
        adapted_on(base, clip)


def test_long_footage_is_kept_in_parts_of_every_stretch(base, clip, result, monkeypatch):
    monkeypatch.setattr(camera, "NORMAL_FRAMES", 55)
    adapted, report = adapted_on(base, clip)
    lengths = [len(part) for part in adapted.normal["error"]]
    full = [len(part) for part in result[0].normal["error"]]
    assert report.held_out == sum(lengths) <= 55 and len(lengths) == len(full)
    assert all(abs(length - 55 * whole / sum(full)) <= 1 for length, whole in zip(lengths, full))
