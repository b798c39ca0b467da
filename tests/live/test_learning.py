"""A camera's first minutes: a disk that is full meanwhile, and what is said of what was learned."""

from __future__ import annotations

import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

from mpn.live.learning import ANEW, LITTLE, FirstMinutes, learned_words
from mpn.model.checkpoint import Checkpoint
from mpn.motion.flow import CHANNELS
from tests.helpers.moving import cells, place_of

FILE = Path("runs/watch/hall/hall.camera.safetensors")


def learned(moving: int, still: int) -> Checkpoint:
    """A camera that was learned from footage in which all moves in so many frames, else nothing."""
    place = place_of([cells(2.0)] * moving + [cells(0.0)] * still)
    return Checkpoint(nn.Identity(), fps=5.0, places={"hall": place})  # type: ignore[arg-type]


def test_enough_footage_is_said_without_advice() -> None:
    assert learned_words(learned(12, 588), FILE) == "learned from 120 s"


@pytest.mark.parametrize(
    "moving, still, what",
    [
        (20, 530, [LITTLE]),
        (5, 595, ["hardly anything moved in it (0.8 % of the picture): "]),
        (0, 50, [LITTLE, "hardly anything moved in it (0.0 % of the picture): "]),
    ],
)
def test_too_little_is_said_with_what_to_do(moving: int, still: int, what: list[str]) -> None:
    first, *said, last = learned_words(learned(moving, still), FILE).split("; ")
    assert first == f"learned from {(moving + still) / 5:.0f} s" and last == ANEW.format(FILE)
    assert len(said) == len(what) and all(one.startswith(own) for one, own in zip(said, what))
    assert str(FILE) in last and "--learning-minutes 5" in last and "learning_minutes" in last


def test_the_page_that_is_named_is_there() -> None:
    page, title = LITTLE.partition("(")[2].rstrip(")").split(", ")
    root = Path(__file__).parents[2]
    assert f"\n## {title}\n" in (root / page).read_text()


def test_a_disk_that_was_full_for_a_while_leaves_nothing_half_learned(tmp_path: Path) -> None:
    grid = (8, 12)
    generator = np.random.default_rng(4)
    motions = generator.uniform(0, 1, (6, *grid, CHANNELS)).astype(np.float16)
    pictures = generator.integers(0, 256, (6, 64, 96, 1), np.uint8)
    detector: Any = None  # is not asked
    minutes = FirstMinutes("hall", detector, grid, 10.0, 1.0, tmp_path)

    def add(number: int) -> None:
        frame: Any = SimpleNamespace(
            motion=motions[number], fitted=pictures[number], follows=True, number=number
        )
        minutes.add(frame, {}, usable=True)

    add(0)
    add(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(2.5 * motions[0].nbytes), hard))
    try:
        for _ in range(3):  # half of it is written, each time
            with pytest.raises(OSError, match="too large") as full:
                add(2)
            assert str(tmp_path) in str(full.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for number in range(2, 6):
        add(number)
    clip = minutes._clip()
    assert len(clip.frames) == 6
    np.testing.assert_array_equal(np.asarray(clip.motion), motions)
    minutes.close()
