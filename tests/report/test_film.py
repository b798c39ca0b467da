"""The page's video, read back: which frames it holds, and where its heat is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpn.errors import DataError
from mpn.report.film import (
    PageFilmWriter,
    film_of,
    film_size,
    rows_of,
    rows_to_show,
    write_film,
)
from mpn.report.model import EventRow
from tests.helpers.trees import frame, index_of, write_frames, write_video

SIZE = (240, 320)


def read(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    found = []
    while True:
        good, picture = capture.read()
        if not good:
            return found
        found.append(picture)


def halves(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = picture.shape[0] // 2
    return picture[:middle].astype(int), picture[middle:].astype(int)


# --- The file


def test_every_frame_above_its_heat(tmp_path: Path) -> None:
    heat = np.zeros((7, 6, 8), np.uint8)
    heat[3, 4, 6] = 255  # rows 160-199, columns 240-279 of the picture
    film = write_film(
        tmp_path / "a.webm", (frame(i, SIZE) for i in range(7)), heat, Fraction(25, 2), SIZE
    )
    assert (film.path, film.fps, film.size, film.rows) == (
        tmp_path / "a.webm",
        12.5,
        SIZE,
        [(0, 1, 7)],
    )
    pictures = read(film.path)
    assert [index_of(halves(picture)[0]) for picture in pictures] == list(range(7))
    for number, picture in enumerate(pictures):
        above, below = halves(picture)
        assert np.abs(above - frame(number, SIZE)).mean() < 6
        if number == 3:
            assert below[180, 260].sum() > 500
            below = below[:100, :200]
        assert below.max() < 8  # black: nothing is laid over the picture
    capture = cv2.VideoCapture(str(film.path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    assert [item.name for item in tmp_path.iterdir()] == ["a.webm"]


def test_any_frame_can_be_jumped_to(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.webm", (frame(i, SIZE) for i in range(40)), None, 10, SIZE)
    # The start code that only key frames have: ten frames are decoded for a jump at the most.
    assert 4 <= film.path.read_bytes().count(b"\x9d\x01\x2a") < 40
    capture = cv2.VideoCapture(str(film.path))
    for wanted in (31, 4, 39, 17):
        capture.set(cv2.CAP_PROP_POS_FRAMES, wanted)
        assert index_of(halves(capture.read()[1])[0]) == wanted


@pytest.mark.parametrize("fps", [Fraction(1, 300), Fraction(1, 900), Fraction(1, 5000), 240])
def test_a_picture_every_few_minutes_makes_a_film_and_is_jumped_to(
    tmp_path: Path, fps: Fraction | float
) -> None:
    film = write_film(tmp_path / "a.webm", (frame(i, SIZE) for i in range(13)), None, fps, SIZE)
    assert [index_of(halves(picture)[0]) for picture in read(film.path)] == list(range(13))
    with av.open(str(film.path)) as container:
        shown = [picture.time for picture in container.decode(video=0)]
    # The page jumps to the middle of a frame; what began last is seen there.
    middles = [(number + 0.5) / film.fps for number in range(13)]
    assert (np.searchsorted(shown, middles) - 1).tolist() == list(range(13))


def test_a_disk_that_is_full_at_the_end_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DataError("expected room on the disk")

    monkeypatch.setattr(PageFilmWriter, "_mux", full)
    with pytest.raises(DataError, match="room on the disk"):
        write_film(tmp_path / "a.webm", [frame(0, SIZE)] * 3, None, 10, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_heat_below_a_third_of_the_threshold_is_not_seen_and_at_the_threshold_is(
    tmp_path: Path,
) -> None:
    levels = [0, 38, 64, 128, 255]
    maps = [np.full((5, 5), level, np.uint8) for level in levels]
    film = write_film(tmp_path / "a.webm", [frame(0, SIZE)] * 5, maps, 10, SIZE)
    light = [halves(picture)[1].mean() for picture in read(film.path)]
    assert light[0] < 3 and light[1] < 3
    assert light[1:] == sorted(light[1:]) and light[2] < 40 < 80 < light[3]


def test_one_without_heat_among_others_and_grey_odd_frames(tmp_path: Path) -> None:
    grey = np.full((65, 97, 1), 90, np.uint8)
    film = write_film(
        tmp_path / "a.webm",
        [grey] * 3,
        [None, np.full((2, 2), 200, np.uint8), None],
        None,
        (65, 97),
    )
    assert film.size == (214, 320) and film.fps == 25
    for picture, hot in zip(read(film.path), (False, True, False), strict=True):
        above, below = halves(picture)
        assert picture.shape == (428, 320, 3) and np.abs(above[:-16] - 90).max() < 8
        assert (below.mean() > 60) == hot


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((240, 360), (240, 360)),
        ((1080, 1920), (270, 480)),
        ((1920, 1080), (480, 270)),
        ((64, 96), (214, 320)),  # 213.3
        ((120, 160), (240, 320)),
        ((481, 481), (480, 480)),
        ((10, 2000), (16, 480)),
        ((400, 100), (480, 120)),
    ],
)
def test_sizes(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert film_size(size) == shown


def test_what_fails_leaves_nothing_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    path.write_bytes(b"earlier")
    good = [frame(0, SIZE)] * 3
    for frames, heat, rows, words in (
        ([*good, good[0][:10]], None, None, "frame 3 is 320x10; expected 320x240"),
        ([], None, None, "0 of 0 frames could be written"),
        (good, [None, None], None, "2 heat maps for more frames"),
        (good, None, [(0, 1, 2), (7, 3, 2)], "3 frames came for 4 rows"),
    ):
        with pytest.raises(DataError, match=words):
            write_film(path, frames, heat, 10, SIZE, rows)
        assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(KeyboardInterrupt), PageFilmWriter(path, fps=10, size=SIZE) as writer:
        writer.write(good[0])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match=r"cannot have the suffix '\.mp4'; expected \.webm"):
        PageFilmWriter(tmp_path / "a.mp4", fps=10, size=SIZE)
    with pytest.raises(DataError, match="cannot be written.*none does not exist"):
        PageFilmWriter(tmp_path / "none" / "a.webm", fps=10, size=SIZE)


# --- Of a source


@pytest.fixture(params=["folder", "video"])
def twenty(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """20 frames that tell their index."""
    if request.param == "folder":
        return write_frames(tmp_path / "clip", 20)
    return write_video(tmp_path / "clip.avi", 20)


def shown(path: Path) -> list[int]:
    return [index_of(halves(picture)[0]) for picture in read(path)]


def test_the_rows_asked_for_with_their_heat(
    twenty: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    heat = np.zeros((20, 4, 4), np.uint8)
    heat[11] = 255
    stored = np.memmap(tmp_path / "heat", np.uint8, "w+", shape=heat.shape)
    stored[:] = heat
    stored.flush()
    rows = [(0, 5, 2), (10, 1, 3), (14, 2, 3)]
    film = film_of(
        twenty,
        tmp_path / "a.webm",
        rows,
        np.memmap(tmp_path / "heat", np.uint8, "r", shape=heat.shape),
    )
    assert shown(film.path) == [0, 5, 10, 11, 12, 14, 16, 18]
    assert film.rows == rows and film.fps == (10 if twenty.is_file() else 25)
    assert [halves(picture)[1].mean() > 100 for picture in read(film.path)] == [False] * 3 + [
        True
    ] + [False] * 4
    assert capfd.readouterr() == ("", "")


def test_the_source_is_opened_as_it_was_scored(twenty: Path, tmp_path: Path) -> None:
    film = film_of(twenty, tmp_path / "a.webm", [(1, 2, 3)], fps=20, every=2, start=0.4)
    assert shown(film.path) == [10, 14, 18]
    assert film.fps == 10


def test_rows_that_are_not_there(twenty: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="20 frames came for 21 rows; expected the source as it was"
    ):
        film_of(twenty, tmp_path / "a.webm", [(0, 1, 21)])
    with pytest.raises(DataError, match="clip.*row 19 is to be shown and there are 19 heat maps"):
        film_of(twenty, tmp_path / "a.webm", [(0, 1, 20)], np.zeros((19, 2, 2), np.uint8))
    assert not (tmp_path / "a.webm").exists()


# --- Which rows


def test_all_that_there_are_or_events_whole_and_the_rest_thinned() -> None:
    assert rows_to_show(3000, []) == [(0, 1, 3000)]
    assert rows_to_show(0, []) == []
    assert rows_to_show(100, [], budget=10) == [(0, 10, 10)]
    # At 5 frames/s two seconds are 10 rows: 90 to 130 of 1,000 are whole; of the others 960 / 160 =
    # every sixth.
    event = EventRow(100, 120, 110, 5.0)
    assert rows_to_show(1000, [event], budget=200, fps=5) == [
        (0, 6, 15),
        (90, 1, 40),
        (130, 6, 145),
    ]


def test_the_strongest_event_comes_first() -> None:
    weak, strong = EventRow(100, 150, 120, 2.0), EventRow(600, 650, 620, 8.0)
    # half is 60: the strong one's 54, and 6 more
    runs = rows_to_show(1000, [weak, strong], budget=121, fps=1)
    assert (598, 1, 54) in runs
    rest = next(run for run in runs if run[1] == 1 and run[0] < 500)
    assert rest[2] == 6 and rest[0] <= 120 < rest[0] + 6


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, list[EventRow], int, float]:
    count = draw(st.integers(1, 2000))
    events = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, count - 1))
        end = draw(st.integers(start + 1, min(count, start + 400)))
        events.append(
            EventRow(start, end, draw(st.integers(start, end - 1)), draw(st.floats(0, 100)))
        )
    return count, events, draw(st.integers(1, 600)), draw(st.sampled_from([0.2, 5.0, 30.0]))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_rows_rise_within_the_budget_and_hold_the_strongest_peak(case: tuple) -> None:
    count, events, budget, fps = case
    runs = rows_to_show(count, events, budget, fps)
    rows = rows_of(runs)
    assert 1 <= len(rows) <= budget and rows[0] == 0 and rows[-1] < count
    assert (np.diff(rows) > 0).all()
    assert all(step >= 1 and number >= 1 for _, step, number in runs)
    if count <= budget:
        assert len(rows) == count
    elif events and budget >= 3:
        assert max(events, key=lambda event: event.score).peak in rows
