"""What is said of a camera that has just been learned."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from mpn.live.learning import ANEW, LITTLE, learned_words
from mpn.model.checkpoint import Checkpoint
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
