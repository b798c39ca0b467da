"""Batches on a GPU that is not there: how many transfers, no waiting, no mixing of devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mpn.errors import MpnError
from mpn.model.losses import LOSS_TERMS, loss_terms
from mpn.model.network import build_model
from mpn.scoring.parts import COLUMNS
from mpn.scoring.scores import score_frames, windows_in
from tests.helpers.fake_gpu import FAKE_GPU, fake_gpu

SIZE = {"channels": 4, "height": 32, "width": 48}


def frames_of(config, count=13):
    shape = (count, *config.size, config.colours)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def some_quotients(frame):
    return np.random.default_rng(frame).random((2, 4, 6), np.float32) * 3


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("colours", [1, 3])
def test_windows_are_the_frames_before_each(every, colours):
    stack = torch.rand(4 + 7, 8, 6, colours).permute(0, 3, 1, 2)
    windows = windows_in(stack, 4, every)
    expected = [stack[i : i + 4].flatten(0, 1) for i in range(0, 7, every)]
    assert torch.equal(windows, torch.stack(expected))
    assert windows.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("preset", ["small", "base"])
def test_a_batch_is_fetched_at_once_and_nothing_waits_for_a_gpu(preset):
    with fake_gpu() as transfers:
        network = build_model(preset, **SIZE).to(FAKE_GPU).eval()
        frames = frames_of(network.config)
        scored = list(score_frames(network, frames, quotients=some_quotients, batch_size=4))
    assert [result.frame for result in scored] == list(range(4, 13))
    assert len(transfers) == 3  # 4, 4 and 1 frames
    names = {column.name for column in COLUMNS} - {"stays"}
    assert set(scored[0].parts) == (names if preset == "small" else names - {"pseudo"})
    # What is judged by place was never there.
    error = scored[0].maps["error"].size * (1 if preset == "base" else 2)
    assert transfers[0] == 4 * error + 4 * (3 if preset == "base" else 4)
    assert any(result.maps["speed"].any() for result in scored)
    assert not any(result.maps["error"].any() for result in scored)


def test_the_same_with_the_network_asked_less_often():
    with fake_gpu() as transfers:
        network = build_model("small", **SIZE).to(FAKE_GPU).eval()
        frames = frames_of(network.config)
        scored = list(
            score_frames(network, frames, quotients=some_quotients, batch_size=2, network_every=3)
        )
    assert [result.frame for result in scored] == list(range(4, 13))
    assert len(transfers) == 2


def test_a_batch_is_begun_before_the_results_of_the_one_before_are_given():
    read = []

    def source(frames):
        for number, frame in enumerate(frames):
            read.append(number)
            yield frame

    with fake_gpu():
        network = build_model("small", **SIZE).to(FAKE_GPU).eval()
        scores = score_frames(network, source(frames_of(network.config)), batch_size=2)
        assert next(scores).frame == 4
        assert len(read) == 4 + 2 + 2
        scores.close()


@pytest.mark.parametrize("preset", ["small", "base"])
def test_no_loss_term_of_a_preset_waits_for_a_gpu(preset):
    with fake_gpu(), torch.no_grad():
        network = build_model(preset, **SIZE).to(FAKE_GPU).eval()
        config = network.config
        window = torch.empty(2, 4 * config.colours, *config.size, device=FAKE_GPU)
        target = torch.empty(2, config.colours, *config.size, device=FAKE_GPU)
        tampered = torch.empty(2, *config.size, dtype=torch.bool, device=FAKE_GPU)
        terms = loss_terms(network(window), target, tampered, config.training.loss_weights)
    weighted = {name for name in LOSS_TERMS if config.training.loss_weights[name]}
    assert set(terms) == (weighted if preset == "small" else weighted - {"pseudo"})
    assert {str(term.device) for term in terms.values()} == {FAKE_GPU}


def test_a_gpu_that_is_too_small_is_said_in_a_line(tiny):
    def engine(windows):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has")

    with pytest.raises(MpnError) as caught:
        list(score_frames(tiny, frames_of(tiny.config), engine=engine, batch_size=8))
    assert str(caught.value) == (
        "a batch of 8 windows: the GPU has not enough memory for it; give a smaller --batch-size"
    )
