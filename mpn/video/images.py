"""Picture files as frames: read whole or with a word on why not, turned grey, resized."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from mpn.errors import FrameError, SizeError
from mpn.video.depth import FULL, SAMPLED, WHOLE_RANGE, Levels, range_of
from mpn.video.opencv import opencv_log_off
from mpn.video.paths import is_readable_kind


def _cut_short(data: bytes) -> bool:
    """Say whether a JPEG or PNG lacks its end marker.

    Decoders may give back such a picture half grey.
    """
    if data.startswith(b"\x89PNG"):
        return b"IEND\xaeB`\x82" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2  # walk the header segments, so that an embedded thumbnail's end marker does not count
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:  # start of scan: inside it 0xFF is always escaped
            return data.find(b"\xff\xd9", at) < 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if data[at + 1] != 0xFF else 1
    return True


def _to_8_bit(data: bytes, levels: Levels | None) -> np.ndarray | None:
    """Decode a picture to 8 bits, None where OpenCV cannot.

    Deep ones by `levels`, where these are given, else by their whole range: as IMREAD_COLOR, but
    that refuses packed 10 and 12 bits (.tif) and looks at no highest value that a file names.
    """
    header = _highest_value(data)
    if levels is None and header in (None, 255, FULL):
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if frame is not None:
            return frame
    deep = _to_16_bit(data)
    return deep if deep is None or deep.dtype == np.uint8 else (levels or WHOLE_RANGE).stretch(deep)


def _to_16_bit(data: bytes) -> np.ndarray | None:
    """Decode a picture to (H, W, 3), uint16 over their whole range, or uint8 where it has no more.

    None where OpenCV cannot.
    """
    buffer = np.frombuffer(data, np.uint8)
    deep = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if deep is None or deep.dtype not in (np.uint8, np.uint16, np.int16):
        return None
    if deep.dtype == np.int16:  # degrees below zero; only where they lie in the range matters
        return (deep.astype(np.int32) + 2**15).astype(np.uint16)
    highest, whole = _highest_value(data), np.iinfo(deep.dtype).max
    if highest in (None, whole):
        return np.asarray(deep)
    return np.minimum(deep.astype(np.float32) * (whole / highest), whole).round().astype(deep.dtype)


def _highest_value(data: bytes) -> int | None:
    """Return the highest value that a .pgm or .ppm says its numbers have, None for others."""
    header = re.match(rb"P[56]\s(?:\s*#.*\n)*\s*\d+\s+\d+\s+(\d+)\s", data)
    return int(header[1]) or None if header else None


def decode_image(path: Path, levels: Levels | None = None) -> np.ndarray:
    """Read a picture.

    Args:
        path: of the file.
        levels: what of a picture with more than 8 bits is stretched to these; default: all.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        ValueError: it cannot be read; the message is the bare reason, to follow the file's name.
    """
    return _decoded(path, lambda data: _to_8_bit(data, levels))


def levels_of(files: Sequence[Path]) -> Levels | None:
    """Find the range that pictures of more than 8 bits use, of a folder that has such.

    Args:
        files: of its frames.

    Returns:
        None where the first that can be read has 8 bits.
    """
    deep = _deep_pictures(files[:: max(1, len(files) // SAMPLED)])
    first = next(deep, None)
    return None if first is None else range_of(itertools.chain([first], deep))


def _deep_pictures(files: Sequence[Path]) -> Iterator[np.ndarray]:
    """Give the pictures that can be read with all their bits; none if the first has only 8."""
    for file in files:
        with contextlib.suppress(ValueError):  # told in its turn
            picture = _decoded(file, _to_16_bit)
            if picture.dtype == np.uint8:
                return
            yield picture


def decode_full_depth(path: Path) -> np.ndarray:
    """Read a picture as it is stored, for label images: nothing is cut off or weighed.

    Args:
        path: of the file.

    Returns:
        (H, W) or (H, W, C) of the file's own type; with C = 4 the last channel is alpha.

    Raises:
        ValueError: see `decode_image`.
    """
    return _decoded(
        path, lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    )


def _decoded(path: Path, decode: Callable[[bytes], np.ndarray | None]) -> np.ndarray:
    """Read a picture whole; ValueError with the bare reason where that is not possible."""
    if not is_readable_kind(path):  # a FIFO would be waited for, for ever
        raise ValueError("is no regular file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be opened ({error.strerror})") from error
    if not data:
        raise ValueError("is empty (0 bytes)")
    if _cut_short(data):
        raise ValueError(f"is cut short ({len(data):,} bytes, no end marker)")
    try:
        with opencv_log_off():
            frame = decode(data)
    except cv2.error as error:
        raise ValueError(f"is no picture that OpenCV can read ({error.err})") from error
    if frame is None:
        raise ValueError(
            f"is no picture that OpenCV can read, or a damaged one ({len(data):,} bytes)"
        )
    return frame


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture of any of `IMAGE_SUFFIXES`.

    Args:
        path: of the file.

    Returns:
        uint8 (H, W, 3), BGR; grey ones have equal channels.

    Raises:
        FrameError: the file is missing, empty, cut short or no picture; it is named.
    """
    try:
        return decode_image(Path(path))
    except ValueError as error:
        raise FrameError(f"{path}: {error}; expected a whole picture file") from error


def check_side(path: Path, size: tuple[int, int], min_side: int) -> None:
    """Check that frames are as large as a network needs.

    Args:
        path: of the footage, for the error.
        size: (height, width) of its frames.
        min_side: pixels that height and width must have.

    Raises:
        SizeError: they are smaller.
    """
    if min(size) < min_side:
        raise SizeError(
            f"{path}: frames of {size[0]}x{size[1]} (height x width) are smaller than the network "
            f"needs, {min_side}x{min_side} at the least"
        )


# By the names that a model's configuration has.
INTERPOLATIONS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}


def fit_frame(
    frame: np.ndarray,
    size: tuple[int, int] | None = None,
    grey: bool = False,
    interpolation: str = "area",
) -> np.ndarray:
    """Bring a frame to the colour and size that a model takes.

    It is turned grey first if asked (ITU-R BT.601 weights, as OpenCV), then resized once.

    Args:
        frame: uint8 (H, W, 3) BGR or (H, W, 1).
        size: (height, width), None to keep.
        grey: one channel.
        interpolation: one of `INTERPOLATIONS`; "linear" skips pixels of frames that are more than
            twice as large.

    Returns:
        uint8 (h, w, C), C = 1 if `grey`, else the channels that came in.
    """
    if grey and frame.shape[2] == 3:
        frame = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[:, :, None]
    if size is not None and frame.shape[:2] != tuple(size):
        channels = frame.shape[2]
        frame = cv2.resize(frame, (size[1], size[0]), interpolation=INTERPOLATIONS[interpolation])
        frame = frame.reshape(size[0], size[1], channels)  # OpenCV drops a single channel
    return frame
