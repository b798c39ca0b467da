"""What the camera can be taught an event by: how its region looks and moves, kept beside its clip.

It is chosen as `mpn.jobs.examples` does, of the frames as they come, so that an event can be taught
when the camera's pictures are gone. What is kept is bounded, however long an event lasts.
"""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mpn.errors import CheckpointError, DataError, MpnError
from mpn.io.atomic import write_atomically
from mpn.io.text import json_text
from mpn.jobs.examples import examples_in, sight_of
from mpn.jobs.summary import UNREADABLE
from mpn.model.taught import Taught
from mpn.model.taught_file import TAUGHT_PREFIX, TAUGHT_VERSION, unpack_taught
from mpn.scoring.events import Event
from mpn.scoring.reasons import SeenMotion
from mpn.scoring.recognition import Sight
from mpn.scoring.result import Result

log = logging.getLogger(__name__)

SUFFIX = ".examples.json"
REACH_FRAMES = 100  # before and after an event's peak that are looked at
MAX_BYTES = 1_000_000  # of a file; one has some 20 kB
# Finds the regions of a frame by its map, its picture and its motion, see
# `mpn.scoring.recognition.Recogniser.sights`.
FindSights = Callable[[np.ndarray, np.ndarray, SeenMotion], list[Sight]]


class _Seen(NamedTuple):
    """The regions of a frame."""

    frame: int
    sights: list[Sight]


class OpenExamples:
    """Keeps how the regions of an open event look and move, around its peak.

    Args:
        find: the regions of a frame.
    """

    def __init__(self, find: FindSights) -> None:
        self._find = find
        self.begin()

    def begin(self) -> None:
        """Begin with an event."""
        self._recent: deque[_Seen] = deque(maxlen=REACH_FRAMES)
        self._before: list[_Seen] = []
        self._peak: _Seen | None = None
        self._after: list[_Seen] = []

    def add(self, event: Event, result: Result) -> None:
        """Take the next frame of the event.

        Args:
            event: with this frame.
            result: of the frame; one without a map, a picture or motion is left out.
        """
        motion = result.evidence.motion if result.evidence else None
        if motion is None or result.map is None or result.image is None:
            return
        if math.isnan(result.score):
            return
        entry = _Seen(result.frame, self._find(result.map, result.image, motion))
        if event.peak_frame == result.frame:
            sight = sight_of(event, entry.sights, result.image, motion)
            self._before, self._after = list(self._recent), []
            self._peak = _Seen(result.frame, [sight])
        elif self._peak is not None and len(self._after) < REACH_FRAMES:
            self._after.append(entry)
        self._recent.append(entry)

    def of(self, event: Event, name: str) -> Taught | None:
        """Choose examples of the event.

        Args:
            event: as far as it is known.
            name: of it.

        Returns:
            What the camera can be taught it by, as something normal; None where its peak was not
            judged by motion.
        """
        if self._peak is None or self._peak.frame != event.peak_frame:
            return None
        after = [entry.sights for entry in self._after if entry.frame < event.end]
        before = [entry.sights for entry in self._before]
        embeddings = examples_in([*before, self._peak.sights, *after], len(before))
        return Taught(None, name, event.peak_frame, embeddings)


def examples_path(folder: Path, name: str) -> Path:
    """Name the file of an event's examples.

    Args:
        folder: of the camera's clips.
        name: of the event.
    """
    return folder / f"{name}{SUFFIX}"


def write_examples(path: Path, examples: Taught) -> None:
    """Write an event's examples, whole or not at all; where that fails it is logged.

    Args:
        path: see `examples_path`.
        examples: of the event.
    """
    rows = [
        [float(f"{value:.4g}") for value in embedding] for embedding in examples.embeddings.tolist()
    ]
    document = {
        "version": TAUGHT_VERSION,
        "event": {"name": None, "source": examples.source, "frame": examples.frame},
        "embeddings": rows,
    }
    try:
        write_atomically(path, json_text(document))
    except MpnError as error:
        log.warning("%s: it cannot be taught: %s", path, error)


def read_examples(path: Path) -> Taught | None:
    """Read an event's examples.

    Args:
        path: see `examples_path`.

    Returns:
        None where none are kept.

    Raises:
        DataError: the file cannot be read, or is none of ours.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES:,} bytes")
        document = json.loads(data)
        described = {"version": document["version"], "events": [document["event"]]}
        tensor = torch.tensor(document["embeddings"], dtype=torch.float16)
        (taught,) = unpack_taught(path, {f"{TAUGHT_PREFIX}0": tensor}, described)
        return taught
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        raise DataError(str(error)) from error
    except (*UNREADABLE, OverflowError, RuntimeError) as error:
        raise DataError(
            f"{path}: the event's examples cannot be read ({type(error).__name__}: {error}): teach "
            "another event of that kind"
        ) from error
