"""What the doctor sees in frames: footage with one thing wrong, and footage that only looks like
it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mpn.doctor.diagnose import diagnose
from mpn.doctor.fingerprints import fingerprint
from tests.helpers.doctoring import EXPECTED, by_kind, only, texture, two_splits, views, walk
from tests.helpers.small_model import footage, write_footage

# --- What frames show


def test_black_frames(tmp_path: Path) -> None:
    film = footage(60)
    film[30:42] = 3
    finding = only(diagnose(write_footage(tmp_path / "clip", film), fps=10), "black")
    # nor are they called frozen
    assert "12 frames of 60 are black, the first: frame 30 (3.0 s)" in finding.what


def test_frames_of_a_single_colour_are_not_called_black(tmp_path: Path) -> None:
    film = footage(60)
    film[10] = (200, 30, 40)
    finding = only(diagnose(write_footage(tmp_path / "clip", film)), "black")
    assert "1 frame of 60 is of a single colour, the first: frame 10" in finding.what


def test_a_picture_that_stands_still(tmp_path: Path) -> None:
    film = footage(80)
    film[20:35] = film[20]
    film[50:70] = film[50]
    finding = only(diagnose(write_footage(tmp_path / "clip", film), fps=10), "frozen")
    assert "from frame 50 (5.0 s) to frame 69 (6.9 s)" in finding.what
    assert "2 such stretches, 35 frames" in finding.what
    # At 40 frames a second that is less than a second.
    assert set(by_kind(diagnose(tmp_path / "clip", fps=40))) == {"repeated-frames"}


def test_every_frame_twice(tmp_path: Path) -> None:
    finding = only(
        diagnose(write_footage(tmp_path / "clip", np.repeat(footage(30), 2, 0)), fps=30),
        "repeated-frames",
    )
    assert "30 of 60 frames" in finding.what and "about 15 frames/s" in finding.what


def test_noise_alone_is_not_frozen_and_a_few_repeats_are_no_finding(tmp_path: Path) -> None:
    film = footage(60)
    film[20:24] = film[20]
    assert by_kind(diagnose(write_footage(tmp_path / "clip", film))) == {}


def test_a_pan_is_seen(tmp_path: Path) -> None:
    clip = write_footage(tmp_path / "clip", views([(50, 20 + 2 * t) for t in range(60)]))
    finding = only(diagnose(clip), "camera-moves")
    assert (
        "the camera moves: seen at 11 of 12 looks" in finding.what
        and "by up to 10 pixels" in finding.what
    )
    moves = diagnose(clip).clips[0].moves
    assert all(abs(move.right - 10) < 0.5 and abs(move.down) < 0.5 for move in moves)


def test_a_camera_that_shakes_is_seen(tmp_path: Path) -> None:
    places = np.random.default_rng(0).integers(-4, 5, (60, 2)) + 100
    finding = only(
        diagnose(write_footage(tmp_path / "clip", views(places.tolist()))), "camera-moves"
    )
    assert "the camera moves" in finding.what


def test_a_camera_that_was_knocked_is_seen_where_and_how_far(tmp_path: Path) -> None:
    clip = write_footage(tmp_path / "clip", views([(50, 50)] * 30 + [(62, 45)] * 30))
    finding = only(diagnose(clip), "camera-moves")
    # 12 down, 5 to the left
    assert "the picture shifts, by up to 13 pixels, at about frame 30" in finding.what
    [move] = diagnose(clip).clips[0].moves
    assert abs(move.right + 5) < 0.5 and abs(move.down - 12) < 0.5


@pytest.mark.parametrize("wall", [False, True])
@pytest.mark.parametrize("side", [30, 80])
def test_what_moves_in_front_of_a_fixed_camera_is_no_movement_of_it(
    tmp_path: Path, side: int, wall: bool
) -> None:
    film = views([(50, 50)] * 60, np.full((400, 500), 90, np.uint8) if wall else None)
    lorry = texture(seed=9)[:side, : side + 30, None]
    for t in range(60):
        left = 2 * t
        film[t, 10 : 10 + side, left : left + side + 30] = lorry[:, : 160 - left]
    assert by_kind(diagnose(write_footage(tmp_path / "clip", film))) == {}


def test_a_change_of_light_is_no_movement_and_no_cut(tmp_path: Path) -> None:
    film = views([(50, 50)] * 60).astype(float)
    film[20:40] *= 0.6
    film[40:] = film[40:] * 0.8 + 40
    assert by_kind(diagnose(write_footage(tmp_path / "clip", film.astype(np.uint8)))) == {}


def test_another_scene_in_the_middle(tmp_path: Path) -> None:
    film = np.concatenate([views([(50, 50)] * 33), views([(50, 50)] * 27, texture(seed=4))])
    finding = only(diagnose(write_footage(tmp_path / "clip", film), fps=10), "cut")
    assert "at frame 33 (3.3 s)" in finding.what


# --- Frames seen elsewhere


def test_test_frames_that_were_trained_on(tmp_path: Path) -> None:
    one, two, three = (footage(20, seed=seed) for seed in range(3))
    three[7:12] = two[13:18]
    three[15] = 0  # black ones are alike everywhere
    two[0] = 0
    kinds = by_kind(
        diagnose(two_splits(tmp_path / "set", [one, two], [three])), but=EXPECTED | {"black"}
    )
    assert list(kinds) == ["duplicates-train-test"]
    [finding] = kinds["duplicates-train-test"]
    assert finding.severity == "error" and finding.where == "testing/01"
    assert "5 frames of 20 are in training/02 too" in finding.what
    assert "the first: frame 7, there frame 13" in finding.what


def test_trained_on_in_another_coding(tmp_path: Path) -> None:
    root = two_splits(tmp_path / "set", [walk(60, 0), walk(60, 1)], [walk(60, 2)])
    assert by_kind(diagnose(root)) == {}  # the same place, other moments
    for number, frame in enumerate(walk(60, 1)[20:50], 10):
        (root / "testing" / "frames" / "01" / f"{number:03d}.png").unlink()
        cv2.imwrite(str(root / "testing" / "frames" / "01" / f"{number:03d}.jpg"), frame)
    finding = only(diagnose(root), "near-duplicates-train-test")
    assert finding.where == "testing/01" and "training/02" in finding.what
    assert finding.what.endswith("there mostly 10 frames later")


def test_a_training_clip_given_twice(tmp_path: Path) -> None:
    one, two = footage(20), footage(20, seed=1)
    finding = only(
        diagnose(two_splits(tmp_path / "set", [one, two, one], [footage(20, seed=2)])), "duplicates"
    )
    assert finding.severity == "warning" and finding.where == "training/03"
    assert "20 frames of 20 are in training/01 too" in finding.what


def test_a_loop(tmp_path: Path) -> None:
    finding = only(
        diagnose(write_footage(tmp_path / "clip", np.tile(footage(20), (3, 1, 1, 1)))), "loop"
    )
    assert "40 of 60 frames" in finding.what


def test_fingerprints_tell_pixels_and_shapes_apart() -> None:
    frame = footage(1)[0, :, :, :1]
    changed = frame.copy()
    changed[3, 5] += 1
    assert fingerprint(frame) == fingerprint(frame.copy()) != fingerprint(changed)
    assert fingerprint(np.zeros((4, 6, 1), np.uint8)) != fingerprint(np.zeros((6, 4, 1), np.uint8))


def test_views_of_several_cameras_in_one_folder(tmp_path: Path) -> None:
    """What moves in a picture makes no other camera of it, nor the time of day."""
    folder = tmp_path / "recordings"
    for number, (wall, light) in enumerate([(1, 0), (2, 0), (1, 40)]):
        film = views([(50, 50)] * 30, texture(wall))
        film[:, 40:60, 30 * number : 30 * number + 10] = 230
        write_footage(folder / f"0{number}", cv2.subtract(film, np.full_like(film, light)))
    finding = only(diagnose(folder, fps=10), "several-cameras")
    assert "2 different views" in finding.what and finding.what.endswith("00, 02; 01")
    (folder / "01").rename(tmp_path / "other")
    assert by_kind(diagnose(folder, fps=10)) == {}
