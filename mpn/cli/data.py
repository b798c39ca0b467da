"""The DATA argument, the same for every verb that takes one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mpn.cli import UsageError, above_zero
from mpn.datasets.layouts import LAYOUTS, DatasetTree, recognise
from mpn.datasets.synthetic import write_demo

DEMO = "demo"
DEMO_FOLDER = Path("data/demo")


def add_data(parser: argparse.ArgumentParser) -> None:
    """DATA and how to read it."""
    parser.add_argument("data", nargs="?", default=DEMO, metavar="DATA", help="a data set's folder, or demo (default)")
    parser.add_argument("--layout", choices=LAYOUTS, help="layout of DATA (default: recognised from the tree)")
    parser.add_argument("--skip-bad", action="store_true", help="go on without frames and videos that can't be read")
    parser.add_argument("--fps", type=above_zero, help="frames per second of DATA, instead of what its files say")


def data_name(options: argparse.Namespace) -> str:
    """A short name of the data set, for run folders."""
    return DEMO if options.data == DEMO else Path(options.data).resolve().name


def open_data(options: argparse.Namespace) -> DatasetTree:
    """The data set's tree, generated first if it is the demo set; says on stderr what was recognised."""
    if options.data == DEMO and not Path(DEMO).is_dir():
        if options.layout:
            raise UsageError("--layout: the demo set has its own, frames; leave it out, or give the folder of DATA")
        tree = recognise(write_demo(DEMO_FOLDER))
        options.fps = options.fps or demo_rate(DEMO_FOLDER)
    else:
        tree = recognise(options.data, options.layout)
    print(tree.describe(), file=sys.stderr)
    return tree


def demo_rate(folder: Path) -> float:
    """Frames per second that the demo set was made with."""
    import json

    return float(json.loads((folder / "demo.json").read_text())["fps"])
