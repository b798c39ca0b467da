"""The DATA argument, the same for every verb that takes one; `train` takes several."""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mpn.cli import UsageError, above_zero
from mpn.datasets.demo.dataset import write_demo
from mpn.datasets.layouts import LAYOUTS, DatasetTree, Video, recognise
from mpn.errors import DataError
from mpn.video.timing import frame_rate

log = logging.getLogger(__name__)

DEMO = "demo"
DEMO_FOLDER = Path("data/demo")
DEMO_SETTINGS = "demo.json"  # in a demo set's folder: what it was made with
MAX_WORKERS = 4  # processes that make the demo set


def add_data(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add DATA and how to read it.

    Args:
        parser: a verb's.
        several: take any number of data sets, which `open_data_list` reads.
    """
    if several:
        text = "data sets' folders, demo among them or not (default: demo)"
        parser.add_argument("data", nargs="*", default=(DEMO,), metavar="DATA", help=text)
    else:
        text = "a data set's folder, or demo (default)"
        parser.add_argument("data", nargs="?", default=DEMO, metavar="DATA", help=text)
    parser.add_argument(
        "--layout", choices=LAYOUTS, help="layout of DATA (default: recognised from the tree)"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without frames and videos that can't be read"
    )
    parser.add_argument(
        "--fps", type=above_zero, help="frames per second of DATA, instead of what its files say"
    )


def _data_paths(options: argparse.Namespace) -> list[str]:
    return [options.data] if isinstance(options.data, str) else list(options.data)


def data_name(options: argparse.Namespace) -> str:
    """Name the data set shortly, for run folders; of several the names are joined by "+"."""
    return "+".join(
        DEMO if data == DEMO else Path(data).resolve().name for data in _data_paths(options)
    )


def open_data(options: argparse.Namespace) -> DatasetTree:
    """Open the data set, which is generated first if it is the demo set.

    What was recognised is said on stderr.

    Args:
        options: `data`, `layout` and `fps`, which becomes a demo set's where it is None.

    Raises:
        UsageError: a layout for the demo set.
        DataError: see `recognise`.
    """
    if options.data == DEMO and not Path(DEMO).is_dir():
        if options.layout:
            raise UsageError(
                "--layout: the demo set has its own, frames; leave it out, or give "
                "the folder of DATA"
            )
        tree = recognise(write_demo(DEMO_FOLDER, workers=min(MAX_WORKERS, os.cpu_count() or 1)))
    else:
        tree = recognise(options.data, options.layout)
    options.fps = options.fps or _rate_of_demo_set(tree.root)
    log.info(tree.describe())
    for line in tree.describe_left_out():
        log.info(line)
    return tree


def open_data_list(options: argparse.Namespace) -> list[DatasetTree]:
    """Open all DATA, each as `open_data` does.

    The demo set's frame rate becomes that of the options only where it is alone: it is not that of
    other footage.

    Args:
        options: `data`, `layout` and `fps`.

    Raises:
        UsageError: the same folder twice.
        DataError: see `recognise`.
    """
    sources = _data_paths(options)
    trees, roots = [], set()
    for data in sources:
        single = argparse.Namespace(data=data, layout=options.layout, fps=options.fps)
        trees.append(open_data(single))
        if len(sources) == 1:
            options.fps = single.fps
        root = trees[-1].root.resolve()
        if root in roots:
            raise UsageError(f"{data}: this data set is given twice")
        roots.add(root)
    return trees


def training_videos(trees: Sequence[DatasetTree]) -> list[Video]:
    """List the training videos of all trees, in order, with distinct names of cameras and videos.

    A scene or video name that two trees have is given the name of the tree's folder in front,
    TREE-NAME; where two folders have one name too, the second is TREE-2.

    Args:
        trees: the data sets.

    Raises:
        DataError: two trees have the same name all the same.
    """
    counts: Counter[str] = Counter()
    labels = []
    for tree in trees:
        name = tree.root.resolve().name
        counts[name] += 1
        labels.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    scenes = _distinct_names(
        labels, [[video.scene for video in tree.training] for tree in trees], "scene"
    )
    names = _distinct_names(
        labels, [[video.name for video in tree.training] for tree in trees], "video"
    )
    return [
        replace(video, scene=scene, name=name)
        for tree, tree_scenes, tree_names in zip(trees, scenes, names)
        for video, scene, name in zip(tree.training, tree_scenes, tree_names)
    ]


def _distinct_names(
    labels: Sequence[str], names: Sequence[Sequence[str]], kind: str
) -> list[list[str]]:
    """Put the tree's label in front of each name that another tree has too."""
    trees_with = Counter(name for tree_names in names for name in set(tree_names))
    distinct = [
        [f"{label}-{name}" if trees_with[name] > 1 else name for name in tree_names]
        for label, tree_names in zip(labels, names)
    ]
    counts = Counter(name for tree_names in distinct for name in set(tree_names))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"a {kind} of two of the data sets would be called {twice[0]}; rename one "
            "of the folders"
        )
    return distinct


def demo_rate(folder: Path) -> float:
    """Read how many frames a second the demo set was made with."""
    return float(json.loads((folder / DEMO_SETTINGS).read_text())["fps"])


def _rate_of_demo_set(root: Path) -> float | None:
    """Return the rate of a demo set, or of one of its splits; None for any other footage."""
    root = root.resolve()
    folder = next(
        (folder for folder in (root, root.parent) if (folder / DEMO_SETTINGS).is_file()), root
    )
    try:
        rate = frame_rate(demo_rate(folder))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return None if rate is None else float(rate)
