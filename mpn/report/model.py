"""What a report shows, as plain data: videos with their scores, figures, pictures.

No torch, no files written.

Rows count from 0 through the scores of one video; `end` is exclusive; boxes are (top, left, height,
width) in pixels of the source. Scores are higher = more anomalous, NaN where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from mpn.evaluation.result import ProtocolMatrix
    from mpn.metrics import Curve
    from mpn.scoring.reliability import Promise

Box: TypeAlias = "tuple[int, int, int, int]"
NamedCurve: TypeAlias = "tuple[str, Curve] | tuple[str, Curve, float]"
Runs: TypeAlias = "list[tuple[int, int, int]]"


class EventRow(NamedTuple):
    """A stretch of rows above the threshold: `start` to `end` (exclusive), highest at row `peak`.

    Attributes:
        one_in: rarer than one in so many normal frames, None where unknown.
        beyond: higher than any normal frame that was seen, so that `one_in` is only a lower bound.
        box: where, at the peak.
        start_seconds, end_seconds: times in the video, None = counted from the rows.
        why: a sentence, "" where unknown.
        strangeness: by which moments of a recording that is judged by itself are ordered, None
            where a model judges.
        number: of the event in events.json, from 1; None where there is no such file.
        frame: of the peak, in the recording; None where there is no such file.
    """

    start: int
    end: int
    peak: int
    score: float
    one_in: float | None = None
    beyond: bool = False
    box: Box | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    why: str = ""
    strangeness: float | None = None
    number: int | None = None
    frame: int | None = None


class Teaching(NamedTuple):
    """What `mpn teach` takes.

    Attributes:
        camera: path of the camera file, None where the recording was scored without one.
        events: path of events.json.
    """

    camera: str | None
    events: str


@dataclass
class Film:
    """A video for the page: the picture above, its heat map (on black) below.

    Both are of the same size, in one video.

    Attributes:
        path: .webm (VP8).
        fps: of the film, constant.
        size: (height, width) of one picture; the video is twice as high.
        rows: which rows of the scores it shows, as runs (start, step, count), in order.
    """

    path: Path
    fps: float
    size: tuple[int, int]
    rows: Runs


@dataclass
class Trace:
    """One video and what was found in it.

    Attributes:
        scores: float64 (T,).
        fps: rows a second, None = unknown.
        first, step: row k is frame first + k * step.
        times: seconds (T,) of each row, where the rate varies.
        labels: rows [start, end) labelled anomalous, None = unknown.
        regions: (row, track, score, box) above the threshold, for drawing.
        size: (height, width) of the source.
    """

    name: str
    scores: np.ndarray
    fps: float | None = None
    first: int = 0
    step: int = 1
    times: np.ndarray | None = None
    threshold: float | None = None
    labels: list[tuple[int, int]] | None = None
    events: list[EventRow] = field(default_factory=list)
    regions: list[tuple[int, int, float, Box]] = field(default_factory=list)
    size: tuple[int, int] | None = None
    film: Film | None = None


@dataclass
class Picture:
    """A picture with words: `png` is a whole PNG file."""

    title: str
    caption: str
    png: bytes


@dataclass
class Inside:
    """The unit's insides for one row of a video.

    `why` says in a few words why this row was chosen.
    """

    video: str
    row: int
    why: str
    pictures: list[Picture]


class Highlight(NamedTuple):
    """A figure on top of the page: what it is, its value, and a few words below it."""

    label: str
    value: str
    detail: str = ""


@dataclass
class Table:
    """Figures as a table.

    `head` names the columns, the first of which names the rows; cells are text.
    """

    head: list[str]
    rows: list[list[str]]
    caption: str = ""


@dataclass
class Report:
    """Everything on the page; what is empty or None is left out of it.

    Attributes:
        kind: "evaluate" or "score".
        teaching: by what an event is taught; None where there are none of a job.
        by_itself: recordings are judged by themselves: the strangest moments come first.
        highlights: the figures on top, by default counts of what is in `traces`.
        facts: name and value (label file with counts and SHA-256, checkpoint, protocol, versions).
        notes: what a reader must know, shown on top.
        matrix: the protocol matrix.
        roc, precision_recall: name, curve and, as a third, the area to state in the legend (else
            the one under the curve's points).
        further: label and path, relative to the page, of other files of the results.
    """

    kind: str
    title: str
    highlights: list[Highlight] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    matrix: ProtocolMatrix | None = None
    roc: list[NamedCurve] = field(default_factory=list)
    precision_recall: list[NamedCurve] = field(default_factory=list)
    reliability: list[Promise] | None = None
    activations: list[Inside] = field(default_factory=list)
    further: list[tuple[str, str]] = field(default_factory=list)
    by_itself: bool = False
    teaching: Teaching | None = None
