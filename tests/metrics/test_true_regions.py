"""Regions and tracks of masks that were drawn for the test, and files of regions, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpn.errors import DataError, LabelError
from mpn.metrics.regions import Region, TrueRegion
from mpn.metrics.true_regions import (
    read_region_files,
    read_track_files,
    read_tracks,
    regions_of_masks,
)


def masks(
    frames: list[list[tuple[int, int, int, int]]], shape: tuple[int, int] = (60, 100)
) -> list[np.ndarray]:
    """Pictures of filled boxes (top, left, height, width), a list a frame."""
    drawn = []
    for boxes in frames:
        mask = np.zeros(shape, bool)
        for top, left, height, width in boxes:
            mask[top : top + height, left : left + width] = True
        drawn.append(mask)
    return drawn


def by_frame(regions: list[TrueRegion]) -> dict[int, dict[int, tuple]]:
    boxes: dict[int, dict[int, tuple]] = {}
    for region in regions:
        boxes.setdefault(region.frame, {})[region.track] = region.box
    return boxes


def test_two_anomalies_that_cross_the_frame_are_two_tracks() -> None:
    frames = [[(5, 10 + 4 * t, 10, 12), (40, 80 - 3 * t, 8, 9)] for t in range(10)]
    regions = regions_of_masks("walk", masks(frames))
    assert {region.video for region in regions} == {"walk"}
    assert by_frame(regions) == {t: dict(enumerate(boxes)) for t, boxes in enumerate(frames)}


def test_the_tracks_do_not_depend_on_which_part_comes_first() -> None:
    # The lower one of frame 0 moves up past the other, on its right: the order of the parts
    # changes.
    frames = [[(20, 10, 10, 12), (20 + 6 - 4 * t, 60, 10, 12)] for t in range(6)]
    assert {
        track: box[1]
        for boxes in by_frame(regions_of_masks("v", masks(frames))).values()
        for track, box in boxes.items()
    } == {0: 10, 1: 60}


def test_a_track_may_miss_one_frame_but_not_two() -> None:
    box = (20, 20, 10, 10)
    bridged = regions_of_masks("v", masks([[box], [], [box]]))
    split = regions_of_masks("v", masks([[box], [], [], [box]]))
    assert [(region.frame, region.track) for region in bridged] == [(0, 0), (2, 0)]
    assert [(region.frame, region.track) for region in split] == [(0, 0), (3, 1)]


def test_an_anomaly_that_splits_keeps_its_track_in_the_larger_part() -> None:
    frames = [[(10, 10, 20, 40)], [(10, 10, 20, 25), (10, 40, 20, 10)]]
    assert by_frame(regions_of_masks("v", masks(frames)))[1] == {
        0: (10, 10, 20, 25),
        1: (10, 40, 20, 10),
    }


def test_the_overlap_is_of_pixels_not_of_boxes() -> None:
    # An L round a square: their boxes overlap, their pixels do not.
    corner = np.zeros((40, 40), bool)
    corner[5:35, 5:10] = corner[30:35, 5:35] = True
    square = np.zeros((40, 40), bool)
    square[5:20, 20:35] = True
    assert [region.track for region in regions_of_masks("v", [corner, square])] == [0, 1]


def test_specks_are_dropped_and_corners_connect() -> None:
    mask = np.zeros((30, 30), bool)
    mask[2:5, 2:5] = True  # 9 pixels: a speck
    mask[10:14, 10:14] = mask[14:18, 14:18] = True  # touch at a corner
    mask[25:27, 20:25] = True  # 10 pixels
    assert {region.box for region in regions_of_masks("v", [mask])} == {
        (10, 10, 8, 8),
        (25, 20, 2, 5),
    }


def test_masks_of_0_and_255_count_and_other_arrays_do_not() -> None:
    drawn = [mask.astype(np.uint8) * 255 for mask in masks([[(1, 2, 5, 6)]])]
    assert [region.box for region in regions_of_masks("v", drawn)] == [(1, 2, 5, 6)]
    assert regions_of_masks("v", []) == []
    with pytest.raises(LabelError, match="'v'.*frame 1.*float64"):
        regions_of_masks("v", [np.zeros((4, 4), bool), np.zeros((4, 4))])


# --- Files


def test_published_tracks(tmp_path: Path) -> None:
    (tmp_path / "01_0014.txt").write_text(
        "0,154,4,142,119,249\n0,155,6,145,129,254\n\n1, 155, 0, 0, 0, 0\n"
    )
    (tmp_path / "01_0015.txt").write_text("")
    (tmp_path / "02.txt").write_text("3.0,1e1,1,2,3,4")
    assert read_track_files(tmp_path) == [
        # x from 4 to 119, both in it: 116 wide; y from 142 to 249: 108 high.
        TrueRegion("01_0014", 154, 0, (142, 4, 108, 116)),
        TrueRegion("01_0014", 155, 0, (145, 6, 110, 124)),
        TrueRegion("01_0014", 155, 1, (0, 0, 1, 1)),
        TrueRegion("02", 10, 3, (2, 1, 3, 3)),
    ]


def test_found_regions_of_both_forms(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("7,10,20,29,59,0.25\n7,10.5,20,29,59,-1\n")
    table = "frame,time,track,score,top,left,height,width\n3,0.300,1,2.5,20,10,40,20\n"
    (tmp_path / "b_regions.csv").write_text(table)
    (tmp_path / "c").mkdir()
    turned = "width,height,left,top,score,track,time,frame\n20,40,10,20,2.5,9,,4\n"
    (tmp_path / "c" / "c_regions.csv").write_text(turned)
    (tmp_path / "c" / "scores.csv").write_text("frame,score\n")
    (tmp_path / "notes.md").write_text("no regions")
    assert sorted(read_region_files(tmp_path)) == [
        Region("a", 7, (20, 10, 40, 20), 0.25),
        Region("a", 7, (20, 10.5, 40, 19.5), -1.0),
        Region("b", 3, (20, 10, 40, 20), 2.5),
        Region("c", 4, (20, 10, 40, 20), 2.5),
    ]


def test_rows_keep_their_order_because_ties_depend_on_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{frame},0,0,9,9,1\n" for frame in (5, 1, 3)))
    assert [region.frame for region in read_region_files(tmp_path)] == [5, 1, 3]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,1,0,0,9,9\n0,1,0,0,9\n", r"line 2 has 5 values; expected track_id,frame_id"),
        ("0;1;0;0;9;9\n", "line 1 has 1 value;"),
        (
            "track_id,frame_id,x_min,y_min,x_max,y_max\n",
            "line 1 has 'track_id' where a number belongs",
        ),
        ("0,1.5,0,0,9,9\n", "line 1 has the frame 1.5, no whole number from 0"),
        ("0,-1,0,0,9,9\n", "line 1 has the frame -1, no whole number from 0"),
        ("0.5,1,0,0,9,9\n", "line 1 has the track 0.5, no whole number;"),
        ("0,1,9,0,8,9\n", r"line 1 has a box that ends before it begins \(9,0,8,9\)"),
        ("0,1,nan,0,8,9\n", "line 1 has 'nan' where a number belongs"),
        ("0,1,0,0,inf,9\n", "line 1 has 'inf' where a number belongs"),
    ],
)
def test_a_bad_row_of_tracks_is_named(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "01.txt").write_text(rows)
    with pytest.raises(LabelError, match=f"01.txt: {message}"):
        read_track_files(tmp_path)


def test_a_bad_table_of_regions_is_named(tmp_path: Path) -> None:
    header = "frame,time,track,score,top,left,height,width\n"
    for table in (
        "",
        "frame;score;top\n",
        f"{header}1,0,1,,0,0,2,2\n",
        f"{header}1,0,1,1,0,0,0,2\n",
    ):
        (tmp_path / "01_regions.csv").write_text(table)
        with pytest.raises(DataError, match=r"01_regions.csv"):
            read_region_files(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,0,0,9,9,", "line 2 has '' where a number belongs; expected frame_id,x_min"),
        ("1,0,0,9,9,nan", "line 2 has 'nan' where a number belongs"),
        ("1,0,0,9,9", "line 2 has 5 values"),
    ],
)
def test_a_bad_row_of_regions_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "01.txt").write_text(f"1,0,0,9,9,0.5\n{row}\n")
    with pytest.raises(LabelError, match=f"01.txt: {message}"):
        read_region_files(tmp_path)


def test_folders_without_regions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="is no folder"):
        read_track_files(tmp_path / "nowhere")
    with pytest.raises(LabelError, match="holds no .txt"):
        read_track_files(tmp_path)
    with pytest.raises(LabelError, match="holds no regions"):
        read_region_files(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(LabelError, match=r"a.txt: cannot be read \(it is no text\)"):
        read_region_files(tmp_path)
    (tmp_path / "a_regions.csv").write_text("")
    with pytest.raises(LabelError, match="a.txt and a_regions.csv are of one video"):
        read_region_files(tmp_path)


def test_a_table_of_tracks(tmp_path: Path) -> None:
    table = tmp_path / "tracks.csv"
    table.write_text(
        "video,frame,track,kind,x,y,w,h\n01_01,0,3,runner,94,87,12,28\n\n01_02,7,1,van,5,6,1,2\n"
    )
    assert read_tracks(table) == [
        TrueRegion("01_01", 0, 3, (87, 94, 28, 12)),
        TrueRegion("01_02", 7, 1, (6, 5, 2, 1)),
    ]
    table.write_text("h,w,y,x,track,frame,video\n28,12,87,94,3,0,a\n")
    assert read_tracks(table) == [TrueRegion("a", 0, 3, (87, 94, 28, 12))]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("3,0,94,87,105,114\n")
    assert read_tracks(tmp_path / "folder") == read_tracks(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,frame,track,x,y,w\n", "its first line has no 'h'"),
        ("", "its first line has no 'video'"),
        ("video,frame,track,x,y,w,h\na,1,1,2,3,4\n", "line 2 has 6 values"),
        (
            "video,frame,track,x,y,w,h\na,1,1,2,3,0,5\n",
            "line 2 has a box that ends before it begins",
        ),
        ("video,frame,track,x,y,w,h\na,-1,1,2,3,4,5\n", "line 2 has the frame -1"),
    ],
)
def test_a_bad_table_of_tracks_is_named(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "tracks.csv"
    table.write_text(text)
    with pytest.raises(LabelError, match=message):
        read_tracks(table)
