"""One outer step of meta-training, ours and the published way: for `benchmarks.meta_speed`.

It imports torch: a process that only starts others must not import it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.func import functional_call

from benchmarks.written_out import write_out
from mpn.meta import maml
from mpn.meta.maml import Params
from mpn.model import losses
from mpn.model.network import build_model
from mpn.model.parameters import target_names

TASKS, SHOTS, QUERIES = 4, 4, 4
TARGETS = ("prototype.heads.", "head.")
# Heads as they are initialised make all prototypes alike, and a mistake in the unit would hardly
# show.
SHARPENED = 40.0


class OuterStep:
    """An outer step of one of the forms: `run(tasks)` leaves the gradients in `params` and `sizes`.

    Args:
        form: "ours" or "published".
        precision: "float32", "bfloat16" or "float64".
        size: height and width of the frames.
    """

    def __init__(self, form: str, precision: str, size: int) -> None:
        torch.manual_seed(0)
        self.form, self.bfloat16, self.size = form, precision == "bfloat16", size
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        network = build_model("base", height=size, width=size).to(self.dtype).requires_grad_(False)
        network.prototype.heads.weight.mul_(SHARPENED)
        parameters = dict(network.named_parameters())
        self.params = {
            name: parameters[name].clone().requires_grad_()
            for name in target_names(network, TARGETS)
        }
        self.sizes = {
            name: torch.full_like(p, 0.01).requires_grad_() for name, p in self.params.items()
        }
        self.network = (
            write_out(network)
            if form == "published"
            else network.to(memory_format=torch.channels_last)
        )
        self.optimizer = torch.optim.Adam([*self.params.values(), *self.sizes.values()], lr=1e-6)

    def tasks(self, seed: int = 1) -> list[tuple[Any, Any]]:
        """Support and query of four tasks: a window and the next frame each, in [-1, 1]."""
        generator = torch.Generator().manual_seed(seed)
        layout = torch.contiguous_format if self.form == "published" else torch.channels_last

        def frames(count: int, channels: int) -> torch.Tensor:
            shape = count, channels, self.size, self.size
            uniform = torch.rand(shape, generator=generator, dtype=self.dtype) * 2 - 1
            return uniform.contiguous(memory_format=layout)

        return [
            tuple((frames(count, 12), frames(count, 3)) for count in (SHOTS, QUERIES))
            for _ in range(TASKS)
        ]

    def run(self, tasks: list[tuple[Any, Any]]) -> None:
        """Everything but the optimiser's step."""
        self.optimizer.zero_grad()
        {"ours": self._ours, "published": self._published}[self.form](tasks)

    def loss(self, params: Params, batch: Any) -> torch.Tensor:
        """Compute the loss of (window, target), or of (window, target, encoding, features).

        Encoder and decoder are included in the first.
        """
        window, target, *decoded = batch
        frozen = {name: p for name, p in self.network.named_parameters() if name not in params}
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            keywords = {"decoded": tuple(decoded)} if decoded else {}
            output = functional_call(
                self.network, {**frozen, **params}, (window,), keywords, strict=True
            )
        frame, compactness = (
            losses.frame_loss(output.prediction, target),
            losses.compactness_loss(output),
        )
        return frame + compactness + 1e-4 * losses.diversity_loss(output.prototypes)

    def _decoded(self, support: Any, query: Any) -> tuple[Any, Any]:
        """The same batches with what comes before the prototype unit, in one forward of both."""
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            decoded = self.network.decode(torch.cat([support[0], query[0]]))
        parts = [part.split([len(support[0]), len(query[0])]) for part in decoded]
        return tuple(
            (*batch, *(part[k] for part in parts)) for k, batch in enumerate((support, query))
        )

    def _ours(self, tasks: list[tuple[Any, Any]]) -> None:
        ready = (self._decoded(*task) for task in tasks)
        maml.accumulate(self.loss, self.params, ready, step_sizes=self.sizes, count=len(tasks))

    def _published(self, tasks: list[tuple[Any, Any]]) -> None:
        """Take the step as the published training does, but for one thing that it has slower.

        It goes back through the query loss twice, for initial parameters and for step sizes.
        """
        leaves = [*self.params.values(), *self.sizes.values()]
        every = []
        for support, query in tasks:
            loss = self.loss(self.params, support)
            gradients = torch.autograd.grad(loss, list(self.params.values()), create_graph=True)
            adapted = {
                name: p - self.sizes[name] * g
                for (name, p), g in zip(self.params.items(), gradients)
            }
            every.append(torch.autograd.grad(self.loss(adapted, query), leaves))
            del loss, gradients, adapted
        for k, leaf in enumerate(leaves):
            leaf.grad = sum(task_gradients[k] for task_gradients in every) / len(tasks)
