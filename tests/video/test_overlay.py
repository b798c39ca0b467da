from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from mpn.errors import DataError
from mpn.video.overlay import OverlayWriter, drawn
from mpn.video.sources import open_source

SIZE = (240, 320)
GREY = np.full((*SIZE, 3), 128, np.uint8)


def overlay(path, writes, size=SIZE, fps=10):
    with OverlayWriter(path, fps=fps, size=size) as writer:
        for arguments in writes:
            writer.write(**{"frame": GREY, "score": 0.0, "threshold": 1.0} | arguments)
    return [frame.astype(int) for frame in open_source(path).frames()]


def reddest(frame):
    return frame[..., 2] - frame[..., :2].max(axis=2)


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".avi"])
def test_a_frame_for_every_frame_with_a_strip_below(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    frames = overlay(path, [{}] * 7, fps=Fraction(25, 2))
    assert len(frames) == 7 and open_source(path).fps == Fraction(25, 2)
    assert frames[0].shape[1] == 320 and frames[0].shape[0] >= 240 + 64
    assert np.abs(frames[6][60:230] - 128).max() < 12  # the picture itself is left alone
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_boxes_are_drawn_only_above_the_threshold(tmp_path):
    boxes = [(100, 150, 40, 60)]
    below, above = overlay(
        tmp_path / "out.avi", [{"score": 0.5, "boxes": boxes}, {"score": 2.0, "boxes": boxes}]
    )
    assert reddest(below[:240]).max() < 30
    marked = np.argwhere(reddest(above[:240]) > 60)
    assert np.abs(marked.min(0) - (100, 150)).max() <= 2  # y, x of the box, as given
    assert np.abs(marked.max(0) - (139, 209)).max() <= 2


def test_words_stand_below_time_and_score(tmp_path):
    (plain,) = overlay(tmp_path / "plain.avi", [{}])
    (with_words,) = overlay(tmp_path / "told.avi", [{"words": "fast: 9.1 px a frame, usual 3.2"}])
    rows, columns = np.nonzero(np.abs(with_words - plain)[:230].max(axis=2) > 60)
    assert 22 <= rows.min() < rows.max() <= 42
    assert columns.min() <= 12 and columns.max() > 150


def test_heat_colours_its_place_only(tmp_path):
    heat = np.zeros((6, 8))
    heat[4, 6] = 1.0  # rows 160-199, columns 240-279 of the frame
    frame = overlay(tmp_path / "out.avi", [{"heat": heat}])[0]
    assert np.abs(frame[180, 260] - 128).max() > 40
    assert np.abs(frame[60:100, 20:200] - 128).max() < 12


def test_the_curve_rises_with_the_score_and_turns_red_above_the_threshold(tmp_path):
    frame = overlay(tmp_path / "out.avi", [{"score": s} for s in np.linspace(0, 2, 120)])[-1]
    strip = frame[240:]
    # curve and fill; the threshold's line is white
    coloured = strip.max(axis=2) - strip.min(axis=2) > 25
    tops = [int(np.flatnonzero(coloured[:, x])[0]) for x in (215, 250, 315)]
    assert tops[0] > tops[1] > tops[2]
    early, late = strip[:, 202:250].reshape(-1, 3), strip[:, 270:].reshape(-1, 3)
    assert (early[:, 1] - early[:, 2]).max() > 60 and (late[:, 2] - late[:, 1]).max() > 60
    assert (early[:, 2] - early[:, 1]).max() < 60


def test_no_score_draws_no_curve(tmp_path):
    frame = overlay(tmp_path / "out.avi", [{"score": math.nan, "threshold": None}] * 3)[-1]
    assert frame[244:].max() < 60


def test_small_odd_grey_frames_are_enlarged(tmp_path):
    writes = [
        {"frame": np.full((65, 97, 1), 90, np.uint8), "score": 2.0, "boxes": [(10, 20, 30, 40)]}
    ] * 3
    frame = overlay(tmp_path / "out.mp4", writes, size=(65, 97), fps=None)[-1]
    assert frame.shape[1] == 388  # 97 * 4, the first width not below 320
    assert open_source(tmp_path / "out.mp4").fps == 25
    marked = np.argwhere(reddest(frame[:260]) > 60)
    assert (
        np.abs(marked.min(0) - (40, 80)).max() <= 3
        and np.abs(marked.max(0) - (159, 239)).max() <= 3
    )


def test_a_failed_run_leaves_neither_a_broken_nor_a_lost_file(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"earlier")
    with pytest.raises(RuntimeError), OverlayWriter(path, fps=10, size=SIZE) as writer:
        writer.write(GREY, 0.0, 1.0)
        raise RuntimeError
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


def test_an_interrupted_run_keeps_what_it_has(tmp_path):
    path = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt), OverlayWriter(path, fps=10, size=SIZE) as writer:
        for _ in range(5):
            writer.write(GREY, 0.0, 1.0)
        raise KeyboardInterrupt
    assert len(list(open_source(path).frames())) == 5


