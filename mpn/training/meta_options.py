"""What a meta-training is made of, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mpn.errors import TrainingError
from mpn.model.losses import check_loss_names, check_loss_weights

ALGORITHMS = ("meta-sgd", "maml", "reptile")


@dataclass(frozen=True)
class MetaOptions:
    """Everything that decides the weights, beside the model it starts from and the data.

    Attributes:
        targets: the parameters that are adapted, by name, see `mpn.model.parameters.target_names`.
        minutes: how long, in minutes; exactly one of this and `steps` is given.
        steps: how long, in steps of the outer optimiser.
        algorithm: "meta-sgd" (a learned step size for every number), "maml" (step sizes as they
            begin), "reptile".
        second_order: differentiate through the inner gradients.
        inner_steps: steps on the support of a task.
        shots: support windows of a task, one of these numbers drawn for each.
        batch: windows of an inner step, with pseudo-anomalies of their own draw: the support
            windows in turn.
        queries: query windows of a task.
        tasks: of an outer step.
        learning_rate: of Adam, for initial parameters; falls to 1 % along a cosine.
        size_rate: of Adam, for the logarithms of the step sizes.
        first_change: the step sizes begin such that a step changes every number by about so much.
        whole: the outer loop also trains what is not adapted.
        without: loss terms that inner and outer loss leave out.
        loss_weights: of loss terms, from now on, in the model's preset; those that are not named
            weigh what they did in pre-training. There the prediction of tampered windows outweighs
            "pseudo", and adaptation finds anomalies worse than before
            (benchmarks/results/adaptation_choices.md).
        query_loss_weights: of terms on the query windows beside those: "ranking". The cross-entropy
            there falls as soon as the camera's logits are at the right level, which no ranking of
            frames is the better for (benchmarks/results/adaptation_choices.md).
        validation: names of scenes that are kept out, to validate on.
        random_cameras: every task sees its scene through a made camera of its own, see
            `mpn.datasets.augmentation`.
        temporal_subsample: scenes with every n-th frame only are tasks too, where they are long
            enough.
        clip_norm: see `mpn.training.pretraining.TrainingOptions`.
        precision: likewise.
        seed: likewise.
        calibration_share: likewise.
    """

    targets: tuple[str, ...]
    minutes: float | None = None
    steps: int | None = None
    algorithm: str = "meta-sgd"
    second_order: bool = False
    inner_steps: int = 5
    shots: tuple[int, ...] = (1, 5, 10)
    batch: int = 4
    queries: int = 8
    tasks: int = 2
    learning_rate: float = 1e-5
    size_rate: float = 0.1
    first_change: float = 2e-3
    whole: bool = False
    without: tuple[str, ...] = ()
    loss_weights: Mapping[str, float] = field(default_factory=lambda: {"pseudo": 0.1})
    query_loss_weights: Mapping[str, float] = field(default_factory=lambda: {"ranking": 0.1})
    validation: tuple[str, ...] = ()
    random_cameras: bool = True
    temporal_subsample: tuple[int, ...] = (2, 3)
    clip_norm: float = 1.0
    precision: str = "bfloat16"
    seed: int = 0
    calibration_share: float = 0.125

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None) or (self.minutes or self.steps or 0) <= 0:
            raise TrainingError("give either minutes or steps of meta-training, a number above 0")
        check_loss_names(self.without)
        for weights in (self.loss_weights, self.query_loss_weights):
            check_loss_weights(weights)
        if self.algorithm not in ALGORITHMS:
            raise TrainingError(
                f"algorithm {self.algorithm!r}: {', '.join(ALGORITHMS)} were expected"
            )
        if self.precision not in ("float32", "bfloat16"):
            raise TrainingError(f"precision {self.precision!r}: float32 or bfloat16 was expected")
        counts = (self.inner_steps, self.batch, self.queries, self.tasks, *self.shots)
        if min(counts) < 1 or not self.shots:
            raise TrainingError(
                f"inner steps, batch, queries, tasks, shots are {counts}: expected "
                "numbers from 1 up"
            )
        rates = (self.learning_rate, self.size_rate, self.first_change)
        if min(rates) <= 0 or not 0 < self.calibration_share <= 0.5:
            raise TrainingError(f"{self}: a rate or the held-out share is out of range")
