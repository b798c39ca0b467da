"""A camera from its first frame on: learns, watches, alarms, starts again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from mpn.adaptation.camera_file import read_camera
from mpn.live.events import end_left_open
from mpn.live.learning import held
from mpn.live.rates import Pace
from mpn.live.status import State
from mpn.live.stream import StreamState
from tests.helpers.recordings import SIZE, recording
from tests.helpers.small_model import write_model
from tests.live.driving import BEGIN, Driven

pytestmark = pytest.mark.usefixtures("coarse_flow", "small_pictures")
NORMAL = 130  # frames, of which the first does not follow any
RACE = (60, 84)


def film(start: int, stop: int, fast: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Frames of one camera; a board races in some, and the sensor has its noise."""
    return noisy(recording(500, fast=fast)[start:stop], start)


def noisy(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """Add a sensor's noise: no two frames of a camera are the same."""
    noise = np.random.default_rng(seed).integers(-2, 3, (len(frames), *SIZE, 1))
    return np.clip(frames.astype(np.int16) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = {"height": SIZE[0], "width": SIZE[1]}
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    return write_model(path, normal=False, pseudo_head=False, **size)


@pytest.fixture(scope="module")
def learned(base: Path, tmp_path_factory: pytest.TempPathFactory, coarse_flow: None) -> Path:
    """The folder of a watch that has learned its camera."""
    out = tmp_path_factory.mktemp("learned")
    driven = Driven(base, out)
    assert driven.camera.status().state is State.STARTING
    driven.show(film(0, 60))
    status = driven.camera.status()
    assert status.state is State.LEARNING and status.detail == "6 of 12 s"
    assert status.alarms_from is None and not (out / "hall/hall.camera.safetensors").exists()
    driven.show(film(60, NORMAL))
    assert driven.camera.status().state is State.WATCHING
    assert not driven.alarms()
    driven.camera.close()
    return out


def test_a_new_camera_is_learned_and_kept(learned: Path) -> None:
    camera = read_camera(learned / "hall/hall.camera.safetensors")
    (place,) = camera.places.values()
    assert 100 <= place.frames <= NORMAL and camera.fps == 10.0
    assert {"speed", "direction"} <= camera.normal.keys() and "error" not in camera.normal
    assert list((learned / "hall").glob("*.part")) == []


def test_a_camera_that_was_learned_in_no_time_is_said_to_be(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mpn")
    Driven(base, tmp_path).show(film(0, NORMAL))
    said = [line for line in caplog.messages if "learned from" in line]
    assert len(said) == 1 and said[0].startswith("hall: learned from 12 s; so little gives")
    assert str(tmp_path / "hall/hall.camera.safetensors") in said[0]
    Driven(base, tmp_path).show(film(0, 20))  # a restart has not learned it
    assert len([line for line in caplog.messages if "learned from" in line]) == 1


@pytest.fixture(scope="module")
def asking(base: Path, tmp_path_factory: pytest.TempPathFactory, coarse_flow: None) -> Path:
    """The folder of a watch that has learned its camera with the network."""
    out = tmp_path_factory.mktemp("asking")
    driven = Driven(base, out, network=True)
    driven.show(film(0, 10))
    assert driven.camera.asks_network  # also while it learns
    driven.show(film(10, NORMAL))
    assert driven.camera.status().state is State.WATCHING
    driven.camera.close()
    return out


def counted(driven: Driven) -> list[int]:
    """The sizes of the batches that the network has from now on."""
    detector, ran = driven.camera.detector, []
    run = detector.engine
    detector.engine = lambda windows: (ran.append(len(windows)), run(windows))[1]
    return ran


def test_with_the_network_it_is_learned_too(
    base: Path, asking: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mpn")
    camera = read_camera(asking / "hall/hall.camera.safetensors")
    assert {"error", "speed", "direction"} <= camera.normal.keys()
    assert camera.score_config["error_score_weight"] > 0
    for network, asked in ((None, True), (True, True), (False, False)):
        driven = Driven(base, asking, network=network)
        ran = counted(driven)
        assert not driven.camera.asks_network  # no frame has come
        driven.show(film(0, 20))
        assert driven.camera.asks_network == asked
        assert ran == [1] * 16 * asked  # the first four have no window
        assert ("error" in driven.camera.detector.weights) == asked
        assert driven.camera.status().state is State.WATCHING
        driven.stream.state = (StreamState.ENDED, "", BEGIN)
        assert not driven.camera.asks_network
    assert "motion alone judges it" not in caplog.text


def test_scores_with_the_network_set_no_threshold_without_it(
    base: Path, asking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpn.live.recalibration.EVERY_MINUTES", 0.05)
    out = Path(shutil.copytree(asking, tmp_path / "out"))
    shutil.copy(base, out / "hall")

    def threshold(network: bool | None) -> float:
        driven = Driven(base, out, network=network)
        driven.show(film(NORMAL, NORMAL + 20))  # too few to look at the threshold anew
        assert driven.camera.threshold is not None
        return driven.camera.threshold.value

    (scores,) = (out / "hall").glob("scores-*.npy")
    with_network, alone = threshold(None), threshold(False)
    np.save(scores, np.full(100, -5, np.float16))
    assert threshold(False) == alone
    assert threshold(None) < with_network  # that they were made by


@pytest.mark.parametrize("network", [None, False])
def test_a_camera_that_is_learned_asks_no_network(
    base: Path, tmp_path: Path, network: bool | None
) -> None:
    driven = Driven(base, tmp_path, network=network)
    ran = counted(driven)
    driven.show(film(0, 10))
    assert driven.camera.learning is not None and not driven.camera.asks_network
    learning = driven.camera.detector
    driven.show(film(10, NORMAL + 20))
    assert driven.camera.detector is not learning and driven.camera.threshold is not None
    assert ran == [] and not driven.camera.asks_network


def test_a_file_without_the_network_goes_on_without_it_which_is_said(
    base: Path, learned: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mpn")
    Driven(base, learned)
    assert "motion alone judges it" not in caplog.text
    driven = Driven(base, learned, network=True)
    driven.show(film(0, 20))
    assert not driven.camera.asks_network and driven.camera.status().score is not None
    (said,) = [line for line in caplog.messages if "motion alone judges it" in line]
    assert said.startswith("hall: ") and str(learned / "hall/hall.camera.safetensors") in said
    assert "take that file away" in said


def test_a_restart_goes_on_with_what_was_learned(base: Path, learned: Path) -> None:
    driven = Driven(base, learned)
    assert driven.camera.alarms_from is not None and driven.camera.learning is None
    driven.show(film(0, 10))
    status = driven.camera.status()
    assert status.state is State.WATCHING and status.threshold is not None
    assert status.score is not None and status.frames == 10


def test_an_event_is_told_when_it_begins_and_when_it_is_over(base: Path, learned: Path) -> None:
    driven = Driven(base, learned)
    driven.show(film(0, 80, RACE))
    (begin,) = driven.alarms()
    assert begin.phase == "begin" and begin.camera == "hall" and begin.fields["ended"] is None
    assert driven.camera.status().events == 1  # also while it goes on
    assert begin.fields["counts"] is True and begin.clip is None
    assert begin.id.startswith("hall-20231114T2213") and "/" not in begin.id
    assert begin.fields["reason"]["sentence"] and begin.fields["region"]
    opened = json.loads((learned / "hall/open.json").read_text())
    assert opened["id"] == begin.id
    driven.show(film(80, 140, RACE))
    (end,) = driven.alarms()
    assert (end.phase, end.id) == ("end", begin.id) and driven.camera.status().events == 1
    assert RACE[0] <= end.fields["start"] <= RACE[0] + 6
    assert end.fields["start"] < end.fields["end"] <= RACE[1] + 15
    assert end.fields["started"] < end.fields["ended"] <= "2023-11-14T22:13:32Z"
    assert end.fields["tracks"] and end.fields["peak_score"] > end.fields["threshold"]
    json.dumps(end.to_dict(), allow_nan=False)
    assert end.snapshot is not None and end.clip is not None
    picture = cv2.imread(str(end.snapshot))
    assert picture.shape[1] / picture.shape[0] == pytest.approx(SIZE[1] / SIZE[0], rel=0.05)
    top, _, height, _ = end.fields["region"]
    assert top + height > 60  # the racing board is below the other
    with av.open(str(end.clip)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    # Three seconds before it, itself, and the three until it is known to be over.
    assert frames == pytest.approx(30 + end.fields["end"] - end.fields["start"] + 30, abs=3)


def test_that_it_alarms_far_too_often_is_said(
    base: Path, learned: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mpn.live.often.SURE", 1e-300)  # not one is expected
    monkeypatch.setattr("mpn.live.often.time", SimpleNamespace(time=lambda: BEGIN + 10))
    driven = Driven(base, learned)
    driven.show(film(0, 50, RACE))
    assert driven.camera.status().detail == "" and "far more often" not in caplog.text
    driven.show(film(50, 130, RACE))
    status = driven.camera.status()
    assert status.state is State.WATCHING
    assert status.detail.startswith("alarms far more often than was asked for")
    assert [line for line in caplog.messages if "far more often" in line] == [
        f"hall: {status.detail}"
    ]


def test_what_a_killed_run_left_open_is_ended(base: Path, learned: Path) -> None:
    driven = Driven(base, learned)
    driven.show(film(0, 80, RACE))
    (begin,) = driven.alarms()  # and nothing more: the process is gone
    end = end_left_open(learned / "hall")
    assert end is not None and (end.id, end.phase) == (begin.id, "end")
    assert end.fields["interrupted"] is True and end.fields["ended"] >= end.fields["started"]
    (learned / "hall/open.json").write_text("{")
    assert end_left_open(learned / "hall") is None and end_left_open(learned / "hall") is None


def test_the_end_of_the_watch_ends_the_event(base: Path, learned: Path) -> None:
    driven = Driven(base, learned)
    driven.show(film(0, 80, RACE))
    driven.camera.close()
    begin, end = driven.alarms()
    assert begin.id == end.id and end.phase == "end" and end.clip is not None


def test_far_stranger_than_all_so_far_is_told_while_it_learns(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("WARM", 10.0), ("APART", 2.0), ("REFRESH", 2.0)):
        monkeypatch.setattr(f"mpn.live.learning.{name}_SECONDS", seconds)
    driven = Driven(base, tmp_path, learning_minutes=0.4)
    driven.show(film(0, 230, (170, 190)))
    begin, end = driven.alarms()
    assert begin.fields["counts"] is end.fields["counts"] is False
    assert 168 <= end.fields["start"] <= 184 and end.fields["peak_score"] > 3
    top, _, height, _ = end.fields["region"]
    assert top < 84 and top + height > 60
    assert driven.camera.status().state is State.LEARNING
    driven.show(film(230, 280))
    assert driven.camera.status().state is State.WATCHING
    # It was not learned: it is an anomaly still.
    driven.show(film(280, 370, (295, 315)))
    assert [one.phase for one in driven.alarms()] == ["begin", "end"]


def test_while_the_picture_is_wrong_nothing_is_alarmed(base: Path, learned: Path) -> None:
    driven = Driven(base, learned)
    driven.show(film(0, 40))
    black = noisy(np.full((60, *SIZE, 3), 6, np.uint8))
    driven.show(black)
    assert driven.camera.status().state is State.BLACK
    driven.show(film(100, 160))
    assert driven.camera.status().state is State.WATCHING
    # Neither in the two seconds until it is believed to be black.
    assert driven.alarms() == []


def test_frames_of_another_shape_are_refused_and_said(base: Path, learned: Path) -> None:
    driven = Driven(base, learned)
    with pytest.raises(Exception, match="another shape than .*hall.camera.safetensors"):
        driven.show([np.zeros((200, 100, 3), np.uint8)])


def test_motion_alone(base: Path, tmp_path: Path) -> None:
    driven = Driven(base, tmp_path)
    driven.show(film(0, NORMAL))
    assert driven.camera.status().state is State.WATCHING
    assert driven.camera.detector.weights.keys() <= {"speed", "direction", "stays"}
    driven.show(film(0, 130, RACE))
    assert [one.phase for one in driven.alarms()] == ["begin", "end"]
    again = Driven(base, tmp_path)
    again.show(film(0, 20))
    assert again.camera.status().state is State.WATCHING


@pytest.mark.parametrize("share", [0.9, 0.5, 0.0])
def test_where_there_is_little_time_the_network_is_asked_less_while_it_learns(
    base: Path, tmp_path: Path, share: float
) -> None:
    driven = Driven(base, tmp_path, pace=Pace(network=share), network=True)
    driven.show(film(0, NORMAL))
    assert driven.camera.status().state is State.WATCHING
    camera = read_camera(tmp_path / "hall/hall.camera.safetensors")
    assert {"speed", "direction"} <= camera.normal.keys()
    # Of less than a hundred frames the network would be judged by too few.
    assert ("error" in camera.normal) == (share == 0.9)
    assert camera.score_config["error_score_weight"] == 0 or share == 0.9
    driven.show(film(NORMAL, 200))
    assert driven.camera.status().score is not None
    assert not driven.alarms()


def test_what_is_known_holds_until_more_is() -> None:
    nan = np.nan
    found = held(np.array([nan, nan, 3, nan, 5, nan, nan, 6]))
    np.testing.assert_array_equal(found, np.array([nan, nan, 3, 3, 5, 5, 5, 6], np.float32))
    assert found.dtype == np.float32
