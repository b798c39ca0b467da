"""What is kept of an event to teach the camera by it: what it is, how much, and how it is read."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.errors import DataError
from mpn.live.examples import (
    REACH_FRAMES,
    OpenExamples,
    examples_path,
    read_examples,
    write_examples,
)
from mpn.model.taught import MAX_EXAMPLES, Taught
from mpn.motion.place import PlaceModel
from mpn.scoring.events import EventFinder
from mpn.scoring.reasons import Evidence, SeenMotion
from mpn.scoring.recognition import Sight
from mpn.scoring.result import Result

BOX = (10, 20, 30, 10)
MOTION = SeenMotion(np.zeros((2, 2, 2), np.float32), PlaceModel((2, 2)), (96, 128), 10.0)


class Film:
    """Frames with one region each, whose embedding is the frame's number."""

    def __init__(self) -> None:
        self.finder = EventFinder(1.0, 10.0)
        self.examples = OpenExamples(self._find)
        self.frame = 0

    def _find(self, grid: np.ndarray, image: np.ndarray, motion: SeenMotion) -> list[Sight]:
        return [Sight(float(grid.max()), BOX, np.full(3, self.frame, np.float32))]

    def show(self, *scores: float, motion: SeenMotion | None = MOTION) -> None:
        for score in scores:
            grid, image = np.full((2, 2), score, np.float32), np.zeros((96, 128, 3), np.uint8)
            evidence = Evidence({}, {}, BOX, motion)
            frame = Result(
                self.frame, self.frame / 10, score, score, {}, grid, BOX, image, evidence
            )
            self.finder.update(frame.frame, frame.score, frame.region, frame.time)
            if self.finder.open is not None:
                self.examples.add(self.finder.open, frame)
            self.frame += 1

    def taught(self) -> Taught | None:
        assert self.finder.open is not None
        return self.examples.of(self.finder.open, "hall-1")

    def frames(self) -> list[int]:
        """Of which frames examples are kept."""
        taught = self.taught()
        assert taught is not None
        return taught.embeddings[:, 0].astype(int).tolist()


def test_examples_are_of_frames_around_the_peak_that_are_half_as_high() -> None:
    film = Film()
    film.show(0.5, 2.0, 4.0, 8.0, 5.0, 3.0)
    assert film.frames() == [2, 3, 4]
    film.show(9.0)  # a new peak, and all before it counts again
    assert film.frames() == [3, 4, 6]
    film.show(5.0, 0.9, 0.9)  # what is behind the end is none of it
    assert film.frames() == [3, 4, 6, 7]


def test_however_long_an_event_lasts_little_is_kept() -> None:
    film = Film()
    film.show(*[5.0] * 300, 6.0, *[5.0] * 5000)
    frames = film.frames()
    assert len(frames) == MAX_EXAMPLES and frames == sorted(frames)
    assert frames[0] == 300 - REACH_FRAMES and frames[-1] == 300 + REACH_FRAMES
    kept = [film.examples._before, film.examples._recent, film.examples._after]
    assert [len(one) for one in kept] == [REACH_FRAMES] * 3


def test_a_peak_without_motion_cannot_be_taught() -> None:
    film = Film()
    film.show(2.0, 3.0)
    film.show(4.0, motion=None)
    assert film.taught() is None
    film.show(5.0)
    assert film.taught() is not None


def test_they_are_written_and_read(tmp_path) -> None:
    path = examples_path(tmp_path, "hall-1")
    assert read_examples(path) is None
    values = np.random.default_rng(0).normal(size=(MAX_EXAMPLES, 328)).astype(np.float32)
    write_examples(path, Taught(None, "hall-1", 7, values))
    again = read_examples(path)
    assert again is not None and (again.name, again.source, again.frame) == (None, "hall-1", 7)
    # As exact as in a camera file, which keeps 11 bits.
    np.testing.assert_allclose(again.embeddings, values, rtol=2**-10, atol=1e-6)
    assert [one.name for one in tmp_path.iterdir()] == ["hall-1.examples.json"]
    assert path.stat().st_size < 30_000


def test_where_they_cannot_be_written_it_is_said(tmp_path, caplog) -> None:
    path = examples_path(tmp_path / "file", "hall-1")
    path.parent.write_text("no folder")
    write_examples(path, Taught(None, "hall-1", 7, np.zeros((1, 3), np.float32)))
    assert "it cannot be taught" in caplog.text


@pytest.mark.parametrize("wrong", ["NaN", "1e9", '"x"', "[1]", "null"])
def test_wrong_numbers_are_refused(tmp_path, wrong: str) -> None:
    path = examples_path(tmp_path, "hall-1")
    event = '{"name": null, "source": "a", "frame": 1}'
    path.write_text(f'{{"version": 1, "event": {event}, "embeddings": [[{wrong}, 1.0]]}}')
    with pytest.raises(DataError, match="hall-1.examples.json.*cannot be read"):
        read_examples(path)
