"""The videos that a data set folder holds, recognised from its tree.

A layout is one entry of `LAYOUTS`, at the end of this module:

    ucsd          Train/Train001/*.tif, Test/Test001/*.tif (Test001_gt holds masks)
    frames        training/frames/01/*.jpg, testing/frames/01/*.jpg; or one split by itself
                  (validation/), which is for testing unless it is called training
    avenue        training_videos/*.avi, testing_videos/*.avi
    shanghaitech  training/videos/01_001.avi, testing/frames/01_0014/*.jpg
    scenes        SCENE/*.mp4 or SCENE/CLIP/*.jpg, a folder a camera
    plain         a video, a folder of videos, a folder of frames

Folder names are taken in any case. `data/README.md` draws the trees with their labels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mpn.errors import DataError
from mpn.io.text import plural
from mpn.video.paths import (
    VIDEO_SUFFIXES,
    contents,
    find_sources,
    folder_name,
    holds_images,
    natural_key,
    require_path,
    visible,
)

# Folders that hold labels, or a split which is no part of a layout.
OTHER_FOLDERS = frozenset({"masks", "test_frame_mask", "test_pixel_mask", "validation"})


@dataclass(frozen=True)
class Video:
    """One clip.

    Attributes:
        name: unique within its split.
        path: a video file or a folder of frames.
        scene: its camera.
    """

    name: str
    path: Path
    scene: str


class Splits(NamedTuple):
    """The videos of a folder, in natural order; a split that it does not have is empty."""

    training: tuple[Video, ...] = ()
    testing: tuple[Video, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One way in which data sets are laid out in folders.

    Attributes:
        name: as `--layout` takes it.
        needs: what a folder has to hold, in words.
        recognise: called with an existing path, gives the videos there; none where it is not laid
            out so.
        folders: names, in lower case, of the folders that it is made of: no camera is called so.
        has_splits: training and test videos lie apart. Without, every video is for training, and
            for testing too where a labels.csv says what happens in them.
        guessable: it fits so little else that it may be looked for one folder further down.
        single_file: a video file by itself is a data set.
    """

    name: str
    needs: str
    recognise: Callable[[Path], Splits]
    folders: tuple[str, ...] = ()
    has_splits: bool = True
    guessable: bool = True
    single_file: bool = False


@dataclass(frozen=True)
class DatasetTree:
    """The videos of a data set, in natural order.

    Attributes:
        root: its folder, or its one video.
        layout: the layout's name, a key of `LAYOUTS`.
        training: videos of normal footage; empty where the folder has none.
        testing: test videos; empty where the folder has none.
    """

    root: Path
    layout: str
    training: tuple[Video, ...]
    testing: tuple[Video, ...]

    @property
    def scenes(self) -> tuple[str, ...]:
        """Return the cameras' names, in natural order."""
        return tuple(
            sorted({video.scene for video in self.training + self.testing}, key=natural_key)
        )

    @property
    def has_splits(self) -> bool:
        """Say whether training and test videos lie apart, see `Layout`."""
        return LAYOUTS[self.layout].has_splits

    def describe(self) -> str:
        """Say in one line what was recognised."""
        return (
            f"{self.root}: {self.layout} layout, {len(self.training)} training and "
            f"{len(self.testing)} test videos, {plural(len(self.scenes), 'scene', 'd')}"
        )


# --- What layouts are made of


def child(folder: Path, *names: str) -> Path | None:
    """Return the folder with these names, in any case, or None.

    Args:
        folder: below which it lies.
        *names: of the folders on the way, the last its own.
    """
    below: Path | None = folder
    for name in names:
        if below is None:
            return None
        items = visible(below)
        below = next((item for item in items if item.name.lower() == name and item.is_dir()), None)
    return below


def _clips(folder: Path | None, scene: str) -> tuple[Video, ...]:
    """List the video files and frame folders in a folder, each a video of one scene."""
    if folder is None:
        return ()
    paths = [
        item
        for item in visible(folder)
        if item.suffix.lower() in VIDEO_SUFFIXES or holds_images(item)
    ]
    names = {path.name for path in paths}
    paths = [path for path in paths if not (path.name.endswith("_gt") and path.name[:-3] in names)]
    return _named(paths, scene)


def _named(paths: list[Path], scene: str) -> tuple[Video, ...]:
    """Name videos by file stem or folder name; where two stems coincide, by the whole file name."""
    stems = [path.name if path.is_dir() else path.stem for path in paths]
    often = Counter(stems)
    return tuple(
        Video(stem if often[stem] == 1 else path.name, path, scene)
        for path, stem in zip(paths, stems)
    )


def _by_prefix(splits: Splits) -> Splits:
    """Take scenes from names of the form SS_NN, where every video has one; else change nothing."""

    def prefixed(videos: tuple[Video, ...]) -> tuple[Video, ...]:
        return tuple(replace(video, scene=video.name.split("_")[0]) for video in videos)

    if all(re.fullmatch(r"\d+_\d+", video.name) for video in splits.training + splits.testing):
        return Splits(prefixed(splits.training), prefixed(splits.testing))
    return splits


def _scene_name(root: Path) -> str:
    return (folder_name(root) if root.is_dir() else root.stem) or "scene"


def _of_folders(root: Path, training: Path | None, testing: Path | None) -> Splits:
    """List the clips in two folders, all of the one camera that is named as the data set."""
    scene = _scene_name(root)
    return Splits(_clips(training, scene), _clips(testing, scene))


def _unsplit(root: Path, videos: tuple[Video, ...]) -> Splits:
    """Make the splits of a layout without: test videos too where labels.csv says what happens."""
    folder = root if root.is_dir() else root.parent
    return Splits(videos, videos if (folder / "labels.csv").is_file() else ())


