"""A camera that is watched is taught by clicks: what goes quiet, what is named, what stays."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import mpn
from mpn.adaptation.camera_file import read_camera
from mpn.errors import DataError, MpnError
from mpn.jobs.examples import examples_of, listed_event
from mpn.live.examples import examples_path, read_examples
from mpn.live.outputs.page import Page
from mpn.live.outputs.settings import PageConfig
from mpn.live.status import Alarm
from mpn.live.teaching import Teacher
from mpn.scoring.detector import Detector
from mpn.scoring.memory import Memory
from tests.helpers.recordings import recording
from tests.helpers.taught_cameras import BALLS, BAR, FRAMES, NORMAL, OPTIONS, day_frames, overlaps
from tests.live.driving import Driven
from tests.live.outputs.asking import teach

DAY = np.concatenate([day_frames(), recording(NORMAL)[FRAMES : FRAMES + 15]])
SMOOTHED = 25  # frames, after which smoothing has forgotten what was before them
THRESHOLD = 25.0  # the board that is normal comes to 5, the things of the day to 40 and more


@pytest.fixture(scope="module", autouse=True)
def quick(known_flow: None, small_pictures: None) -> Iterator[None]:
    """What is taught is told by its motion: here the flow is the product's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpn.live.events.write_clip", lambda *_: None)
        # The things of this day follow each other within three seconds.
        patch.setattr("mpn.live.events.HOLD_SECONDS", 1.0)
        yield


