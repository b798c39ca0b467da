"""A stream's packets turned into frames: all of them, or as few as some frames need.

Decoding can begin anew at a picture that needs no other (a key frame), so groups of pictures of
which no frame is wanted are read past: what a stretch in the middle of a day costs does not depend
on what comes before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from mpn.video.packets import MAX_FAILED_READS, opened, packets_of


class NoKeyFrameError(Exception):
    """What the file calls a key frame is none, so that decoding cannot begin there."""


@dataclass(frozen=True)
class Needed:
    """What is decoded for some frames, and what comes of it.

    Attributes:
        packets: bool (packets,), those that are decoded.
        leading: bool (packets,), those whose frame refers to a group of pictures that is not.
        frames: bool (frames,), those that are whole then, or were lost in the file.
        begins: bool (frames,), those at which decoding begins anew.
    """

    packets: np.ndarray
    leading: np.ndarray
    frames: np.ndarray
    begins: np.ndarray


def packets_needed(keys: np.ndarray, index_of: np.ndarray, wanted: np.ndarray) -> Needed:
    """Find which packets have to be decoded for some of a stream's frames.

    Args:
        keys: bool (packets,), in the order of decoding: whether it needs no other.
        index_of: int64 (packets,), number of its frame, -1 for none.
        wanted: bool (frames,).
    """
    firsts = np.flatnonzero(keys)
    group = np.searchsorted(firsts, np.arange(len(keys)), side="right")  # 0: before the first
    shown = index_of >= 0
    # The frames of a group that are shown before its key frame refer to the group before as well.
    key_of = np.concatenate([[-1], index_of[firsts]])[group]
    leading = shown & (index_of < key_of)
    wanted_packets = shown & wanted[index_of]
    groups = np.zeros(len(firsts) + 1, bool)
    groups[group[wanted_packets]] = True
    groups[np.maximum(group[wanted_packets & leading] - 1, 0)] = True
    packets = groups[group]
    begins_group = groups & ~np.concatenate([[False], groups[:-1]])
    leading &= begins_group[group]
    whole = packets & shown & ~leading
    frames = wanted.copy()  # of what was lost before decoding only what is wanted
    frames[index_of[shown]] = False
    frames[index_of[whole]] = True
    begins = np.zeros(len(wanted), bool)
    starts = np.concatenate([[0], firsts])[begins_group]
    begins[index_of[starts[shown[starts]]]] = True
    return Needed(packets, leading, frames, begins)


def decoded(
    path: Path, failed: set[int], count: int, needed: Needed | None = None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode a stream: each frame with the number of its packet.

    Args:
        path: of the file.
        failed: packets that cannot be decoded are added to it.
        count: packets that it had when it was opened; what a recorder has added since is left out.
        needed: what is to be decoded; default: all.

    Raises:
        FrameError: it can no longer be read.
        NoKeyFrameError: decoding would have to begin anew at what is no key frame.
    """
    with opened(path) as (container, video):
        decoder, number = video.codec_context, -1
        sent: dict[int, deque[int]] = {}  # packets that wait for their frame, by their time
        gate = _Gate(needed)
        begun = True
        for number, packet in enumerate(islice(packets_of(container, video), count)):
            if needed is not None and not needed.packets[number]:
                if begun:
                    yield from gate.let_through(_held_back(decoder, sent, number))
                    gate.check()
                    decoder.flush_buffers()
                    sent.clear()
                begun = False
                continue
            if not begun:
                begun, gate.awaited = True, number
            # What an edit list leaves out gives none, and may have the time of what it shows.
            if packet.pts is not None and not packet.is_discard:
                sent.setdefault(packet.pts, deque()).append(number)
            try:
                frames = packet.decode()
            except FFmpegError:
                failed.add(number)
                continue
            yield from gate.let_through(_numbered(frames, sent, number))
        if begun:
            yield from gate.let_through(_held_back(decoder, sent, number))
            gate.check()


class _Gate:
    """Lets only whole frames through.

    Attributes:
        awaited: packet of the key frame that decoding has begun anew at, as long as its frame has
            not come, else -1.
    """

    def __init__(self, needed: Needed | None) -> None:
        self._needed, self.awaited = needed, -1

    def let_through(
        self, frames: Iterator[tuple[int, av.VideoFrame]]
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        for number, frame in frames:
            if self._needed is not None and self._needed.leading[number]:
                continue
            if self.awaited >= 0 and (number != self.awaited or not frame.key_frame):
                raise NoKeyFrameError
            self.awaited = -1
            yield number, frame

    def check(self) -> None:
        if self.awaited >= 0:
            raise NoKeyFrameError


def _held_back(
    decoder: av.VideoCodecContext, sent: dict[int, deque[int]], number: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Give the frames that the decoder holds back still."""
    for _ in range(MAX_FAILED_READS):
        try:
            frames = decoder.decode(None)
        except EOFError:
            return
        except FFmpegError:
            continue
        yield from _numbered(frames, sent, number)
        return


def _numbered(
    frames: list[av.VideoFrame], sent: dict[int, deque[int]], newest: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Give frames with the number of their packet: by their time, else the one that waits longest.

    The newest in streams without times.
    """
    for frame in frames:
        time = frame.pts if frame.pts in sent else next(iter(sent), None)
        if time is None:
            yield newest, frame
            continue
        yield sent[time].popleft(), frame
        if not sent[time]:
            del sent[time]
