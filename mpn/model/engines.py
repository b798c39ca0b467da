"""What runs a network for scoring: PyTorch, or another runtime with the network's ONNX graph."""

from __future__ import annotations

import copy
import importlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mpn.errors import MpnError
from mpn.model.compiled import check_way, for_scoring
from mpn.model.device import use_bfloat16
from mpn.model.network import Network
from mpn.model.onnx_graph import INPUT, INSTALL, onnx_graph, output_names
from mpn.model.output import ScoringOutput

# What one thread runs: windows by the graph's input in, arrays by the graph's outputs out.
Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class Engine(Protocol):
    """What runs a network for scoring."""

    def __call__(self, windows: Tensor) -> ScoringOutput:
        """Run the network.

        Args:
            windows: float32 (B, T * C, H, W) in [-1, 1], oldest frame first, where the network
                lies.
        """
        ...


class TorchEngine:
    """PyTorch, where the network lies.

    Args:
        network: it is put into the mode for evaluation.
        bfloat16: run it in bfloat16 autocast.
        compiled: see `mpn.model.compiled.for_scoring`.
    """

    def __init__(
        self, network: Network, bfloat16: bool = False, *, compiled: str | None = None
    ) -> None:
        self.network, self.bfloat16 = network.eval(), bfloat16
        self.on_gpu = next(network.parameters()).device.type == "cuda"
        run = narrowed(network) if bfloat16 and self.on_gpu else network
        self._forward = for_scoring(run, compiled)

    def __call__(self, windows: Tensor) -> ScoringOutput:
        """Run the network, see `Engine`."""
        with torch.autocast(
            windows.device.type,
            dtype=torch.bfloat16,
            enabled=self.bfloat16,
            # What a CUDA graph has cast stays in its own memory.
            cache_enabled=not self.on_gpu,
        ):
            return self._forward(windows.contiguous(memory_format=torch.channels_last))


def narrowed(network: Network) -> Network:
    """Copy a network with its convolutions in bfloat16, as autocast casts them at each forward.

    In autocast it gives the same, without some fifty small kernels a forward.

    Args:
        network: in float32.
    """
    copied = copy.deepcopy(network)
    for layer in copied.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.to(torch.bfloat16)
    return copied


@dataclass(frozen=True)
class GraphOutput:
    """What a graph gives, see `mpn.model.output.Output`."""

    prediction: Tensor
    compactness: Tensor
    pseudo_logits: Tensor | None = None


def output_of(output: ScoringOutput, row: int) -> ScoringOutput:
    """Take one window's part of what a batch gave.

    Args:
        output: of the batch.
        row: number of the window.
    """
    window, logits = slice(row, row + 1), output.pseudo_logits
    return GraphOutput(
        output.prediction[window],
        output.compactness[window],
        None if logits is None else logits[window],
    )


class GraphEngine(ABC):
    """A runtime with the ONNX graph of a network, on the processor.

    Every thread that asks has a runtime of its own, with as many threads as torch may use in it:
    several videos side by side then share the cores out as they do with torch.

    Args:
        network: its graph is made when it is first run.
        bfloat16: run it in bfloat16, where the engine can.
        graph: an ONNX file's content to run instead, of the same network.

    Raises:
        MpnError: the runtime is not installed.
    """

    package: str

    def __init__(
        self, network: Network, bfloat16: bool = False, graph: bytes | None = None
    ) -> None:
        try:
            importlib.import_module(self.package)
        except ImportError as error:
            raise MpnError(f"{self.package} is not installed: {INSTALL}") from error
        self.network, self.bfloat16 = network.eval(), bfloat16
        self._graph = graph
        self._lock, self._of_thread = threading.Lock(), threading.local()

    def __call__(self, windows: Tensor) -> ScoringOutput:
        """Run the network, see `Engine`."""
        run: Run | None = getattr(self._of_thread, "run", None)
        if run is None:
            with self._lock:  # the exporter changes what is global in torch
                if self._graph is None:
                    self._graph = onnx_graph(self.network).SerializeToString()
            run = self._of_thread.run = self.open(self._graph, torch.get_num_threads())
        arrays = run(windows.contiguous().numpy())
        return GraphOutput(
            **{name: torch.from_numpy(arrays[name]) for name in output_names(self.network)}
        )

    @abstractmethod
    def open(self, graph: bytes, threads: int) -> Run:
        """Make what runs a graph.

        Args:
            graph: an ONNX file's content.
            threads: that it may use.
        """


