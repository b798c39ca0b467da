"""Video files opened with FFmpeg (PyAV), and what their packets say before any is decoded."""

from __future__ import annotations

import contextlib
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.format import Flags as FormatFlags
from av.stream import Disposition

from mpn.errors import FrameError

MAX_FAILED_READS = 500  # in a row before the stream is over
RESTART = 1.0  # seconds that times fall where a stream begins anew, as in joined files
LARGE = 2**26  # bytes of a file whose packets are kept in mind
STUB = 1  # bytes of a packet that holds nothing
LEADERS = 32  # packets within which a stream has its earliest picture
# What a file may open besides itself: nothing. Playlists would name other files and hosts.
NO_OTHER_FILES = {"protocol_whitelist": "data"}
NOTHING_DECODED = "not one frame can be decoded; expected a whole video file"


@dataclass
class Packets:
    """What the header of a file and the packets of its video say; packets in order of decoding.

    Attributes:
        format: FFmpeg's name of the container.
        has_times: they are the file's own; raw streams have none.
        rate: frames/s by the header, which for .mp4 and .mov is the mean; None if it says nothing.
        count: frames by the header, None if it says nothing.
        duration: seconds by the header, NaN if it says nothing.
        tick: seconds that times are rounded to.
        pixel_aspect: how many times wider than tall a pixel is, None if the header says nothing.
        track: which of the `tracks` that hold video this is, from 1.
        tracks: how many there are.
        times: when each packet's picture is shown, seconds; NaN if unknown.
        order: when each is decoded, seconds; NaN if unknown.
        shown: whether it becomes a picture; not where an edit list leaves it out, for instance.
        keys: whether it needs no other.
        stubs: some hold nothing, such as the placeholders of packed MPEG-4 (DivX, Xvid in .avi);
            only the decoder knows which of them have a picture.
        last: seconds that the last one is shown, NaN if unknown.
        end: of all tracks of the file, seconds.
    """

    format: str
    has_times: bool
    rate: Fraction | None
    count: int | None
    duration: float
    tick: float
    pixel_aspect: Fraction | None
    track: int
    tracks: int
    times: array = field(default_factory=lambda: array("d"))
    order: array = field(default_factory=lambda: array("d"))
    shown: array = field(default_factory=lambda: array("b"))
    keys: array = field(default_factory=lambda: array("b"))
    stubs: bool = False
    last: float = math.nan
    end: float = -math.inf

    @property
    def finds_keys(self) -> bool:
        """Say whether `keys` come from the stream itself, not from what a writer of files says."""
        return not self.has_times or self.format in ("mpegts", "mpeg", "dhav")

    @property
    def edits(self) -> bool:
        """Say whether it may have edit lists, which leave frames out that the header counts."""
        return "mov" in self.format

    def take(self, packet: av.Packet, video: av.VideoStream) -> None:
        """Take the next packet of the file.

        Args:
            packet: of any of its tracks.
            video: the track that is wanted.
        """
        tick = float(packet.time_base or 0)
        time = packet.dts if packet.pts is None else packet.pts
        seconds = math.nan if time is None else time * tick
        duration = (packet.duration or 0) * tick
        if not math.isnan(seconds):
            self.end = max(self.end, seconds + duration)
        if packet.stream_index != video.index:
            return
        # VP8 has pictures that are only there to be referred to.
        hidden = video.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10
        # What an edit list leaves out may have the time of what it shows, or go back in time.
        left_out = packet.is_discard
        self.times.append(math.nan if left_out else seconds)
        self.order.append(
            math.nan if left_out else seconds if packet.dts is None else packet.dts * tick
        )
        self.shown.append(not packet.is_discard and not hidden)
        self.keys.append(packet.is_keyframe)
        self.stubs |= packet.size <= STUB
        self.last = duration or math.nan

    def in_a_row(self) -> np.ndarray:
        """Return the times, float64, those of joined files one after the other.

        Where recordings are joined as they are (.ts, .mpg) times begin anew with each.
        """
        times, order = np.array(self.times), np.array(self.order)
        timed = np.isfinite(times)
        if not timed.any():
            return times
        numbers = np.arange(len(times))
        times = np.where(timed, times, np.interp(numbers, numbers[timed], times[timed]))
        order = np.where(np.isfinite(order), order, times)
        steps = np.diff(order)
        period = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        for start in (np.flatnonzero(steps < -RESTART) + 1).tolist():
            earliest = times[start : start + LEADERS].min()
            times[start:] += times[:start].max() + period - earliest
        return times


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """Open a video file and choose the track that a player shows.

    Args:
        path: of the file.

    Yields:
        The container and the track, ready to be decoded.

    Raises:
        FrameError: it is no video, or FFmpeg cannot decode it.
    """
    with contextlib.ExitStack() as stack:
        try:
            # A file object: FFmpeg would take "12:30.mp4" for a protocol, and needs UTF-8 names.
            file = stack.enter_context(path.open("rb"))
            container = av.open(file, "r", options=NO_OTHER_FILES, metadata_errors="replace")
            stack.enter_context(container)
        except (FFmpegError, OSError, ValueError) as error:
            raise _no_video(path) from error
        if container.format.name == "tty":  # FFmpeg draws text as a terminal would
            raise _no_video(path)
        tracks = _tracks(container)
        if not tracks:
            kinds = sorted({stream.type for stream in container.streams})
            only = f", only {' and '.join(kinds)}" if kinds else ", and no other"
            # What the index of a .mp4 says of a track stands at its end.
            cut = "; it is cut short or still being written" if kinds == ["data"] else ""
            raise FrameError(f"{path}: holds no video track{only}{cut}; expected a video")
        best = container.streams.best("video")
        video = next((track for track in tracks if track is best), tracks[0])
        if video.codec_context is None:
            raise FrameError(f"{path}: FFmpeg does not know how its video is coded; try H.264 .mp4")
        # Not by frames: a damaged one would take others with it, how many by the number of cores.
        video.codec_context.thread_type = "SLICE"
        yield container, video