class Watched:
    """A camera that is shown its day, with who teaches it.

    Args:
        folder: of its file; the watch is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hall.camera.safetensors"
        camera = {"camera_file": self.file, "fps": 10.0}
        self.driven = Driven(folder / "base.safetensors", folder / "watch", camera=camera)
        events = self.driven.camera.events
        assert events is not None
        events.set_threshold(THRESHOLD)
        self.teacher = Teacher()
        self.teacher.cameras = [self.driven.camera]

    @property
    def memory(self) -> Memory:
        return self.driven.camera.detector.recogniser.memory

    @property
    def media(self) -> Path:
        return self.driven.camera.folder / "events"

    def day(self, threshold: float = THRESHOLD) -> Day:
        events = self.driven.camera.events
        assert events is not None
        events.set_threshold(threshold)
        first = self.driven.shown
        scores = np.array(self.driven.show(DAY, restart=True))
        ends = [one for one in self.driven.alarms() if one.phase == "end"]
        peaks = [one.fields["peak_frame"] - first for one in ends]
        shown = [
            stretch
            for peak in peaks
            for stretch in (*BALLS, BAR)
            if overlaps({"peak_frame": peak}, stretch)
        ]
        return Day(ends, shown, scores)


class Day(NamedTuple):
    """What came of a day.

    Attributes:
        ends: of its events.
        shown: the stretches of the day that they are.
        scores: of its frames.
    """

    ends: list[Alarm]
    shown: list[tuple[int, int]]
    scores: np.ndarray


@pytest.fixture(scope="module")
def yesterday(
    hall: Path, tmp_path_factory: pytest.TempPathFactory, quick: None
) -> tuple[Path, Day]:
    """The folder of a watch that has seen its day and was taught nothing, and what came of it."""
    folder = tmp_path_factory.mktemp("yesterday")
    for name in ("base.safetensors", "hall.camera.safetensors"):
        shutil.copy(hall / name, folder)
    return folder, Watched(folder).day()


@pytest.fixture
def before(yesterday: tuple[Path, Day]) -> Day:
    """What came of the day before anything was taught."""
    return yesterday[1]


@pytest.fixture
def watched(yesterday: tuple[Path, Day], tmp_path: Path) -> Callable[[], Watched]:
    """Start the watch again, as often as it is called."""
    shutil.copytree(yesterday[0], tmp_path, dirs_exist_ok=True)
    return lambda: Watched(tmp_path)


def test_what_is_normal_is_quiet_at_once_and_after_a_restart_until_forgotten(
    watched: Callable[[], Watched], before: Day
) -> None:
    assert before.shown == [*BALLS, BAR]
    hall = watched()
    hall.driven.show(DAY[:10])
    judge, steps = hall.driven.camera.detector.judge, hall.driven.camera._steps
    said = hall.teacher.teach(before.ends[0].id, None)
    assert "normal at hall" in said and "\n" not in said
    assert hall.driven.camera.detector.judge is not judge
    hall.driven.show(DAY[10:20])
    assert hall.driven.camera._steps is steps  # nothing begins anew
    after = hall.day()
    assert after.shown == [BAR]  # the other ball is quiet too
    # Frames without a ball score as before.
    for start, stop in ((SMOOTHED, BALLS[0][0]), (BAR[0] + 2, BAR[1])):
        np.testing.assert_allclose(
            after.scores[start:stop], before.scores[start:stop], rtol=0.01, atol=1e-3
        )
    assert watched().day().shown == [BAR]
    (one,) = read_camera(hall.file).taught
    assert one.name is None and one.source == before.ends[0].id and len(one.embeddings) > 1
    mpn.forget(hall.file, 1)
    assert watched().day().shown == [*BALLS, BAR]


def test_an_event_is_taught_as_by_its_recording(watched: Callable[[], Watched], hall: Path) -> None:
    """Its examples are those that `mpn teach` takes, which reads the recording again."""
    assert OPTIONS.threshold is not None
    live = watched()
    ends = live.day(OPTIONS.threshold).ends
    detector = Detector(read_camera(live.file), precision="float32")
    for number, end in enumerate(ends[:2], 1):
        wanted = examples_of(detector, listed_event(hall / "out", number), None)
        own = read_examples(examples_path(live.media, end.id))
        assert own is not None and own.frame == wanted.frame
        np.testing.assert_allclose(own.embeddings, wanted.embeddings, atol=2e-3)


def test_an_event_that_a_crash_has_left_open_is_taught(watched: Callable[[], Watched]) -> None:
    hall = watched()
    shutil.rmtree(hall.media)
    hall.driven.show(DAY[: BALLS[0][1]])
    (begin,) = hall.driven.alarms()  # and nothing more: the process is gone
    assert [path.name for path in hall.media.glob("*.json")] == [f"{begin.id}.examples.json"]
    again = watched()
    assert "normal" in again.teacher.teach(begin.id, None)
    assert len(read_camera(hall.file).taught) == 1


def test_an_event_is_told_by_the_name_that_was_taught(
    watched: Callable[[], Watched], before: Day
) -> None:
    assert [one.fields["like"] for one in before.ends] == [None] * 3
    hall = watched()
    assert "told as ball" in hall.teacher.teach(before.ends[0].id, " ball ")
    after = hall.day()
    likes = [one.fields["like"] for one in after.ends]
    assert likes[0]["name"] == "ball" and likes[0]["distance"] == pytest.approx(0, abs=0.01)
    assert likes[1]["name"] == "ball" and likes[2] is None
    np.testing.assert_array_equal(after.scores, before.scores)  # a name changes no score


def test_while_an_event_is_open_its_scores_go_on(
    watched: Callable[[], Watched], before: Day
) -> None:
    """Something else that is taught meanwhile changes nothing of it."""
    hall = watched()
    middle = (BAR[0] + BAR[1]) // 2
    scores = hall.driven.show(DAY[:middle], restart=True)
    assert hall.driven.camera.events is not None and hall.driven.camera.events.open
    hall.teacher.teach(before.ends[0].id, None)
    scores += hall.driven.show(DAY[middle:])
    np.testing.assert_array_equal(scores, before.scores)
    last = [one for one in hall.driven.alarms() if one.phase == "end"]
    assert len(last) == 3 and last[-1].fields["like"] is None


def test_an_event_of_an_earlier_run_is_taught_anew(
    watched: Callable[[], Watched], before: Day
) -> None:
    hall, later, ball = watched(), watched(), before.ends[0].id
    hall.teacher.teach(ball, None)
    later.teacher.teach(ball, "ball")
    (one,) = read_camera(hall.file).taught
    assert one.name == "ball"
    # Each run keeps the file as it was before its first click, and no more versions.
    later.teacher.teach(ball, None)
    versions = sorted(path.name for path in hall.file.parent.glob("hall.v*"))
    assert versions == ["hall.v1.camera.safetensors", "hall.v2.camera.safetensors"]
    assert [len(read_camera(hall.file.parent / one).taught) for one in versions] == [0, 1]


def test_clicks_at_the_same_time_are_all_kept(watched: Callable[[], Watched], before: Day) -> None:
    hall = watched()
    with ThreadPoolExecutor(3) as clicks:
        list(clicks.map(hall.teacher.teach, [one.id for one in before.ends], ["a", "b", "c"]))
    kept = {one.name for one in read_camera(hall.file).taught}
    assert kept == {"a", "b", "c"} == hall.memory.names.keys()


def test_what_cannot_be_taught_is_said_and_changes_nothing(
    watched: Callable[[], Watched], before: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall, ball = watched(), before.ends[0]
    file = hall.file.read_bytes()
    kept = examples_path(hall.media, ball.id)
    examples = kept.read_text()
    for content, wrong in (
        ("{", "cannot be read"),
        ('{"version": 1}', "cannot be read"),
        (examples.replace('"frame": ', '"frame": -'), "cannot be read"),
        (examples.replace('"version": 1', '"version": 2'), "version 2"),
        ("[" * 100_000, "cannot be read"),
        ("0" * 1_000_001, "larger than"),
    ):
        kept.write_text(content)
        with pytest.raises(DataError, match=wrong):
            hall.teacher.teach(ball.id, None)
    kept.unlink()
    with pytest.raises(DataError, match="no examples of it are kept.*a later event"):
        hall.teacher.teach(ball.id, None)
    (hall.file.parent / "elsewhere").write_text(examples)
    kept.symlink_to(hall.file.parent / "elsewhere")  # no link is followed
    with pytest.raises(DataError, match="no examples of it are kept"):
        hall.teacher.teach(ball.id, None)
    kept.unlink()
    for other in ("hall-20231114T221320Z-", f"../{ball.id}", f"{ball.id}/../x", "yard-1", "hall"):
        with pytest.raises(DataError, match=r"no event .* watched here \(hall\)"):
            hall.teacher.teach(other, None)
    for name in ("normal", "3", "a\nb"):
        with pytest.raises(MpnError, match="give another name"):
            hall.teacher.teach(ball.id, name)
    kept.write_text(examples)
    with monkeypatch.context() as patch:
        patch.setattr("mpn.adaptation.camera_file.MAX_TAUGHT", 0)
        with pytest.raises(MpnError, match="a camera keeps 0: make it forget"):
            hall.teacher.teach(ball.id, None)
    hall.file.unlink()
    with pytest.raises(MpnError, match="there is no checkpoint"):
        hall.teacher.teach(ball.id, None)
    hall.file.write_bytes(file)
    monkeypatch.setattr(hall.driven.camera, "threshold", None)
    with pytest.raises(MpnError, match="still learning"):
        hall.teacher.teach(ball.id, None)
    assert hall.file.read_bytes() == file
    assert hall.memory.normals is None


def test_what_another_program_changes_is_taken_over(
    watched: Callable[[], Watched], before: Day
) -> None:
    hall = watched()
    hall.teacher.teach(before.ends[0].id, None)

    def looked() -> bool:
        """Look once, to the end; whether the camera knows something normal then."""
        hall.teacher.status({})
        if hall.teacher._look is not None:
            hall.teacher._look.result(10)
        return hall.memory.normals is not None

    assert looked() and hall.teacher._look is None  # its own change is no news
    mpn.forget(hall.file, "normal")
    assert not looked()
    hall.file.write_bytes(b"half")
    assert not looked() and hall.teacher._look is not None
    hall.teacher.close(1)


def test_a_click_on_the_page_teaches_the_camera(
    watched: Callable[[], Watched], before: Day, tmp_path: Path
) -> None:
    hall = watched()
    page = Page(PageConfig(port=0), tmp_path / "watch", teach=hall.teacher.teach)
    try:
        ends = before.ends
        for one in ends:
            page.alarm(one)
        answer = teach(page, {"alarm": ends[0].id, "name": None})
        assert answer.status == 200 and "normal at hall" in answer.json()["text"]
        assert hall.day().shown == [BAR]
        ball = teach(page, {"alarm": ends[2].id, "name": "12"})
        assert ball.status == 409 and "give another name" in ball.json()["text"]
        examples_path(hall.media, ends[1].id).unlink()
        gone = teach(page, {"alarm": ends[1].id, "name": "ball"})
        assert gone.status == 409 and "no examples" in gone.json()["text"]
    finally:
        page.close(5)
