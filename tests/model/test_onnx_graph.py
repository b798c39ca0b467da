"""A network as an ONNX graph."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mpn.errors import MpnError
from mpn.model.checkpoint import Checkpoint
from mpn.model.config import ModelConfig
from mpn.model.network import Network, build_model
from mpn.model.onnx_graph import export_onnx, onnx_graph, output_names


def exported(network: Network, folder: Path) -> Path:
    export_onnx(Checkpoint(network, fps=10.0, sha256="abc"), folder / "network.onnx")
    return folder / "network.onnx"


def of_kind(kind: str, **options: str) -> Network:
    """A tiny network of a preset, weights seeded."""
    torch.manual_seed(2)
    return build_model(kind, channels=4, height=32, width=48, **options).eval()


UNITS = [
    {"unit": "attention", "keys": "window"},
    {"unit": "attention", "keys": "learned"},
    {"unit": "none"},
]


@pytest.mark.parametrize(
    ("kind", "options"), [("small", {}), ("base", {}), *(("small", unit) for unit in UNITS)]
)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_file_gives_what_the_network_gives_for_any_batch(tmp_path, kind, options, batch):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    network = of_kind(kind, **options).to(memory_format=torch.channels_last)
    session = runtime.InferenceSession(exported(network, tmp_path))
    config = network.config
    windows = torch.rand(batch, config.window * config.colours, *config.size) * 2 - 1
    with torch.no_grad():
        output = network(windows)
    arrays = session.run(None, {"windows": windows.numpy()})
    names = [node.name for node in session.get_outputs()]
    assert names == list(output_names(network))
    assert ("pseudo_logits" in names) == (kind == "small")
    for name, values in zip(names, arrays):
        np.testing.assert_allclose(values, getattr(output, name).numpy(), atol=1e-5)


def test_the_file_says_which_network_it_holds(tmp_path):
    onnx = pytest.importorskip("onnx")
    network = of_kind("small")
    model = onnx.load(exported(network, tmp_path))
    onnx.checker.check_model(model, full_check=True)
    (entry,) = model.metadata_props
    document = json.loads(entry.value)
    assert entry.key == "mpn"
    assert ModelConfig.from_dict(document["preset"]) == network.config
    assert (document["fps"], document["checkpoint"]) == (10.0, "abc")


def test_exporting_leaves_the_network_as_it_was(tiny):
    pytest.importorskip("onnx")
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    with torch.inference_mode():  # as where frames are scored
        onnx_graph(tiny)
    assert not tiny.training
    for name, value in tiny.state_dict().items():
        assert torch.equal(value, before[name])


def test_without_the_package_the_way_to_it_is_said(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MpnError, match=r"pip install 'mpn\[engines\]'"):
        export_onnx(Checkpoint(tiny), tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())
