"""A video file's stream, decoded by FFmpeg (PyAV) from start to end: frames, times, losses.

When a file is opened its packets are read once without being decoded, which costs little beside
decoding: their times say how many frames there are, when each is shown, and what was lost. What
FFmpeg 8 was seen to do with files that were made, and then damaged, for it:

- Every picture of a whole file has one packet, with its presentation time to the container's tick.
  Raw streams (.h264) have none. In .avi and .asf with B-frames the times are in the order of
  decoding; sorted, they are right.
- A packet that cannot be decoded raises, and gives no picture. What damage to the container
  swallows (.mkv, .ts) leaves a gap in the times.
- H.264 and MPEG-4 decoders paint over most damage; such a frame comes like any other, and nothing
  tells it.
- Pictures that an edit list leaves out come as packets that are marked.
- Only .mp4, .mov and .avi count the frames in their header.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from mpn.errors import FrameError
from mpn.video.decoding import Needed, NoKeyFrameError, decoded, packets_needed
from mpn.video.depth import SAMPLED, WHOLE_RANGE, Levels, is_deep, note_levels, range_of
from mpn.video.orientation import orientation_of
from mpn.video.packets import NOTHING_DECODED, Packets, read_packets
from mpn.video.timing import Timeline, frame_rate, timeline_of

# Headers may count a frame or two that no decoder gives back; more than that is a file cut short.
HEADER_SLACK = 2
PROBED_FRAMES = 32  # that are decoded when a file is opened
# A rate in the header that is further than this from the times is wrong.
RATE_TOLERANCE = 0.1
SQUARE = 0.02  # pixels that are wider or taller by less are taken for square
WIDEST_PIXEL = 4.0  # headers that say more, or its inverse, are wrong
# Formats whose duration stands in the header, and is not guessed from the size of the file.
HONEST_DURATIONS = ("matroska", "asf", "flv")
MAX_SILENT = 0.75  # frames a packet, of the first: fewer, and not every packet has a frame
LOST = "is lost: it cannot be decoded, or is missing from the stream"


@dataclass(frozen=True)
class FrameRead:
    """One frame of a stream in its turn.

    Attributes:
        index: in the stream, from 0, lost ones counted.
        time: seconds from the first frame, NaN if unknown.
        fault: why there is no picture, or None.
        picture: turns it into uint8 (H, W, 3) BGR, None where that fails.
        ended: there is no such frame, the stream is over too early.
        begins: frames before it were left out.
    """

    index: int
    time: float
    fault: str | None
    picture: Callable[[], np.ndarray | None]
    ended: bool = False
    begins: bool = False


def _no_picture() -> None:
    return None


class VideoStream:
    """A video file, its packets read and its first frames decoded.

    Attributes:
        size: (height, width) of the first frame as a player shows it: upright, pixels square.
        rate: frames/s or None; the one given, else that of the times, else the header's.
        length: frames, lost ones counted.
        times: float64 (length,), seconds from the first frame, NaN if unknown; never fall.
        header_length: frames by the header, None if it says nothing.
        levels: what is stretched to 8 bits, see `mpn.video.depth`; None for most.
        notes: a line for each thing that is odd or that the header says wrongly.
    """

    size: tuple[int, int]

    def __init__(self, path: Path, given: Fraction | None = None) -> None:
        """Open a file, read its packets and decode its first frames.

        Args:
            path: of the file.
            given: frames/s to take instead of what the file says.

        Raises:
            FrameError: it is no video, or empty.
        """
        self.path, self.given = path, given
        self.notes: list[str] = []
        self._reformatter = VideoReformatter()
        self.levels: Levels | None = None
        packets = read_packets(path)
        self.header_length = packets.count
        if packets.tracks > 1:
            self.notes.append(
                f"it holds {packets.tracks} video tracks; track {packets.track} is read"
            )
        first = self._probe(packets)
        self._place(packets, first)
        if self.levels is not None:
            self.levels = range_of(self._deep_pictures())
            note_levels(self.notes, self.levels, "what there is")
        self._cut_short = self._early_end(packets)

    @property
    def seconds(self) -> float:
        """Return how long it is, NaN if unknown."""
        return float(self.times[-1] + 1 / self.rate) if self.rate else math.nan

    # --- Opening

    def _probe(self, packets: Packets) -> int:
        """Decode the first frames; set the size, and whether packets are in the order of frames.

        Returns:
            The number of the packet that the first frame comes from.
        """
        numbers: list[int] = []
        failed: set[int] = set()
        # Before the first that needs no other some decoders give grey ones, others none.
        key = packets.keys.index(1) if packets.finds_keys and any(packets.keys) else 0
        for number, frame in decoded(self.path, failed, len(packets.shown)):
            if number < key:
                continue
            if not numbers:
                self._take_shape(frame, packets.pixel_aspect)
                self.levels = WHOLE_RANGE if is_deep(frame) else None
            numbers.append(number)
            if len(numbers) == PROBED_FRAMES:
                break
        if not numbers:
            raise FrameError(f"{self.path}: {NOTHING_DECODED}")
        looked_at = range(numbers[0], max(numbers) + 1)
        silent = sum(packets.shown[number] for number in looked_at) - len(failed & set(looked_at))
        if packets.stubs or len(numbers) < MAX_SILENT * silent:
            self._leave_out_silent(packets)
        # Not so in .mp4, whose times say in which order frames are shown; so where times are those
        # of decoding, or none.
        self._in_order = not bool((np.diff(packets.in_a_row()[numbers]) > 0).all())
        return numbers[0]

    def _leave_out_silent(self, packets: Packets) -> None:
        """Decode all, to learn which packets give no frame of their own, and leave these out.

        So it is in interlaced H.264 of camcorders, where each of the two fields of a frame has a
        packet, and in packed MPEG-4, which has placeholders.
        """
        failed: set[int] = set()
        count = len(packets.shown)
        with_frame = {number for number, _ in decoded(self.path, failed, count)} | failed
        for number in range(count):
            packets.shown[number] &= number in with_frame
        packets.stubs = False  # it is known now

    def _take_shape(self, frame: av.VideoFrame, pixel: Fraction | None) -> None:
        """Take the shape of the first frame and how it is shown: upright, its pixels square.

        Args:
            frame: as it is decoded.
            pixel: how many times wider than tall its pixels are, None if unknown.
        """
        self._coded = height, width = frame.height, frame.width
        self._shown = height, width
        if pixel and not 1 / WIDEST_PIXEL <= pixel <= WIDEST_PIXEL:
            self.notes.append(
                f"its header says pixels {float(pixel):.3g} times as wide as tall, which cannot "
                "be; they are taken for square"
            )
        elif pixel and abs(float(pixel) - 1) > SQUARE:
            # The shorter way is stretched, so that nothing is lost.
            wide = pixel > 1
            self._shown = (height, round(width * pixel)) if wide else (round(height / pixel), width)
            self.notes.append(
                f"its pixels are not square ({pixel.numerator}:{pixel.denominator}): "
                f"{width}x{height} are shown as {self._shown[1]}x{self._shown[0]}"
            )
        self._orientation = orientation_of(frame)
        if self._orientation.slanting:
            self.notes.append(
                "its header says that it is to be turned by something else than quarters; it is "
                "taken as it is stored"
            )
        transposed = self._orientation.transposed
        self.size = (self._shown[1], self._shown[0]) if transposed else self._shown

    def _place(self, packets: Packets, first: int) -> None:
        """Tell from the packets which frames there are, when, and which packet each one has.

        Args:
            packets: of the whole stream.
            first: number of the packet that the first frame comes from.
        """
        times = packets.in_a_row() if packets.has_times else np.full(len(packets.times), math.nan)
        self._keys = np.frombuffer(packets.keys, np.int8).astype(bool)
        self._numbers = numbers = self._counting(packets, times, first)
        timeline = timeline_of(np.sort(times[numbers]), packets.tick, packets.last)
        order = numbers
        if not self._in_order:
            order = numbers[np.argsort(times[numbers], kind="stable")]
        self._index_of = np.full(len(times), -1, np.int64)
        self._index_of[order] = timeline.recorded
        self.times, self.length = timeline.seconds, len(timeline.seconds)
        self.rate = self.given or self._choose_rate(packets, timeline)
        if self.rate and (self.given or self.length == 1):
            self.times = np.arange(self.length) * self.rate.denominator / self.rate.numerator

    def _counting(self, packets: Packets, times: np.ndarray, first: int) -> np.ndarray:
        """List the packets that count as frames, by number, int64.

        A stream that begins inside a group of pictures has some before the first that needs no
        other.
        """
        shown = np.frombuffer(packets.shown, np.int8).astype(bool)
        keys = np.flatnonzero(np.frombuffer(packets.keys, np.int8))
        numbers = np.arange(len(shown))
        headless = numbers < min(first, keys[0] if keys.size else first)
        if not self._in_order:
            headless = (headless | (numbers > first)) & (times < times[first])
        if count := int((headless & shown).sum()):
            self.notes.append(
                f"it begins inside a group of pictures: {count} before the first whole one cannot "
                "be decoded and do not count"
            )
        return np.flatnonzero(shown & ~headless)

    def _choose_rate(self, packets: Packets, timeline: Timeline) -> Fraction | None:
        """Choose between the rate of the times and the header's, and note where they differ."""
        if not packets.has_times:
            return None
        header = frame_rate(packets.rate)
        rate = timeline.rate if timeline.sure or header is None else header
        if rate is None:
            self.notes.append(
                f"its header says {float(packets.rate or 0):g} frames/s, which cannot be, and its "
                "times are no better"
            )
        elif timeline.sure and not timeline.steady:
            self.notes.append("its frame rate varies; times are those of the stream")
        elif timeline.longest_pause:
            self.notes.append(
                f"its times have a gap of {timeline.longest_pause:.1f} s, taken for a pause of the "
                "recorder"
            )
        # In .mp4 and .mov the header's is the mean of the times, pauses included.
        if rate and timeline.steady and not packets.edits and packets.rate:
            stated_rate = float(packets.rate)
            if abs(stated_rate / float(rate) - 1) > RATE_TOLERANCE:
                self.notes.append(
                    f"its header says {stated_rate:g} frames/s, its times {float(rate):.4g}, which "
                    "are believed"
                )
        return rate

    def _early_end(self, packets: Packets) -> str | None:
        """Say why the end is too early, or None; note a count in the header that is wrong."""
        counted, came = packets.count, len(packets.times)
        period = float(1 / self.rate) if self.rate else math.nan
        early = packets.end < packets.duration - HEADER_SLACK * period - 1e-6
        if counted is None:
            if not early or not any(kind in packets.format for kind in HONEST_DURATIONS):
                return None
            counted, came = round(packets.duration / period), self.length
        elif abs(counted - came) <= HEADER_SLACK:
            return None
        # The count of a .mp4 whose end an edit list leaves out is higher too.
        if came < counted and packets.edits and not early:
            return None
        self.notes.append(f"its header says {counted:,} frames, {self.length:,} came")
        if came > counted:
            return None
        return (
            f"is not there: the video is truncated or damaged, its header says {counted:,} frames "
            f"and {self.length:,} can be decoded"
        )

    # --- Reading

    def read_all(self, wanted: np.ndarray | None = None) -> Iterator[FrameRead]:
        """Give every frame in turn; its picture is to be taken before the next one.

        Ends with an `ended` one where the stream is shorter than its header says.

        Args:
            wanted: bool (length,): those that are needed; only they, and what has to be decoded for
                them, come then. Default: all.
        """
        index, needed, end = 0, None, self.length
        if wanted is not None:
            end = int(np.flatnonzero(wanted)[-1]) + 1 if wanted.any() else 0
            needed = None if self._in_order else packets_needed(self._keys, self._index_of, wanted)
        while index < end:
            try:
                for place, frame in self._placed(needed):
                    if place < index:
                        continue
                    yield from self._lost(index, min(place, end), needed)
                    if place >= end:
                        index = end
                        break
                    yield FrameRead(
                        place,
                        float(self.times[place]),
                        None,
                        lambda frame=frame: self._picture(frame),
                        begins=needed is not None and bool(needed.begins[place]),
                    )
                    index = place + 1
                yield from self._lost(index, end, needed)
                index = end
            except NoKeyFrameError:
                needed = None  # from the beginning, then
        if self._cut_short:
            yield FrameRead(self.length, self.seconds, self._cut_short, _no_picture, ended=True)

    def _lost(self, start: int, end: int, needed: Needed | None) -> Iterator[FrameRead]:
        for index in range(start, end):
            if needed is None or needed.frames[index]:
                yield FrameRead(index, float(self.times[index]), LOST, _no_picture)

    def _placed(self, needed: Needed | None = None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode the stream, or what is needed of it: each frame with its index."""
        failed: set[int] = set()
        left = iter(self._numbers.tolist())
        for number, frame in decoded(self.path, failed, len(self._index_of), needed):
            if self._in_order and number >= self._numbers[0]:
                # As the packets are, but for those that failed.
                number = next((candidate for candidate in left if candidate not in failed), -1)
            if number >= 0 and self._index_of[number] >= 0:
                yield int(self._index_of[number]), frame

    def _picture(self, frame: av.VideoFrame) -> np.ndarray | None:
        """Turn a decoded frame into uint8 (H, W, 3) BGR, None where that fails."""
        height, width = frame.height, frame.width
        if (height, width) == self._coded:
            height, width = self._shown
        form = "bgr24" if self.levels is None else "gray16le"
        try:
            converted = self._reformatter.reformat(
                frame, width, height, form, interpolation="BICUBIC"
            )
            picture = converted.to_ndarray()
        except (FFmpegError, ValueError, MemoryError):
            return None
        if self.levels is not None:
            picture = np.repeat(self.levels.stretch(picture)[:, :, None], 3, axis=2)
        return np.ascontiguousarray(self._orientation.apply(picture))

    def _deep_pictures(self) -> Iterator[np.ndarray]:
        """Decode all and give some of the pictures with all their bits, uint16 (H, W)."""
        every = max(1, self.length // SAMPLED)
        for number, (_, frame) in enumerate(self._placed()):
            if number % every == 0:
                yield self._reformatter.reformat(frame, format="gray16le").to_ndarray()
