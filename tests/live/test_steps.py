"""Frames of several cameras, a step at a time and in one batch: the numbers of `Detector.score`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mpn
from mpn.adaptation.camera_file import read_camera
from mpn.live.batch import SharedNetworks, score_together
from mpn.live.learning import base_for_learning
from mpn.live.rates import Pace
from mpn.live.shared import score_config_for
from mpn.live.steps import HOLD_SECONDS, Steps
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.detector import Detector
from mpn.scoring.frame_batches import scaled
from mpn.scoring.result import Result
from mpn.scoring.windows import score_windows
from tests.helpers.fake_gpu import FAKE_GPU, fake_gpu
from tests.helpers.recordings import SIZE, recording
from tests.helpers.small_model import write_footage, write_model

FPS = 10.0
pytestmark = pytest.mark.usefixtures("coarse_flow")


@pytest.fixture(scope="module")
def camera_files(tmp_path_factory: pytest.TempPathFactory, coarse_flow: None) -> list[Path]:
    """Files of two cameras with one base: they see different walls."""
    folder = tmp_path_factory.mktemp("cameras")
    size = {"height": SIZE[0], "width": SIZE[1]}
    base = write_model(folder / "base.safetensors", normal=False, pseudo_head=False, **size)
    files = []
    for wall in (1, 2):
        normal = write_footage(folder / f"normal{wall}", recording(130, wall=wall))
        path = folder / f"wall{wall}.camera.safetensors"
        mpn.load(base, precision="float32").adapt(normal, fps=FPS, network=True).save(path)
        files.append(path)
    return files


def stepped(detectors: list[Detector], films: list[np.ndarray]) -> list[list[Result]]:
    """Score films frame by frame, all of them in turn."""
    steps = [Steps(one, SIZE, FPS) for one in detectors]
    results: list[list[Result]] = [[] for _ in films]
    for number in range(max(map(len, films))):
        items = []
        for camera, (own, film) in enumerate(zip(steps, films)):
            if number >= len(film):
                continue
            prepared = own.begin(film[number], number / FPS)()
            window = own.take(prepared)
            if window is not None:
                seen = own.seen(number, number / FPS, film[number])
                items.append(((camera, seen), own.detector, window))
        for (camera, seen), scores in score_together(items):
            results[camera].append(steps[camera].result(seen, scores))
    return results


def test_the_same_numbers_as_of_the_films_alone(camera_files: list[Path], tmp_path: Path) -> None:
    shared = SharedNetworks()
    detectors = [
        Detector(shared.shared(read_camera(path)), precision="float32") for path in camera_files
    ]
    assert len(shared) == 1 and detectors[0].network is detectors[1].network
    films = [recording(60, fast=(30, 45), wall=1), recording(50, fast=(20, 30), wall=2)]
    for own, film, detector in zip(stepped(detectors, films), films, detectors):
        folder = write_footage(tmp_path / str(id(film)), film)
        alone = [one for one in detector.score(folder, fps=FPS) if np.isfinite(one.score)]
        assert [one.frame for one in own] == [one.frame for one in alone]
        for name in ("score", "raw"):
            values = [[getattr(one, name) for one in both] for both in (own, alone)]
            np.testing.assert_allclose(*values, atol=1e-5)
        assert [one.region for one in own] == [one.region for one in alone]
        assert own[-1].reason.to_dict()["kind"] == alone[-1].reason.to_dict()["kind"]
        for one, other in zip(own, alone):
            assert one.parts == pytest.approx(other.parts, abs=1e-5)


def test_frames_left_out_do_not_make_things_faster(camera_files: list[Path]) -> None:
    detector = Detector(read_camera(camera_files[0]), precision="float32")
    film = recording(60)

    def speeds(every: int) -> np.ndarray:
        steps = Steps(detector, SIZE, FPS)
        found = []
        for number in range(0, 60, every):
            prepared = steps.begin(film[number], number / FPS)()
            found.append(float(prepared.motion[..., 0].max()))
        return np.array(found[1:])

    # The board goes a pixel a frame, at this working size; twice as far in twice the time.
    assert np.median(speeds(2)) == pytest.approx(np.median(speeds(1)), rel=0.15)


def test_frames_left_out_do_not_make_anything_odd(camera_files: list[Path]) -> None:
    """This network predicts the last frame: what is left out would double its error."""
    detector = Detector(read_camera(camera_files[0]), precision="float32")
    steps, asked, scores = Steps(detector, SIZE, FPS), [], []
    film = recording(130, wall=1)
    for number, frame in enumerate(film):
        if number in (40, 60):
            continue
        prepared = steps.begin(frame, number / FPS)()
        window = steps.take(prepared)
        if window is None:
            continue
        ((seen, found),) = score_together(
            [(steps.seen(number, number / FPS, frame), detector, window)]
        )
        if "error" in found.parts:
            asked.append(number)
        scores.append(steps.result(seen, found).raw)
    # Those whose window spans what was left out are judged by motion alone.
    assert asked == [n for n in range(4, 130) if not (40 <= n <= 44 or 60 <= n <= 64)]
    usual = [one for n, one in enumerate(scores, 4)]
    assert max(scores[36:42]) <= np.quantile(usual, 0.99)


def test_behind_a_gap_nothing_is_scored_until_there_is_a_window(camera_files: list[Path]) -> None:
    detector = Detector(read_camera(camera_files[0]), precision="float32")
    steps, film, scored = Steps(detector, SIZE, FPS), recording(30), []
    for number, frame in enumerate(film):
        gap = 5.0 if number >= 10 else 0.0
        prepared = steps.begin(frame, number / FPS + gap, restart=number == 20)()
        if steps.take(prepared) is not None:
            scored.append(number)
        if number in (0, 10, 20):
            assert not prepared.motion.any() and not prepared.follows
    assert scored == [*range(4, 10), *range(14, 20), *range(24, 30)]


def test_cameras_of_other_weights_have_a_batch_of_their_own(
    camera_files: list[Path], tmp_path: Path
) -> None:
    shared = SharedNetworks()
    own = shared.shared(read_camera(camera_files[0]))
    other = read_camera(camera_files[1])
    with torch.no_grad():
        other.network.head[-1].bias += 0.5
    detectors = [Detector(one, precision="float32") for one in (own, shared.shared(other))]
    assert len(shared) == 2 and detectors[0].network is not detectors[1].network
    ran: list[int] = []
    for detector in detectors:
        engine = detector.engine
        detector.engine = lambda windows, engine=engine: (
            ran.append(len(windows)),
            engine(windows),
        )[1]
    films = [recording(8, wall=1), recording(8, wall=2)]
    errors = [one[-1].parts["error"] for one in stepped(detectors, films)]
    assert set(ran) == {1} and len(ran) == 8
    assert errors[1] > errors[0] + 0.1  # half of the range of grey levels off, at the most


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.25, 0.1, 0.0])
def test_the_network_is_asked_as_often_as_there_is_time(
    camera_files: list[Path], share: float
) -> None:
    detector = Detector(read_camera(camera_files[0]), precision="float32")
    pace = Pace()
    steps, full = (Steps(detector, SIZE, FPS, one) for one in (pace, Pace()))
    pace.network = share
    asked, errors, all_errors = [], [], []
    for number, frame in enumerate(recording(64, fast=(30, 45), wall=1)):
        for one, found in ((steps, errors), (full, all_errors)):
            window = one.take(one.begin(frame, number / FPS)())
            if window is None:
                continue
            seen = one.seen(number, number / FPS, frame)
            ((_, scores),) = score_together([(seen, detector, window)])
            if one is steps and "error" in scores.parts:
                asked.append(number)
            result = one.result(seen, scores)
            assert set(result.parts) >= {"error", "speed", "direction"}
            assert np.isfinite(result.score)
            found.append(result.parts["error"])
    assert len(asked) == pytest.approx(60 * share, abs=1)
    assert not asked or asked[0] == 4  # the first that can be
    average = detector.normal["error"][0]
    for number in range(4, 64):
        before = max((one for one in asked if one <= number), default=-100)
        expected = all_errors[before - 4] if number - before <= HOLD_SECONDS * FPS else average
        assert errors[number - 4] == pytest.approx(expected, abs=1e-5)


def test_where_nothing_is_asked_nothing_is_scored(camera_files: list[Path]) -> None:
    """As while a camera is learned: a base's score has no motion in it, only the network."""
    known = read_camera(camera_files[0])
    base = Detector(base_for_learning(known), precision="float32")
    alone = known_alone(known)
    film = recording(12, wall=1)
    for detector, network, asks, scored in (
        (base, True, True, 8),
        (base, False, False, 0),
        (alone, True, False, 8),
    ):
        steps = Steps(detector, SIZE, FPS, motion=True, network=network)
        assert steps.asks == asks
        frames = [steps.begin(frame, number / FPS)() for number, frame in enumerate(film)]
        windows = [one for one in map(steps.take, frames) if one is not None]
        assert len(windows) == scored
        assert all(len(one.frames) == (5 if asks else 1) for one in windows)
        assert all(one.motion is not None for one in frames)


