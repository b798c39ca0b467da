"""Frames of a camera's footage that its owner leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mpn.adaptation.footage import Without, leave_out, read_footage
from mpn.adaptation.place import whole_runs
from mpn.errors import DataError
from mpn.model.checkpoint import load_checkpoint
from mpn.scoring.detector import Detector
from mpn.video.frame_source import BadFrame
from tests.helpers.moving import cells, moving_clip
from tests.helpers.small_model import footage, write_film

CLIP = moving_clip([cells(1)] * 20, "walk1")
OTHER = moving_clip([cells(1)] * 9, "walk2")


def test_nothing_is_learned_of_what_is_left_out() -> None:
    (clip,) = leave_out([CLIP], [Without(5, 7)])
    assert [entry.index for entry in clip.bad] == [5, 6, 7]
    # Runs begin at their second frame: the motion of the first is that since before.
    assert whole_runs([clip]) == [(0, 1, 5), (0, 9, 20)]
    assert CLIP.bad == []


def test_of_several_recordings_the_named_one_and_what_cannot_be_read_stays_so() -> None:
    torn = replace(OTHER, bad=[BadFrame(3, "0003.png", "is torn")])
    first, second = leave_out([CLIP, torn], [Without(2, 4, "walk2"), Without(0, 0, "walk1")])
    assert [entry.index for entry in first.bad] == [0]
    assert [(entry.index, entry.reason) for entry in second.bad] == [
        (2, "is left out"),
        (3, "is torn"),
        (4, "is left out"),
    ]


def test_recordings_of_one_name_are_told_apart(still: Path, tmp_path: Path) -> None:
    for day in ("monday", "tuesday"):
        write_film(tmp_path / day / "rec.avi", footage(12, seed=5))
    write_film(tmp_path / "yard.avi", footage(12, seed=5))
    detector = Detector(load_checkpoint(still), precision="float32")
    clips = read_footage(detector, tmp_path, None, False)
    assert [clip.name for clip in clips] == ["monday/rec.avi", "tuesday/rec.avi", "yard.avi"]


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (Without(1, 2), "of which recording? Write walk1:1-2"),
        (Without(1, 2, "walk3"), "there is no walk3, but walk1, walk2"),
        (Without(5, 9, "walk2"), "walk2 has frames 0 to 8"),
        (Without(7, 5, "walk2"), "the first comes first"),
    ],
)
def test_what_is_not_there_is_said(without: Without, words: str) -> None:
    with pytest.raises(DataError, match=r".") as caught:
        leave_out([CLIP, OTHER], [without])
    assert words in str(caught.value)


def test_recordings_of_several_cameras_are_told(
    still: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not those of one, whatever passes there and however dark it is, if only black."""
    detector = Detector(load_checkpoint(still))
    frames = footage(12, intruder=(0, 6))
    for name, shown in (("day", frames), ("dusk", frames // 2 + 10)):
        write_film(tmp_path / "one" / f"{name}.avi", shown)
        write_film(tmp_path / "two" / f"{name}.avi", shown)
    for name in ("black", "blind"):
        write_film(tmp_path / "one" / f"{name}.avi", 0 * frames)
    write_film(tmp_path / "two" / "black.avi", 0 * frames)
    write_film(tmp_path / "two" / "elsewhere.avi", frames[:, ::-1])
    read_footage(detector, tmp_path / "one", None, skip_bad=False)
    assert not caplog.records
    read_footage(detector, tmp_path / "two", None, skip_bad=False)
    messages = "\n".join(record.getMessage() for record in caplog.records)
    assert "2 different views" in messages and "day.avi, elsewhere.avi;" in messages
