"""The pretext tasks: what is hidden, their losses by hand, and a chain that is gone on with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mpn.errors import CheckpointError, TrainingError
from mpn.model.checkpoint import load_checkpoint
from mpn.training import pretext as tasks
from mpn.training.distributed import Processes
from mpn.training.pretext import PretextTraining, contrast_loss, hidden_places, pretext
from mpn.training.pretraining import Training, train
from tests.helpers.training_runs import OPTIONS, PRESET, lines, same_tensors, tensors, walkers

OPTIONS_HERE = replace(OPTIONS, epochs=2)
STEPS = 14


def hidden(windows, colours=1, seed=1):
    return hidden_places(windows, colours, torch.Generator().manual_seed(seed))


def test_patches_are_hidden_in_all_frames_and_now_and_then_a_whole_frame():
    masked = hidden(torch.zeros(200, 8, 40, 48), colours=2)
    frames = masked.reshape(200, 4, 2, 40, 48)
    assert torch.equal(frames[:, :, 0], frames[:, :, 1])  # both colours
    whole = frames[:, :, 0].flatten(2).all(dim=2)
    assert set(whole.sum(dim=1).tolist()) <= {0, 1, 4}  # 4: every patch, by chance
    assert 0.4 < (whole.sum(dim=1) == 1).double().mean() < 0.6
    # Patches of 16 pixels, cut at the edge, are hidden as a whole, in each frame that is not.
    for window in range(4):
        shown = frames[window, ~whole[window], 0]
        assert torch.equal(shown, shown[:1].expand_as(shown))
        for top in range(0, 40, 16):
            for left in range(0, 48, 16):
                assert shown[0, top : top + 16, left : left + 16].double().mean() in (0, 1)
    plain = frames[~whole.any(dim=1)].double()
    assert 0.45 < plain.mean() < 0.55


def test_the_contrastive_loss_is_that_of_its_formula():
    generator = torch.Generator().manual_seed(3)
    first, second = (
        torch.nn.functional.normalize(torch.randn(3, 5, generator=generator), dim=1)
        for _ in range(2)
    )
    both = torch.cat([first, second]).double().numpy()
    losses = []
    for anchor in range(6):
        candidates = [i for i in range(6) if i != anchor]
        logits = {i: both[anchor] @ both[i] / tasks.TEMPERATURE for i in candidates}
        losses.append(
            np.log(sum(np.exp(logit) for logit in logits.values())) - logits[(anchor + 3) % 6]
        )
    assert float(contrast_loss(first, second)) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretext")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "log_every", 1)
        pretext(walkers(), PRESET, OPTIONS_HERE, folder)
    return folder


def test_what_is_hidden_is_learned(done):
    losses = [line["losses"] for line in lines(done)]
    assert len(losses) == STEPS and set(losses[0]) == {"reconstruction", "contrast"}
    first, last = (
        np.mean([step["reconstruction"] for step in part]) for part in (losses[:3], losses[-3:])
    )
    assert last < 0.85 * first


def test_windows_are_shown_as_they_were_filmed(tmp_path):
    run = PretextTraining(walkers(), PRESET, OPTIONS_HERE, tmp_path)
    assert run.dataset.pseudo is None
    sample = next(iter(run._epoch()))
    assert not sample.tampered.any()


def test_an_interrupted_run_ends_as_one_left_alone(done, tmp_path):
    def interrupt(line):
        if line["step"] == 5:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "log_every", 1)
        with pytest.raises(KeyboardInterrupt):
            pretext(walkers(), PRESET, OPTIONS_HERE, tmp_path, on_log=interrupt)
        with pytest.raises(CheckpointError):  # another kind of run
            train(walkers(), PRESET, OPTIONS_HERE, tmp_path, resume=True)
        pretext(walkers(), PRESET, OPTIONS_HERE, tmp_path, resume=True)
    assert same_tensors(tensors(tmp_path), tensors(done))


def test_another_training_begins_with_what_it_gave(done, tmp_path):
    start = load_checkpoint(done / "model.safetensors")
    run = Training(walkers(), PRESET, OPTIONS, tmp_path, start=start)
    assert same_tensors(run.network.state_dict(), start.network.state_dict())
    assert run.fingerprint()["options"]["start"] == start.sha256
    run.save()
    with pytest.raises(CheckpointError, match="other options: start"):
        Training(walkers(), PRESET, OPTIONS, tmp_path, resume=True)
    again = Training(walkers(), PRESET, OPTIONS, tmp_path, start=start, resume=True)
    assert again.step == 0


def test_several_processes_are_refused(tmp_path, monkeypatch):
    """Windows are told from all others of a batch, of which each would have a share only."""
    monkeypatch.setattr(tasks, "current", lambda: Processes(0, 2))
    with pytest.raises(TrainingError, match="start without torchrun"):
        pretext(walkers(), PRESET, OPTIONS_HERE, tmp_path / "pretext")
    assert not (tmp_path / "pretext").exists()
