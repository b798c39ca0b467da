"""What a training looks at on held-out windows, with networks that stand for others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mpn.datasets.windows import Clip, WindowDataset
from mpn.training import diagnosis
from mpn.training.diagnosis import GAIN, diagnose, in_words
from tests.helpers.training_runs import PRESET, walkers


class Stand(nn.Module):
    """Predicts, of the way from the last frame to the true one, a share: it is told the clip."""

    config = PRESET

    def __init__(self, clip: Clip, share: float) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.frames = torch.from_numpy(clip.frames[..., 0].astype(np.float32)) / 127.5 - 1
        self.share, self.seen = share, []

    def forward(self, window):
        last = window[:, -1:]
        (now,) = torch.nonzero((self.frames == last[0]).flatten(1).all(dim=1))[0]
        self.seen.append(window.dtype)
        prediction = last + self.share * (self.frames[now + 1] - last)
        return SimpleNamespace(prediction=prediction)


@pytest.fixture(autouse=True)
def uncollapsed(monkeypatch):
    numbers = iter(range(1, 1000))
    monkeypatch.setattr(diagnosis, "collapse", lambda output: {"usage_entropy": next(numbers)})


@pytest.mark.parametrize(("share", "gain"), [(0.0, 0.0), (0.5, 6.0206), (-1.0, -6.0206)])
def test_the_gain_over_copying_is_of_the_errors_squares(share, gain):
    (clip,) = walkers(1)
    figures = diagnose(Stand(clip, share), [clip])
    assert figures[GAIN] == pytest.approx(gain, abs=1e-3)  # half the error: a quarter of its square


def test_windows_are_spread_evenly_and_in_float32():
    (clip,) = walkers(1)
    network = Stand(clip, 0.5).train()
    assert diagnose(network, [clip], windows=4)["collapse"] == {"usage_entropy": 2.5}
    assert network.seen == [torch.float32] * 4 and not network.training
    network.seen.clear()
    diagnose(network, [clip], windows=100)
    assert len(network.seen) == len(WindowDataset([clip], 4)) == 10


def test_where_nothing_moves_there_is_no_gain():
    still = Clip("still", "yard", np.repeat(walkers(1)[0].frames[:1], 14, axis=0), 12.5)

    class Copy(Stand):
        def forward(self, window):
            return SimpleNamespace(prediction=window[:, -1:])

    assert set(diagnose(Copy(still, 0.0), [still])) == {"collapse"}
    assert diagnose(Copy(still, 0.0), walkers(1, frames=4)) == {"collapse": {}}


def test_words_name_the_gain_and_a_repetition():
    assert "2.3 dB nearer" in in_words({GAIN: 2.345}) and "repeat" not in in_words({GAIN: 2.345})
    assert "hardly does more than repeat" in in_words({GAIN: -0.1})
    assert "is 2.8 dB further from the true frame than" in in_words({GAIN: -2.8})
    assert in_words({GAIN: -0.1}).endswith("(-0.1 dB): train longer (--minutes, --epochs)")
    assert in_words({"collapse": {}}) == ""
