"""Which videos a data set folder holds, recognised from its tree.

    ucsd          Train/Train001/*.tif, Test/Test001/*.tif (Test001_gt holds masks)
    frames        training/frames/01/*.jpg, testing/frames/01/*.jpg; or one split by itself
    (validation/),
                  which is for testing unless it is called training
    avenue        training_videos/*.avi, testing_videos/*.avi
    shanghaitech  training/videos/01_001.avi, testing/frames/01_0014/*.jpg
    scenes        SCENE/*.mp4 or SCENE/CLIP/*.jpg, a folder a camera
    plain         a video, a folder of videos, a folder of frames

Folder names are taken in any case. `data/README.md` draws the trees with their labels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

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

LAYOUTS = ("ucsd", "frames", "avenue", "shanghaitech", "scenes", "plain")

NEEDS = {
    "ucsd": "Train/CLIP/*.tif and Test/CLIP/*.tif",
    "frames": "training/frames/CLIP/*.jpg and testing/frames/CLIP/*.jpg",
    "avenue": "training_videos/*.avi and testing_videos/*.avi",
    "shanghaitech": "training/videos/SS_NNN.avi and testing/frames/SS_NNNN/*.jpg",
    "scenes": "SCENE/*.mp4 or SCENE/CLIP/*.jpg",
    "plain": "a video file, video files, or pictures",
}

# Folders of the other layouts: someone who gives `testing` instead of its parent has no cameras of
# these names.
NOT_SCENES = {
    "frames",
    "masks",
    "videos",
    "training",
    "testing",
    "validation",
    "train",
    "test",
    "training_videos",
    "testing_videos",
    "test_frame_mask",
    "test_pixel_mask",
}


@dataclass(frozen=True)
class Video:
    """One clip. name: unique within its split; path: a video file or a folder of frames; scene: its
    camera."""

    name: str
    path: Path
    scene: str


@dataclass(frozen=True)
class DatasetTree:
    """The videos of a data set, in natural order. A split that the folder does not have is
    empty."""

    root: Path
    layout: str
    training: tuple[Video, ...]
    testing: tuple[Video, ...]

    @property
    def scenes(self) -> tuple[str, ...]:
        """The cameras' names, in natural order."""
        return tuple(
            sorted({video.scene for video in self.training + self.testing}, key=natural_key)
        )

    def describe(self) -> str:
        """What was recognised, in one line."""
        return (
            f"{self.root}: {self.layout} layout, {len(self.training)} training and "
            f"{len(self.testing)} test videos, {plural(len(self.scenes), 'scene', 'd')}"
        )


def child(folder: Path, *names: str) -> Path | None:
    """The folder below `folder` with these names, in any case, or None."""
    for name in names:
        folder = next(
            (item for item in visible(folder) if item.name.lower() == name and item.is_dir()), None
        )
        if folder is None:
            return None
    return folder


def _clips(folder: Path | None, scene: str) -> tuple[Video, ...]:
    """The video files and frame folders in a folder, each a video of one scene."""
    if folder is None:
        return ()
    found = [
        item
        for item in visible(folder)
        if item.suffix.lower() in VIDEO_SUFFIXES or holds_images(item)
    ]
    names = {item.name for item in found}
    found = [item for item in found if not (item.name.endswith("_gt") and item.name[:-3] in names)]
    return _named(found, scene)


def _named(paths: list[Path], scene: str) -> tuple[Video, ...]:
    """Videos by file stem or folder name; where two stems coincide, by the whole file name."""
    stems = [path.name if path.is_dir() else path.stem for path in paths]
    often = Counter(stems)
    return tuple(
        Video(stem if often[stem] == 1 else path.name, path, scene)
        for path, stem in zip(paths, stems)
    )


def _by_prefix(tree: DatasetTree) -> DatasetTree:
    """Scenes from names of the form SS_NN, where every video has one; else the tree as it is."""

    def prefixed(videos: tuple[Video, ...]) -> tuple[Video, ...]:
        return tuple(replace(video, scene=video.name.split("_")[0]) for video in videos)

    if all(re.fullmatch(r"\d+_\d+", video.name) for video in tree.training + tree.testing):
        return replace(tree, training=prefixed(tree.training), testing=prefixed(tree.testing))
    return tree


def _scene_name(root: Path) -> str:
    return (folder_name(root) if root.is_dir() else root.stem) or "scene"


def _ucsd(root: Path) -> DatasetTree:
    scene = _scene_name(root)
    return DatasetTree(
        root, "ucsd", _clips(child(root, "train"), scene), _clips(child(root, "test"), scene)
    )


