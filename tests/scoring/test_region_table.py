"""VIDEO_regions.csv: as other programs read it, gone on with, and what is none of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from mpn.errors import DataError, MpnError
from mpn.scoring.region_table import RegionTable, read_regions, regions_name
from mpn.scoring.regions import Tracked

FRAMES = [
    (4, 0.4, [Tracked(1, 7.25, (10, 20, 30, 40))]),
    (5, 0.5, []),
    (6, 0.6, [Tracked(1, 123.456789, (11, 21, 30, 40)), Tracked(2, 0.5, (0, 0, 5, 6))]),
    (9, float("nan"), [Tracked(3, 2.0, (1, 2, 3, 4))]),
]
HEAD = "frame,time,track,score,top,left,height,width\n"


def write(path: Path, frames=FRAMES, size: int = 0) -> list[int]:
    with RegionTable(path, size) as table:
        return [table.write(*frame) for frame in frames]


def test_other_programs_read_it(tmp_path) -> None:
    sizes = write(tmp_path / "a_regions.csv")
    with (tmp_path / "a_regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["4", "6", "6", "9"]
    assert rows[0] == {
        "frame": "4",
        "time": "0.400",
        "track": "1",
        "score": "7.25",
        "top": "10",
        "left": "20",
        "height": "30",
        "width": "40",
    }
    assert sizes[0] == sizes[1] < sizes[2] < sizes[3] == (tmp_path / "a_regions.csv").stat().st_size


def test_what_was_written_is_read_back_in_any_order_of_columns(tmp_path) -> None:
    write(tmp_path / "a.csv")
    rows = read_regions(tmp_path / "a.csv")
    expected = [
        (frame, region.track, region.score, region.box)
        for frame, _, regions in FRAMES
        for region in regions
    ]
    assert [(row.frame, row.track, row.box) for row in rows] == [
        (f, t, b) for f, t, _, b in expected
    ]
    assert [row.score for row in rows] == [score for _, _, score, _ in expected]
    lines = [line.split(",")[::-1] for line in (tmp_path / "a.csv").read_text().split()]
    (tmp_path / "b.csv").write_text("\n".join(",".join(line) for line in lines))
    assert read_regions(tmp_path / "b.csv") == rows


def test_scores_that_differ_in_the_last_digit_are_no_tie(tmp_path) -> None:
    scores = [7.0, np.nextafter(7.0, 8.0), 1 / 3, float(np.float32(0.1))]
    tracked = [Tracked(k, score, (0, 0, 5, 6)) for k, score in enumerate(scores, 1)]
    write(tmp_path / "a.csv", [(0, 0.0, tracked)])
    assert [row.score for row in read_regions(tmp_path / "a.csv")] == scores


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_gone_on_with_it_is_the_same_to_the_byte(tmp_path, stop: int) -> None:
    sizes = write(tmp_path / "whole.csv")
    write(tmp_path / "again.csv", FRAMES[: stop + 1])
    assert write(tmp_path / "again.csv", FRAMES[stop:], sizes[stop - 1]) == sizes[stop:]
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column 'frame'"),
        (b"frame,score\n1,2\n", "has no column 'height'"),
        (HEAD.encode() + b"1,0.1,1,2.0,1,2,3\n", "line 2: .*is no region"),
        (HEAD.encode() + b"1,0.1,1,2.0,1,2,3,4\n1,0.1,1,2.0,1,2,x,4\n", "line 3: .*is no region"),
        (HEAD.encode() + b"1,0.1,1,2.0,1,2,3,0\n", r"line 2: frame 1, box \(1, 2, 3, 0\)"),
        (HEAD.encode() + b"-1,0.1,1,2.0,1,2,3,4\n", "line 2: frame -1"),
        (b"\xff\xfe\x00\x01", "cannot be read as a table of regions"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"bad.csv.*{message}"):
        read_regions(path)


def test_files_that_cannot_be(tmp_path) -> None:
    with pytest.raises(DataError, match="none.csv: cannot be read.*No such file"):
        read_regions(tmp_path / "none.csv")
    with pytest.raises(MpnError, match="give another --out"):
        RegionTable(tmp_path / "no" / "a.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said() -> None:
    with pytest.raises(MpnError, match="No space left on device; what was written before is kept"):
        RegionTable(Path("/dev/full"))


def test_it_is_named_after_its_source(tmp_path, monkeypatch) -> None:
    (tmp_path / "day.one").mkdir()
    assert regions_name(Path("x/lobby.north.mp4")) == "lobby.north_regions.csv"
    assert regions_name(tmp_path / "day.one") == "day.one_regions.csv"
    monkeypatch.chdir(tmp_path / "day.one")
    assert regions_name(Path(".")) == regions_name(Path("../day.one")) == "day.one_regions.csv"
