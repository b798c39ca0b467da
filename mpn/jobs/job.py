"""Scoring as a job: a source becomes a folder of results that grows, and can be gone on with.

- scores.csv: a row a frame.
- NAME_regions.csv: a row for every place that stands out, with its track; NAME is the source's.
- events.json: the events so far and the tracks in each, the threshold, what was wrong with the
  source; `complete` once it is.
- state.json: to go on from: what was asked for, and where the last whole batch of the network
  ended.
- heat.bin: if wanted, small heat maps for a report, see `mpn.scoring.heat_file`.
- overlay.webm, event-NNN.webm: if wanted, see `mpn.video.overlay` and `mpn.jobs.event_clips`.

A job that was stopped - by Ctrl-C, SIGTERM, SIGKILL or a full disk - and is started again with the
same model, source and options ends with the scores.csv, NAME_regions.csv and heat.bin of one left
alone, to the byte.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mpn.io.atomic import make_folder, write_atomically
from mpn.jobs.by_itself import OwnJudgement, notes_of_footage
from mpn.jobs.event_clips import EventClips, OverlayVideo, keep_parts
from mpn.jobs.options import JobOptions
from mpn.jobs.outputs import JobFiles, heat_of
from mpn.jobs.state import (
    EVENTS,
    FILMS,
    HEAT,
    STATE,
    FoundEvent,
    JobState,
    earlier_state,
    finished_sizes,
    with_seen,
)
from mpn.jobs.summary import describe_event, describe_span, describe_threshold, warnings_of
from mpn.motion.place import JUDGED
from mpn.scoring.calibration import Threshold
from mpn.scoring.detector import Detector, check_size_of
from mpn.scoring.events import Event, EventFinder
from mpn.scoring.rates import at_rate
from mpn.scoring.region_table import regions_name
from mpn.scoring.regions import Tracked
from mpn.scoring.result import Result
from mpn.scoring.scores import BATCH_SIZE
from mpn.video.frame_source import FrameSource
from mpn.video.paths import stamp_of
from mpn.video.timing import USUAL_RATE

SAVE_SECONDS = 2.0


@dataclass
class Outcome:
    """What came of a source.

    Attributes:
        summary: what events.json holds.
        done_before: results that an earlier run had; all of them where it had finished.
        highest: the highest score and its time in seconds, None without any.
        notes: what was found odd, a line each.
    """

    summary: dict[str, Any]
    done_before: int
    highest: tuple[float, float] | None
    notes: list[str]


class ScoreJob:
    """One source and the folder of its results.

    Args:
        detector: the model.
        path: a video file or a folder of frames.
        folder: for the results; made where it is missing.
        options: see `JobOptions`.
        on_event: called with every event as soon as it is over, and with those of an earlier run.
        judgement: how the recording is judged by itself, where it is; `detector` is of its camera
            then.
        camera_file: where the camera is kept; default: the file that it was read from.

    Raises:
        DataError: the source cannot be read.
        SizeError: its frames are too small.
        MpnError: the folder cannot be written.
    """

    def __init__(
        self,
        detector: Detector,
        path: Path,
        folder: Path,
        options: JobOptions,
        on_event: Callable[[dict[str, Any]], None] = lambda event: None,
        judgement: OwnJudgement | None = None,
        camera_file: Path | None = None,
    ) -> None:
        self.detector, self.path, self.folder, self.options, self.on_event = (
            detector,
            path,
            folder,
            options.settled(path),
            on_event,
        )
        self.judgement, self.camera_file = judgement, camera_file
        if detector.checkpoint.camera and camera_file is None:
            self.camera_file = detector.checkpoint.path
        self.notes: list[str] = list(judgement.notes) if judgement else []
        if self.options.every > options.every:
            self.notes.append(
                f"one frame in {self.options.every} is scored "
                + ("(--fps-limit)" if judgement else "as the camera's model was made so")
                + "; --every says otherwise"
            )
        self._reopened_at: Fraction | None = None  # once the rate is known
        self.source = self.open()
        self.notes += (
            [] if judgement else notes_of_footage(detector.checkpoint, path, self.source.shown)
        )
        check_size_of(self.source, detector.config)
        self.rate = Fraction(self.source.fps or self._assumed_rate())
        self.source.fps = self._reopened_at = self.rate
        self.detector, note = at_rate(detector, self.rate)
        self.notes += [note] if note else []
        self.threshold = self._threshold()
        self.identity = self._identity()
        self.state = earlier_state(folder, self.identity)
        self.source.note_bad(self.state.bad)

    def open(self) -> FrameSource:
        """Open the source as it is scored."""
        source = self.options.open(self.path)
        source.fps = source.fps or self._reopened_at
        return source

    def run(self) -> Outcome:
        """Score what is not scored yet. KeyboardInterrupt passes, with everything so far kept."""
        for event in self.state.events:
            self.on_event(self._described(event))
        before = self.state.count
        if self.state.complete:
            summary = json.loads((self.folder / EVENTS).read_text())
            return Outcome(summary, before, self.state.highest, self.notes)
        self._make_folder()
        self._save(self.state, self.state)  # whose results these are, however soon it is killed
        self._score()
        self.notes += warnings_of(
            self.state,
            self.detector.config.window,
            threshold_given=self.judgement is not None or self.options.threshold is not None,
            camera_file=self.detector.checkpoint.camera is not None,
        )
        self._save(self.state, self.state)
        return Outcome(
            self._summary(), before, self.state.highest, [*self.notes, *self.source.notes]
        )

    def _score(self) -> None:
        state, options = self.state, self.options
        finder = self._finder()
        with ExitStack() as stack:
            files = stack.enter_context(
                JobFiles(
                    self.folder,
                    self.source,
                    self.detector,
                    self._level,
                    state,
                    every=options.every,
                    heat=options.report,
                )
            )
            bar = stack.enter_context(self._bar(state.count))
            film = self._film(stack)
            last_saved = time.monotonic()
            results = self.detector.score(
                self.source,
                images=options.overlay != "off",
                first=state.count,
                smoothed=state.smoothed,
                own_places=self.judgement.places if self.judgement else None,
            )
            resumable, latest = state, state
            try:
                for result in results:
                    tracked = files.write(result)
                    latest = self._after(latest, result, finder, tracked)
                    latest = replace(
                        latest,
                        sizes=dict(files.sizes),
                        tracker=files.tracker.to_dict(),
                        bad=tuple(self.source.bad),
                    )
                    if film:
                        film.write(
                            result, tracked, finder.open if finder else None, len(latest.events)
                        )
                    bar.update()
                    if self.detector.ends_a_batch(latest.count):
                        resumable = latest
                        if time.monotonic() - last_saved > SAVE_SECONDS:
                            self._save(resumable, latest)
                            last_saved = time.monotonic()
                ended = self._with_events(latest, finder.finish() if finder else [])
                if film:
                    film.finish(len(ended.events))
                latest = resumable = replace(ended, open=None, seen=(), complete=True)
            finally:
                self._save(resumable, latest)
                self.state = latest

    def _bar(self, done: int) -> tqdm[Any]:
        return tqdm(
            total=self.source.length,
            initial=done,
            desc=self.path.name,
            unit="frame",
            disable=None,
        )

    def _after(
        self,
        state: JobState,
        result: Result,
        finder: EventFinder | None,
        regions: Sequence[Tracked],
    ) -> JobState:
        """Return the state after one more result and its regions; tell of events that are over."""
        updated = replace(state, count=state.count + 1)
        if math.isnan(result.score):
            return updated
        updated.smoothed = result.score
        if updated.highest is None or result.score > updated.highest[0]:
            updated.highest = (result.score, result.time)
        if finder is None:
            return updated
        is_above = result.score > finder.threshold
        reason, like = (result.reason, result.like) if is_above else (None, None)
        values = result.frame, result.score, result.region, result.time
        over = finder.update(*values, reason, like, raw=result.raw)
        updated = self._with_events(updated, over)
        updated.open = finder.open
        if finder.open is None or finder.open.start == result.frame:
            updated.seen = ()
        if is_above:
            updated.above += 1
            updated.seen = with_seen(updated.seen, result.frame, regions)
        return updated

    def _with_events(self, state: JobState, over: list[Event]) -> JobState:
        events = [FoundEvent(event, state.seen) for event in over]
        for event in events:
            self.on_event(self._described(event))
        return replace(state, events=(*state.events, *events)) if events else state

    def _finder(self) -> EventFinder | None:
        if self.threshold is None:
            return None
        finder = EventFinder(self.threshold.value, self.rate, step=self.options.every)
        finder.open = self.state.open
        return finder

    def _film(self, stack: ExitStack) -> OverlayVideo | EventClips | None:
        if self.options.overlay == "off":
            return None
        again = self.state.count > 0
        if again:
            keep_parts(self.folder)
        kind = OverlayVideo if self.options.overlay == "all" else EventClips
        film = kind(self.folder, self.source, self._level, self.detector, again=again)
        stack.enter_context(film)
        return film

    def _make_folder(self) -> None:
        make_folder(self.folder)
        if not self.state.count:  # of an earlier run with other options
            for old in (STATE, EVENTS, HEAT, *FILMS, ".*.part.webm"):
                for path in self.folder.glob(old):
                    path.unlink()

    # --- What was asked for, and where it stands

    def _assumed_rate(self) -> Fraction:
        rate = self.detector.checkpoint.fps or USUAL_RATE
        origin = (
            "as the model's training footage" if self.detector.checkpoint.fps else "a usual rate"
        )
        self.notes.append(
            f"frame rate unknown, {rate:g} frames/s assumed ({origin}); --fps says otherwise"
        )
        return Fraction(rate).limit_denominator(1001) / self.options.every

    def _threshold(self) -> Threshold | None:
        if self.judgement is not None:
            return self.judgement.threshold
        if self.options.threshold is not None:
            value = self.options.threshold
            return Threshold(value, False, (value, value), 0.0, float("nan"), "given")
        calibration = self.detector.calibration(self.rate)
        if calibration is not None:
            return calibration.threshold(self.options.false_alarms_per_hour)
        self.notes.append(
            "this model knows no normal scores of this camera, so there is no threshold and there "
            "are no events: mpn adapt NORMAL_FOOTAGE --out CAMERA.camera.safetensors "
            "makes them, or --threshold sets one"
        )
        return None

    @property
    def _level(self) -> float | None:
        return self.threshold.value if self.threshold else None

    def _identity(self) -> dict[str, Any]:
        """Collect what must agree for results to be gone on with."""
        in_folder = self.path.is_dir()
        identity = {
            "source": str(self.path.resolve()),
            "bytes_or_frames": self.source.length if in_folder else self.path.stat().st_size,
            "modified": stamp_of(self.path),
            "checkpoint": self.detector.checkpoint.sha256,
            "recipe": self.detector.score_config.to_dict(),
            "bfloat16": self.detector.bfloat16,
            "engine": self.detector.engine_name,
            "network_every": self.detector.network_every,
            "judged": JUDGED,
            "fps": float(self.rate),
            "threshold": self._level,
            "options": asdict(self.options),
            **self._unusual(),
        }
        return json.loads(json.dumps(identity))

    def _unusual(self) -> dict[str, Any]:
        """Name what rounds numbers otherwise than the processor does as it comes."""
        detector = self.detector
        settings: dict[str, Any] = {}
        if detector.device.type != "cpu":
            settings["device"] = detector.device.type
        if detector.batch_size != BATCH_SIZE:
            settings["batch_size"] = detector.batch_size
        if detector.compiled:
            settings["compiled"] = detector.compiled
        return settings

    def _save(self, resumable: JobState, latest: JobState) -> None:
        summary = json.dumps(self._summary(latest), indent=1) + "\n"
        write_atomically(self.folder / EVENTS, summary)
        if resumable.complete:
            resumable = replace(resumable, sizes=resumable.sizes | finished_sizes(self.folder))
        content = {"identity": self.identity, "state": resumable.to_dict()}
        write_atomically(self.folder / STATE, json.dumps(content) + "\n")

    # --- What is said of it

    def _described(self, event: FoundEvent) -> dict[str, Any]:
        return describe_event(event, self.detector.calibration(self.rate))

    def _summary(self, state: JobState | None = None) -> dict[str, Any]:
        """Make what events.json holds; an event that is not over counts as far as it goes."""
        state = state or self.state
        events = list(state.events)
        if state.open is not None and self.threshold is not None:
            finder = EventFinder(self.threshold.value, self.rate, step=self.options.every)
            finder.open = state.open
            events += [FoundEvent(event, state.seen) for event in finder.finish()]
        return {
            "source": str(self.path),
            "complete": state.complete,
            "judged_by": "itself" if self.judgement else "model",
            "frames": state.count,
            "span": describe_span(self.source.shown),
            "fps": float(self.rate),
            "frame_size": list(self.source.size),
            "threshold": describe_threshold(self.threshold),
            "events": [self._described(event) for event in events],
            "regions": regions_name(self.path),
            **(
                {"heat": heat_of(self.source, self.detector, self._level)}
                if self.options.report
                else {}
            ),
            "bad_frames": [asdict(bad) for bad in self.source.bad],
            "notes": [*self.notes, *self.source.notes],
            "checkpoint_sha256": self.detector.checkpoint.sha256,
            "camera": str(self.camera_file.resolve()) if self.camera_file else None,
            "recipe": self.detector.score_config.to_dict(),
        }
