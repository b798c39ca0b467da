"""The adaptation of a network to a handful of windows of one camera.

The inner loss is the network's own: prediction, compactness, diversity, and with the pseudo-anomaly
head pseudo-anomalies made from the support windows themselves. What normal motion and size are in
front of a camera is carried by these; the prediction error alone has little to adapt
(benchmarks/results/adaptation_choices.md).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from tqdm import tqdm

from mpn.datasets.shots import Shots
from mpn.datasets.windows import Sample, to_float
from mpn.errors import MpnError
from mpn.meta.maml import Params, adapt, fine_tune
from mpn.model.checkpoint import Checkpoint, MetaInfo
from mpn.model.losses import check_loss_names, loss_terms, total_loss
from mpn.model.network import Network
from mpn.model.parameters import target_names
from mpn.model.transfer import on_device

# Named sets of target parameters: beginnings of parameters' names.
TARGETS: dict[str, tuple[str, ...]] = {
    "heads": ("prototype.heads.", "head."),  # what the paper adapts
    "early": ("encoder.block1.", "encoder.block2.", "pseudo_head."),
    "first": ("encoder.block1.", "pseudo_head."),
    "last": ("prototype.", "head.", "pseudo_head."),
    "biases": ("*.bias",),
    "all": ("encoder.", "decoder.", "prototype.", "head.", "pseudo_head."),
}
# What lies behind the decoder: where only these are adapted, encoder and decoder run once.
AFTER_DECODER = ("prototype.", "head.", "pseudo_head.")
DEFAULT_TARGETS = "early"
METHODS = ("place", "adam", "meta")
# Adam on a camera's footage: a minute of steps (benchmarks/results/adaptation_choices.md).
ADAM_STEPS, ADAM_RATE, ADAM_BATCH = 300, 1e-3, 8


class SceneBatch(NamedTuple):
    """A `Sample` on the network's device as it takes it.

    Attributes:
        window: as `mpn.model.network.Network.forward` takes it.
        target: as `mpn.model.losses.loss_terms` takes it.
        tampered: likewise.
        decoded: `Network.decode` of the window, where encoder and decoder need not run again.
        extra_weights: loss weights by name, of terms on this batch beside those of `SceneLoss`.
    """

    window: Tensor
    target: Tensor
    tampered: Tensor
    decoded: tuple[Tensor, Tensor] | None
    extra_weights: Mapping[str, float] | None = None


class SceneLoss:
    """The loss of a network on windows of one camera, as a function of its target parameters.

    A `loss_fn` of `mpn.meta.maml`. The network itself is never changed.

    Args:
        network: gives the preset and every parameter that is not adapted.
        names: the parameters that are adapted.
        bfloat16: run the network in bfloat16 autocast.
        without: names of loss terms to leave out ("pseudo", "compactness", ...).

    Attributes:
        weights: of the loss terms that are left, by name.
    """

    def __init__(
        self,
        network: Network,
        names: Sequence[str],
        *,
        bfloat16: bool = False,
        without: Sequence[str] = (),
    ) -> None:
        check_loss_names(without)
        self.network, self.bfloat16 = network, bfloat16
        weights = network.config.training.loss_weights
        self.weights = {name: value for name, value in weights.items() if name not in without}
        if not any(self.weights.values()):
            raise MpnError(f"without {', '.join(without)} no loss term is left to adapt by")
        self.frozen = {name: p for name, p in network.named_parameters() if name not in set(names)}
        learned_before = [
            n for n, p in self.frozen.items() if p.requires_grad and not n.startswith(AFTER_DECODER)
        ]
        # Neither adapted nor learned by an outer loop.
        self.decode_once = (
            all(name.startswith(AFTER_DECODER) for name in names) and not learned_before
        )
        self.device = next(network.parameters()).device

    def prepare(self, sample: Sample) -> SceneBatch:
        """Make a batch of windows ready for this loss.

        Args:
            sample: uint8 frames (B, T + 1, C, H, W), bool tampered (B, H, W).
        """
        window, target = to_float(on_device(sample.frames, self.device))
        window = window.contiguous(memory_format=torch.channels_last)
        decoded = None
        if self.decode_once:
            with torch.no_grad(), self._precision():
                decoded = self.network.decode(window)
        return SceneBatch(window, target, on_device(sample.tampered, self.device), decoded)

    def __call__(self, params: Mapping[str, Tensor], batch: SceneBatch) -> Tensor:
        """Compute the weighted sum of the loss terms, a scalar.

        Args:
            params: the target parameters by name.
            batch: what `prepare` made.
        """
        extra_weights = batch.extra_weights or {}
        with self._precision():
            output = functional_call(
                self.network,
                {**self.frozen, **params},
                (batch.window,),
                {"decoded": batch.decoded},
                strict=True,
            )
        terms = loss_terms(output, batch.target, batch.tampered, self.weights)
        total = total_loss(terms, self.weights)
        extra = loss_terms(output, batch.target, batch.tampered, extra_weights)
        return total + total_loss(extra, extra_weights) if extra else total

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


@dataclass(frozen=True)
class Adaptation:
    """How a network is adapted.

    Attributes:
        method: "place", no gradient at all: the network stays as it is, and only what motion is
            normal where is learned; "meta", gradient steps with the learned step sizes of a
            meta-trained checkpoint; or "adam".
        steps: how many; None for what the checkpoint was meta-trained with, or 300 of Adam.
        learning_rate: of Adam.
        batch: windows of a step: the support windows in turn, each time with other
            pseudo-anomalies; None for what the checkpoint was meta-trained with, which may be all
            of them.
        seed: of the order and of the pseudo-anomalies.
        targets: for "adam", which parameters, by name; None for those that the checkpoint was
            meta-trained for, or `DEFAULT_TARGETS`.
        without: loss terms to leave out.
    """

    method: str = "meta"
    steps: int | None = None
    learning_rate: float = ADAM_RATE
    batch: int | None = None
    seed: int = 0
    targets: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_loss_names(self.without)
        if self.method not in METHODS:
            raise MpnError(f"adaptation by {self.method!r}: {', '.join(METHODS)} are the methods")
        if (self.steps or 1) < 1 or (self.batch or 1) < 1 or self.learning_rate <= 0:
            raise MpnError(
                f"{self}: steps and batch from 1 up and a learning rate above 0 were expected"
            )

    def filled(self, checkpoint: Checkpoint) -> FilledAdaptation:
        """Decide what was left open, by what the checkpoint was meta-trained with.

        Args:
            checkpoint: the model.

        Raises:
            MpnError: "meta" with a checkpoint that was not meta-trained, or for other targets.
        """
        if self.method == "place":
            return FilledAdaptation("place", 0, 0.0, 0, self.seed, (), ())
        meta = checkpoint.meta
        steps, batch, targets = (
            ADAM_STEPS,
            ADAM_BATCH,
            default_targets(checkpoint.network),
        )
        if meta is not None:
            batch, targets = meta.batch, meta.targets
        if self.method == "adam":
            batch = batch or ADAM_BATCH
        if self.method == "meta":
            meta = _learned(checkpoint)
            if self.targets is not None and tuple(self.targets) != meta.targets:
                raise MpnError(
                    f"the step sizes were learned for {', '.join(meta.targets)}: name no other "
                    "targets, or adapt by adam"
                )
            steps = meta.steps
        return FilledAdaptation(
            method=self.method,
            steps=self.steps or steps,
            learning_rate=self.learning_rate,
            batch=self.batch or batch,
            seed=self.seed,
            targets=tuple(self.targets or targets),
            without=self.without,
        )


@dataclass(frozen=True)
class FilledAdaptation:
    """How a network is adapted, as `Adaptation` has it; a batch of None is all support windows."""

    method: str
    steps: int
    learning_rate: float
    batch: int | None
    seed: int
    targets: tuple[str, ...]
    without: tuple[str, ...]


def default_targets(network: Network) -> tuple[str, ...]:
    """Return those of `DEFAULT_TARGETS` that the network has; it may lack the pseudo head."""
    return targets_in(network, DEFAULT_TARGETS)


def targets_in(network: Network, chosen: str) -> tuple[str, ...]:
    """Return a named set of target parameters, without what a network does not have.

    Args:
        network: it may lack a unit or the pseudo head.
        chosen: a name of `TARGETS`.
    """
    names = [name for name, _ in network.named_parameters()]
    return tuple(
        target
        for target in TARGETS[chosen]
        if target.startswith("*") or any(name.startswith(target) for name in names)
    )


def _learned(checkpoint: Checkpoint) -> MetaInfo:
    if checkpoint.meta is None:
        raise MpnError(
            "this model was not meta-trained and has no learned step sizes: adapt it by plain "
            "Adam (--method adam), or give another --checkpoint"
        )
    return checkpoint.meta


def adapt_network(
    checkpoint: Checkpoint,
    shots: Shots,
    options: Adaptation | FilledAdaptation | None = None,
    *,
    bfloat16: bool = False,
) -> Params:
    """Adapt the target parameters on support windows; the checkpoint's network is left as it is.

    Args:
        checkpoint: the model.
        shots: the support windows.
        options: how; default: by its learned step sizes.
        bfloat16: run the network in bfloat16 autocast.

    Returns:
        The adapted parameters by name.

    Raises:
        MpnError: "meta" with a checkpoint that was not meta-trained, or targets that it does not
            have.
    """
    if not isinstance(options, FilledAdaptation):
        options = (options or Adaptation()).filled(checkpoint)
    if options.method == "place":
        return {}
    network = checkpoint.network
    names = target_names(network, options.targets)
    loss = SceneLoss(network, names, bfloat16=bfloat16, without=options.without)
    parameters = dict(network.named_parameters())
    params: Params = {name: parameters[name].detach() for name in names}
    torch.set_flush_denormal(True)
    batches = support_batches(loss, shots, options, np.random.default_rng(options.seed))
    if options.method == "adam":
        return fine_tune(loss, params, batches, learning_rate=options.learning_rate)
    meta = _learned(checkpoint)
    sizes = {name: size.to(loss.device) for name, size in meta.step_sizes.items()}
    with torch.no_grad():  # nothing is learned from this: no graph over the steps
        for batch in batches:
            params = adapt(
                loss,
                params,
                batch,
                step_sizes=sizes,
                second_order=False,
                clip_norm=meta.clip_norm,
            )
    return params


def support_batches(
    loss: SceneLoss, shots: Shots, options: FilledAdaptation, generator: np.random.Generator
) -> Iterator[SceneBatch]:
    """Make one batch a step, each with pseudo-anomalies of its own if the network has the head.

    Args:
        loss: what batches are made ready for.
        shots: the support windows.
        options: how many steps, and windows of each.
        generator: of the order and the pseudo-anomalies.
    """
    pseudo = loss.network.config.pseudo_head and "pseudo" not in options.without
    steps = range(options.steps)
    for _ in tqdm(steps, desc="adapting", unit="step", disable=None, leave=False):
        yield loss.prepare(shots.sample(options.batch or len(shots), generator, pseudo=pseudo))


def adapted_checkpoint(checkpoint: Checkpoint, tensors: Mapping[str, Tensor]) -> Checkpoint:
    """Return the checkpoint with a copy of its network that has these tensors.

    The rest, calibration too, is still the base's.

    Args:
        checkpoint: the base.
        tensors: the adapted parameters by name.
    """
    network = copy.deepcopy(checkpoint.network)
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
    return replace(checkpoint, network=network.eval())
