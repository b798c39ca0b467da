"""Small archives for `mpn.scale`: recordings, what workers share, and steps that go wrong."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mpn.jobs import JobOptions
from mpn.model.checkpoint import load_checkpoint
from mpn.scale import work
from mpn.scale.work import Answer, Common, Item, Model
from mpn.scoring.model_score import score_config_of
from tests.helpers.small_model import footage, write_film

OPTIONS = JobOptions(fps=10.0)
LENGTH = 14  # frames of a recording
TABLES = ("scores.csv", "events.json", "state.json")


def write_archive(folder: Path, count: int) -> list[Path]:
    """Recordings 0.avi and on; in each second one something jumps."""
    return [
        write_film(
            folder / f"{number}.avi",
            footage(LENGTH, intruder=(8, 11) if number % 2 else (0, 0), seed=number),
        )
        for number in range(count)
    ]


def common_of(model: Path, **more) -> Common:
    """What workers need to score by a model."""
    checkpoint = load_checkpoint(model)
    config = score_config_of(checkpoint).to_dict()
    return Common(1, OPTIONS, Model(model, checkpoint.sha256, config), **more)


def items_of(paths: list[Path], out: Path) -> list[Item]:
    """The recordings as workers get them."""
    return [Item(path, out / path.stem) for path in paths]


def tables(out: Path) -> dict[str, bytes]:
    """What was written of each recording, by its name."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.name in TABLES or path.name.endswith("_regions.csv")
    }


# --- Steps


def score_at_the_second_try(common: Common, item: Item, answer: Answer) -> object:
    """The worker that has recording 1 first is killed, by no fault of its own."""
    killed = item.folder.parent / f"killed-{item.path.stem}"
    if item.path.stem == "1" and not killed.exists():
        killed.parent.mkdir(parents=True, exist_ok=True)
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return work.score(common, item, answer)


def last_until_stopped(common: Common, item: Item, answer: Answer) -> None:
    """Recording 0 is done at once; the others last, and say so when they are interrupted."""
    if item.path.stem == "0":
        return
    item.folder.mkdir(parents=True, exist_ok=True)
    (item.folder / "begun").touch()
    try:
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        (item.folder / "kept").touch()
        raise
