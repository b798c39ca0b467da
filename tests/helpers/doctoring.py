"""Generated footage, and findings by kind, for the tests of the doctor."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mpn.doctor.diagnose import Diagnosis
from mpn.doctor.findings import Finding
from tests.helpers.small_model import write_footage
from tests.helpers.trees import write_csv

EXPECTED = {"no-rate", "little-footage"}  # of every folder of frames made here


def by_kind(diagnosis: Diagnosis, *, but: set[str] = EXPECTED) -> dict[str, list[Finding]]:
    """Group the findings by kind, without those of `but`."""
    kinds: dict[str, list[Finding]] = {}
    for finding in diagnosis.findings:
        if finding.kind not in but:
            kinds.setdefault(finding.kind, []).append(finding)
    return kinds


def only(diagnosis: Diagnosis, kind: str) -> Finding:
    """Return the one finding, but for those of `EXPECTED`."""
    kinds = by_kind(diagnosis)
    assert list(kinds) == [kind] and len(kinds[kind]) == 1, kinds
    return kinds[kind][0]


def texture(seed: int = 0, size: tuple[int, int] = (400, 500)) -> np.ndarray:
    """Make a large picture with coarse and fine detail, uint8 (H, W)."""
    rng = np.random.default_rng(seed)
    picture = sum(
        cv2.resize(
            rng.uniform(-30, 30, (size[0] // step, size[1] // step)),
            size[::-1],
            interpolation=cv2.INTER_CUBIC,
        )
        for step in (4, 10, 40)
    )
    return np.clip(128 + picture, 0, 255).astype(np.uint8)


def views(corners: list[tuple[int, int]], picture: np.ndarray | None = None) -> np.ndarray:
    """Look at 120x160 pixels of a picture from these corners (top, left), with sensor noise."""
    picture = texture() if picture is None else picture
    rng = np.random.default_rng(1)
    pictures = [
        picture[top : top + 120, left : left + 160] + rng.normal(0, 2, (120, 160))
        for top, left in corners
    ]
    return np.repeat(np.clip(pictures, 0, 255).astype(np.uint8)[..., None], 3, 3)


def walk(count: int, seed: int) -> np.ndarray:
    """Film a block that wanders over a still texture with noise, uint8 (T, 120, 160, 3).

    Every seed takes another way.
    """
    film = views([(50, 50)] * count)
    film += np.random.default_rng(seed).integers(0, 4, film.shape, dtype=np.uint8)
    steps = np.random.default_rng([seed, 1]).integers(-6, 7, (count, 2)).cumsum(0)
    for frame, (top, left) in zip(film, np.abs(steps) % (80, 120)):
        frame[top : top + 40, left : left + 20] = 220
    return film


def two_splits(root: Path, training: list[np.ndarray], testing: list[np.ndarray]) -> Path:
    """Write a data set in the frames layout; frames 2-4 of its first test video are anomalous."""
    for split, clips in (("training", training), ("testing", testing)):
        for number, film in enumerate(clips, 1):
            write_footage(root / split / "frames" / f"{number:02d}", film)
    write_csv(root / "testing" / "labels.csv", ["01,2,5"])
    return root
