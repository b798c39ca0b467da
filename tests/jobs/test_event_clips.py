"""What a killed job leaves of its overlay videos: kept where it can be read, dropped where not."""

from __future__ import annotations

import av
import numpy as np
import pytest

from mpn.api import load
from mpn.jobs.event_clips import EventClips, OverlayVideo, keep_parts
from mpn.scoring.events import Event
from mpn.scoring.regions import Tracked
from mpn.scoring.result import Result
from mpn.video.overlay import OverlayWriter
from mpn.video.sources import open_source
from tests.helpers.small_model import FOOTAGE, footage, write_footage, write_model

SIZE = (240, 320)


@pytest.fixture(scope="module", autouse=True)
def quick(coarse_flow) -> None:
    """Pictures are the product's: where something is drawn is asked of them."""


def write(path, count):
    with OverlayWriter(path, fps=10, size=SIZE) as writer:
        for _ in range(count):
            writer.write(np.full((*SIZE, 3), 128, np.uint8), 0.0)
    return path


def results(count, alarms, box):
    """Grey frames, a region above the threshold of 1 in some."""
    for frame in range(count):
        score = 2.0 if frame in alarms else 0.0
        result = Result(
            frame,
            frame / 10,
            score,
            score,
            {},
            np.zeros((9, 17), np.float32),
            box,
            np.full((*FOOTAGE, 3), 128, np.uint8),
        )
        yield result, [Tracked(12, 2.0, box)] if score else []


def red(frame):
    """Where, in the picture of `FOOTAGE`, which is drawn four times as large."""
    frame = frame[: 4 * FOOTAGE[0]].astype(int)
    return frame[..., 2] - frame[..., :2].max(axis=2) > 60


def test_boxes_and_their_tracks_are_drawn_in_the_frames_that_they_are_of(tmp_path):
    detector = load(
        write_model(tmp_path / "model.safetensors", pseudo_head=False), precision="float32"
    )
    source = open_source(write_footage(tmp_path / "clip", footage(30)), fps=10)
    alarms, box = range(12, 18), (30, 40, 16, 24)
    with OverlayVideo(tmp_path, source, 1.0, detector) as film:
        for result, regions in results(30, alarms, box):
            film.write(result, regions, None, 0)
        film.finish(0)
    with EventClips(tmp_path, source, 1.0, detector) as film:
        event = Event(12, 18, 1.2, 1.8, 12, 2.0, box)
        for result, regions in results(30, alarms, box):
            film.write(
                result, regions, event if 12 <= result.frame < 28 else None, int(result.frame >= 28)
            )
        film.finish(1)
    whole = list(open_source(tmp_path / "overlay.webm").frames())
    clip = list(open_source(tmp_path / "event-001.webm").frames())
    # all before it, itself, and until it was known to be over
    assert len(whole) == 30 and len(clip) == 28
    for number, frame in enumerate(whole):
        assert red(frame).any() == (number in alarms)
        if number in alarms:
            rows, columns = np.nonzero(red(frame))
            # The box from 120 to 184 down and 160 to 256 across; its number on a plate over its
            # corner.
            assert 95 <= rows.min() <= 112 and abs(rows.max() - 183) <= 3
            assert abs(columns.min() - 160) <= 3 and abs(columns.max() - 255) <= 3
    assert [red(frame).any() for frame in clip] == [number in alarms for number in range(28)]


def frames_of(path):
    return len(list(open_source(path, skip_bad=True).frames()))


def test_what_a_killed_job_left_gets_its_name_and_never_another_ones(tmp_path):
    write(tmp_path / "overlay.webm", 5)
    write(tmp_path / "left.webm", 8).rename(tmp_path / ".overlay.part.webm")
    write(tmp_path / "left.webm", 7).rename(tmp_path / ".event-003.part.webm")
    (tmp_path / ".event-004.part.webm").write_bytes(b"\x1aE\xdf\xa3 cut off")
    keep_parts(tmp_path)
    lengths = {path.name: frames_of(path) for path in tmp_path.iterdir()}
    assert lengths == {"overlay.webm": 5, "overlay-2.webm": 8, "event-003.webm": 7}


def test_an_overlay_plays_at_the_times_of_the_footage(tmp_path):
    detector = load(
        write_model(tmp_path / "model.safetensors", pseudo_head=False), precision="float32"
    )
    source = open_source(write_footage(tmp_path / "clip", footage(30)), fps=10)
    # At night half the frames, after a pause of twenty seconds.
    times = [0.1 * frame if frame < 15 else 20 + 0.2 * frame for frame in range(30)]
    with OverlayVideo(tmp_path, source, 1.0, detector) as film:
        for (result, regions), at in zip(results(30, range(12, 18), (30, 40, 16, 24)), times):
            result.time = at
            film.write(result, regions, None, 0)
        film.finish(0)
    with av.open(str(tmp_path / "overlay.webm")) as overlay:
        shown = [frame.time for frame in overlay.decode(video=0)]
    assert shown == pytest.approx(times, abs=1e-3)


def test_a_clip_begins_two_seconds_before_its_event_whatever_the_rate(tmp_path):
    detector = load(
        write_model(tmp_path / "model.safetensors", pseudo_head=False), precision="float32"
    )
    source = open_source(write_footage(tmp_path / "clip", footage(60)), fps=10)
    times = [0.1 * frame if frame < 20 else 2 + 0.4 * (frame - 20) for frame in range(60)]
    event = Event(40, 45, times[40], times[45], 41, 2.0, (30, 40, 16, 24))
    with EventClips(tmp_path, source, 1.0, detector) as film:
        for (result, regions), at in zip(results(60, range(40, 45), event.region), times):
            result.time = at
            over = result.frame >= 50
            is_open = result.frame >= 40 and not over
            film.write(result, regions, event if is_open else None, int(over))
        film.finish(1)
    with av.open(str(tmp_path / "event-001.webm")) as clip:
        shown = [frame.time for frame in clip.decode(video=0)]
    # five frames 0.4 s apart, where twenty would be eight seconds
    assert len(shown) == 5 + 10 and shown[5] == pytest.approx(2.0)
