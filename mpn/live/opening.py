"""Streams of cameras opened with FFmpeg (PyAV), and their pictures as they come."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.video.reformatter import VideoReformatter

from mpn.errors import DataError, FrameError
from mpn.live.address import SCHEME, is_device, is_file
from mpn.video.orientation import orientation_of
from mpn.video.packets import opened
from mpn.video.paths import is_readable_kind
from mpn.video.stream import SQUARE, WIDEST_PIXEL

OPEN_SECONDS, READ_SECONDS = 10.0, 10.0  # without an answer; then it is opened again
MAX_FAILED = 100  # packets in a row that cannot be decoded
LARGEST = 8192 * 8192  # pixels; what says more is broken
# A playlist or a redirection names further addresses; these protocols alone are followed.
PROTOCOLS = "http,https,tls,tcp,udp,rtp,rtsp,srtp,rtmp,rtmps,httpproxy,crypto,data"
LOW_LATENCY = {"fflags": "nobuffer", "flags": "low_delay", "protocol_whitelist": PROTOCOLS}


@dataclass(frozen=True)
class Picture:
    """A frame as it comes.

    Attributes:
        seconds: when it was taken, by the stream; NaN if unknown.
        image: turns it into uint8 (H, W, 3) BGR, None where that fails; before the next one.
        paced: it comes before its time, and waits for it: a file, or HLS, which comes in pieces.
    """

    seconds: float
    image: Callable[[], np.ndarray | None]
    paced: bool = False


def open_pictures(url: str) -> Generator[Picture, None, None]:
    """Give the pictures of a stream as they come, to its end.

    Args:
        url: of the camera, see `mpn.live.address`.

    Raises:
        MpnError: there is no video in it.
        OSError: it cannot be opened, or nothing came for too long (PyAV's errors are such).
    """
    try:
        with _opened(url) as (container, video, paced):
            video.thread_count = 1  # frames would wait for the other threads
            yield from _pictures(container, video, paced)
    except ExitError as error:  # so FFmpeg says that the time is over
        raise FrameError(f"nothing came for {READ_SECONDS:g} s") from error


@contextlib.contextmanager
def _opened(url: str) -> Iterator[tuple[InputContainer, Any, bool]]:
    if is_file(url):
        path = Path(url)
        if not is_readable_kind(path):
            raise DataError(f"{path}: is no regular file")
        with opened(path) as (container, video):
            yield container, video, True
        return
    options, form = dict(LOW_LATENCY), None
    if is_device(url):
        options, form = {"fflags": "nobuffer"}, "v4l2"
    elif (SCHEME.match(url) or [""])[0].lower().startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    with av.open(
        url, format=form, options=options, timeout=(OPEN_SECONDS, READ_SECONDS)
    ) as container:
        video = container.streams.best("video")
        if video is None:
            raise FrameError("has no video in it")
        yield container, video, "hls" in container.format.name


def _pictures(container: InputContainer, video: Any, paced: bool) -> Iterator[Picture]:
    shape, failed, number = _Shape(video.sample_aspect_ratio), 0, 0
    rate = video.average_rate or video.guessed_rate
    begin: float | None = None
    for packet in container.demux(video):
        try:
            frames = packet.decode()
            failed = 0
        except FFmpegError as error:
            failed += 1
            if failed > MAX_FAILED:
                raise FrameError(f"{failed} packets in a row cannot be decoded") from error
            continue
        for frame in frames:
            if frame.is_corrupt:
                continue
            seconds = math.nan if frame.time is None else float(frame.time)
            if math.isnan(seconds) and paced:
                seconds = float(number / (rate or 25))
            if paced and begin is None:
                begin = seconds
            number += 1
            yield Picture(seconds, lambda frame=frame: shape.picture(frame), paced)


class _Shape:
    """Turns frames into pictures as a player shows them: upright, pixels square.

    Args:
        pixel: how many times wider than tall a pixel is, by the header.
    """

    def __init__(self, pixel: Fraction | None) -> None:
        plausible = pixel and 1 / WIDEST_PIXEL <= pixel <= WIDEST_PIXEL
        self._pixel = pixel if plausible and abs(float(pixel or 1) - 1) > SQUARE else None
        self._reformatter = VideoReformatter()

    def picture(self, frame: av.VideoFrame) -> np.ndarray | None:
        """Return a frame as uint8 (H, W, 3) BGR, None where that fails."""
        height, width = frame.height, frame.width
        if not 0 < height * width <= LARGEST:
            return None
        if self._pixel is not None:  # the shorter way is stretched, so that nothing is lost
            wide = self._pixel > 1
            width = round(width * self._pixel) if wide else width
            height = height if wide else round(height / self._pixel)
        try:
            converted = self._reformatter.reformat(
                frame, width, height, "bgr24", interpolation="BICUBIC"
            )
            return np.ascontiguousarray(orientation_of(frame).apply(converted.to_ndarray()))
        except (FFmpegError, ValueError, MemoryError):
            return None
