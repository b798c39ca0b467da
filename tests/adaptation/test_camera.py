"""Adapting to a camera, on footage where it is known by hand what is normal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mpn.adaptation import camera
from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.footage import read_footage
from mpn.adaptation.inner_loop import Adaptation
from mpn.adaptation.place import learn_place, motion_columns
from mpn.adaptation.plan import Plan, plan_of
from mpn.errors import AdaptationError, DataError, MpnError, SizeError
from mpn.model.checkpoint import MetaInfo, load_checkpoint, save_checkpoint
from mpn.model.parameters import target_names
from mpn.scoring.detector import Detector
from mpn.scoring.scores import ScoreConfig
from tests.helpers.small_model import FPS, footage, write_film, write_footage, write_model

pytestmark = pytest.mark.usefixtures("coarse_flow")

LENGTH, SHOTS, WINDOW = 120, 3, 4
META = Adaptation()  # the two steps of the tiny model, quicker than the hundred of Adam
# frames of the poisoned clip, and the third of them that an intruder is in
POISONED, POISON = 180, (60, 120)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The still model with step sizes for its pseudo-anomaly head: a few steps lower the loss."""
    return write_base(tmp_path_factory.mktemp("base") / "base.safetensors", 0.05)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_footage(tmp_path_factory.mktemp("clip") / "lobby", footage(LENGTH, seed=5))


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_footage(
        tmp_path_factory.mktemp("poisoned") / "lobby", footage(POISONED, intruder=POISON, seed=5)
    )


def write_base(path: Path, step_size: float) -> Path:
    plain = load_checkpoint(write_model(path))
    sizes = {
        name: torch.tensor(step_size) for name in target_names(plain.network, ("pseudo_head.",))
    }
    save_checkpoint(path, replace(plain, meta=MetaInfo(("pseudo_head.",), sizes, steps=2, batch=4)))
    return path


def detector_of(path: Path) -> Detector:
    return Detector(load_checkpoint(path), precision="float32")


def adapted_on(base: Path, clip: Path, **options):
    return adapt_camera(
        detector_of(base),
        clip,
        CameraOptions(**{"shots": SHOTS, "adaptation": META, "guard": True} | options),
    )


def split_calibration(
    windows: list[tuple[int, int]], length: int = LENGTH, without: set[int] = frozenset()
) -> list[int]:
    """The targets which, with their windows, show no frame of a support window or its target."""
    used = {frame for _, target in windows for frame in range(target - WINDOW, target + 1)} | set(
        without
    )
    return [t for t in range(WINDOW, length) if not used & set(range(t - WINDOW, t + 1))]


@pytest.fixture(scope="module")
def result(base: Path, clip: Path):
    return adapted_on(base, clip)


# --- What is adapted on, and what is not


def test_windows_are_spread_over_the_clip(result):
    _, report = result
    # 116 windows in three parts, from each the one in the middle.
    assert report.windows == [(0, 4 + 19), (0, 4 + 58), (0, 4 + 96)]
    assert report.left_out == [] and report.excluded == []
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


def test_before_is_the_base_s_own_threshold_on_this_camera(base, poisoned):
    _, report = adapted_on(base, poisoned, guard=False, force=True)
    detector = detector_of(base)
    assert (
        report.before.threshold == detector.calibration(FPS).threshold(1).value
        and report.before.extrapolated
    )
    # The intruder is far above it, nothing else is, and windows cut what is held out.
    targets = split_calibration(report.windows, POISONED)
    stretches = [t for t in targets if t - 1 not in targets]
    assert 1 <= report.before.false_alarms <= len(stretches)
    # It jumps in every frame from 60 to 120; some 850 deviations take 16 frames to fall below 4, by
    # 0.7 a frame.
    surely, perhaps = (sum(POISON[0] <= t <= POISON[1] + more for t in targets) for more in (0, 16))
    assert surely <= round(report.before.above * len(targets)) <= perhaps


def test_after_is_counted_on_footage_that_it_was_not_calibrated_on(base, tmp_path):
    # An intruder in the later half only: the threshold of the earlier half does not know it, and it
    # is an alarm.
    late = write_footage(tmp_path / "late", footage(LENGTH, intruder=(76, 92), seed=5))
    _, report = adapted_on(base, late, guard=False, force=True)
    assert report.after.false_alarms >= 1 and report.after.above > 0
    detector = Detector(adapted_on(base, late, guard=False, force=True)[0], precision="float32")
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


# --- The guard


def test_the_guard_names_the_poisoned_windows_and_takes_others(base, poisoned):
    adapted, report = adapted_on(base, poisoned)
    # Of the windows at frames 33, 92 and 150 the second shows the intruder.
    assert [(entry.clip, entry.frame) for entry in report.left_out] == [(0, 92)]
    entry = report.left_out[0]
    assert entry.deviation > 10 and report.windows == sorted([(0, 33), (0, entry.by), (0, 150)])
    for _, target in report.windows:
        assert not set(range(target - WINDOW, target + 1)) & set(range(*POISON))
    # What is calibrated on has nothing of it either, and what is excluded is it with its
    # surroundings.
    (stretch,) = report.excluded
    assert (
        POISON[0] - 15 <= stretch.start < POISON[0] and POISON[1] <= stretch.stop < POISON[1] + 16
    )
    outside = split_calibration(report.windows, POISONED, set(range(stretch.start, stretch.stop)))
    assert report.held_out == len(outside) == sum(map(len, adapted.normal["error"]))


