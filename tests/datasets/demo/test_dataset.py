from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mpn.datasets.demo.actors import Thrown, Trip, Walker, Way
from mpn.datasets.demo.bodies import make_figure, person
from mpn.datasets.demo.dataset import (
    KINDS,
    scene_clips,
    write_demo,
    write_unseen_camera,
)
from mpn.datasets.demo.drawing import Camera, Stand, render
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.errors import DataError
from mpn.evaluation.baselines import (
    frame_difference,
    frame_number,
    nearness_to_middle,
    uniform_noise,
)

SIZE = (96, 144)
SMALL = {
    "scenes": 1,
    "training": 1,
    "validation": 1,
    "testing": 1,
    "length": 6,
    "test_length": 9,
    "size": SIZE,
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scene; three of its four test clips have two events each, so that every kind comes
    once."""
    root = tmp_path_factory.mktemp("made") / "demo"
    options = {"training": 1, "validation": 1, "testing": 4, "length": 30, "test_length": 120}
    return write_demo(root, scenes=1, size=SIZE, **options)


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_layout_is_written(demo: Path) -> None:
    for split, names, length in (
        ("training", ["01_01"], 30),
        ("validation", ["01_01"], 30),
        ("testing", ["01_01", "01_02", "01_03", "01_04"], 120),
    ):
        assert sorted(path.name for path in (demo / split / "frames").iterdir()) == names
        for name in names:
            files = sorted(path.name for path in (demo / split / "frames" / name).iterdir())
            assert files == [f"{number:03d}.jpg" for number in range(length)]
            assert cv2.imread(str(demo / split / "frames" / name / files[-1])).shape == (*SIZE, 3)
    settings = json.loads((demo / "demo.json").read_text())
    assert (settings["seed"], settings["scenes"], settings["fps"]) == (0, 1, 10)
    assert sorted(path.name for path in demo.iterdir()) == [
        "demo.json",
        "testing",
        "training",
        "validation",
    ]
    assert [path.name for path in (demo / "training").iterdir()] == ["frames"]


def test_real_data_code_reads_it(demo: Path) -> None:
    tree = recognise(demo)
    assert tree.layout == "frames"
    assert [video.scene for video in tree.testing] == ["01"] * 4
    labels = load_labels(tree, {video.name: 120 for video in tree.testing})
    for name, frames in labels.frames.items():
        np.testing.assert_array_equal(
            frames, np.load(demo / "testing" / "test_frame_mask" / f"{name}.npy")
        )
        mask = labels.pixel_mask(name)
        assert mask is not None
        np.testing.assert_array_equal(mask.any((1, 2)), frames)


@pytest.mark.parametrize("split", ["validation", "testing"])
def test_labels_masks_and_tracks_agree_on_every_frame(demo: Path, split: str) -> None:
    tracks = rows_of(demo / split / "tracks.csv")
    stretches = rows_of(demo / split / "labels.csv")
    assert {row["kind"] for row in tracks} <= set(KINDS)
    for folder in (demo / split / "frames").iterdir():
        name = folder.name
        labels = np.load(demo / split / "test_frame_mask" / f"{name}.npy")
        assert labels.dtype == bool and len(labels) == len(list(folder.iterdir()))
        from_csv = np.zeros_like(labels)
        for row in stretches:
            if row["video"] == name:
                from_csv[int(row["start"]) : int(row["end"])] = True
        np.testing.assert_array_equal(from_csv, labels)
        for number, label in enumerate(labels):
            mask = cv2.imread(
                str(demo / split / "masks" / name / f"{number:03d}.png"), cv2.IMREAD_UNCHANGED
            )
            assert mask.shape == SIZE and set(np.unique(mask)) <= {0, 255}
            boxes = [row for row in tracks if row["video"] == name and int(row["frame"]) == number]
            assert bool(mask.any()) == bool(label) == bool(boxes)
            covered = np.zeros(SIZE, bool)
            for row in boxes:
                x, y, w, h = (int(row[key]) for key in "xywh")
                box = mask[y : y + h, x : x + w]
                assert box.shape == (h, w) and box[0].any() and box[-1].any()
                assert box[:, 0].any() and box[:, -1].any()
                covered[y : y + h, x : x + w] = True
            assert not mask[~covered].any()


def test_every_kind_is_there_and_so_is_normal_life(demo: Path) -> None:
    assert {row["kind"] for row in rows_of(demo / "testing" / "tracks.csv")} == set(KINDS)
    labels = [np.load(path) for path in (demo / "testing" / "test_frame_mask").iterdir()]
    assert 0.2 < np.concatenate(labels).mean() < 0.8


def test_one_test_clip_in_four_is_normal_and_training_always() -> None:
    for index in range(2):
        clips = scene_clips(0, index, size=SIZE)
        assert [bool(clip.anomalies) for clip in clips.training] == [False] * 5
        assert sum(not clip.anomalies for clip in clips.testing) == 1
        assert all(clip.anomalies for clip in clips.validation)
        assert {actor.kind for clip in clips.testing for actor in clip.anomalies} == set(KINDS)
        everyone = [actor for split in clips[1:] for clip in split for actor in clip.normal]
        assert {(actor.kind, actor.track) for actor in everyone} == {("walker", 0)}


def test_masks_are_where_the_anomaly_changed_the_picture() -> None:
    clips = scene_clips(3, 0, training=0, validation=0, testing=3, test_length=60, size=SIZE)
    marked = changed = 0
    for clip in clips.testing:
        for number, (frame, without) in enumerate(zip(clip.frames(), clip.frames(anomalies=False))):
            assert not without.tracks
            if number % 4:
                continue
            mask = np.zeros(SIZE, bool)
            for pixels in frame.tracks.values():
                mask |= pixels
            change = frame.image.astype(int).mean(2) - without.image.astype(int).mean(2)
            marked += mask.sum()
            changed += (np.abs(change[mask]) > 5).sum()
            around = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
            # beside the anomaly there is nothing but its shadow
            assert change[~around].max(initial=0) < 12
    assert marked > 1000
    assert changed > 0.75 * marked


def test_same_seed_same_bytes_other_seed_other_frames(tmp_path: Path) -> None:
    first = digests(write_demo(tmp_path / "a", **SMALL))
    assert digests(write_demo(tmp_path / "b", **SMALL)) == first
    assert digests(write_demo(tmp_path / "side-by-side", **SMALL, workers=2)) == first
    other = digests(write_demo(tmp_path / "c", seed=1, **SMALL))
    assert other.keys() == first.keys()
    pictures = [name for name in first if name.endswith(".jpg")]
    assert len(pictures) == 21
    assert all(first[name] != other[name] for name in pictures)


def test_clips_can_be_drawn_alone_and_again() -> None:
    clip = scene_clips(5, 7, training=2, size=SIZE, length=4).training[1]
    assert clip.name == "08_02"  # the eighth camera
    again = scene_clips(5, 7, training=3, size=SIZE, length=4).training[1]
    for one, two, three in zip(clip.frames(), clip.frames(), again.frames(), strict=True):
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.image, three.image)
        assert one.image.shape == (*SIZE, 3) and one.image.dtype == np.uint8


def test_interrupted_generation_leaves_nothing(tmp_path: Path) -> None:
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="demo was being made.* the same command"):
        write_demo(tmp_path / "demo", **SMALL, progress=stop)
    assert seen == [(number, 21) for number in range(1, 9)]
    assert list(tmp_path.iterdir()) == []
    assert (write_demo(tmp_path / "demo", **SMALL) / "demo.json").is_file()


def test_a_made_set_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()  # an empty folder is no obstacle
    root = write_demo(tmp_path / "demo", **SMALL)
    marker = root / "training" / "frames" / "01_01" / "000.jpg"
    before = marker.stat()
    calls = []
    assert write_demo(root, **SMALL, progress=lambda done, total: calls.append(done)) == root
    assert (marker.stat().st_ino, marker.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert calls == []


UNSEEN = {"training": 1, "length": 8, "test_length": 120, "size": SIZE}


def test_an_unseen_camera_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    tree = recognise(write_unseen_camera(tmp_path / "camera", **UNSEEN))
    assert tree.layout == "frames"
    assert [video.name for video in tree.training] == ["05_01"]
    assert [video.name for video in tree.testing] == ["05_01", "05_02"]
    assert {video.scene for video in tree.testing} == {"05"}
    labels = load_labels(tree, {video.name: 120 for video in tree.testing})
    assert all(frames.any() and not frames.all() for frames in labels.frames.values())
    assert sorted(path.name for path in tree.root.iterdir()) == ["demo.json", "testing", "training"]
    assert json.loads((tree.root / "demo.json").read_text())["fps"] == 10


def test_an_unseen_camera_looks_like_none_of_the_demo_set(tmp_path: Path) -> None:
    root = write_unseen_camera(tmp_path / "camera", **UNSEEN, testing=0)
    view = cv2.imread(str(root / "training" / "frames" / "05_01" / "000.jpg")).astype(float)
    again = cv2.imread(str(root / "training" / "frames" / "05_01" / "007.jpg")).astype(float)
    for camera in range(4):
        background = scene_clips(0, camera, training=0, validation=0, testing=0, size=SIZE).scene
        difference = np.abs(background.background - view).mean()
        assert difference > 3 * np.abs(again - view).mean()


def test_an_unseen_camera_is_made_once_and_never_over_other_things(tmp_path: Path) -> None:
    calls = []
    root = write_unseen_camera(tmp_path / "camera", **UNSEEN, progress=lambda *n: calls.append(n))
    assert calls == [(number, 248) for number in range(1, 249)]
    before = digests(root)
    assert write_unseen_camera(root, **UNSEEN, progress=lambda *n: calls.append(n)) == root
    assert len(calls) == 248
    with pytest.raises(DataError, match="holds a demo set made with other settings"):
        write_demo(root, **SMALL)
    assert digests(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["camera"]


def test_other_contents_are_refused(tmp_path: Path) -> None:
    root = write_demo(tmp_path / "demo", **SMALL)
    before = digests(root)
    with pytest.raises(DataError, match="other settings.*remove that folder or name another"):
        write_demo(root, **{**SMALL, "seed": 1})
    assert digests(root) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="mine: holds something other than a demo set"):
        write_demo(tmp_path / "mine", **SMALL)
    with pytest.raises(DataError, match="holiday.jpg/demo: the demo set cannot be written"):
        write_demo(tmp_path / "mine" / "holiday.jpg" / "demo", **SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "mine"]


def test_not_trivial_for_the_cheap_baselines(demo: Path) -> None:
    labels, scores = [], {name: [] for name in ("number", "middle", "noise", "difference")}
    for seed, folder in enumerate(sorted((demo / "testing" / "frames").iterdir())):
        truth = np.load(demo / "testing" / "test_frame_mask" / f"{folder.name}.npy")
        frames = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
        labels.append(truth)
        scores["number"].append(frame_number(len(truth)))
        scores["middle"].append(nearness_to_middle(len(truth)))
        scores["noise"].append(uniform_noise(len(truth), seed))
        scores["difference"].append(frame_difference(frames))
    for values in scores.values():
        assert roc_auc_score(np.concatenate(labels), np.concatenate(values)) < 0.8


def test_one_way_means_one_way() -> None:
    wrong = 0
    for index in range(3):
        clips = scene_clips(0, index, training=2, size=SIZE)
        lane = clips.scene.ways[-1]
        assert lane.one_way == 1
        for clip in (*clips.training, *clips.testing):
            for actor in (*clip.normal, *clip.anomalies):
                trip = getattr(actor, "trip", None)
                if trip is None or trip.way is not lane:
                    continue
                along = trip.arcs[-1] > trip.arcs[0]
                assert along == (actor.kind != "wrong direction")
                wrong += not along
    assert wrong >= 3


def test_camera_by_hand() -> None:
    camera = Camera(height=160, width=240, horizon=-40.0, focal=200.0, mount=8.0)
    points = np.array([[0.0, 0.0, 10.0], [1.0, 2.0, 10.0], [1.0, 0.0, 20.0]])
    np.testing.assert_allclose(camera.project(points), [[120, 120], [140, 80], [130, 40]])
    np.testing.assert_allclose(camera.ground(np.array([140.0]), np.array([120.0])), [[1.0], [10.0]])
    sizes = []
    for depth in (10.0, 20.0):
        stand = Stand(camera, np.array([0.0, 0.0, depth]), np.array([1.0, 0.0, 0.0]))
        sprite = render(camera, person(make_figure(np.random.default_rng(0)), stand, 0.0, 0.0))
        sizes.append(np.flatnonzero(sprite.alpha.max(1) > 0.5).size)
    assert sizes[0] / sizes[1] == pytest.approx(2, abs=0.25)  # twice as far, half as tall


def test_trip_by_hand() -> None:
    way = Way(np.array([[0.0, 10.0], [10.0, 10.0]]), 2.0, 0, 0.1)
    trip = Trip.along(way, 1, 5.0, 2.0, 0.0, pauses=((4.0, 3.0),))
    for time, x, pace in (
        (5.0, 0.0, None),
        (6.0, 2.0, 1.0),
        (8.0, 4.0, 0.0),
        (9.9, 4.0, None),
        (11.0, 6.0, 1.0),
    ):
        position, heading, gone, moving = trip.pose(time)
        assert position[0] == pytest.approx(x) and gone == pytest.approx(x)
        np.testing.assert_allclose(heading, [1, 0, 0])
        assert pace is None or moving == pytest.approx(pace)
    assert trip.pose(4.9) is None and trip.pose(13.1) is None
    back = Trip.along(way, -1, 0.0, 1.0, 0.0)
    position, heading, _, _ = back.pose(3.0)
    assert position[0] == pytest.approx(7.0)
    np.testing.assert_allclose(heading, [-1, 0, 0])


def test_thrown_object_flies_a_parabola() -> None:
    hand, rise = np.array([0.0, 1.0, 10.0]), 9.81 / 8  # half a second up, half a second down
    ball = Thrown(
        "thrown object", 1, (hand, hand), rise, 0.2, (200.0, 200.0, 200.0), start=2.0, end=9.0
    )
    camera = Camera(160, 240, -40.0, 200.0, 8.0)
    heights = [ball.body(camera, time).points[:2, 1].mean() for time in (2.0, 2.25, 2.5, 3.0)]
    np.testing.assert_allclose(heights, [1, 1 + 0.75 * rise, 1 + rise, 1], atol=1e-9)
    assert ball.body(camera, 1.9) is None and ball.body(camera, 9.0) is None


def test_runner_outpaces_walkers() -> None:
    clips = scene_clips(0, 0, size=SIZE)
    speeds: dict[str, list[float]] = {"walker": [], "runner": []}
    for clip in clips.testing:
        for actor in (*clip.normal, *clip.anomalies):
            if isinstance(actor, Walker) and actor.kind in speeds:
                speeds[actor.kind].append(actor.trip.speed)
    assert speeds["runner"] and min(speeds["runner"]) > 1.5 * max(speeds["walker"])