def _frames(root: Path) -> DatasetTree:
    scene = _scene_name(root)
    training, testing = child(root, "training", "frames"), child(root, "testing", "frames")
    if training is None and child(root, "training", "videos"):  # ShanghaiTech as it was published
        testing = None
    # one split, given by itself
    if child(root, "training") is None and child(root, "testing") is None:
        training, testing = None, child(root, "frames")
        if root.resolve().name.lower() in ("training", "train"):
            training, testing = testing, None
    return _by_prefix(DatasetTree(root, "frames", _clips(training, scene), _clips(testing, scene)))


def _avenue(root: Path) -> DatasetTree:
    scene = _scene_name(root)
    training, testing = child(root, "training_videos"), child(root, "testing_videos")
    return DatasetTree(root, "avenue", _clips(training, scene), _clips(testing, scene))


def _shanghaitech(root: Path) -> DatasetTree:
    scene = _scene_name(root)
    training, testing = child(root, "training", "videos"), child(root, "testing", "frames")
    if training is None:  # nothing but testing/frames: that is the frames layout
        testing = None
    return _by_prefix(
        DatasetTree(root, "shanghaitech", _clips(training, scene), _clips(testing, scene))
    )


def _labelled(root: Path, videos: tuple[Video, ...]) -> tuple[Video, ...]:
    """Layouts without splits: every video is a test video too if labels.csv says what happens in
    them."""
    folder = root if root.is_dir() else root.parent
    return videos if (folder / "labels.csv").is_file() else ()


def _scenes(root: Path) -> DatasetTree:
    videos: list[Video] = []
    for folder in visible(root):
        if not folder.is_dir() or folder.name.lower() in NOT_SCENES or holds_images(folder):
            continue
        clips = _clips(folder, folder.name)
        # Two cameras may both have a clip called "morning", and names become file names.
        lone = len(clips) == 1
        videos += [
            replace(c, name=folder.name if lone else f"{folder.name}_{c.name}") for c in clips
        ]
    twice = [name for name, count in Counter(video.name for video in videos).items() if count > 1]
    if twice:
        raise DataError(
            f"{root}: two clips would be called {twice[0]} (scene_clip); rename one of them"
        )
    return DatasetTree(root, "scenes", tuple(videos), _labelled(root, tuple(videos)))


def _plain(root: Path) -> DatasetTree:
    try:
        videos = _named(find_sources(root), _scene_name(root))
    except DataError:
        videos = ()
    return DatasetTree(root, "plain", videos, _labelled(root, videos))


RECOGNISERS: dict[str, Callable[[Path], DatasetTree]] = {
    "ucsd": _ucsd,
    "frames": _frames,
    "avenue": _avenue,
    "shanghaitech": _shanghaitech,
    "scenes": _scenes,
    "plain": _plain,
}


def recognise(root: str | Path, layout: str | None = None) -> DatasetTree:
    """The videos of a data set.

    root: its folder (or a parent with one recognisable folder in it), or for `plain` a video.
    layout: one of `LAYOUTS`, None to recognise it from the tree, the first that fits in that order.
    One split may be missing. `scenes` and `plain` have no test split: every video is for training,
    and for testing too where a labels.csv lies in `root`.
    Raises DataError for a missing, empty or wrong folder, saying what each layout would need.
    """
    root = require_path(root)
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout {layout!r} is unknown; expected one of {', '.join(LAYOUTS)}")
    if not root.is_dir() and layout not in (None, "plain"):
        raise DataError(
            f"{root}: is a file; the {layout} layout needs a folder with {NEEDS[layout]}"
        )
    if root.is_dir() and not visible(root):
        raise DataError(
            f"{root}: is empty; expected a data set, " + _needs((layout,) if layout else LAYOUTS)
        )
    tree = _first(root, (layout,) if layout else LAYOUTS) or _in_child(root, layout)
    if tree is None:
        raise DataError(
            f"{root}: no data set found, it holds {contents(root)}; expected "
            + _needs((layout,) if layout else LAYOUTS)
        )
    return tree


def _needs(layouts: tuple[str, ...]) -> str:
    return "; ".join(f"{layout}: {NEEDS[layout]}" for layout in layouts)


def _first(root: Path, layouts: tuple[str, ...]) -> DatasetTree | None:
    """The first of the layouts that finds a video in `root`."""
    if not root.is_dir():
        layouts = ("plain",)
    for layout in layouts:
        tree = RECOGNISERS[layout](root)
        if tree.training or tree.testing:
            return tree
    return None


def _in_child(root: Path, layout: str | None) -> DatasetTree | None:
    """The data set in the one folder below `root` that is one; several are an error that names
    them."""
    # scenes and plain fit too much to be guessed here
    layouts = (layout,) if layout else LAYOUTS[:4]
    trees = [tree for item in visible(root) if item.is_dir() and (tree := _first(item, layouts))]
    if len(trees) > 1:
        raise DataError(
            f"{root}: holds {len(trees)} data sets "
            f"({', '.join(t.root.name for t in trees)}); expected one, give one of "
            "them"
        )
    return trees[0] if trees else None
