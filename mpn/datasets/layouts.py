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

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mpn.datasets.clips import Video, clips_in, named
from mpn.errors import DataError
from mpn.io.text import plural
from mpn.video.footage import LeftOut, describe_left_out, footage_of
from mpn.video.paths import (
    contents,
    folder_name,
    is_folder,
    is_video,
    natural_key,
    require_path,
    visible,
)

# The names of a split's folder, in lower case.
SPLIT_NAMES = {"training": ("training", "train"), "testing": ("testing", "test")}
# A folder of a day's recordings, or a month's: no camera is called so.
DAY = r"\d{4}\D?\d\d(\D?\d\d(\D?\d{2,6})?)?"
# Folders that hold labels, or a split which is no part of a layout.
OTHER_FOLDERS = frozenset({"masks", "test_frame_mask", "test_pixel_mask", "validation"})


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
        left_out: what lies there and is no video of the layout, with the reason.
    """

    root: Path
    layout: str
    training: tuple[Video, ...]
    testing: tuple[Video, ...]
    left_out: tuple[LeftOut, ...] = ()

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
        videos = f"{len(self.training)} training and {len(self.testing)} test videos"
        if not self.has_splits and not self.testing:  # nobody said what they are for
            videos = plural(len(self.training), "video", "d")
        scenes = plural(len(self.scenes), "scene", "d")
        return f"{self.root}: {self.layout} layout, {videos}, {scenes}"

    def describe_left_out(self) -> list[str]:
        """Say what is left out, a line for each reason; masks and labels are passed over."""
        return [f"{self.root}: {line}" for line in describe_left_out(self.left_out, self.root)]


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
        below = next(
            (item for item in items if item.name.lower() == name and is_folder(item)), None
        )
    return below


def _by_prefix(splits: Splits) -> Splits:
    """Take scenes from names of the form SS_NN, where every video has one; else change nothing."""

    def prefixed(videos: tuple[Video, ...]) -> tuple[Video, ...]:
        return tuple(replace(video, scene=video.name.split("_")[0]) for video in videos)

    if all(re.fullmatch(r"\d+_\d+", video.name) for video in splits.training + splits.testing):
        return Splits(prefixed(splits.training), prefixed(splits.testing))
    return splits


def _scene_name(root: Path) -> str:
    return (folder_name(root) if root.is_dir() else root.stem) or "scene"


def _splits_of_folders(root: Path, training: Path | None, testing: Path | None) -> Splits:
    """List the clips in two folders, all of the one camera that is named as the data set."""
    scene = _scene_name(root)
    return Splits(clips_in(training, scene), clips_in(testing, scene))


def _unsplit(root: Path, videos: tuple[Video, ...]) -> Splits:
    """Make the splits of a layout without: test videos too where labels.csv says what happens."""
    folder = root if root.is_dir() else root.parent
    return Splits(videos, videos if (folder / "labels.csv").is_file() else ())


# --- The layouts


def _split(root: Path, split: str) -> Path | None:
    """Return the folder of a split, "training" or "testing", by any of its names."""
    folders = (child(root, name) for name in SPLIT_NAMES[split])
    return next((folder for folder in folders if folder), None)


def _within(folder: Path | None, name: str) -> Path | None:
    return child(folder, name) if folder else None


def _ucsd(root: Path) -> Splits:
    training, testing = _split(root, "training"), _split(root, "testing")
    # Of other layouts: clips lie in a folder further down.
    if any(_within(split, name) for split in (training, testing) for name in ("frames", "videos")):
        return Splits()
    return _splits_of_folders(root, training, testing)


def _frames(root: Path) -> Splits:
    splits = _split(root, "training"), _split(root, "testing")
    training, testing = (_within(split, "frames") for split in splits)
    if training is None and _within(splits[0], "videos"):  # ShanghaiTech as it was published
        testing = None
    if splits == (None, None):  # one split, given by itself
        training, testing = None, child(root, "frames")
        if root.resolve().name.lower() in SPLIT_NAMES["training"]:
            training, testing = testing, None
    return _by_prefix(_splits_of_folders(root, training, testing))


def _avenue(root: Path) -> Splits:
    return _splits_of_folders(root, child(root, "training_videos"), child(root, "testing_videos"))


def _shanghaitech(root: Path) -> Splits:
    training = _within(_split(root, "training"), "videos")
    split = _split(root, "testing")
    testing = _within(split, "frames") or _within(split, "videos")
    if training is None:  # nothing but testing/frames: that is the frames layout
        testing = None
    return _by_prefix(_splits_of_folders(root, training, testing))


def _lies_apart(root: Path, path: Path) -> str | None:
    """Return the folder on the way to a clip that belongs to another layout, or None.

    Someone who gives `testing` instead of its parent has no cameras of these names. A clip itself
    may have any name, and lie in "frames" or "videos".
    """
    names = OTHER_FOLDERS.union(*(layout.folders for layout in LAYOUTS.values()))
    on_the_way = path.relative_to(root).parts[:-1]
    if on_the_way and on_the_way[-1].lower() in ("frames", "videos") and len(on_the_way) > 1:
        on_the_way = on_the_way[:-1]
    return next((name for name in on_the_way if name.lower() in names), None)


def _scenes(root: Path) -> Splits:
    paths = footage_of(root).sources
    inside = [path for path in paths if not _lies_apart(root, path)]
    tops = list(dict.fromkeys(path.relative_to(root).parts[:1] for path in inside))
    # Recordings that lie in `root` itself, or in folders of days, are all of one camera.
    if any(path.parent == root or path == root for path in inside):
        return Splits()
    if all(re.fullmatch(DAY, top[0]) for top in tops):
        return Splits()
    videos = [
        replace(video, scene=video.path.relative_to(root).parts[0])
        for video in named(root, inside, "")
    ]
    return _unsplit(root, tuple(videos))


def _plain(root: Path) -> Splits:
    if not root.is_dir():
        return _unsplit(root, named(root.parent, [root], _scene_name(root)))
    paths = [path for path in footage_of(root).sources if not _lies_apart(root, path)]
    return _unsplit(root, named(root, paths, _scene_name(root)))


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
    hint = "" if is_video(Path(root)) else "data/README.md says where published data sets are from"
    root = require_path(root, hint)
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
    tree = _first(root, layouts) or _tree_in_child(root, below)
    if tree is None:
        left_out = footage_of(root).left_out if root.is_dir() else []
        named = [entry for entry in left_out if entry.kind not in ("empty", "unused")]
        why = "".join(f"; {line}" for line in describe_left_out(named, root))
        raise DataError(
            f"{root}: no data set found, it holds {contents(root)}{why}; expected {needs}"
        )
    return replace(tree, left_out=tuple(_unused_files(root, tree))) if root.is_dir() else tree


def _unused_files(root: Path, tree: DatasetTree) -> Iterator[LeftOut]:
    """Give what lies in `root` and is no video of the tree."""
    taken = {video.path for video in tree.training + tree.testing}
    footage = footage_of(root)
    yield from footage.left_out
    reason = f"is no part of the {tree.layout} layout"
    tops: dict[Path, int] = defaultdict(int)
    for path in footage.sources:
        if path not in taken:
            apart = _lies_apart(root, path) if tree.layout in ("scenes", "plain") else None
            parts = path.relative_to(root).parts
            depth = parts.index(apart) + 1 if apart else 1
            tops[root.joinpath(*parts[:depth])] += 1
    for top, count in tops.items():
        clips = f" ({plural(count, 'clip')})" if is_folder(top) else ""
        if top.name.lower() in OTHER_FOLDERS:
            yield LeftOut(top, "other-split", f"is a split of its own{clips}")
        else:
            yield LeftOut(top, "other-layout", f"{reason}{clips}")


def _first(root: Path, layouts: Iterable[Layout]) -> DatasetTree | None:
    """Find the first of the layouts that finds a video in `root`."""
    for layout in layouts:
        splits = layout.recognise(root)
        if splits.training or splits.testing:
            return DatasetTree(root, layout.name, *splits)
    return None


def _tree_in_child(root: Path, layouts: Iterable[Layout]) -> DatasetTree | None:
    """Find the one data set in a folder below `root`; several are an error that names them."""
    folders = [item for item in visible(root) if is_folder(item)] if root.is_dir() else []
    readable = [item for item in folders if os.access(item, os.R_OK | os.X_OK)]
    trees = [tree for item in readable if (tree := _first(item, layouts))]
    if len(trees) > 1:
        names = ", ".join(tree.root.name for tree in trees)
        raise DataError(
            f"{root}: holds {len(trees)} data sets ({names}); expected one, give one of them"
        )
    return trees[0] if trees else None
