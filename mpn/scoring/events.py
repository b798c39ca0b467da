"""Events, the stretches of frames above a threshold (PROTOCOL section 2).

They come as a list or one by one as frames arrive. Frame numbers count from 0 and are whole; `end`
is exclusive; seconds are frame / fps. Scores are higher = more anomalous; NaN is not above
anything. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from mpn.errors import DataError
from mpn.scoring.memory import Likeness
from mpn.scoring.reasons import Reason

GAP_SECONDS = 1.0  # shorter gaps are closed
MIN_EVENT_FRAMES = 3  # shorter events are dropped
JUST = 1e-5  # seconds; times are rounded


@dataclass(frozen=True)
class Event:
    """Frames above a threshold, gaps closed; where it peaked, and how high.

    Attributes:
        start: the first frame.
        end: the frame after the last (exclusive).
        start_seconds: start / fps.
        end_seconds: end / fps, so that the difference of the two is the duration.
        peak_frame: the frame that shows it best: whose own score, before smoothing, is highest.
            The smoothed one is highest later, when what was seen may be gone from there.
        peak_score: the highest score, smoothed.
        region: whatever the scorer gave for the peak frame, (top, left, height, width) in pixels,
            or None.
        reason: why, at the peak frame, or None where the scorer gave none.
        like: the name that its frames come nearest to of those that the camera was taught, or
            None. More names are right so than at the peak alone (benchmarks/results/teach.md).
        peak_raw: the peak frame's own score; None where it is not known.
    """

    start: int
    end: int
    start_seconds: float
    end_seconds: float
    peak_frame: int
    peak_score: float
    region: tuple[int, ...] | None = None
    reason: Reason | None = None
    like: Likeness | None = None
    peak_raw: float | None = None

    @property
    def frames(self) -> int:
        """Return the length in frames, closed gaps included."""
        return self.end - self.start

    @property
    def seconds(self) -> float:
        """Return the length in seconds, closed gaps included."""
        return self.end_seconds - self.start_seconds

    def to_dict(self) -> dict[str, Any]:
        """Give plain numbers and lists, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["region"] = None if self.region is None else list(self.region)
        values["reason"] = None if self.reason is None else self.reason.to_dict()
        values["like"] = None if self.like is None else self.like._asdict()
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Event:
        """Read what `to_dict` gave, of this version or of an earlier one.

        Further entries are left out.

        Args:
            values: name -> value.
        """
        values = {"reason": None, "like": None, "peak_raw": None, **values}
        entries: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        if entries["region"] is not None:
            entries["region"] = tuple(entries["region"])
        if entries["reason"] is not None:
            entries["reason"] = Reason.from_dict(entries["reason"])
        if entries["like"] is not None:
            entries["like"] = Likeness(entries["like"]["name"], entries["like"]["distance"])
        return cls(**entries)


