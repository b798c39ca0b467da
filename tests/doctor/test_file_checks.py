"""The doctor on names of pictures, on what is left out, and on masks that say nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpn.doctor.diagnose import diagnose
from tests.helpers.doctoring import EXPECTED, by_kind
from tests.helpers.small_model import footage, write_film, write_footage
from tests.helpers.trees import SIZE, TESTING, ucsd


def rename(clip: Path, name: Callable[[int], str]) -> None:
    """Give the pictures of a clip other names, by their number."""
    for number, file in enumerate(sorted(clip.iterdir())):
        file.rename(clip / f"{name(number)}.png")


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("stray-pictures", lambda k: f"{k:03d}" if k != 7 else "background", "background.png"),
        ("mixed-names", lambda k: f"{'ab'[k % 2]}{k:02d}", "named in 2 ways"),
        ("no-order", lambda k: f"{(k * 7919 + 13) ** 5:024d}"[::-1].replace("0", "x"), "no order"),
        ("clock-names", lambda k: f"202301011200{k + 20 * (k > 15):02d}", "up to 21 s"),
    ],
)
def test_names_of_pictures_that_may_mislead(tmp_path: Path, kind: str, name, words: str) -> None:
    clip = write_footage(tmp_path / "clip", footage(30))
    rename(clip, name)
    kinds = by_kind(diagnose(clip, fps=10), but=EXPECTED | {"missing-frames", "frozen"})
    [finding] = kinds[kind]
    assert words in finding.what and "8 bits" not in finding.remedy


def test_a_folder_of_clock_names_has_a_rate(tmp_path: Path) -> None:
    clip = write_footage(tmp_path / "clip", footage(30))
    rename(clip, lambda k: f"2023-01-01_12-00-{k:02d}")
    diagnosis = diagnose(clip)
    assert diagnosis.clips[0].fps == 1.0
    assert not {"no-rate", "clock-names", "missing-frames"} & {f.kind for f in diagnosis.findings}


def test_what_is_left_out_is_found_with_its_remedy(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_film(tmp_path / f"{name}.avi", footage(20, seed=ord(name)))
    cv2.imwrite(str(tmp_path / "plan.png"), footage(1)[0])
    write_footage(tmp_path / "old" / "clip", footage(8))
    write_footage(tmp_path / "old" / "clip" / "deeper", footage(8))
    os.mkfifo(tmp_path / "live.mp4")
    kinds = by_kind(diagnose(tmp_path, fps=10), but=EXPECTED | {"near-duplicates", "mixed-rates"})
    assert {"pictures", "below-frames", "special"} <= set(kinds)
    assert kinds["pictures"][0].what.endswith(": plan.png")
    assert kinds["below-frames"][0].what.endswith(": deeper")
    assert kinds["special"][0].severity == "warning" and "live.mp4" in kinds["special"][0].what


def test_masks_that_say_nothing_are_an_error_of_the_labels(tmp_path: Path) -> None:
    root = ucsd(tmp_path / "set")
    for name, count in TESTING.items():
        folder = root / "Test" / f"Test{int(name):03d}_gt"
        folder.mkdir()
        for number in range(count):
            grey = np.tile(np.arange(1, SIZE[1] + 1, dtype=np.uint8), (SIZE[0], 1))
            cv2.imwrite(str(folder / f"{number:03d}.png"), grey)
    [finding] = by_kind(diagnose(root))["labels"]
    assert finding.severity == "error" and "no pixel of it is black" in finding.what
