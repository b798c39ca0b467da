"""A network as an ONNX graph: what scoring needs of its forward, for other runtimes."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mpn.errors import MpnError
from mpn.io.atomic import write_atomically
from mpn.model.checkpoint import Checkpoint
from mpn.model.file_format import FORMAT_VERSION, METADATA_KEY, library_versions
from mpn.model.network import Network

if TYPE_CHECKING:
    import onnx

INSTALL = "pip install 'mpn[engines]'"
INPUT = "windows"
# of mpn.model.output.ScoringOutput, in its words; the last where the network has that head
OUTPUTS = ("prediction", "compactness", "pseudo_logits")
OPSET = 17


class _ScoringForward(nn.Module):
    """The forward of a network, of which only what scoring needs comes out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> tuple[Tensor, ...]:
        output = self.network(windows)
        outputs = (output.prediction, output.compactness, output.pseudo_logits)
        return tuple(tensor for tensor in outputs if tensor is not None)


def output_names(network: Network) -> tuple[str, ...]:
    """Name what the graph of a network gives.

    Args:
        network: it is asked what it has.
    """
    return OUTPUTS if network.pseudo_head is not None else OUTPUTS[:-1]


def onnx_graph(network: Network) -> onnx.ModelProto:
    """Make the graph of a network, in float32, for any number of windows at a time.

    Args:
        network: in evaluation mode, of any memory format.

    Returns:
        `INPUT` in, float32 (B, T * C, H, W) in [-1, 1], oldest frame first; `output_names` out,
        float32, as in `mpn.model.output.Output`. H and W are those of the preset.

    Raises:
        MpnError: the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MpnError(f"a network is exported by the package onnx: {INSTALL}") from error
    config, names, written = network.config, output_names(network), io.BytesIO()
    # Two windows: of one, the exporter would take the batch for a constant.
    example = torch.zeros(2, config.window * config.colours, *config.size)
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # Of the shapes that are checked on the way, and that this exporter will once be gone: the
        # one that torch recommends needs onnxscript too.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _ScoringForward(network).eval(),
            (example.to(next(network.parameters()).device),),
            written,  # type: ignore[arg-type] (a path or None, where dynamo makes the graph)
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(names),
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *names)},
        )
    return onnx.load_from_string(written.getvalue())


def export_onnx(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a model's network as an ONNX file, whole or not at all.

    The preset (frame size, colours, how frames are resized) stands in the file's metadata, a JSON
    document under the key "mpn".

    Args:
        checkpoint: the model, or that of a camera.
        path: of the file.

    Raises:
        MpnError: the package onnx is not installed, or the file cannot be written.
    """
    graph = onnx_graph(checkpoint.network)
    document = {
        "format": FORMAT_VERSION,
        "preset": checkpoint.config.to_dict(),
        "fps": checkpoint.fps,
        "checkpoint": checkpoint.sha256,
        "versions": library_versions(),
    }
    entry = graph.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(document)
    write_atomically(path, graph.SerializeToString())
