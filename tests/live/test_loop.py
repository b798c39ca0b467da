"""The loop: several cameras, one network, outputs that are told; and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import mpn
from mpn.live.config import CameraConfig, WatchConfig
from mpn.live.governor import Governor
from mpn.live.loop import Watch
from mpn.live.rates import Pace
from mpn.live.status import Alarm, CameraStatus, State
from mpn.live.stream import Counts
from tests.helpers.recordings import SIZE, recording
from tests.helpers.small_model import write_film, write_model

pytestmark = pytest.mark.usefixtures("coarse_flow", "small_pictures")
FAST_FPS = 25.0  # the films are played so fast


class Told:
    """An output that keeps what it is told."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.states: list[Mapping[str, CameraStatus]] = []
        self.threads: set[int] = set()

    def alarm(self, alarm: Alarm) -> None:
        self.threads.add(threading.get_ident())
        self.alarms.append(alarm)

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        self.states.append(cameras)

    def close(self, seconds: float) -> None:
        raise AssertionError("whoever opened it closes it")


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory, coarse_flow: None) -> Path:
    """A base, two files of a camera, and two films of it: one normal, one with a race."""
    folder = tmp_path_factory.mktemp("street")
    size = {"height": SIZE[0], "width": SIZE[1]}
    base = write_model(folder / "base.safetensors", normal=False, pseudo_head=False, **size)
    films = recording(400, fast=(180, 210))
    noise = np.random.default_rng(0).integers(-2, 3, (len(films), *SIZE, 1))
    films = np.clip(films.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    normal = write_film(folder / "normal.avi", films[:130], FAST_FPS)
    write_film(folder / "race.avi", films[120:250], FAST_FPS)
    write_film(folder / "calm.avi", films[260:390], FAST_FPS)
    detector = mpn.load(base, precision="float32")
    detector.adapt(normal).save(folder / "street.camera.safetensors")
    detector.adapt(normal, network=True).save(folder / "asking.camera.safetensors")
    return folder


def watch_of(street: Path, out: Path, told: Told, asking: str = "", **urls: str) -> Watch:
    """Watch films; the file of the camera `asking` asks the network."""
    cameras = {}
    for name, url in urls.items():
        own = out / f"{name}.camera.safetensors"
        own.parent.mkdir(parents=True, exist_ok=True)
        file = "asking" if name == asking else "street"
        own.write_bytes((street / f"{file}.camera.safetensors").read_bytes())
        cameras[name] = CameraConfig(url=url, camera_file=own)
    (out / "base.safetensors").write_bytes((street / "base.safetensors").read_bytes())
    config = WatchConfig(
        cameras=cameras,
        model=str(out / "base.safetensors"),
        out=out,
        false_alarms_per_hour=60.0,
    )
    return Watch(config, [told], precision="float32", threads=1)


def test_two_cameras_until_their_films_are_over(street: Path, tmp_path: Path) -> None:
    told = Told()
    watch = watch_of(
        street, tmp_path, told, race=str(street / "race.avi"), calm=str(street / "calm.avi")
    )
    assert len({id(camera.detector.network) for camera in watch.cameras}) == 1
    watch.run(60)
    assert [(one.camera, one.phase) for one in told.alarms] == [("race", "begin"), ("race", "end")]
    assert told.alarms[1].clip is not None and told.alarms[1].clip.is_file()
    assert len(told.threads) == 1  # outputs are told in one thread
    last = told.states[-1]
    assert {one.state for one in last.values()} == {State.ENDED}
    assert last["race"].events == 1 and last["calm"].events == 0
    for one in last.values():
        # A frame is scored or counted as dropped; two may wait.
        assert one.received == 130 and 128 <= one.frames + one.dropped <= 130
        assert one.threshold is not None and one.alarms_from is not None
        times = [time for time, _ in one.recent]
        assert times == sorted(times) and len(set(map(int, times))) == len(times)


def test_one_camera_asks_the_network_and_one_does_not(street: Path, tmp_path: Path) -> None:
    asked: set[tuple[bool, ...]] = set()

    class Asking(Told):
        def status(self, cameras: Mapping[str, CameraStatus]) -> None:
            super().status(cameras)
            asked.add(tuple(camera.asks_network for camera in watch.cameras))

    told = Asking()
    films = {"race": str(street / "race.avi"), "calm": str(street / "calm.avi")}
    watch = watch_of(street, tmp_path, told, asking="calm", **films)
    race, calm = watch.cameras
    assert race.detector.network is calm.detector.network
    assert "error" in calm.detector.weights and "error" not in race.detector.weights
    ran: list[int] = []
    for detector in (race.detector, calm.detector):
        detector.engine = lambda windows, run=detector.engine: (
            ran.append(len(windows)),
            run(windows),
        )[1]
    watch.run(60)
    assert set(ran) == {1}  # never those of both
    # Before its first frame no camera asks, and none does behind its last.
    assert asked >= {(False, True)} and not any(one for one, _ in asked)
    assert not calm.asks_network
    assert [(one.camera, one.phase) for one in told.alarms] == [("race", "begin"), ("race", "end")]
    last = told.states[-1]
    assert {one.state for one in last.values()} == {State.ENDED}
    assert all(one.received == 130 and one.frames for one in last.values())


def test_one_camera_that_fails_takes_no_other_along(street: Path, tmp_path: Path) -> None:
    told = Told()
    small = write_film(tmp_path / "small.avi", np.zeros((100, 64, 48, 3), np.uint8), FAST_FPS)
    watch = watch_of(
        street,
        tmp_path,
        told,
        odd=str(small),  # of another shape than its camera file
        gone=str(tmp_path / "gone.avi"),
        race=str(street / "race.avi"),
    )
    threading.Timer(8.0, watch.stop).start()
    watch.run(60)
    last = told.states[-1]
    assert last["odd"].state is State.FAILED and "another shape" in last["odd"].detail
    assert last["gone"].state is State.DISCONNECTED and "tried again" in last["gone"].detail
    assert last["race"].state is State.ENDED and last["race"].events == 1


def test_stopping_ends_what_is_open(street: Path, tmp_path: Path) -> None:
    class Stopping(Told):
        def alarm(self, alarm: Alarm) -> None:
            super().alarm(alarm)
            watch.stop()

    told = Stopping()
    watch = watch_of(street, tmp_path, told, race=str(street / "race.avi"))
    watch.run(60)
    assert [one.phase for one in told.alarms] == ["begin", "end"]
    assert not (tmp_path / "race/open.json").exists()


class CountedStream:
    """A stream of which only its counts matter."""

    def __init__(self) -> None:
        self.counts, self.share = Counts(), 1.0

    def give_share(self, share: float) -> None:
        self.share = share


def test_all_cameras_leave_out_the_same_share_and_get_it_back() -> None:
    streams = [CountedStream(), CountedStream()]
    governor = Governor(streams, Pace(), lambda: False)  # type: ignore[arg-type]
    now, kept, overflowed = 0.0, 0, 0
    shares = []
    for step in range(120):
        offered = 10 * governor.share
        room = 6.0 if step < 60 else 20.0  # frames a second that there is time for
        kept += round(2 * offered)
        overflowed += round(2 * max(0.0, offered - room))
        streams[0].counts = Counts(kept=kept, overflowed=overflowed)
        governor.idle(2 * max(0.0, 1 - offered / room))
        now += 2.0
        governor.update(now)
        shares.append(governor.share)
        assert streams[0].share == streams[1].share == governor.share
    # It finds what there is time for, stays near it, and comes back.
    assert min(shares[10:59]) >= 0.5 and max(shares[10:59]) <= 0.65
    assert shares[-1] == 1.0


def test_after_a_start_with_hardly_any_time_it_is_back_in_half_a_minute() -> None:
    streams = [CountedStream()]
    governor = Governor(streams, Pace(), lambda: False)  # type: ignore[arg-type]
    kept = overflowed = 0
    at = 0
    for second in range(60):
        offered = 10 * governor.share
        room = 1.0 if second < 20 else 100.0
        kept += round(offered)
        overflowed += round(max(0.0, offered - room))
        streams[0].counts = Counts(kept=kept, overflowed=overflowed)
        governor.idle(max(0.0, 1 - offered / room))
        governor.update(float(second))
        if second == 19:
            assert governor.share < 0.25
        if not at and second > 19 and governor.share == 1.0:
            at = second
    # By up to three tenths a second: from a tenth in nine seconds, and in 77 by 3 % a second.
    assert 20 < at < 35


def test_the_network_has_its_say_where_there_is_time_and_frames_go_last() -> None:
    """Motion takes 1 of a second's 100, the network 9: for 10 frames there is time, or for 100."""
    streams, pace = [CountedStream()], Pace()
    governor = Governor(streams, pace, lambda: True)  # type: ignore[arg-type]
    kept = overflowed = 0
    seen = []
    for second in range(360):
        offered = (20.0 if second < 120 else 200.0 if second < 240 else 20.0) * governor.share
        room = 100.0 / (1 + 9 * pace.network)
        kept += round(offered)
        overflowed += round(max(0.0, offered - room))
        streams[0].counts = Counts(kept=kept, overflowed=overflowed)
        governor.idle(max(0.0, 1 - offered / room))
        governor.update(float(second))
        seen.append((governor.share, pace.network))
        assert governor.short == (min(seen[-1]) < 1)
    # 20 frames: 20 of motion, and 80 for the network, 9 each: 8.9 of 20.
    assert all(share == 1 for share, _ in seen[:119])
    assert np.mean([network for _, network in seen[30:119]]) == pytest.approx(0.44, abs=0.12)
    # 200 frames: motion has time for half of them, the network for none.
    assert np.mean([share for share, _ in seen[160:239]]) == pytest.approx(0.5, abs=0.1)
    assert all(network <= 0.1 for _, network in seen[160:239])
    assert seen[-1][0] == 1 and 0.25 < seen[-1][1] < 0.6


def test_a_network_that_is_not_to_be_asked_stays_so() -> None:
    pace = Pace(network=0.0)
    governor = Governor([CountedStream()], pace, lambda: False)  # type: ignore[list-item]
    for second in range(20):
        governor.idle(1.0)
        governor.update(float(second))
    assert (governor.share, pace.network, governor.short) == (1.0, 0.0, False)


class Load:
    """A governor whose streams are offered frames, of which some overflow.

    Args:
        pace: of the network.
        asks: whether a camera asks it.
    """

    def __init__(self, pace: Pace, asks: bool) -> None:
        self.pace, self.asks, self.second = pace, asks, 0
        self._stream = CountedStream()
        self.governor = Governor([self._stream], pace, lambda: self.asks)  # type: ignore[list-item]

    def pass_seconds(self, seconds: int, overflowed: int = 0) -> tuple[float, float]:
        """Let seconds pass, of a hundred frames each; the shares of frames and of the network."""
        for _ in range(seconds):
            kept, lost = self._stream.counts.kept + 100, self._stream.counts.overflowed + overflowed
            self._stream.counts = Counts(kept=kept, overflowed=lost)
            self.governor.idle(0.0 if overflowed else 1.0)
            self.governor.update(float(self.second))
            self.second += 1
        return self.governor.share, self.pace.network


def test_where_no_camera_asks_the_network_frames_are_left_out_at_once_and_it_is_not_spoken_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "mpn")
    load = Load(Pace(), asks=False)
    load.pass_seconds(1)
    share, network = load.pass_seconds(3, overflowed=50)
    assert share == pytest.approx(0.95 * 0.5 * 0.95 * 0.5) and network == 1
    assert load.governor.short
    assert load.pass_seconds(90) == (1, 1) and not load.governor.short
    assert len(caplog.messages) == 2 and "network" not in caplog.text


def test_a_moment_without_time_leaves_no_frames_out() -> None:
    load = Load(Pace(), asks=False)
    load.pass_seconds(1)
    for _ in range(3):
        assert load.pass_seconds(1, overflowed=50) == (1, 1)
        assert load.pass_seconds(1) == (1, 1)
    assert load.pass_seconds(2, overflowed=50)[0] < 0.5


def test_what_a_camera_that_asks_the_network_brings_and_takes_along() -> None:
    load = Load(Pace(), asks=False)
    load.pass_seconds(1)
    load.asks = True  # a camera with a file that says so begins
    share, network = load.pass_seconds(2, overflowed=50)
    assert share == 1 and 0.2 < network < 0.25 and load.governor.short
    load.asks = False  # it is over
    assert load.pass_seconds(1) == (1, network) and not load.governor.short
    load.asks = True
    share, network = load.pass_seconds(1)
    assert share == 1 and network > 0.25