# --- The layouts


def _ucsd(root: Path) -> Splits:
    return _of_folders(root, child(root, "train"), child(root, "test"))


def _frames(root: Path) -> Splits:
    training, testing = child(root, "training", "frames"), child(root, "testing", "frames")
    if training is None and child(root, "training", "videos"):  # ShanghaiTech as it was published
        testing = None
    # one split, given by itself
    if child(root, "training") is None and child(root, "testing") is None:
        training, testing = None, child(root, "frames")
        if root.resolve().name.lower() in ("training", "train"):
            training, testing = testing, None
    return _by_prefix(_of_folders(root, training, testing))


def _avenue(root: Path) -> Splits:
    return _of_folders(root, child(root, "training_videos"), child(root, "testing_videos"))


def _shanghaitech(root: Path) -> Splits:
    training, testing = child(root, "training", "videos"), child(root, "testing", "frames")
    if training is None:  # nothing but testing/frames: that is the frames layout
        testing = None
    return _by_prefix(_of_folders(root, training, testing))


def _scenes(root: Path) -> Splits:
    # Someone who gives `testing` instead of its parent has no cameras of these names.
    not_cameras = OTHER_FOLDERS.union(*(layout.folders for layout in LAYOUTS.values()))
    videos: list[Video] = []
    for folder in visible(root):
        if not folder.is_dir() or folder.name.lower() in not_cameras or holds_images(folder):
            continue
        clips = _clips(folder, folder.name)
        # Two cameras may both have a clip called "morning", and names become file names.
        lone = len(clips) == 1
        videos += [
            replace(clip, name=folder.name if lone else f"{folder.name}_{clip.name}")
            for clip in clips
        ]
    twice = [name for name, count in Counter(video.name for video in videos).items() if count > 1]
    if twice:
        raise DataError(
            f"{root}: two clips would be called {twice[0]} (scene_clip); rename one of them"
        )
    return _unsplit(root, tuple(videos))


def _plain(root: Path) -> Splits:
    try:
        videos = _named(find_sources(root), _scene_name(root))
    except DataError:
        videos = ()
    return _unsplit(root, videos)


# By name, in the order in which they are tried: the first that finds a video is taken.
LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("ucsd", "Train/CLIP/*.tif and Test/CLIP/*.tif", _ucsd, folders=("train", "test")),
        Layout(
            "frames",
            "training/frames/CLIP/*.jpg and testing/frames/CLIP/*.jpg",
            _frames,
            folders=("training", "testing", "frames"),
        ),
        Layout(
            "avenue",
            "training_videos/*.avi and testing_videos/*.avi",
            _avenue,
            folders=("training_videos", "testing_videos"),
        ),
        Layout(
            "shanghaitech",
            "training/videos/SS_NNN.avi and testing/frames/SS_NNNN/*.jpg",
            _shanghaitech,
            folders=("training", "videos", "testing", "frames"),
        ),
        Layout(
            "scenes",
            "SCENE/*.mp4 or SCENE/CLIP/*.jpg",
            _scenes,
            has_splits=False,
            guessable=False,
        ),
        Layout(
            "plain",
            "a video file, video files, or pictures",
            _plain,
            has_splits=False,
            guessable=False,
            single_file=True,
        ),
    )
}


# --- Recognising


def recognise(root: str | Path, layout: str | None = None) -> DatasetTree:
    """Find the videos of a data set.

    Args:
        root: its folder (or a parent with one recognisable folder in it), or a video where the
            layout takes one.
        layout: a key of `LAYOUTS`; None to recognise it from the tree, the first that fits in
            their order.

    Returns:
        The videos. One split may be missing; in a layout without splits every video is for
        training, and for testing too where a labels.csv lies in `root`.

    Raises:
        DataError: the folder is missing, empty or a wrong one; says what each layout would need.
    """
    root = require_path(root)
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout {layout!r} is unknown; expected one of {', '.join(LAYOUTS)}")
    layouts = [LAYOUTS[layout]] if layout else list(LAYOUTS.values())
    needs = "; ".join(f"{entry.name}: {entry.needs}" for entry in layouts)
    if not root.is_dir():
        layouts = [entry for entry in layouts if entry.single_file]
        if layout and not layouts:
            raise DataError(
                f"{root}: is a file; the {layout} layout needs a folder with "
                f"{LAYOUTS[layout].needs}"
            )
    elif not visible(root):
        raise DataError(f"{root}: is empty; expected a data set, {needs}")
    below = layouts if layout else [entry for entry in layouts if entry.guessable]
    tree = _first(root, layouts) or _in_child(root, below)
    if tree is None:
        raise DataError(f"{root}: no data set found, it holds {contents(root)}; expected {needs}")
    return tree


def _first(root: Path, layouts: Iterable[Layout]) -> DatasetTree | None:
    """Find the first of the layouts that finds a video in `root`."""
    for layout in layouts:
        splits = layout.recognise(root)
        if splits.training or splits.testing:
            return DatasetTree(root, layout.name, *splits)
    return None


def _in_child(root: Path, layouts: Iterable[Layout]) -> DatasetTree | None:
    """Find the one data set in a folder below `root`; several are an error that names them."""
    trees = [tree for item in visible(root) if item.is_dir() and (tree := _first(item, layouts))]
    if len(trees) > 1:
        names = ", ".join(tree.root.name for tree in trees)
        raise DataError(
            f"{root}: holds {len(trees)} data sets ({names}); expected one, give one of them"
        )
    return trees[0] if trees else None
