from __future__ import annotations

import pytest

from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import LAYOUTS, Layout, Splits, Video, recognise
from mpn.doctor.diagnose import diagnose
from mpn.errors import DataError, LabelError
from mpn.video.sources import open_source
from tests.helpers import trees

WRITERS = {
    "ucsd": trees.ucsd,
    "frames": trees.frames,
    "avenue": trees.avenue,
    "shanghaitech": trees.shanghaitech,
    "scenes": trees.scenes,
}


def names(videos):
    return [video.name for video in videos]


@pytest.mark.parametrize(
    "layout, training, testing",
    [
        ("ucsd", ["Train001", "Train002"], ["Test001", "Test002", "Test010"]),
        ("frames", ["01", "02"], ["01", "02", "10"]),
        ("avenue", ["01", "02"], ["01", "02", "10"]),
        ("shanghaitech", ["01_001", "01_002"], ["01_0001", "01_0002", "02_0010"]),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_split_layouts_are_recognised(tmp_path, layout, training, testing, named):
    root = WRITERS[layout](tmp_path / "set")
    tree = recognise(root, layout if named else None)
    assert (tree.root, tree.layout) == (root, layout)
    assert names(tree.training) == training and names(tree.testing) == testing
    lengths = [open_source(video.path).length for video in tree.training + tree.testing]
    assert lengths == [*trees.TRAINING.values(), *trees.TESTING.values()]
    assert f"{layout} layout, 2 training and 3 test videos" in tree.describe()


def test_videos_are_in_natural_order(tmp_path):
    tree = recognise(trees.frames(tmp_path / "set", names="{}"))
    assert names(tree.testing) == ["1", "2", "10"]


def test_mask_folders_of_ucsd_are_no_videos(tmp_path):
    root = trees.ucsd(tmp_path / "set")
    trees.write_mask_pictures(root / "Test", "Test{:03d}_gt", ".bmp")
    assert names(recognise(root).testing) == ["Test001", "Test002", "Test010"]
    assert names(recognise(root / "Test").training) == ["Test001", "Test002", "Test010"]


@pytest.mark.parametrize(
    "layout, old, new",
    [
        ("ucsd", "Train", "train"),
        ("ucsd", "Test", "TEST"),
        ("frames", "training", "Training"),
        ("avenue", "testing_videos", "Testing_Videos"),
    ],
)
def test_folder_names_are_taken_in_any_case(tmp_path, layout, old, new):
    root = WRITERS[layout](tmp_path / "set")
    (root / old).rename(root / new)
    tree = recognise(root)
    assert (tree.layout, len(tree.training), len(tree.testing)) == (layout, 2, 3)


def test_scenes_come_from_names_where_all_have_them(tmp_path):
    plain = recognise(trees.frames(tmp_path / "plain"))
    assert plain.scenes == ("plain",)
    several = recognise(trees.shanghaitech(tmp_path / "shanghai"))
    assert several.scenes == ("01", "02") and several.testing[2].scene == "02"
    prefixed = recognise(trees.frames(tmp_path / "prefixed", names="03_{:04d}"))
    assert prefixed.layout == "frames" and prefixed.scenes == ("03",)
    trees.write_frames(tmp_path / "prefixed" / "testing" / "frames" / "extra", 2)
    assert recognise(tmp_path / "prefixed").scenes == ("prefixed",)


def test_a_folder_a_camera(tmp_path):
    root = trees.scenes(tmp_path / "cameras")
    tree = recognise(root)
    assert (
        tree.layout == "scenes" and tree.testing == () and tree.scenes == ("lobby", "roof", "yard")
    )
    assert names(tree.training) == ["lobby", "roof", "yard_1", "yard_2", "yard_10"]
    assert [video.scene for video in tree.training] == ["lobby", "roof", "yard", "yard", "yard"]
    assert tree.training[1].path == root / "roof" / "clip"
    trees.write_csv(root / "labels.csv", [])
    assert recognise(root).testing == tree.training


def test_clips_of_one_name_are_told_apart_or_refused(tmp_path):
    for scene in ("a", "b"):
        for clip in ("day", "night"):
            trees.write_frames(tmp_path / scene / clip, 2)
    assert names(recognise(tmp_path).training) == ["a_day", "a_night", "b_day", "b_night"]
    trees.write_frames(tmp_path / "a_b" / "c", 2)
    trees.write_frames(tmp_path / "a_b" / "d", 2)
    trees.write_frames(tmp_path / "a" / "b_c", 2)
    with pytest.raises(DataError, match="two clips would be called a_b_c"):
        recognise(tmp_path)


def test_plain_is_a_video_videos_or_frames(tmp_path):
    video = trees.write_video(tmp_path / "videos" / "2.mp4", 3)
    trees.write_video(tmp_path / "videos" / "10.avi", 3)
    trees.write_frames(tmp_path / "clip", 3)
    for path, expected in (
        (video, ["2"]),
        (tmp_path / "videos", ["2", "10"]),
        (tmp_path / "clip", ["clip"]),
    ):
        tree = recognise(path)
        assert tree.layout == "plain" and names(tree.training) == expected and tree.testing == ()
        assert len(tree.scenes) == 1
    trees.write_csv(tmp_path / "videos" / "labels.csv", [])
    assert names(recognise(tmp_path / "videos").testing) == ["2", "10"]
    assert names(recognise(video).testing) == ["2"]


def test_plain_files_of_one_stem_keep_their_suffix(tmp_path):
    for name in ("a.avi", "a.mp4", "b.mp4"):
        trees.write_video(tmp_path / name, 2)
    assert names(recognise(tmp_path).training) == ["a.avi", "a.mp4", "b"]


def test_the_one_data_set_in_a_folder_is_used(tmp_path):
    trees.ucsd(tmp_path / "UCSD" / "UCSDped2")
    (tmp_path / "UCSD" / "README").touch()
    tree = recognise(tmp_path / "UCSD")
    assert tree.root == tmp_path / "UCSD" / "UCSDped2" and tree.scenes == ("UCSDped2",)
    trees.ucsd(tmp_path / "UCSD" / "UCSDped1")
    with pytest.raises(DataError, match=r"holds 2 data sets \(UCSDped1, UCSDped2\); expected one"):
        recognise(tmp_path / "UCSD")


def test_one_split_is_enough(tmp_path):
    root = trees.frames(tmp_path / "set")
    (root / "testing").rename(tmp_path / "validation")
    assert recognise(root).testing == () and len(recognise(root).training) == 2
    alone = recognise(tmp_path / "validation")
    assert (
        alone.layout == "frames"
        and names(alone.testing) == ["01", "02", "10"]
        and alone.training == ()
    )
    alone = recognise(root / "training")
    assert names(alone.training) == ["01", "02"] and alone.testing == ()


def test_a_demo_tree_with_its_extra_files_is_the_frames_layout(tmp_path):
    root = trees.frames(tmp_path / "demo", names="02_{:02d}")
    for split in ("testing", "validation"):
        trees.write_frames(root / split / "masks" / "02_01", 2)
        trees.write_frames(root / split / "frames" / "02_77", 2)
        trees.write_csv(root / split / "labels.csv", [])
        trees.write_csv(root / split / "tracks.csv", [])
    tree = recognise(root)
    assert tree.layout == "frames" and names(tree.testing) == ["02_01", "02_02", "02_10", "02_77"]


def test_hidden_files_are_no_videos(tmp_path):
    root = trees.avenue(tmp_path / "set")
    (root / "testing_videos" / "._01.avi").touch()
    trees.write_frames(root / "testing_videos" / ".cache", 2)
    assert len(recognise(root).testing) == 3


# --- Wrong input


def test_a_missing_folder_names_its_nearest_parent(tmp_path):
    with pytest.raises(
        DataError,
        match=r"ped2: does not exist; the nearest folder that does is "
        rf"{tmp_path}",
    ):
        recognise(tmp_path / "data" / "ped2")


def test_where_published_data_sets_are_from_is_said_of_folders(tmp_path):
    with pytest.raises(DataError, match=r"; data/README\.md says where .* data sets are from$"):
        recognise(tmp_path / "avenue")
    with pytest.raises(DataError, match="holds nothing$"):
        recognise(tmp_path / "lobby.mp4")


@pytest.mark.parametrize("layout", [None, *LAYOUTS])
def test_an_empty_folder_says_what_is_needed(tmp_path, layout):
    with pytest.raises(DataError, match="is empty; expected a data set, ") as caught:
        recognise(tmp_path, layout)
    shown = [name for name in LAYOUTS if f"{name}: " in str(caught.value)]
    assert shown == ([layout] if layout else list(LAYOUTS)) and "\n" not in str(caught.value)


def test_a_wrong_folder_says_what_it_holds_and_what_is_needed(tmp_path):
    (tmp_path / "thesis.pdf").touch()
    (tmp_path / "figures").mkdir()
    with pytest.raises(
        DataError,
        match=r"holds 1 file \(\.pdf\), 1 folder \(figures\); expected "
        r"ucsd: Train/CLIP",
    ):
        recognise(tmp_path)


def test_folders_of_a_layout_without_videos_are_not_one(tmp_path):
    (tmp_path / "training" / "frames" / "01").mkdir(parents=True)
    (tmp_path / "testing" / "frames").mkdir(parents=True)
    with pytest.raises(DataError, match="no data set found"):
        recognise(tmp_path)


def test_the_layout_given_must_fit(tmp_path):
    root = trees.frames(tmp_path / "set")
    with pytest.raises(
        DataError,
        match=r"it holds 2 folders \(testing, training\); expected ucsd: "
        r"Train/CLIP/\*\.tif",
    ):
        recognise(root, "ucsd")
    with pytest.raises(DataError, match="layout 'pets' is unknown; expected one of ucsd, frames"):
        recognise(root, "pets")
    video = trees.write_video(tmp_path / "a.mp4", 2)
    with pytest.raises(
        DataError, match="is a file; the avenue layout needs a folder with training_videos"
    ):
        recognise(video, "avenue")


def test_all_that_is_known_of_a_layout_is_in_its_entry(tmp_path, monkeypatch):
    def tapes(root):
        paths = sorted(root.glob("tapes/*.avi"))
        return Splits(tuple(Video(path.stem, path, "tape") for path in paths))

    entry = Layout("tapes", "tapes/*.avi", tapes, folders=("tapes",), has_splits=False)
    assert recognise(trees.write_video(tmp_path / "set" / "tapes" / "1.avi", 8)).layout == "plain"
    assert recognise(tmp_path / "set").layout == "scenes"  # a camera called "tapes"
    monkeypatch.setattr("mpn.datasets.layouts.LAYOUTS", {"tapes": entry, **LAYOUTS})
    tree = recognise(tmp_path / "set")
    assert (tree.layout, names(tree.training), tree.testing) == ("tapes", ["1"], ())
    assert recognise(tmp_path).root == tmp_path / "set"  # guessable: looked for in subfolders
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="tapes: tapes/"):
        recognise(trees.write_csv(tmp_path / "other" / "x.txt", []).parent)
    with pytest.raises(DataError, match="no data set found"):
        recognise(tmp_path / "set", "scenes")  # no camera is called as a layout's folder
    with pytest.raises(LabelError, match="has no test videos"):
        load_labels(tree, {})
    diagnosis = diagnose(tmp_path / "set", progress=False)
    assert [clip.split for clip in diagnosis.clips] == [""]
    assert "no-testing" not in {finding.kind for finding in diagnosis.findings}


def test_layouts_without_splits_are_not_guessed_and_names_are_keys():
    assert [layout.name for layout in LAYOUTS.values()] == list(LAYOUTS)
    assert not any(layout.guessable for layout in LAYOUTS.values() if not layout.has_splits)
    assert [name for name, layout in LAYOUTS.items() if layout.single_file] == ["plain"]
