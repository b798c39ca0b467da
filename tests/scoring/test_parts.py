"""The registry: what each part measures, and that everything else goes by it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import mpn
from mpn.model.checkpoint import Checkpoint
from mpn.model.network import Network, build_model
from mpn.model.released import released_path
from mpn.scoring import parts as registry
from mpn.scoring import scores
from mpn.scoring.parts import (
    COLUMNS,
    COMPACTNESS,
    ERROR,
    PARTS,
    PSEUDO,
    PSNR,
    STAYS,
    ScorePart,
    ScoringBatch,
    column_names,
    parts_of,
)
from mpn.scoring.scores import ScoreConfig, score_frames


def batch_of(network: Network, frames: np.ndarray) -> ScoringBatch:
    """The batch of all frames (T + B, H, W, 1) that have a window."""
    window = network.config.window
    stack = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    windows = torch.stack([stack[i : i + window, 0] for i in range(len(frames) - window)])
    with torch.no_grad():
        return ScoringBatch(frames, stack[window:], network(windows))


def footage(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 48, 1), np.uint8)


def test_names_are_unique_and_fit_options_and_files() -> None:
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names) and all(name.isidentifier() for name in names)
    assert "score" not in names and "raw" not in names


def test_maps_by_hand(tiny: Network) -> None:
    frames = footage(7)
    batch = batch_of(tiny, frames)
    predicted = (batch.output.prediction.numpy() + 1) / 2
    error = np.abs(predicted - frames[4:].transpose(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(ERROR.map_of(batch), error.mean(axis=1), atol=1e-6)
    logits = batch.output.pseudo_logits
    assert logits is not None
    np.testing.assert_allclose(PSEUDO.map_of(batch), 1 / (1 + np.exp(-logits.numpy())), rtol=1e-5)
    psnr = 10 * np.log10(1 / (error**2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(PSNR.value_of(batch), psnr, rtol=1e-5)
    compactness = batch.output.compactness.numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(COMPACTNESS.value_of(batch), compactness, rtol=1e-5)


def test_parts_of_a_network_without_the_head(tiny: Network) -> None:
    without = build_model("small", channels=4, height=32, width=48, pseudo_head=False)
    assert parts_of(tiny, place=True, static=True) == PARTS
    assert parts_of(tiny, place=True) == tuple(part for part in PARTS if part is not STAYS)
    assert parts_of(tiny) == (ERROR, PSEUDO)  # without a place model nothing judges motion
    assert parts_of(without) == (ERROR,)
    expected = tuple(part for part in PARTS if part is not PSEUDO)
    assert parts_of(without, place=True, static=True) == expected
    assert column_names([ERROR]) == ["error", "psnr_db", "compactness"]
    with pytest.raises(ValueError, match="no pseudo-anomaly head"):
        PSEUDO.map_of(batch_of(without.eval(), footage(5)))


def test_the_registry_loads_no_torch() -> None:
    code = "import sys, mpn.scoring.parts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- A part more


def brightness(batch: ScoringBatch) -> torch.Tensor:
    """How bright the frames are at each place, in [0, 1]: of the source's frames alone."""
    shown = batch.frames[-len(batch.target) :].mean(axis=3) / 255
    return torch.from_numpy(shown.astype(np.float32))


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> ScorePart:
    """A third part in the registry, for the length of a test."""
    part = ScorePart(name="bright", title="brightness", default_weight=0.5, map_of=brightness)
    monkeypatch.setattr(scores, "PARTS", (*registry.PARTS, part))
    monkeypatch.setattr(scores, "PART_NAMES", (*registry.PART_NAMES, "bright"))
    monkeypatch.setattr(registry, "PARTS", (*registry.PARTS, part))
    return part


def test_a_part_may_look_at_the_frames_alone(tiny: Network, bright: ScorePart) -> None:
    frames = footage(9)
    frames[6, 8:16, 16:24] = 255
    scored = {result.frame: result for result in score_frames(tiny, frames, patch=8, batch_size=2)}
    assert list(scored[6].parts)[-3:] == ["bright", "psnr_db", "compactness"]
    assert scored[6].parts["bright"] == pytest.approx(1.0)
    assert all(scored[frame].parts["bright"] < 0.8 for frame in scored if frame != 6)


def test_models_of_before_score_as_they_did(tiny: Network, bright: ScorePart) -> None:
    normal = {name: [np.linspace(1, 2, 9, dtype=np.float32)] for name in ("error", "pseudo")}
    recipe = {"patch": 16, "error_weight": 1.0, "pseudo_weight": 1.0, "smoothing": 0.3}
    detector = mpn.Detector(Checkpoint(tiny, normal=normal, score_config=recipe))
    assert detector.weights == {"error": 1.0, "pseudo": 1.0}
    assert "bright" not in detector.columns
    normal["bright"] = normal["error"]
    later = mpn.Detector(Checkpoint(tiny, normal=normal, score_config=ScoreConfig().to_dict()))
    assert later.weights == {"error": 1.0, "pseudo": 1.0, "bright": 0.5}


def test_released_models_have_the_parts_that_they_were_made_with() -> None:
    network = {"error": 1.0, "pseudo": 1.0}
    moving = {"error": 0.5, "pseudo": 0.5, "speed": 0.7, "direction": 1.0, "stays": 0.5}
    made_with = {"demo": (moving, 4), "ped2": (moving, 1), "meta": (network, 0)}
    for name, (weights, cameras) in made_with.items():
        if (path := released_path(name)) is None:
            continue  # only `demo` is part of the package
        detector = mpn.load(path)
        assert (detector.weights, len(detector.places)) == (weights, cameras)
