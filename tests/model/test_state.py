"""Training state: what `--resume` reads."""

from __future__ import annotations

import pytest
import torch

from mpn.errors import CheckpointError
from mpn.model.state import load_state, save_state


def test_training_state_comes_back(tmp_path):
    state = {
        "network": {"w": torch.arange(3.0)},
        "step": 7,
        "total": None,
        "text": "ü",
        "list": [1.5, True],
    }
    save_state(tmp_path / "state.pt", state)
    again = load_state(tmp_path / "state.pt")
    assert torch.equal(again.pop("network")["w"], state.pop("network")["w"])
    assert again == state


def test_bad_training_states(tmp_path):
    path = tmp_path / "state.pt"
    with pytest.raises(CheckpointError, match="nothing to resume: there is no .*state.pt"):
        load_state(path)
    save_state(path, {"w": torch.zeros(1000)})
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"text\n" * 50):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="not a whole training state") as caught:
            load_state(path)
        assert "\n" not in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="not a training state of mpn"):
        load_state(path)