def test_wrong_use_is_named(tmp_path):
    with pytest.raises(
        DataError,
        match=r"cannot have the suffix '\.gif'; expected \.webm or \.mp4 "
        r"or \.avi",
    ):
        OverlayWriter(tmp_path / "out.gif", fps=10, size=SIZE)
    with pytest.raises(DataError, match="cannot be written.*none does not exist"):
        OverlayWriter(tmp_path / "none" / "out.mp4", fps=10, size=SIZE)
    with (
        pytest.raises(DataError, match="frame 0 is 10x10; expected 320x240"),
        OverlayWriter(tmp_path / "out.mp4", fps=10, size=SIZE) as writer,
    ):
        writer.write(GREY[:10, :10], 0.0, 1.0)
    with (
        pytest.raises(DataError, match="0 of 0 frames"),
        OverlayWriter(tmp_path / "out.mp4", fps=10, size=SIZE),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_every_box_is_drawn(tmp_path):
    boxes = [(40, 20, 30, 30), (150, 200, 50, 60)]
    frame = overlay(tmp_path / "out.avi", [{"score": 2.0, "boxes": boxes}])[0]
    red = reddest(frame[:240]) > 60
    assert red[40, 20:50].mean() > 0.9 and red[150, 200:260].mean() > 0.9 and not red[80:140].any()


def test_names_stand_beside_their_boxes(tmp_path):
    boxes = [(100, 40, 30, 30), (0, 200, 50, 60), (200, 300, 40, 20)]
    same = {"boxes": boxes, "seconds": 0.0}
    writes = [
        {"score": score, "names": names, **same}
        for score, names in [(2.0, []), (2.0, ["1", "27", "308"]), (0.5, ["1", "27", "308"])]
    ]
    plain, named, quiet = overlay(tmp_path / "out.avi", writes)
    changed = np.abs(named - plain)[:240].max(axis=2) > 60
    # Above their boxes; below where there is no room; and never beyond the picture.
    for top, bottom, left, right in [(78, 102, 36, 60), (48, 74, 196, 230), (178, 202, 280, 320)]:
        assert changed[top:bottom, left:right].mean() > 0.15
        white = named[top:bottom, left:right].min(axis=2) > 160
        assert (
            4 <= white.sum() < 0.3 * white.size
            and reddest(named[top:bottom, left:right]).max() > 100
        )
        changed[top:bottom, left:right] = False
    assert not changed.any()
    assert reddest(quiet[:240]).max() < 30


def test_a_large_frame_is_drawn_smaller_and_its_boxes_with_it(tmp_path):
    size = (960, 1708)  # twice the largest side
    frame = np.full((*size, 3), 128, np.uint8)
    boxes = [(400, 600, 200, 300)]
    drawn_frame = overlay(
        tmp_path / "out.avi", [{"frame": frame, "score": 2.0, "boxes": boxes}], size=size
    )[0]
    assert drawn_frame.shape[1] == 854
    marked = np.argwhere(reddest(drawn_frame[:480]) > 60)
    assert (
        np.abs(marked.min(0) - (200, 300)).max() <= 2
        and np.abs(marked.max(0) - (299, 449)).max() <= 2
    )


def test_a_frame_may_come_in_the_size_that_it_is_drawn_in(tmp_path):
    size = (960, 1708)
    small = drawn(np.full((*size, 3), 90, np.uint8), size)
    assert small.shape == (480, 854, 3)
    assert overlay(tmp_path / "out.avi", [{"frame": small}], size=size)[0].shape[1] == 854
    assert drawn(small, size) is small
    with pytest.raises(DataError, match="expected 1708x960"):
        overlay(tmp_path / "bad.avi", [{"frame": small[:-1]}], size=size)


def test_nothing_is_said_beside_the_video(tmp_path, capfd):
    overlay(tmp_path / "out.webm", [{}] * 3)
    assert capfd.readouterr() == ("", "")
