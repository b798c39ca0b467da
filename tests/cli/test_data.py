"""DATA: what the argument becomes, for verbs that take one and for those that take several."""

from __future__ import annotations

import argparse
import functools
import logging
from pathlib import Path

import pytest

from mpn.cli import UsageError
from mpn.cli.data import add_data, data_name, open_data, open_data_list, training_videos
from mpn.datasets.demo.dataset import write_demo
from mpn.datasets.layouts import DatasetTree, Video, recognise
from mpn.errors import DataError
from tests.helpers import trees


def parsed(*arguments: object, several: bool = True) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_data(parser, several=several)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the demo set is written to once."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """The demo set is one tiny scene."""
    monkeypatch.chdir(place)
    lengths = {"length": 44, "test_length": 24, "size": (80, 120)}
    made = functools.partial(write_demo, scenes=1, training=2, validation=1, testing=2, **lengths)
    monkeypatch.setattr("mpn.cli.data.write_demo", made)


def cameras(root: Path, *scenes: str, clips: int = 2) -> Path:
    """A data set in the scenes layout."""
    for scene in scenes:
        for number in range(clips):
            trees.write_frames(root / scene / f"{number}", 6)
    return root


def tree_of(root: str, *videos: tuple[str, str]) -> DatasetTree:
    """A tree of training videos, (scene, name)."""
    return DatasetTree(
        Path(root),
        "scenes",
        tuple(Video(name, Path(root) / scene / name, scene) for scene, name in videos),
        (),
    )


def table(videos: list[Video]) -> list[tuple[str, str]]:
    return [(video.scene, video.name) for video in videos]


def test_one_data_set_is_a_word_and_several_are_a_list() -> None:
    assert parsed("a", several=False).data == "a" and parsed(several=False).data == "demo"
    assert list(parsed("a", "b").data) == ["a", "b"] and list(parsed().data) == ["demo"]
    with pytest.raises(SystemExit):
        parsed("a", "b", several=False)


def test_options_stand_between_and_after_data_sets() -> None:
    found = parsed("a", "b", "--skip-bad", "--fps", "25")
    assert (list(found.data), found.skip_bad, found.fps, found.layout) == (
        ["a", "b"],
        True,
        25.0,
        None,
    )


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (["demo"], "demo"),
        (["x/ped2"], "ped2"),
        (["x/ped2/", "demo"], "ped2+demo"),
        (["b", "./a", "c/.."], "b+a+{here}"),
    ],
)
def test_the_name_of_several_is_theirs_joined(
    data: list[str], name: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_name(parsed(*data)) == name.format(here=tmp_path.name)
    if len(data) == 1:
        assert data_name(parsed(*data, several=False)) == name


def test_one_data_set_opens_alike_either_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = cameras(tmp_path / "cams", "gate", "hall")
    tree = open_data(parsed(root, several=False))
    (line,) = caplog.messages
    assert open_data_list(parsed(root)) == open_data_list(parsed(root, several=False)) == [tree]
    assert caplog.messages == 3 * [line] and "scenes layout, 4 videos, 2 scenes" in line
    # Nothing to tell apart: names are those of the tree.
    assert training_videos([tree]) == list(tree.training)


def test_several_data_sets_are_merged_in_order_each_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = cameras(tmp_path / "cams", "gate", "hall"), trees.ucsd(tmp_path / "ped2")
    opened = open_data_list(parsed(first, second))
    assert opened == [recognise(first), recognise(second)]
    assert [line.split(":")[0] for line in caplog.messages] == [str(first), str(second)]
    videos = training_videos(opened)
    assert videos == [*opened[0].training, *opened[1].training]
    assert {video.scene for video in videos} == {"gate", "hall", "ped2"}


def test_cameras_of_one_name_in_two_data_sets_stay_two(tmp_path: Path) -> None:
    first, second = (
        cameras(tmp_path / "north", "gate", "hall"),
        cameras(tmp_path / "south", "hall", "yard"),
    )
    videos = training_videos(open_data_list(parsed(first, second)))
    assert table(videos) == [
        ("gate", "gate_0"),
        ("gate", "gate_1"),
        ("north-hall", "north-hall_0"),
        ("north-hall", "north-hall_1"),
        ("south-hall", "south-hall_0"),
        ("south-hall", "south-hall_1"),
        ("yard", "yard_0"),
        ("yard", "yard_1"),
    ]
    assert [video.path.parent.parent for video in videos] == [first] * 4 + [second] * 4


def test_videos_of_one_name_in_cameras_of_different_names() -> None:
    videos = training_videos(
        [tree_of("ped2", ("ped2", "01"), ("ped2", "02")), tree_of("avenue", ("avenue", "01"))]
    )
    assert table(videos) == [("ped2", "ped2-01"), ("ped2", "02"), ("avenue", "avenue-01")]


def test_data_sets_in_folders_of_one_name() -> None:
    given = [tree_of(f"{place}/scenes", ("hall", "a")) for place in "xyz"]
    assert table(training_videos(given)) == [
        ("scenes-hall", "scenes-a"),
        ("scenes-2-hall", "scenes-2-a"),
        ("scenes-3-hall", "scenes-3-a"),
    ]


def test_names_that_still_coincide_are_an_error_not_one_camera() -> None:
    given = [tree_of("x", ("hall", "a")), tree_of("y", ("hall", "b"), ("x-hall", "c"))]
    with pytest.raises(
        DataError, match="a scene of two of the data sets would be called x-hall; rename"
    ):
        training_videos(given)


def test_data_sets_without_training_videos_give_none(tmp_path: Path) -> None:
    empty = DatasetTree(tmp_path, "frames", (), ())
    assert training_videos([empty]) == []
    assert table(training_videos([empty, tree_of("a", ("hall", "1"))])) == [("hall", "1")]


def test_the_same_data_set_twice_is_wrong_use(tmp_path: Path) -> None:
    root = cameras(tmp_path / "cams", "gate")
    with pytest.raises(UsageError, match=r"cams/\.\./cams: this data set is given twice"):
        open_data_list(parsed(root, root / ".." / "cams"))


def test_the_demo_set_among_others(small_demo: None, tmp_path: Path) -> None:
    root = cameras(tmp_path / "cams", "gate", "01")
    options = parsed(root, "demo")
    videos = training_videos(open_data_list(options))
    assert {video.scene for video in videos} == {"gate", "cams-01", "demo-01"}
    assert len({video.name for video in videos}) == len(videos) == 6
    # Its frame rate is not that of the other footage.
    assert options.fps is None


@pytest.mark.parametrize("several", [True, False])
def test_the_demo_set_alone_brings_its_frame_rate(small_demo: None, several: bool) -> None:
    options = parsed(several=several)
    (tree,) = open_data_list(options)
    assert options.fps == 10 and tree.root == Path("data/demo")
    assert parsed(several=several).fps is None
    given = parsed("--fps", "5", several=several)
    open_data_list(given)
    assert given.fps == 5


@pytest.mark.parametrize("below", [".", "validation"])
def test_the_demo_set_by_its_folder_brings_its_frame_rate(
    small_demo: None, place: Path, below: str
) -> None:
    open_data(parsed(several=False))
    options = parsed(place / "data/demo" / below, several=False)
    open_data(options)
    assert options.fps == 10
    given = parsed(place / "data/demo" / below, "--fps", "5", several=False)
    open_data(given)
    assert given.fps == 5


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"fps": "ten"}', '{"fps": -1}', "\xff"])
def test_any_other_file_of_that_name_says_nothing(tmp_path: Path, text: str) -> None:
    root = cameras(tmp_path / "cams", "gate")
    (root / "demo.json").write_bytes(text.encode("latin-1"))
    options = parsed(root, several=False)
    open_data(options)
    assert options.fps is None


def test_a_layout_for_the_demo_set_is_wrong_use(small_demo: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the demo set has its own"):
        open_data_list(parsed(cameras(tmp_path / "cams", "gate"), "demo", "--layout", "scenes"))
