"""What `benchmarks.teach` sees of a scene is what the product scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.taught_scenes import FPS, see_scene
from mpn.datasets.demo.dataset import write_demo

LENGTH = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene with a test clip; not to be changed."""
    folder = tmp_path_factory.mktemp("demo") / "set"
    counts = {"scenes": 1, "training": 2, "validation": 0, "testing": 1}
    return write_demo(folder, seed=3, **counts, length=60, test_length=LENGTH, size=(64, 96))


def test_a_scene_is_scored_as_the_product_does(coarse_flow: None, data: Path, still: Path) -> None:
    scene = see_scene(data, "01", str(still), rate=6.0)
    (clip,) = scene.clips.values()
    assert len(clip.frames) == LENGTH - clip.first
    path = data / "testing" / "frames" / clip.name
    expected = [result.score for result in scene.detector.score(path, fps=FPS)]
    np.testing.assert_allclose(scene.scores(clip), expected, atol=1e-6)