class OnnxRuntimeEngine(GraphEngine):
    """ONNX Runtime, in float32."""

    package = "onnxruntime"

    def open(self, graph: bytes, threads: int) -> Run:
        """Make what runs a graph, see `GraphEngine.open`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait busily take the cores from decoding and optical flow.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]

        def run(windows: np.ndarray) -> Mapping[str, np.ndarray]:
            arrays = session.run(names, {INPUT: windows})
            return {name: np.asarray(array) for name, array in zip(names, arrays)}

        return run


class OpenVinoEngine(GraphEngine):
    """OpenVINO, in float32 or bfloat16."""

    package = "openvino"

    def open(self, graph: bytes, threads: int) -> Run:
        """Make what runs a graph, see `GraphEngine.open`."""
        import openvino

        core = openvino.Core()
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # to which core is for the system to say
        }
        compiled = core.compile_model(core.read_model(graph), "CPU", settings)
        request, outputs = compiled.create_infer_request(), compiled.outputs

        def run(windows: np.ndarray) -> Mapping[str, np.ndarray]:
            # A copy: the request's own memory is written again by the next call.
            results = request.infer({INPUT: windows}, share_inputs=True)
            return {output.any_name: np.array(results[output], np.float32) for output in outputs}

        return run


GRAPH_ENGINES: dict[str, type[GraphEngine]] = {
    engine.package: engine for engine in (OnnxRuntimeEngine, OpenVinoEngine)
}
ENGINES = ("torch", *GRAPH_ENGINES)


def installed_engines() -> tuple[str, ...]:
    """List the engines that are installed here, torch first."""
    can_export = find_spec("onnx") is not None
    return (
        "torch",
        *(name for name in GRAPH_ENGINES if can_export and find_spec(name) is not None),
    )


def engine_precision(engine: str, precision: str, device: str = "cpu") -> bool:
    """Decide whether an engine runs in bfloat16, and check that it can be used.

    Args:
        engine: one of `ENGINES`.
        precision: see `mpn.model.device.use_bfloat16`.
        device: "cpu" or "cuda".

    Raises:
        MpnError: an unknown engine, or one that has not this precision or device.
    """
    if engine not in ENGINES:
        raise MpnError(f"engine {engine!r}: {', '.join(ENGINES)} were expected")
    if engine != "torch" and not device.startswith("cpu"):
        raise MpnError(f"engine {engine} runs on the processor alone, not on {device}")
    if engine == OnnxRuntimeEngine.package:
        if precision == "bfloat16":
            raise MpnError(f"engine {engine} has no bfloat16 on a processor: take float32")
        use_bfloat16(precision)  # raises where there is no such precision
        return False
    return use_bfloat16(precision, device)


def open_engine(
    engine: str, network: Network, bfloat16: bool = False, *, compiled: str | None = None
) -> Engine:
    """Make what runs a network for scoring.

    Args:
        engine: one of `ENGINES`.
        network: where it lies.
        bfloat16: as `engine_precision` says.
        compiled: of PyTorch, see `mpn.model.compiled.for_scoring`.

    Raises:
        MpnError: the runtime is not installed, or compiles by itself.
    """
    check_way(compiled)
    if engine == "torch":
        return TorchEngine(network, bfloat16, compiled=compiled)
    if compiled:
        raise MpnError(f"--compile is of engine torch: {engine} compiles by itself")
    return GRAPH_ENGINES[engine](network, bfloat16)