def known_alone(known: Checkpoint) -> Detector:
    """A camera's detector in which motion alone has a say."""
    return Detector(known, score_config=score_config_for(known, False), precision="float32")


def test_what_motion_alone_judges_never_goes_to_the_networks_device(
    camera_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[str] = []
    monkeypatch.setattr(
        "mpn.scoring.windows.scaled",
        lambda frames, device: (went.append(device.type), scaled(frames, device))[1],
    )
    for network, wanted in ((True, FAKE_GPU), (False, "cpu")):
        known = read_camera(camera_files[0])
        detector = Detector(known, precision="float32") if network else known_alone(known)
        steps = Steps(detector, SIZE, FPS)
        windows = [
            steps.take(steps.begin(frame, number / FPS)())
            for number, frame in enumerate(recording(5, wall=1))
        ]
        window = windows[-1]
        assert window is not None
        went.clear()
        with fake_gpu():
            detector.network.to(FAKE_GPU)
            score_windows([window], detector.engine, torch.device(FAKE_GPU))
        assert went == [wanted]


def test_windows_of_several_cameras_are_scored_as_each_alone(camera_files: list[Path]) -> None:
    """Those that ask the network, those of motion alone, and one of another patch."""
    shared = SharedNetworks()
    first, second = (
        Detector(shared.shared(read_camera(path)), precision="float32") for path in camera_files
    )
    coarse = Detector(
        first.checkpoint, score_config=replace(first.score_config, patch=8), precision="float32"
    )
    cameras = [(first, 1.0), (second, 0.0), (first, 0.0), (coarse, 0.0), (second, 1.0)]
    items = []
    for number, (detector, share) in enumerate(cameras):
        steps = Steps(detector, SIZE, FPS, Pace(share))
        windows = [
            steps.take(steps.begin(frame, at / FPS)())
            for at, frame in enumerate(recording(8 + number, fast=(2, 9), wall=1 + number % 2))
        ]
        items.append((number, detector, windows[-1]))
    together = score_together(items)
    assert [number for number, _ in together] == [0, 1, 2, 3, 4]
    for item, (_, found) in zip(items, together):
        ((_, alone),) = score_together([item])
        assert found.frame == alone.frame == 0 and found.parts.keys() == alone.parts.keys()
        assert ("error" in found.parts) == (cameras[item[0]][1] == 1)
        assert found.parts == pytest.approx(alone.parts, abs=1e-6)
        for name, grid in alone.maps.items():
            np.testing.assert_allclose(found.maps[name], grid, atol=1e-6)
        np.testing.assert_array_equal(found.quotients, alone.quotients)
    speeds = [found.parts["speed"] for _, found in together]
    assert len(set(np.round(speeds, 4))) > 1  # they are not one and the same
