"""On a GPU: scores, gradients, trainings and adaptations are the processor's, nearly.

Skipped where there is none; `MPN_CUDA_TESTS_ON=cpu python -m pytest tests/test_cuda.py` shows that
they run.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import mpn
from mpn.adaptation.inner_loop import Adaptation, adapt_network
from mpn.datasets.shots import shots_of
from mpn.datasets.windows import Clip
from mpn.errors import MpnError
from mpn.model.checkpoint import load_checkpoint
from mpn.model.compiled import for_training
from mpn.model.engines import TorchEngine
from mpn.model.losses import loss_terms, total_loss
from mpn.model.network import build_model
from mpn.scoring.scores import score_frames
from mpn.training.meta_options import MetaOptions
from mpn.training.meta_training import MetaTraining
from mpn.training.pretraining import Training, train
from tests.helpers.small_model import footage, write_film
from tests.helpers.training_runs import OPTIONS, PRESET, STEPS, lines, walkers

PLAIN = replace(PRESET, pseudo_head=False)
SIZE = {"channels": 4, "height": 32, "width": 48}


def frames_of(config, count=23):
    shape = (count, *config.size, config.colours)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def near(results, expected, atol):
    assert [result.frame for result in results] == [result.frame for result in expected]
    for result, reference in zip(results, expected, strict=True):
        assert result.parts == pytest.approx(reference.parts, abs=100 * atol, rel=100 * atol)
        for name, grid in reference.maps.items():
            np.testing.assert_allclose(result.maps[name], grid, atol=10 * atol)


@pytest.mark.parametrize("preset", ["small", "base"])
@pytest.mark.parametrize(("bfloat16", "atol"), [(False, 1e-5), (True, 3e-3)])
def test_scores_are_the_processors(gpu, preset, bfloat16, atol):
    torch.manual_seed(3)
    network = build_model(preset, **SIZE).eval()
    frames = frames_of(network.config)
    expected = list(score_frames(network, frames))
    away = copy.deepcopy(network).to(mpn.model.device.checked_device(gpu))
    for batch in (1, 8):
        engine = TorchEngine(away, bfloat16)
        near(list(score_frames(away, frames, engine=engine, batch_size=batch)), expected, atol)


def test_the_packaged_model_scores_a_film_alike(gpu, tmp_path):
    film = write_film(tmp_path / "film.avi", footage(30, intruder=(12, 18)))
    on_cpu, on_gpu = (
        [
            result.score
            for result in mpn.load("demo", device=device, precision="float32").score(film)
        ]
        for device in ("cpu", gpu)
    )
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)


@pytest.mark.parametrize("way", ["graph", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_network_scores_alike(gpu, way, monkeypatch, caplog):
    if gpu == "cpu":
        monkeypatch.setattr("mpn.model.compiled.BACKEND", "eager")
    torch.manual_seed(3)
    network = build_model("small", **SIZE).eval()
    frames = frames_of(network.config)
    expected = list(score_frames(network, frames))
    away = copy.deepcopy(network).to(gpu)
    engine = TorchEngine(away, compiled=way)
    for _ in range(2):  # the last batch of the first turn is smaller
        near(list(score_frames(away, frames, engine=engine, batch_size=8)), expected, 1e-5)
    assert ("does not work here" in caplog.text) == (gpu == "cpu" and way == "graph")


@pytest.mark.parametrize("preset", ["small", "base"])
@pytest.mark.parametrize("way", [None, "graph"])
def test_gradients_are_the_processors(gpu, preset, way, monkeypatch):
    if gpu == "cpu":
        monkeypatch.setattr("mpn.model.compiled.BACKEND", "eager")
    torch.manual_seed(3)
    network = build_model(preset, **SIZE)
    config = network.config
    window = torch.rand(2, 4 * config.colours, *config.size) * 2 - 1
    target = torch.rand(2, config.colours, *config.size) * 2 - 1
    tampered = torch.rand(2, *config.size) > 0.9
    gradients = []
    mpn.model.device.checked_device(gpu)
    for device in ("cpu", gpu):
        away = copy.deepcopy(network).to(device)
        weights = config.training.loss_weights
        output = for_training(away, None if device == "cpu" else way)(window.to(device))
        terms = loss_terms(output, target.to(device), tampered.to(device), weights)
        total_loss(terms, weights).backward()
        gradients.append({name: p.grad.cpu() for name, p in away.named_parameters()})
    for name, gradient in gradients[0].items():
        scale = float(gradient.abs().max()) or 1.0
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-3 * scale, rtol=1e-3)


@pytest.fixture
def every_step_is_logged(monkeypatch):
    monkeypatch.setattr(Training, "log_every", 1)


@pytest.mark.parametrize("preset", [PRESET, PLAIN], ids=["sent", "kept"])
def test_a_training_loses_as_on_the_processor(gpu, tmp_path, every_step_is_logged, preset):
    for name, device in (("here", "cpu"), ("there", gpu)):
        model = train(walkers(), preset, OPTIONS, tmp_path / name, device=device)
    on_cpu, on_gpu = (lines(tmp_path / name) for name in ("here", "there"))
    for cpu_line, gpu_line in zip(on_cpu, on_gpu, strict=True):
        assert cpu_line["losses"] == pytest.approx(gpu_line["losses"], rel=0.02, abs=1e-4)
    assert load_checkpoint(model).training["steps"] == STEPS


@pytest.mark.parametrize("to_gpu", [True, False])
def test_a_training_goes_on_on_the_other_device(gpu, tmp_path, every_step_is_logged, to_gpu):
    first, second = ("cpu", gpu) if to_gpu else (gpu, "cpu")
    train(walkers(), PRESET, OPTIONS, tmp_path / "alone")

    def interrupt(line):
        if line["step"] == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(walkers(), PRESET, OPTIONS, tmp_path / "run", device=first, on_log=interrupt)
    train(walkers(), PRESET, OPTIONS, tmp_path / "run", device=second, resume=True)
    alone, moved = lines(tmp_path / "alone"), lines(tmp_path / "run")
    for alone_line, moved_line in zip(alone, moved, strict=True):
        assert alone_line["losses"] == pytest.approx(moved_line["losses"], rel=0.02, abs=1e-4)


def test_a_meta_training_goes_on_on_a_gpu(gpu, tmp_path, few_tasks_for_sizes):
    torch.manual_seed(1)
    base = mpn.model.checkpoint.Checkpoint(build_model(PRESET).eval())
    options = MetaOptions(
        ("pseudo_head.",),
        steps=3,
        shots=(1,),
        queries=2,
        inner_steps=2,
        tasks=1,
        precision="float32",
        temporal_subsample=(),
    )
    clips = [replace(clip, scene=f"scene{i % 2}") for i, clip in enumerate(walkers(4, 80))]
    begun = MetaTraining(copy.deepcopy(base), clips, options, tmp_path)
    begun.train_step()
    begun.save()
    model = MetaTraining(
        copy.deepcopy(base), clips, options, tmp_path, resume=True, device=gpu
    ).run()
    assert load_checkpoint(model).meta is not None


def test_an_adaptation_is_the_processors(gpu):
    checkpoint = load_checkpoint("demo")
    frames = frames_of(checkpoint.config, 40)
    shots = shots_of([Clip("a", "s", frames, 10.0)], [(0, 8), (0, 20)], 4)
    adapted = []
    for device in ("cpu", gpu):
        away = replace(checkpoint, network=copy.deepcopy(checkpoint.network).to(device))
        adapted.append(adapt_network(away, shots, Adaptation("adam", steps=3, batch=2)))
    for name, tensor in adapted[0].items():
        torch.testing.assert_close(adapted[1][name].cpu(), tensor, atol=2e-3, rtol=0.01)


def test_a_camera_is_adapted_to_and_kept(gpu, tmp_path):
    film = write_film(tmp_path / "normal.avi", footage(120))
    detector = mpn.load("demo", device=gpu).adapt(film)
    detector.save(tmp_path / "lobby.camera.safetensors")
    again = mpn.load(tmp_path / "lobby.camera.safetensors")
    assert len(list(again.score(film))) == 120


def test_a_gpu_that_is_too_small_says_what_to_do(gpu):
    if gpu == "cpu":
        pytest.skip("a processor swaps instead")
    network = build_model("base").to(gpu).eval()
    limit = 0.01  # of the GPU's memory
    torch.cuda.set_per_process_memory_fraction(limit)
    try:
        with pytest.raises(MpnError, match="a batch of 512 windows: the GPU has not enough memory"):
            list(score_frames(network, frames_of(network.config, 600), batch_size=512))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
