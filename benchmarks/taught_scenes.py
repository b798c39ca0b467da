"""What `benchmarks.teach` looks at: every frame of the test clips of a scene, scored once.

The scene's camera is adapted by its normal clips, as `mpn adapt` does. Of each frame the scores and
the regions are kept, so that what a camera is taught can be tried many times without the network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import mpn
from benchmarks.reasons import FPS, read_tracks, touch
from mpn.jobs.examples import examples_in
from mpn.model.taught import Taught
from mpn.scoring.detector import Detector
from mpn.scoring.events import Event, events
from mpn.scoring.frame_batches import FrameScores
from mpn.scoring.judge import Judge
from mpn.scoring.memory import Memory
from mpn.scoring.protocols import exponential
from mpn.scoring.reasons import SeenMotion
from mpn.scoring.recognition import QUIET, Recogniser, Sight
from mpn.scoring.regions import Box, fit_costs
from mpn.video.sources import open_source

Tracks = dict[int, tuple[str, dict[int, Box]]]


class SeenFrame(NamedTuple):
    """A frame's scores and regions; no regions where it is too low to go quiet."""

    scores: FrameScores
    sights: list[Sight]


@dataclass(frozen=True)
class Watching(Recogniser):
    """Keeps what it is shown, and leaves it as it is."""

    frames: list[SeenFrame] = field(default_factory=list)

    def quieted(self, scores: FrameScores, image: np.ndarray, motion: SeenMotion) -> FrameScores:
        """Keep a frame."""
        stored, sights = replace(scores, maps={}, quotients=None), []  # never looked at again
        if self.raw(scores) > QUIET:
            stored, sights = scores, self.sights(self.grid(scores), image, motion)
        self.frames.append(SeenFrame(stored, sights))
        return scores

    def likeness(self, image: np.ndarray, motion: SeenMotion, grid: np.ndarray) -> None:
        """Know no name."""


@dataclass
class SeenClip:
    """A test clip: its frames from number `first` on, and the anomalies in it."""

    name: str
    frames: list[SeenFrame]
    first: int
    size: tuple[int, int]
    tracks: Tracks


class Found(NamedTuple):
    """An event, by the kind of the track that it peaks at; "" at none."""

    clip: str
    event: Event
    kind: str


@dataclass
class Scene:
    """A camera and its test clips.

    Attributes:
        name: of the scene.
        detector: of the camera, taught nothing.
        threshold: for the wanted false alarms an hour.
        clips: by name.
    """

    name: str
    detector: Detector
    threshold: float
    clips: dict[str, SeenClip]

    def scores(self, clip: SeenClip, taught: Sequence[Taught] = ()) -> np.ndarray:
        """Score a clip by what the camera was taught, float64 (T,), NaN for the first frames."""
        original = self.detector.recogniser
        recogniser = Recogniser(
            Memory(taught), original.weights, original.normal, original.patch, original.size
        )
        raw = np.full(clip.first + len(clip.frames), np.nan)
        for number, frame in enumerate(clip.frames, clip.first):
            scores = frame.scores
            if taught and frame.sights:
                scores = recogniser.without_normal(scores, clip.size, frame.sights)
            raw[number] = recogniser.raw(scores)
        return exponential(raw, self.detector.score_config.smoothing)

    def found(self, clip: SeenClip, scores: np.ndarray) -> list[Found]:
        """Find the events of a clip, and what each shows at its peak."""
        return [
            Found(clip.name, event, kind_at(clip, event.peak_frame))
            for event in events(scores, self.threshold, FPS)
        ]

    def teach(self, found: Found, name: str | None = None) -> Taught:
        """Make of an event what `mpn teach` makes of it."""
        event, clip = found.event, self.clips[found.clip]
        frames = [list(clip.frames[at - clip.first].sights) for at in range(event.start, event.end)]
        peak = event.peak_frame - event.start
        frames[peak] = frames[peak][:1]
        return Taught(name, clip.name, event.peak_frame, examples_in(frames, peak))


def kind_at(clip: SeenClip, frame: int) -> str:
    """Say which kind of anomaly a frame's highest region touches; "" for none."""
    sights = clip.frames[frame - clip.first].sights
    for kind, boxes in clip.tracks.values() if sights else ():
        if frame in boxes and touch(boxes[frame], sights[0].box):
            return kind
    return ""


def track_sights(clip: SeenClip, track: dict[int, Box]) -> list[tuple[int, list[Sight]]]:
    """List the regions that fit a track's box, (frame, [region]), where there is one."""
    regions = []
    for frame, box in sorted(track.items()):
        if not clip.first <= frame < clip.first + len(clip.frames):
            continue
        sights = clip.frames[frame - clip.first].sights
        boxes = np.array([sight.box for sight in sights], np.int64).reshape(-1, 4)
        if len(boxes):
            costs = fit_costs(np.array([box]), boxes)[0]
            if np.isfinite(costs).any():
                regions.append((frame, [sights[int(costs.argmin())]]))
    return regions


def see_scene(data: Path, scene: str, base: str, rate: float) -> Scene:
    """Adapt to a scene by its normal clips, and score its test clips once."""
    model = mpn.load(base, precision="float32")
    with tempfile.TemporaryDirectory() as folder:
        normal = Path(folder) / "training" / "frames"
        normal.mkdir(parents=True)
        for clip in sorted((data / "training" / "frames").glob(f"{scene}_*")):
            (normal / clip.name).symlink_to(clip.resolve())
        detector = model.adapt(normal, fps=FPS, network=True)
    calibration = detector.calibration(FPS)
    assert calibration is not None
    tracks = read_tracks(data / "testing" / "tracks.csv")
    result = Scene(scene, detector, calibration.threshold(rate).value, {})
    # Taught something, so that it looks.
    detector.checkpoint.taught = (Taught(None, "", 0, np.zeros((1, 1), np.float32)),)
    original, judge = detector.recogniser, detector.judge
    for clip in sorted((data / "testing" / "frames").glob(f"{scene}_*")):
        watching = Watching(
            Memory(detector.checkpoint.taught),
            original.weights,
            original.normal,
            original.patch,
            original.size,
        )
        detector.judge = Judge(watching, calibrated=True)
        results = list(detector.score(clip, fps=FPS))
        size = open_source(clip).size
        first = detector.config.window
        assert len(watching.frames) == len(results) - first
        result.clips[clip.name] = SeenClip(
            clip.name, watching.frames, first, size, tracks.get(clip.name, {})
        )
    detector.judge, detector.checkpoint.taught = judge, ()
    return result
