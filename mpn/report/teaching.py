"""A camera taught by the events of a report: those of one folder that `mpn score` wrote."""

from __future__ import annotations

import logging
from pathlib import Path

from mpn.adaptation.camera_file import read_camera
from mpn.api import teach
from mpn.errors import DataError, MpnError
from mpn.io.text import plural
from mpn.jobs.state import EVENTS, source_of
from mpn.jobs.summary import read_summary

log = logging.getLogger(__name__)


class CameraTeacher:
    """Teaches a camera by the events of one folder.

    Args:
        folder: of the results.
        camera: the camera file.

    Attributes:
        camera: the camera file, from the root on.

    Raises:
        CheckpointError: `camera` cannot be read.
        MpnError: it is no camera file.
    """

    def __init__(self, folder: Path, camera: Path) -> None:
        read_camera(camera)
        self.folder, self.camera = folder, camera.resolve()

    def taught(self) -> list[tuple[int, str | None]]:
        """List which events of the recording the camera was taught.

        Returns:
            The frame of each one's peak, and its name, None for something normal; nothing where
            the camera file cannot be read any more, which `teach` says.
        """
        source = source_of(self.folder)
        try:
            taught = read_camera(self.camera).taught
        except MpnError:
            return []
        return [
            (event.frame, event.name) for event in taught if source and event.source == source.name
        ]

    def teach(self, number: int, frame: int, name: str | None) -> str:
        """Teach the camera an event.

        Args:
            number: of the event in events.json, from 1 on.
            frame: of its peak; another one there says that it is not the event that was meant.
            name: what it shows; None for something normal.

        Returns:
            What was done, and what to do next.

        Raises:
            MpnError: as `mpn.api.teach`; or the recording was scored again since.
        """
        events = read_summary(self.folder)["events"]
        if 0 < number <= len(events) and events[number - 1].get("peak_frame") != frame:
            raise DataError(
                "the recording was scored again since this page was loaded: load it again"
            )
        fresh = teach(self.camera, self.folder / EVENTS, number, name=name)
        examples = plural(sum(len(event.embeddings) for event in fresh), "example")
        message = (
            f"Taught: event {number} is {fresh[0].name or 'normal here'} ({examples}). It counts "
            f"from the next scoring on: mpn score VIDEO --checkpoint {self.camera}"
        )
        log.info(message)
        return message
