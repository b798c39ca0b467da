"""What runs a network for scoring: every engine gives what PyTorch gives."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import mpn
from mpn.errors import MpnError
from mpn.model.checkpoint import load_checkpoint
from mpn.model.engines import GRAPH_ENGINES, engine_precision, open_engine
from mpn.model.network import build_model
from mpn.scoring.scores import score_frames

PARTS_OF_OUTPUT = ("prediction", "compactness", "pseudo_logits")


@pytest.fixture(params=GRAPH_ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("onnx")
    pytest.importorskip(request.param)
    return request.param


def windows_of(network, batch, seed=0):
    config = network.config
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, config.window * config.colours, *config.size)
    return torch.rand(shape, generator=generator) * 2 - 1


def agree(network, engine, batch, atol, seed=0):
    windows = windows_of(network, batch, seed)
    with torch.inference_mode():
        expected, output = network(windows), engine(windows)
    for name in PARTS_OF_OUTPUT:
        expected_part, part = getattr(expected, name), getattr(output, name)
        assert (expected_part is None) == (part is None)
        if expected_part is not None:
            assert part.dtype == torch.float32
            torch.testing.assert_close(part, expected_part, atol=atol, rtol=0)


@pytest.mark.parametrize("kind", ["small", "base"])
def test_an_engine_gives_what_torch_gives_for_every_batch(engine_name, kind):
    torch.manual_seed(4)
    network = build_model(kind, channels=4, height=32, width=48).eval()
    engine = open_engine(engine_name, network)
    for batch in (2, 1, 3):  # the last of a video is smaller
        agree(network, engine, batch, 1e-4)


def test_the_packaged_model_scores_frames_alike(engine_name):
    network = load_checkpoint("demo").network
    frames = np.random.default_rng(0).integers(0, 256, (7, *network.config.size, 1), np.uint8)
    plain = list(score_frames(network, frames, batch_size=2))
    results = list(
        score_frames(network, frames, batch_size=2, engine=open_engine(engine_name, network))
    )
    assert len(plain) == len(results) == 3
    for reference, result in zip(plain, results):
        assert reference.parts == pytest.approx(result.parts, abs=1e-3)
        for name, grid in reference.maps.items():
            np.testing.assert_allclose(result.maps[name], grid, atol=1e-4)


def test_what_was_given_stays_when_the_engine_runs_again(engine_name, tiny):
    engine = open_engine(engine_name, tiny)
    first = engine(windows_of(tiny, 2, seed=1))
    copy = first.prediction.clone()
    engine(windows_of(tiny, 2, seed=2))
    assert torch.equal(first.prediction, copy)


def test_threads_that_score_side_by_side_do_not_mix_their_windows(engine_name, tiny):
    engine = open_engine(engine_name, tiny)

    def job(seed: int) -> None:
        for turn in range(5):
            agree(tiny, engine, 1 + seed, 1e-4, seed=10 * seed + turn)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(job, range(3)))


def test_openvino_in_bfloat16_is_near(tiny):
    pytest.importorskip("onnx")
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    agree(tiny, open_engine("openvino", tiny, bfloat16=True), 2, 0.05)


def test_which_engine_can_do_what():
    assert engine_precision("torch", "bfloat16") and engine_precision("openvino", "bfloat16")
    assert not engine_precision("onnxruntime", "auto")
    with pytest.raises(MpnError, match="onnxruntime has no bfloat16"):
        engine_precision("onnxruntime", "bfloat16")
    with pytest.raises(MpnError, match="precision 'half'"):
        engine_precision("onnxruntime", "half")
    with pytest.raises(MpnError, match="openvino runs on the processor alone, not on cuda"):
        engine_precision("openvino", "auto", "cuda")
    with pytest.raises(MpnError, match="engine 'abacus': torch, onnxruntime, openvino"):
        mpn.load("demo", engine="abacus")


@pytest.mark.parametrize("name", GRAPH_ENGINES)
def test_an_engine_that_is_not_installed_names_the_way_to_it(name, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MpnError, match=rf"{name} is not installed: pip install 'mpn\[engines\]'"):
        open_engine(name, tiny)
