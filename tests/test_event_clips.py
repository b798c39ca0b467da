"""What a killed job leaves of its overlay videos: kept where it can be read, dropped where not."""

from __future__ import annotations

import numpy as np

from mpn.event_clips import keep_parts
from mpn.overlay import OverlayWriter
from mpn.video import open_source

SIZE = (240, 320)


def write(path, count):
    with OverlayWriter(path, fps=10, size=SIZE) as writer:
        for _ in range(count):
            writer.write(np.full((*SIZE, 3), 128, np.uint8), 0.0)
    return path


def frames_of(path):
    return len(list(open_source(path, skip_bad=True).frames()))


def test_what_a_killed_job_left_gets_its_name_and_never_another_ones(tmp_path):
    write(tmp_path / "overlay.webm", 5)
    write(tmp_path / "left.webm", 8).rename(tmp_path / ".overlay.part.webm")
    write(tmp_path / "left.webm", 7).rename(tmp_path / ".event-003.part.webm")
    (tmp_path / ".event-004.part.webm").write_bytes(b"\x1aE\xdf\xa3 cut off")
    keep_parts(tmp_path)
    found = {path.name: frames_of(path) for path in tmp_path.iterdir()}
    assert found == {"overlay.webm": 5, "overlay-2.webm": 8, "event-003.webm": 7}