def _tracks(container: InputContainer) -> list[av.VideoStream]:
    """List the tracks with video: not the cover of a sound recording."""
    return [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]


def _no_video(path: Path) -> FrameError:
    return FrameError(
        f"{path}: is no video that FFmpeg can decode ({_kind(path)}); expected a whole video "
        "file, try converting it to H.264 .mp4"
    )


def _kind(path: Path) -> str:
    """Describe what a file's beginning looks like, for the error message."""
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except OSError as error:
        return f"it cannot be opened: {error.strerror}"
    size = f"{path.stat().st_size:,} bytes"
    if all(32 <= byte < 127 or byte in (9, 10, 13) for byte in start):
        return f"{size} of text"
    return f"{size}; a file cut short, or of an unknown format"


def packets_of(container: InputContainer, *streams: av.VideoStream) -> Iterator[av.Packet]:
    """Read packets, past what cannot be read.

    Args:
        container: an open file.
        *streams: whose packets are wanted; default: all.

    Yields:
        Packets that are not empty, in the order of the file.
    """
    failed = 0
    while failed < MAX_FAILED_READS:
        try:
            for packet in container.demux(*streams):
                if packet.size:  # else a sign of the end
                    failed = 0
                    yield packet
            return
        except IndexError:
            return  # PyAV at the end of a file in which another track has turned up on the way
        except (FFmpegError, OSError):
            failed += 1


def read_packets(path: Path) -> Packets:
    """Read header and packets of a video file from start to end, without decoding them.

    Args:
        path: of the file. A large one that has not changed is not read again at once: for a day of
            video it takes half a minute.

    Raises:
        FrameError: it is no video, or empty.
    """
    state = path.stat()
    if state.st_size == 0:
        raise FrameError(f"{path}: is empty (0 bytes); expected a video file")
    if state.st_size < LARGE:
        return _read_packets(path)
    return _known_packets(path, (state.st_size, state.st_mtime_ns, state.st_ino))


@lru_cache(maxsize=2)
def _known_packets(path: Path, stamp: tuple[int, ...]) -> Packets:
    return _read_packets(path)


def _read_packets(path: Path) -> Packets:
    with opened(path) as (container, video):
        tracks = _tracks(container)
        packets = Packets(
            format=container.format.name,
            has_times=not container.format.flags & FormatFlags.no_timestamps.value,
            rate=video.average_rate,
            count=video.frames or None,
            duration=container.duration / av.time_base if container.duration else math.nan,
            tick=float(video.time_base or 0),
            pixel_aspect=video.sample_aspect_ratio or None,
            track=tracks.index(video) + 1,
            tracks=len(tracks),
        )
        is_cut = False
        for packet in packets_of(container):
            packets.take(packet, video)
            if packet.stream_index == video.index:
                is_cut = packet.is_corrupt
    if is_cut:  # the file ends within the last one: its picture would be half grey
        packets.shown[-1] = False
    if not any(packets.shown):
        raise FrameError(f"{path}: {NOTHING_DECODED}")
    return packets
