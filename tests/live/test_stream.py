"""A camera's thread: the newest frames, at its rate; whatever goes wrong, it is tried again."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest

from mpn.errors import FrameError
from mpn.live import opening
from mpn.live.opening import Picture
from mpn.live.stream import CameraStream, LiveFrame, StreamState
from tests.helpers.small_model import footage, write_film

FPS = 20.0
BLACK = np.zeros((32, 48, 3), np.uint8)
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something, at most so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def collected(stream: CameraStream, count: int, seconds: float = 10.0) -> list[LiveFrame]:
    """Take so many frames as they come."""
    frames: list[LiveFrame] = []

    def enough() -> bool:
        while (frame := stream.take()) is not None:
            frames.append(frame)
        return len(frames) >= count

    until(enough, seconds)
    return frames


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.avi", footage(12), fps=FPS)


def test_a_file_is_played_at_its_own_rate_and_ends(film: Path) -> None:
    began = time.monotonic()
    stream = CameraStream(str(film), FPS)
    stream.start()
    frames = collected(stream, 12)
    until(lambda: stream.state[0] is StreamState.ENDED)
    assert time.monotonic() - began >= 11 / FPS - 0.01
    np.testing.assert_allclose(np.diff([one.seconds for one in frames]), 1 / FPS, atol=2e-3)
    assert [one.restart for one in frames] == [True] + [False] * 11
    assert stream.counts.received == 12 and stream.counts.dropped == 0
    assert all(abs(one.wall - time.time()) < 5 and one.image.shape == (64, 96, 3) for one in frames)


def test_a_file_that_loops_begins_again_as_a_stream_of_its_own(film: Path) -> None:
    stream = CameraStream(str(film), FPS, loop=True)
    stream.start()
    frames = collected(stream, 20)
    stream.stop()
    assert sum(one.restart for one in frames) >= 2
    steps = np.diff([one.seconds for one in frames])
    assert (steps > 0).all()


def test_at_most_so_many_frames_a_second(film: Path) -> None:
    stream = CameraStream(str(film), FPS / 2)
    stream.start()
    frames = collected(stream, 6)
    until(lambda: stream.state[0] is StreamState.ENDED)
    assert len(frames) == 6 and stream.counts.received == 12
    np.testing.assert_allclose(np.diff([one.seconds for one in frames]), 2 / FPS, atol=2e-3)
    assert stream.counts.dropped == 0  # the limit is no want of time


def test_who_does_not_take_frames_finds_the_newest(film: Path) -> None:
    stream = CameraStream(str(film), FPS)
    stream.start()
    until(lambda: stream.state[0] is StreamState.ENDED)
    counts = stream.counts
    assert stream.waiting == 2 and counts.dropped == counts.overflowed == 10 and counts.kept == 12
    first, last = stream.take(), stream.take()
    assert first is not None and last is not None and stream.take() is None
    assert last.seconds - first.seconds == pytest.approx(1 / FPS, abs=2e-3)
    assert first.restart  # what was dropped began the stream: what is left does not follow anything


def test_a_share_is_kept_evenly_and_the_rest_counts_as_dropped(tmp_path: Path) -> None:
    film = write_film(tmp_path / "long.avi", footage(30), fps=60.0)
    stream = CameraStream(str(film), 60.0)
    stream.give_share(1 / 3)
    stream.start()
    frames = collected(stream, 10)
    until(lambda: stream.state[0] is StreamState.ENDED)
    assert len(frames) == 10 and stream.counts.dropped == 20
    np.testing.assert_allclose(np.diff([one.seconds for one in frames]), 3 / 60, atol=2e-3)


def scripted(
    *runs: Exception | int,
) -> tuple[Callable[[str], Generator[Picture, None, None]], list[int]]:
    """An opener: each opening fails, or gives so many frames and is over."""
    opened: list[int] = []

    def opener(url: str) -> Generator[Picture, None, None]:
        run = runs[len(opened)] if len(opened) < len(runs) else 0
        opened.append(len(opened))
        if isinstance(run, Exception):
            raise run
        for n in range(run):
            yield Picture(n / 10, lambda: BLACK)

    return opener, opened


def test_what_is_said_of_a_camera_that_is_away_is_the_same_at_each_try() -> None:
    opener, _ = scripted(*[OSError(111, "Connection refused")] * 6)
    said: list[tuple[StreamState, str, float]] = []

    def wait(seconds: float) -> bool:
        said.append(stream.state)
        return len(said) == 6

    stream = CameraStream("rtsp://h/x", FPS, opener=opener, wait=wait)
    stream.start()
    until(lambda: len(said) == 6)
    ((state, detail, _),) = set(said)  # a new text would be news for whoever is told of states
    assert state is StreamState.DISCONNECTED and "Connection refused" in detail


def test_it_is_tried_again_ever_later_whatever_happens() -> None:
    errors: list[Exception | int] = [
        OSError(111, "Connection refused"),
        FrameError("has no video in it"),
        MemoryError(),
        RuntimeError("rtsp://me:s3cret@h/x is odd"),
        ZeroDivisionError("division by zero"),
    ]
    opener, opened = scripted(*errors, *errors)
    waits: list[float] = []
    states: list[tuple[StreamState, str]] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        states.append(stream.state[:2])
        return len(waits) == 10

    stream = CameraStream("rtsp://me:s3cret@h/x", 10.0, opener=opener, wait=wait)
    stream.start()
    until(lambda: len(waits) == 10)
    for number, seconds in enumerate(waits):
        longest = min(60.0, 2.0**number)
        assert longest / 2 <= seconds <= longest
    assert len(set(waits)) == 10  # not all at once
    assert all(state is StreamState.DISCONNECTED for state, _ in states)
    details = " ".join(detail for _, detail in states)
    for words in ("Connection refused", "has no video", "MemoryError", "is odd", "division"):
        assert words in details
    assert "s3cret" not in details and stream.name == "rtsp://h/x"
    assert len(opened) == 10 and stream.counts.reconnects == 9


def test_frames_behind_a_reconnection_do_not_follow_those_before() -> None:
    opener, _ = scripted(3, OSError("gone"), 3)
    stream = CameraStream("http://h/x", 1000.0, opener=opener, wait=lambda seconds: False)
    frames: list[LiveFrame] = []
    keep = stream._keep
    stream._keep = lambda frame: (frames.append(frame), keep(frame))[1]  # type: ignore[method-assign]
    stream.start()
    until(lambda: stream.counts.received >= 6)
    stream.stop()
    assert [one.restart for one in frames[:6]] == [True, False, False, True, False, False]


def test_stopping_does_not_wait_for_a_network_that_says_nothing() -> None:
    hanging = threading.Event()

    def opener(url: str) -> Generator[Picture, None, None]:
        hanging.wait(30)
        yield Picture(0.0, lambda: BLACK)

    stream = CameraStream("rtsp://h/x", 10.0, opener=opener)
    stream.start()
    began = time.monotonic()
    stream.stop(0.2)
    assert time.monotonic() - began < 5
    hanging.set()


@functools.cache
def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def serve(port: int) -> subprocess.Popen[bytes]:
    """Serve a made picture as MPEG-TS over HTTP, for one client."""
    picture = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25"]
    coding = ["-c:v", "mpeg2video", "-g", "5", "-f", "mpegts"]
    address = ["-listen", "1", f"http://127.0.0.1:{port}"]
    command = ["ffmpeg", "-loglevel", "error", "-re", *picture, *coding, *address]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@needs_ffmpeg
def test_a_served_stream_that_is_cut_and_comes_back() -> None:
    port = free_port()
    stream = CameraStream(
        f"http://127.0.0.1:{port}", 10.0, wait=lambda seconds: time.sleep(0.2) or False
    )
    server = serve(port)
    try:
        stream.start()
        frames = collected(stream, 8, 20)
        assert frames[-1].image.shape == (64, 96, 3) and stream.state[0] is StreamState.RUNNING
        server.kill()
        server.wait()
        until(lambda: stream.state[0] is StreamState.DISCONNECTED)
        server = serve(port)
        later = collected(stream, 8, 20)
        assert stream.state[0] is StreamState.RUNNING and stream.counts.reconnects >= 1
        assert sum(one.restart for one in later) == 1
        assert all(b.seconds > a.seconds for a, b in zip(later, later[1:]))
    finally:
        stream.stop()
        server.kill()
        server.wait()


def test_a_server_that_says_nothing_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_SECONDS", 0.5)
    monkeypatch.setattr(opening, "READ_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/video"
        with pytest.raises(FrameError, match=r"nothing came for 0\.5 s"):
            next(opening.open_pictures(url))