def test_with_the_guard_the_same_anomaly_is_found_elsewhere_and_without_it_is_not(
    base, poisoned, tmp_path
):
    elsewhere = write_footage(tmp_path / "elsewhere", footage(60, intruder=(30, 50), seed=8))
    for guarded in (True, False):
        adapted, _ = adapted_on(base, poisoned, guard=guarded, force=True)
        detector = Detector(adapted, precision="float32")
        threshold = detector.calibration(FPS).threshold(1).value
        above = [result.frame for result in detector.score(elsewhere) if result.score > threshold]
        # A threshold is never below what was normal.
        assert (len(above) >= 15 and set(above) <= set(range(30, 62))) if guarded else not above


def test_without_the_guard_windows_stay_where_they_are(base, poisoned):
    _, report = adapted_on(base, poisoned, guard=False, force=True)
    assert (
        report.windows == [(0, 33), (0, 92), (0, 150)]
        and not report.left_out
        and not report.excluded
    )
    assert report.options["guard"] is False


# --- Sources


def test_a_video_file_knows_its_frame_rate_and_a_folder_takes_the_model_s(
    base, clip, result, tmp_path
):
    film = write_film(tmp_path / "day.avi", footage(LENGTH, seed=5), fps=20)
    _, report = adapted_on(base, film)
    assert (report.fps, report.fps_from, report.clips) == (20, "footage", ["day.avi"])
    assert (result[1].fps, result[1].fps_from) == (FPS, "model")
    given, report = adapt_camera(detector_of(base), clip, CameraOptions(SHOTS, META), fps=5)
    assert (report.fps, report.fps_from, given.fps) == (5, "footage", 5)
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


# --- All of the footage


LONG = 320
BY_ADAM = Adaptation("adam", steps=2, learning_rate=1e-4, batch=4, targets=("pseudo_head.",))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Footage of which a quarter is enough to calibrate on."""
    return write_footage(tmp_path_factory.mktemp("day") / "lobby", footage(LONG, seed=5))


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    """The plans that were made by `whole`."""
    return []


@pytest.fixture(scope="module")
def whole(base: Path, day: Path, plans: list[Plan]):
    """A model that Adam has adapted on all footage that it may."""

    def kept(*given: object) -> Plan:
        plans.append(plan_of(*given))
        return plans[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera, "plan_of", kept)
        return adapted_on(base, day, shots=None, adaptation=BY_ADAM, force=True, guard=False)


def frames_of(stretches) -> set[int]:
    return {frame for one in stretches for frame in range(one.start, one.stop)}


def test_by_adam_a_network_learns_from_all_footage_but_a_quarter_in_pieces(whole, plans):
    _, report = whole
    (plan,) = plans
    learned, held_out = frames_of(plan.learned), frames_of(plan.held_out_ranges)
    assert not learned & held_out and learned | held_out == set(range(LONG))
    assert len(held_out) == pytest.approx(LONG / 4, abs=4) and len(plan.held_out_ranges) == 4
    # Not one stretch: light and habits change in the course of footage.
    assert [piece.start // 80 for piece in plan.held_out_ranges] == [0, 1, 2, 3]
    # Of each piece, which no window reaches beyond, all windows are learned from.
    assert plan.shots is not None
    assert len(plan.shots) == sum(one.stop - one.start - WINDOW for one in plan.learned)
    assert report.windows == [] and report.held_out == len(held_out) - 4 * WINDOW


def test_held_out_frames_are_judged_by_a_network_and_a_place_model_of_others(
    base, day, whole, plans
):
    adapted, report = whole
    clips = read_footage(detector_of(base), day, None, False)
    rest = learn_place(clips, plans[0].learned)
    for number, (_, start, stop) in enumerate(plans[0].held_out_ranges):
        by_others = motion_columns(clips[0], rest, start, stop)
        for name, values in by_others.items():
            assert adapted.normal[name][number] == pytest.approx(values[WINDOW:], rel=2e-3)
    scores = list(Detector(adapted, precision="float32").score(day))
    targets = [
        frame for one in plans[0].held_out_ranges for frame in range(one.start + WINDOW, one.stop)
    ]
    assert np.concatenate(adapted.normal["pseudo"]) == pytest.approx(
        [scores[frame].parts["pseudo"] for frame in targets], rel=2e-3, abs=1e-6
    )
    # What is written knows all of the footage: its first frame has no motion.
    (place,) = adapted.places.values()
    assert place.frames == LONG - 1
    assert report.after.loss != report.before.loss


def test_of_long_footage_windows_are_spread_over_all_of_it(base, day, whole, plans, monkeypatch):
    monkeypatch.setattr("mpn.adaptation.plan.MOST_WINDOWS", 6)
    monkeypatch.setattr(camera, "plan_of", lambda *given: plans.append(plan_of(*given)) or plans[1])
    adapted_on(base, day, shots=None, adaptation=BY_ADAM, force=True, guard=False)
    shots = plans.pop().shots
    assert shots is not None and len(shots) == 6


def test_a_quarter_that_is_too_short_to_calibrate_on_is_said(base, clip):
    with pytest.raises(
        DataError,
        match=r"lobby: of its 120 frames the quarter that is kept apart has \d+ to "
        r"calibrate on, and it takes 50: give a longer clip",
    ):
        adapted_on(base, clip, shots=None, adaptation=BY_ADAM)


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


def test_what_stays_is_known_no_better_by_a_network_that_was_adapted(whole):
    adapted, _ = whole
    weights = ScoreConfig.from_dict(adapted.score_config).weights
    assert (weights["error"], weights["pseudo"]) == (0.5, 0.5)  # as trained here
    # Of 24 of its 32 s nobody knows for how long things stay, so that it has no units.
    assert weights["stays"] == 0 and "stays" not in adapted.normal


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
    assert all(abs(kept - 55 * whole / sum(full)) <= 1 for kept, whole in zip(lengths, full))
