"""Training on a GPU that is not there, and by its ways on the processor; going on elsewhere."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mpn.datasets.batches import batch_of, stack_samples
from mpn.datasets.windows import WindowDataset
from mpn.errors import MpnError
from mpn.model.checkpoint import Checkpoint
from mpn.model.network import build_model
from mpn.model.state import load_state, save_state
from mpn.training import device_windows, pretraining
from mpn.training.device_windows import DeviceWindows, sent, usual_workers, windows_on
from mpn.training.meta_options import MetaOptions
from mpn.training.meta_training import MetaTraining
from mpn.training.pretraining import Training, train
from mpn.video.frame_source import BadFrame
from tests.helpers.fake_gpu import FAKE_GPU, fake_gpu
from tests.helpers.training_runs import (
    OPTIONS,
    PRESET,
    STEPS,
    lines,
    same_tensors,
    tensors,
    walkers,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*to a meta parameter")
PLAIN = replace(PRESET, pseudo_head=False)
CPU = torch.device("cpu")


# --- Windows on the device


def test_windows_that_are_cut_on_the_device_are_those_of_the_dataset():
    clips = walkers(3, 9)
    clips[1].bad.append(BadFrame(2, "002.png", "cut short"))
    dataset = WindowDataset(clips, 4)
    on_device = DeviceWindows(dataset, CPU)
    assert on_device.frames.dtype == torch.uint8 and len(on_device.frames) == 27
    order = np.random.default_rng(1).permutation(len(dataset)).tolist()
    expected = batch_of(stack_samples([dataset[number] for number in order]))
    batch = on_device.batch(order)
    assert torch.equal(batch.frames, expected.frames)
    assert torch.equal(batch.tampered, expected.tampered)


def test_frames_are_kept_on_the_gpu_where_they_fit_and_are_not_changed(monkeypatch, caplog):
    caplog.set_level("INFO")
    dataset = WindowDataset(walkers(2, 9), 4)
    needed = sum(clip.frames.nbytes for clip in dataset.clips)
    for free, fits in ((2 * needed, True), (2 * needed - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert (windows_on(dataset, CPU) is not None) == fits
    assert "do not fit on the GPU" in caplog.text
    dataset.transform = lambda frames: frames
    assert windows_on(dataset, CPU) is None


def test_batches_are_sent_as_they_are():
    dataset = WindowDataset(walkers(2, 9), 4)
    arrays = [stack_samples([dataset[i], dataset[i + 1]]) for i in (0, 3)]
    for batch, (frames, tampered) in zip(sent(arrays, CPU), arrays, strict=True):
        np.testing.assert_array_equal(batch.frames.numpy(), frames)
        np.testing.assert_array_equal(batch.tampered.numpy(), tampered)


def test_processes_that_make_samples_are_for_a_gpu_that_would_wait(monkeypatch):
    monkeypatch.setattr(device_windows.os, "cpu_count", lambda: 64)
    cuda = torch.device("cuda")
    assert usual_workers(cuda, tampered=True) == 8
    assert usual_workers(cuda, tampered=False) == usual_workers(CPU, tampered=True) == 0


# --- A step


@pytest.mark.parametrize("preset", [PRESET, PLAIN, replace(PLAIN, residual=False, grey=False)])
def test_a_step_reads_nothing_from_the_gpu_but_its_losses_at_once(tmp_path, monkeypatch, preset):
    read = []
    clips = walkers()
    if not preset.grey:
        clips = [replace(clip, frames=np.repeat(clip.frames, 3, axis=3)) for clip in clips]
    monkeypatch.setattr(Training, "_checked", lambda self, *arguments: read.append(arguments) or {})
    training = Training(clips, preset, OPTIONS, tmp_path, device=FAKE_GPU)
    with fake_gpu():
        for sample in [training.dataset[0], training.dataset[1]]:
            training.train_step(type(sample)(*(part[None] for part in sample)))
    assert training.step == 2 and len(read) == 2
    terms, loss, norm = read[0]
    assert {loss.device.type, norm.device.type} == {FAKE_GPU}
    assert {term.device.type for term in terms.values()} == {FAKE_GPU}


def test_a_gpu_that_is_too_small_for_a_step_is_said_in_a_line(tmp_path, monkeypatch):
    def full(self, window):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20.00 GiB")

    monkeypatch.setattr(pretraining.Training, "train_step", full)
    with pytest.raises(MpnError) as caught:
        train(walkers(), PRESET, OPTIONS, tmp_path)
    assert str(caught.value) == (
        "training: the GPU has not enough memory for it; give a smaller --batch-size, or smaller "
        "frames"
    )
    assert load_state(tmp_path / "state.pt")["step"] == 0


@pytest.mark.parametrize("preset", [PRESET, PLAIN], ids=["sent", "kept"])
def test_the_ways_of_a_gpu_train_the_same(tmp_path, monkeypatch, preset):
    train(walkers(), preset, OPTIONS, tmp_path / "plain")
    monkeypatch.setattr(Training, "on_gpu", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**30))
    on_device = []
    watched = pretraining.windows_on
    monkeypatch.setattr(
        pretraining,
        "windows_on",
        lambda *arguments: on_device.append(watched(*arguments)) or on_device[-1],
    )
    train(walkers(), preset, OPTIONS, tmp_path / "gpu")
    assert [windows is not None for windows in on_device] == [preset is PLAIN]
    # The fused optimiser rounds otherwise.
    for plain_line, gpu_line in zip(
        *(lines(tmp_path / name) for name in ("plain", "gpu")), strict=True
    ):
        assert plain_line["losses"] == pytest.approx(gpu_line["losses"], rel=1e-3, abs=1e-5)
    plain, gpu = (tensors(tmp_path / name) for name in ("plain", "gpu"))
    for name, tensor in plain.items():
        torch.testing.assert_close(gpu[name], tensor, atol=2e-3, rtol=0.01)


# --- Going on elsewhere


def stopped_at(folder, step):
    """A run that was stopped behind a step; its state."""

    def interrupt(line):
        if line["step"] == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(walkers(), PRESET, OPTIONS, folder, on_log=interrupt)
    return load_state(folder / "state.pt")


@pytest.fixture
def every_step_is_logged(monkeypatch):
    monkeypatch.setattr(Training, "log_every", 1)


def test_a_state_of_a_gpu_goes_on_on_the_processor(finished, tmp_path, every_step_is_logged):
    state = stopped_at(tmp_path, 10)
    for group in state["optimizer"]["param_groups"]:  # as a GPU's optimiser writes it
        group["fused"] = True
    save_state(tmp_path / "state.pt", state)
    train(walkers(), PRESET, OPTIONS, tmp_path, resume=True)
    assert same_tensors(tensors(tmp_path), tensors(finished))


def test_a_state_of_the_processor_goes_on_on_a_gpu(tmp_path, every_step_is_logged):
    stopped_at(tmp_path, 10)
    training = Training(walkers(), PRESET, OPTIONS, tmp_path, resume=True, device=FAKE_GPU)
    assert 0 < training.step < STEPS
    moments = [
        value
        for state in training.optimizer.state.values()
        for name, value in state.items()
        if name != "step"
    ]
    assert moments and {value.device.type for value in moments} == {FAKE_GPU}


def test_a_meta_training_goes_on_on_a_gpu(tmp_path, few_tasks_for_sizes):
    torch.manual_seed(1)
    base = Checkpoint(build_model(PRESET).eval())
    options = MetaOptions(("pseudo_head.",), steps=2, shots=(1,), queries=2, inner_steps=1, tasks=1)
    clips = [replace(clip, scene=f"scene{i % 2}") for i, clip in enumerate(walkers(4, 80))]
    options = replace(options, temporal_subsample=())
    MetaTraining(copy.deepcopy(base), clips, options, tmp_path).save()
    gone_on = MetaTraining(
        copy.deepcopy(base), clips, options, tmp_path, resume=True, device=FAKE_GPU
    )
    learned = [p for group in gone_on.optimizer.param_groups for p in group["params"]]
    assert all(isinstance(size, nn.Parameter) for size in gone_on.log_sizes.values())
    assert {p.device.type for p in [*learned, *gone_on.log_sizes.values()]} == {FAKE_GPU}
