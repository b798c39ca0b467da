"""A network's forward made quicker for windows of one shape: compiled, or kept as a CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from mpn.errors import MpnError
from mpn.model.network import Network
from mpn.model.output import Output

log = logging.getLogger(__name__)

# "inductor": torch.compile, which takes a minute or more at the first
# forward, several in training. "graph": the kernels
# of a forward kept as a CUDA graph and started all at once; in training compiled besides.
WAYS = ("inductor", "graph")
BACKEND = "inductor"  # what torch.compile compiles with
WARM_UP = 3  # forwards before a CUDA graph is kept, in which libraries choose their kernels

Forward = Callable[[Tensor], Output]


def check_way(way: str | None) -> None:
    """Raise MpnError for a way to compile that there is not; None is as it comes."""
    if way is not None and way not in WAYS:
        raise MpnError(f"compiled by {way!r}: {' or '.join(WAYS)} was expected")


def for_training(network: Network, way: str | None) -> Forward:
    """Give the forward of a network that is trained, compiled; it falls back as `WithFallback`.

    Args:
        network: where it lies; its parameters stay its own.
        way: one of `WAYS`, or None for the network as it comes.
    """
    check_way(way)
    if way is None:
        return network
    mode = "reduce-overhead" if way == "graph" and _on_gpu(network) else None

    def forward(window: Tensor) -> Output:
        if mode:  # what the last step's graph holds may be written over
            torch.compiler.cudagraph_mark_step_begin()
        return compiled(window)

    compiled = torch.compile(network, backend=BACKEND, mode=mode)
    return WithFallback(network, forward, way)


def for_scoring(network: Network, way: str | None) -> Forward:
    """Give the forward of a network that scores, compiled; it falls back as `WithFallback`.

    What it gives may be written over by its next call.

    Args:
        network: in the mode for evaluation, where it lies.
        way: one of `WAYS`, or None for the network as it comes.
    """
    check_way(way)
    if way is None:
        return network
    quick: Forward = Graphed(network) if way == "graph" else torch.compile(network, backend=BACKEND)
    return OfOneShape(WithFallback(network, quick, way))


def _on_gpu(network: Network) -> bool:
    return next(network.parameters()).device.type == "cuda"


class WithFallback:
    """A quicker forward, or the plain one where the quicker one does not work, with a line.

    Args:
        plain: what is run in its place.
        quick: is tried at the first call.
        way: its name.
    """

    def __init__(self, plain: Forward, quick: Forward, way: str) -> None:
        self.plain, self.quick, self.way = plain, quick, way
        self.works: bool | None = None  # None until it was tried

    def __call__(self, window: Tensor) -> Output:
        """Run the forward, see `Network.forward`."""
        if self.works is False:
            return self.plain(window)
        try:
            output = self.quick(window)
        except (MpnError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # compilers raise whatever they like
            if self.works:
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log.warning(
                "--compile %s does not work here, so it is done without: %s", self.way, reason
            )
            self.works = False
            return self.plain(window)
        self.works = True
        return output


class OfOneShape:
    """A forward that always sees the largest batch so far: smaller ones are filled up.

    The last batch of a video is smaller, and would be compiled, or kept, once more.

    Args:
        forward: what is called.
    """

    def __init__(self, forward: Forward) -> None:
        self.forward, self.most = forward, 0

    def __call__(self, window: Tensor) -> Output:
        """Run the forward, see `Network.forward`."""
        count = len(window)
        self.most = max(self.most, count)
        if count == self.most:
            return self.forward(window)
        fill = window[-1:].expand(self.most - count, -1, -1, -1)
        filled = torch.cat([window, fill]).contiguous(memory_format=torch.channels_last)
        return _first(self.forward(filled), count)


def _first(output: Output, count: int) -> Output:
    """Take the first samples of an output."""
    values = {field.name: getattr(output, field.name) for field in fields(output)}
    cut: dict[str, Any] = {
        name: value if value is None else value[:count] for name, value in values.items()
    }
    return Output(**cut)


class Graphed:
    """A forward kept as CUDA graphs, one for each shape that it sees.

    Its kernels are those of the plain one, so it gives the same; only starting them is quicker. It
    is run in the precision that its first call was in.

    Args:
        forward: what is kept, on a GPU.
    """

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self._graphs: dict[tuple[int, ...], tuple[Any, Tensor, Output]] = {}

    def __call__(self, window: Tensor) -> Output:
        """Run the forward, see `Network.forward`; its output is written over by the next call."""
        if window.device.type != "cuda":
            raise RuntimeError("CUDA graphs need a GPU (--device cuda)")
        shape = tuple(window.shape)
        if shape not in self._graphs:
            with torch.cuda.device(window.device):
                self._graphs[shape] = self._keep(window)
        graph, place, output = self._graphs[shape]
        place.copy_(window)
        graph.replay()
        return output

    def _keep(self, window: Tensor) -> tuple[Any, Tensor, Output]:
        place, stream = window.clone(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # as PyTorch asks for: not on the stream of all others
            for _ in range(WARM_UP):
                self.forward(place)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on with what they do on the GPU.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            output = self.forward(place)
        return graph, place, output
