"""The network in int8, as the benchmark of engines makes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mpn.model.engines import GRAPH_ENGINES


@pytest.mark.parametrize("name", GRAPH_ENGINES)
def test_the_network_in_int8_is_near_and_its_first_and_last_layers_are_not_touched(name, tiny):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip(name)
    from benchmarks.engines import WIDE, int8_graph

    generator = torch.Generator().manual_seed(0)
    windows = torch.rand((16, 4, *tiny.config.size), generator=generator) * 2 - 1
    graph = int8_graph(tiny, (window[None].numpy() for window in windows))
    nodes = onnx.load_from_string(graph).graph.node
    weights = [node.input[1] for node in nodes if node.op_type in ("Conv", "ConvTranspose")]
    wide = [weight for weight in weights if not weight.endswith("DequantizeLinear_Output")]
    assert sorted(wide) == sorted(f"network.{weight}" for weight in WIDE)
    assert len(weights) > 3 * len(wide)
    with torch.inference_mode():
        expected = tiny(windows)
        result = GRAPH_ENGINES[name](tiny, graph=graph)(windows)
    for output in ("prediction", "pseudo_logits"):
        values, expected_values = (
            getattr(outputs, output).numpy() for outputs in (result, expected)
        )
        assert np.abs(values - expected_values).max() < 0.1 * np.ptp(expected_values)
        assert not np.array_equal(values, expected_values)