class EventFinder:
    """Finds events while frames arrive; what it keeps does not grow with the stream.

    A frame is above when score > threshold. A gap of less than gap_seconds is closed, so an event
    is known to be over only that much later. Where frames come with their times the gap is measured
    by these (a pause of the recorder is one), else by gap_seconds * fps frames.

    Args:
        threshold: what the scores of an event are above.
        fps: frames per second; where only every `step`-th frame is scored, the rate of those.
        gap_seconds: shorter gaps are closed.
        hold_seconds: the same, once an event is long enough not to be dropped; None for
            gap_seconds.
        min_frames: shorter events are dropped; scored frames.
        step: only every so many frames of a video are scored; a frame stands for the `step` from it
            on.

    Raises:
        DataError: an unknown frame rate.
    """

    def __init__(
        self,
        threshold: float,
        fps: float | Fraction,
        *,
        gap_seconds: float = GAP_SECONDS,
        hold_seconds: float | None = None,
        min_frames: int = MIN_EVENT_FRAMES,
        step: int = 1,
    ) -> None:
        self.threshold = float(threshold)
        self.fps = checked_rate(fps)
        hold_seconds = gap_seconds if hold_seconds is None else hold_seconds
        self.gap, self.hold = (
            gap_frames(self.fps, seconds) for seconds in (gap_seconds, hold_seconds)
        )
        self.min_frames = min_frames * step
        self.step = step
        self.open: Event | None = None  # what may still become longer
        self._next = 0

    def update(
        self,
        frame: int,
        score: float,
        region: Sequence[int] | None = None,
        seconds: float | None = None,
        reason: Reason | None = None,
        like: Likeness | None = None,
        *,
        raw: float | None = None,
    ) -> list[Event]:
        """Take the next frame and return the events that are now over.

        Args:
            frame: its number; numbers rise, left-out frames count as not above.
            score: of the frame; NaN is not above.
            region: its place, (top, left, height, width) in pixels, where known.
            seconds: the frame's time, where it is not frame / (fps * step), as in videos of a
                varying frame rate.
            reason: why it stands out, where known; an event keeps that of its peak.
            like: what it is like, where known; an event keeps the nearest.
            raw: the score before smoothing; None for the same.

        Raises:
            DataError: a frame number that does not rise.
        """
        if frame < self._next:
            raise DataError(f"frame {frame} after frame {self._next - 1}: frame numbers must rise")
        self._next = frame + 1
        finished = []
        is_above = score > self.threshold
        if self.open is not None and self._is_over(self.open, frame, is_above, seconds):
            finished = self.finish()
        if is_above:
            place = None if region is None else tuple(int(x) for x in region)
            unsmoothed = float(score if raw is None else raw)
            peak = {"peak_frame": frame, "peak_raw": unsmoothed, "region": place, "reason": reason}
            self._extend(frame, float(score), seconds, peak)
            self._note_likeness(like)
        elif self.open and seconds is not None and seconds < self.open.end_seconds - JUST:
            # The last frame above was shown until this one only: the rate is higher here.
            self.open = replace(self.open, end_seconds=seconds)
        return finished

    def _is_over(self, event: Event, frame: int, is_above: bool, seconds: float | None) -> bool:
        """Say whether the gap behind an event is too long to be closed, at a frame."""
        gap = self.hold if event.frames >= self.min_frames else self.gap
        if seconds is None or math.isnan(seconds):
            return frame - event.end + self.step * (not is_above) >= gap * self.step
        return seconds - event.end_seconds >= float(gap / self.fps) - JUST

    def finish(self) -> list[Event]:
        """Return the event still open, if it is long enough, and be ready for what follows."""
        event, self.open = self.open, None
        return [event] if event is not None and event.frames >= self.min_frames else []

    def _extend(
        self,
        frame: int,
        score: float,
        seconds: float | None,
        at_peak: dict[str, Any],
    ) -> None:
        """Make the open event longer by a frame, or open one; it keeps what its peak shows."""
        # Exact where the rate is all there is: frame / fps, not the frame before's time and a
        # rounded interval.
        times = [Fraction(at, self.step) / self.fps for at in (frame, frame + self.step)]
        if seconds is not None and not math.isnan(seconds):
            times = [seconds, round(seconds + float(1 / self.fps), 6)]  # not 3.3000000000000003
        end, end_seconds = frame + self.step, float(times[1])
        if self.open is None:
            begin = float(times[0])
            self.open = Event(frame, end, begin, end_seconds, peak_score=score, **at_peak)
            return
        event = self.open
        highest = event.peak_score if event.peak_raw is None else event.peak_raw
        self.open = replace(
            event,
            end=end,
            end_seconds=end_seconds,
            peak_score=max(event.peak_score, score),
            **(at_peak if at_peak["peak_raw"] > highest else {}),
        )

    def _note_likeness(self, like: Likeness | None) -> None:
        """Keep what a frame of the open event is like, if none before came as near to a name."""
        event = self.open
        if event and like and (event.like is None or like.distance < event.like.distance):
            self.open = replace(event, like=like)


def events(
    scores: np.ndarray,
    threshold: float,
    fps: float | Fraction,
    *,
    gap_seconds: float = GAP_SECONDS,
    min_frames: int = MIN_EVENT_FRAMES,
    regions: Sequence[Sequence[int] | None] | None = None,
    reasons: Sequence[Reason | None] | None = None,
    raw: Sequence[float] | None = None,
) -> list[Event]:
    """Find all events of one video, in order.

    The same as `EventFinder` frame by frame.

    Args:
        scores: (T,).
        threshold: see `EventFinder`.
        fps: frames per second.
        gap_seconds: shorter gaps are closed.
        min_frames: shorter events are dropped.
        regions: one a frame, or None.
        reasons: likewise.
        raw: scores before smoothing, or None for the same.

    Raises:
        DataError: an unknown frame rate, or something of another length than the scores.
    """
    values = np.asarray(scores, dtype=np.float64).tolist()
    for name, entries in (("regions", regions), ("reasons", reasons), ("raw scores", raw)):
        if entries is not None and len(entries) != len(values):
            raise DataError(f"{len(values)} scores but {len(entries)} {name}")
    finder = EventFinder(threshold, fps, gap_seconds=gap_seconds, min_frames=min_frames)
    finished = []
    for frame, score in enumerate(values):
        finished += finder.update(
            frame,
            score,
            None if regions is None else regions[frame],
            reason=None if reasons is None else reasons[frame],
            raw=None if raw is None else raw[frame],
        )
    return finished + finder.finish()


def checked_rate(fps: float | Fraction | None) -> Fraction:
    """Return frames per second as an exact fraction.

    Args:
        fps: None where unknown.

    Raises:
        DataError: it is unknown or not above 0.
    """
    if fps is None or not math.isfinite(fps) or not fps > 0:
        raise DataError(f"frame rate {fps}: times need frames per second above 0; state it (--fps)")
    return Fraction(fps)


def gap_frames(fps: Fraction, gap_seconds: float = GAP_SECONDS) -> int:
    """Return the shortest gap, in frames, that is not closed.

    Args:
        fps: frames per second.
        gap_seconds: the gap is at least so long, and at least one frame.
    """
    return max(1, math.ceil(Fraction(gap_seconds) * fps))
