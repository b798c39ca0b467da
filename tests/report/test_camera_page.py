"""The page of a camera: what it has learned, in pictures and words."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mpn.errors import DataError
from mpn.model.checkpoint import Checkpoint
from mpn.motion.place import PlaceModel
from mpn.report.camera_page import PICTURE_WIDTH, page_of, write_camera_page
from mpn.report.usual_picture import WIDTH, usual_picture
from mpn.video.overlay import RED
from tests.helpers.moving import RATIO, cells
from tests.helpers.small_model import still_network, write_film

GRID = (16, 24)
REGION = [16, 32, 24, 40]  # top, left, height, width
LEARNED: dict[str, Any] = {
    "source": "gone.avi",
    "clips": ["gone"],
    "fps": 10.0,
    "without": ["3-5"],
    "after": {"threshold": 2.5, "extrapolated": True},
    "options": {"false_alarms_per_hour": 1.0},
    "moments": [
        {
            "clip": 0,
            "frame": 12,
            "start": 8,
            "stop": 15,
            "score": 3.25,
            "region": REGION,
            "reason": {"sentence": "moves left & fast"},
        }
    ],
    "made": [{"kind": "twice as fast", "pieces": 4, "found": 3, "auc": {"score": 0.875}}],
}


def lane(speed: float = 4.0, direction: int = 0) -> PlaceModel:
    """A camera in whose middle rows all moves one way, and nothing elsewhere."""
    moving = np.zeros(GRID)
    moving[6:10] = speed
    place = PlaceModel(GRID)
    place.add([cells(moving, direction, GRID)] * 50)
    return place


def checkpoint(place: PlaceModel | None = None, **learned: Any) -> Checkpoint:
    camera = {"adapted_on": LEARNED | learned}
    places = {"lane": lane() if place is None else place}
    return Checkpoint(still_network(), fps=10.0, places=places, camera=camera)


def test_what_moves_is_bright_where_it_does_and_what_does_not_is_grey() -> None:
    picture, top = usual_picture(lane(4.0), np.full((160, 240, 3), 200, np.uint8))
    assert picture.shape == (WIDTH * GRID[0] // GRID[1], WIDTH, 3)
    assert 4 / RATIO < top < 4 * RATIO
    saturation = np.ptp(picture.astype(int), axis=2)
    rows = np.r_[0:30, -30:0]  # far from the lane: what is usual is that of neighbours, too
    assert not saturation[rows].any()
    assert np.median(saturation[300:340]) > 50


@pytest.mark.parametrize(("direction", "axis", "sign"), [(0, 1, 1), (4, 1, -1), (2, 0, 1)])
def test_arrows_point_where_it_goes(direction: int, axis: int, sign: int) -> None:
    # An arrow begins in the middle of its square and ends where its head is widest: white pixels
    # reach further in its direction than in the opposite one.
    black = np.zeros((160, 240, 3), np.uint8)
    picture, _ = usual_picture(lane(4.0, direction), black)
    white = np.argwhere(picture.min(-1) > 235)
    side = WIDTH / (GRID[1] // 2)
    middle = (np.array([4, 4]) + 0.5) * side  # of a square with an arrow, in the lane
    near = white[np.abs(white - middle).max(1) < 1.5 * side] - middle
    assert len(near) > 20
    assert sign * near[:, axis].mean() > 5
    assert abs(near[:, 1 - axis].mean()) < 3


def test_two_ways_have_two_arrows_and_a_still_place_none() -> None:
    both = lane(4.0, 0)
    both.merge(lane(4.0, 4))
    picture, _ = usual_picture(both, np.zeros((160, 240, 3), np.uint8))
    side = WIDTH / (GRID[1] // 2)
    white = np.argwhere(picture.min(-1) > 235) - (np.array([4, 4]) + 0.5) * side
    near = white[np.abs(white).max(1) < 1.5 * side]
    assert near[:, 1].max() > 20 and near[:, 1].min() < -20
    still = PlaceModel(GRID)
    still.add([cells(0.0, 0, GRID)] * 10, [np.full((160, 240, 3), 90, np.uint8)])
    picture, top = usual_picture(still)
    assert top == 0 and not np.ptp(picture, axis=2).any()


def test_the_page_says_what_was_learned_and_what_to_leave_out(tmp_path: Path) -> None:
    path = page_of(tmp_path / "hall.camera.safetensors")
    assert path.name == "hall.camera.html"
    page = write_camera_page(path, checkpoint(), "hall.camera.safetensors").read_text("utf-8")
    assert "<h1>hall</h1>" in page
    assert "50 frames of normal footage, 0:05.0 at 10 a second" in page
    assert "Threshold for 1 false alarm an hour: 2.50, extrapolated" in page
    assert "moves left &amp; fast" in page and "0:01.2" in page and "score 3.25" in page
    assert "--without 3-5,8-14" in page
    assert "the footage is not there any more" in page
    assert "75.0 %" in page and "87.5" in page
    assert page.count("<script") == 1 and not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_a_moment_is_shown_where_the_footage_still_is(tmp_path: Path) -> None:
    frames = np.full((20, 96, 160, 3), 30, np.uint8)
    frames[12] = 200
    film = write_film(tmp_path / "walk.avi", frames)
    own = checkpoint(source=str(film), clips=["walk.avi"])
    page = write_camera_page(tmp_path / "a.html", own, "a.safetensors").read_text("utf-8")
    shown, usual = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(shown), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == (PICTURE_WIDTH * 96 // 160, PICTURE_WIDTH)
    assert np.median(picture) > 190  # frame 12, not its neighbours
    top, left, height, width = (side * PICTURE_WIDTH // 160 for side in REGION)
    red = np.abs(picture.astype(int) - RED).max(-1) < 90
    assert red[top, left : left + width].mean() > 0.8 and not red[: top - 6].any()
    assert "px a frame" in page and "picture's width" not in page
    assert usual


def test_moments_that_nobody_can_look_at_are_left_out(tmp_path: Path) -> None:
    live = LEARNED["moments"][0] | {"region": None, "reason": None}
    own = checkpoint(moments=[live, LEARNED["moments"][0]])
    page = write_camera_page(tmp_path / "a.html", own, "a.safetensors").read_text("utf-8")
    assert page.count("--without") == 1
    alone = write_camera_page(tmp_path / "b.html", checkpoint(moments=[live]), "b.safetensors")
    assert "Was all of it normal" not in alone.read_text("utf-8")


def test_a_file_of_an_earlier_version_has_its_page(tmp_path: Path) -> None:
    # These it said of what a rule had left out.
    gone: dict[str, Any] = {
        "left_out": [{"clip": 0, "frame": 92, "deviation": 15.5, "by": 41}],
        "excluded": [[0, 55, 84]],
        "options": LEARNED["options"] | {"guard": True},
    }
    page, other = (
        write_camera_page(tmp_path / name, own, "a.safetensors").read_text("utf-8")
        for name, own in (("a.html", checkpoint(**gone)), ("b.html", checkpoint()))
    )
    assert page == other


def test_of_several_recordings_each_has_its_name(tmp_path: Path) -> None:
    moment = LEARNED["moments"][0] | {"clip": 1}
    own = checkpoint(clips=["one", "<b>two"], moments=[moment], without=[])
    page = write_camera_page(tmp_path / "a.html", own, "a.safetensors").read_text("utf-8")
    assert "--without &lt;b&gt;two:8-14" in page and "<b>two" not in page


def test_a_model_of_a_training_is_shown_by_its_places_alone(tmp_path: Path) -> None:
    trained = replace(checkpoint(), camera=None, places={"a": lane(), "b": lane(2.0)})
    page = write_camera_page(tmp_path / "m.html", trained, "m.safetensors").read_text("utf-8")
    assert page.count("<figure") == 2 and "Was all of it normal" not in page
    with pytest.raises(DataError, match="has learned no camera"):
        write_camera_page(tmp_path / "n.html", replace(trained, places={}), "n.safetensors")


@pytest.mark.parametrize(
    "learned",
    [
        {"moments": [{"clip": 0}]},
        {"moments": 3},
        {"made": [{"found": "many"}]},
        {"after": {"threshold": "high"}},
        {"fps": "often"},
        {"clips": None, "moments": [LEARNED["moments"][0] | {"score": None}]},
    ],
)
def test_what_is_not_as_it_was_written_is_said(learned: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    with pytest.raises(DataError, match="a.safetensors: what it says of its footage"):
        write_camera_page(path, checkpoint(**learned), "a.safetensors")
    assert not path.exists()
