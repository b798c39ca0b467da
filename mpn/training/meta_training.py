"""Meta-training: from scenes of normal footage a model learns to be adapted to new ones.

A task is a scene. On support windows the target parameters take a few gradient steps, on query
windows from another time of the same scene the adapted model is judged, and what it is judged by
trains initial parameters and step sizes (Lv et al., CVPR 2021, section 3.4; Li et al., Meta-SGD,
2017). Run folder and resuming are those of `mpn.training.run`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mpn.adaptation.inner_loop import SceneBatch, SceneLoss
from mpn.datasets.windows import Clip
from mpn.errors import TrainingError
from mpn.meta.maml import TaskLosses, accumulate, adapt, reptile_gradients
from mpn.model.checkpoint import Checkpoint, MetaInfo, save_checkpoint
from mpn.model.parameters import target_names
from mpn.scoring.clips import normal_parts
from mpn.scoring.model_score import score_config_of
from mpn.training.meta_options import MetaOptions
from mpn.training.meta_tasks import MetaTasks
from mpn.training.run import TrainingRun
from mpn.training.run_folder import LOG, MODEL, footprint, log_lines
from mpn.training.step_sizes import first_step_sizes
from mpn.video.depth import common_levels

VALIDATE_EVERY, VALIDATION_TASKS = 50, 8
# Tasks whose gradients the first step sizes are made of.
TASKS_FOR_SIZES = 24


class MetaTraining(TrainingRun):
    """A meta-training, from a pre-trained model or from the state that it was interrupted in.

    Args:
        base: the model it starts from; its network is trained in place.
        clips: normal footage of several scenes.
        options: see `MetaOptions`.
        folder: the run folder.
        resume: go on from the folder's state.
        device: "cpu" or "cuda".

    Raises:
        TrainingError: the folder holds another run.
        CheckpointError: its state can't be resumed.
        DataError: scenes too short.
        MpnError: targets that the network does not have.
    """

    title, plan_from, plan_at, log_every = "meta-training", 2, 12, 5

    def __init__(
        self,
        base: Checkpoint,
        clips: Sequence[Clip],
        options: MetaOptions,
        folder: str | Path,
        *,
        resume: bool = False,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            folder, minutes=options.minutes, total=options.steps, device=device, resume=resume
        )
        self.base, self.options = base, options
        self.network = self._placed(base.network).train()
        training = base.config.training.with_weights(options.loss_weights)
        self.network.config = replace(base.config, training=training)
        self.names = target_names(self.network, options.targets)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(options.whole or name in self.names)
        bfloat16 = options.precision == "bfloat16"
        self.loss = SceneLoss(self.network, self.names, bfloat16=bfloat16, without=options.without)
        self.params: dict[str, Tensor] = {
            name: p for name, p in self.network.named_parameters() if name in set(self.names)
        }
        self.tasks = MetaTasks(clips, options, self.loss)
        validation = self.tasks.validation.clips if self.tasks.validation else []
        self._clips = footprint([*self.tasks.clips, *validation])
        self.log_sizes: dict[str, nn.Parameter] = {}
        self.inner_clip = math.inf
        self.processes.check_shares(options.tasks, "task", "give more --tasks")
        if self.processes.first and not resume:  # else a state has them
            batches = (self.tasks.task(number)[0][0] for number in range(TASKS_FOR_SIZES))
            sizes, self.inner_clip = first_step_sizes(
                self.loss, self.params, batches, options.first_change
            )
            self._start(sizes)
        self._open(resume)

    def _start(self, sizes: Mapping[str, Tensor]) -> None:
        """Make the outer optimiser.

        Step sizes are learned by their logarithms: they stay positive.
        """
        options = self.options
        self.log_sizes = {name: nn.Parameter(size.detach().log()) for name, size in sizes.items()}
        learned = [p for p in self.network.parameters() if p.requires_grad]
        if options.algorithm == "reptile":
            learned = list(self.params.values())
        groups = [{"params": learned, "rate": options.learning_rate}]
        if options.algorithm == "meta-sgd":
            groups.append({"params": list(self.log_sizes.values()), "rate": options.size_rate})
        self.optimizer = self._adam(groups, options.learning_rate)

    def fingerprint(self) -> dict[str, Any]:
        """Give what must agree for a resumed run to be the same run, plain values."""
        return {
            "base": self.base.sha256,
            "options": asdict(self.options),
            "clips": self._clips,
        }

    def _state(self) -> dict[str, Any]:
        sizes = {name: size.detach() for name, size in self.log_sizes.items()}
        return super()._state() | {"inner_clip": self.inner_clip, "log_sizes": sizes}

    def _restore(self, state: dict[str, Any]) -> None:
        sizes = {name: size.to(self.device).exp() for name, size in state["log_sizes"].items()}
        self._start(sizes)
        for name, size in state["log_sizes"].items():  # bit for bit
            self.log_sizes[name].data.copy_(size)
        self.inner_clip = state["inner_clip"]
        super()._restore(state)

    def _steps(self) -> Iterator[list[TaskLosses]]:
        while True:
            yield self.train_step(watch=self.is_due(self.log_every, self.step + 1))

    def _shown(self, losses: list[TaskLosses]) -> dict[str, str]:
        return {"query_loss": f"{np.mean([task.after for task in losses]):.5f}"}

    def _log_line(self, losses: list[TaskLosses]) -> dict[str, Any]:
        return _means(losses)

    def _between_steps(self) -> None:
        """Validate where it is due, and has not been done before an interruption."""
        due = self.tasks.validation is not None and self.is_due(VALIDATE_EVERY, self.step)
        if due and not self.processes.first_says(self._validated):
            self.write_log({"validation": self._validate()})

    def _validated(self) -> bool:
        logged = log_lines(self.folder / LOG)
        return any(line["step"] == self.step and "validation" in line for line in logged)

    def train_step(self, *, watch: bool = False) -> list[TaskLosses]:
        """Take one step of the outer optimiser.

        Args:
            watch: also measure the losses before adaptation.

        Returns:
            The losses of its tasks.

        Raises:
            TrainingError: a loss or the gradient is not finite.
        """
        options = self.options
        self.optimizer.zero_grad()
        numbers = self.processes.share(
            range(self.step * options.tasks, (self.step + 1) * options.tasks)
        )
        tasks = (self.tasks.task(number) for number in numbers)
        # Leaves of their own: the graph of exp() would be freed with the first task's.
        sizes = {
            name: size.detach().exp().requires_grad_() for name, size in self.log_sizes.items()
        }
        if options.algorithm == "reptile":
            losses = self._reptile(tasks, sizes)
        else:
            losses = accumulate(
                self.loss,
                self.params,
                tasks,
                step_sizes=sizes,
                steps=options.inner_steps,
                second_order=options.second_order,
                clip_norm=self.inner_clip,
                count=len(numbers),
                watch=watch,
            )
        learned = [*self.network.parameters(), *sizes.values()]
        self.processes.sum_gradients(learned, len(numbers) / options.tasks)
        losses = self._losses_of_all(losses)
        if options.algorithm == "meta-sgd":
            for name, size in sizes.items():
                gradient = torch.zeros_like(size) if size.grad is None else size.grad
                self.log_sizes[name].grad = gradient * size.detach()
        self._apply(losses)
        self.step += 1
        return losses

    def _losses_of_all(self, losses: Sequence[TaskLosses]) -> list[TaskLosses]:
        """Give the losses of all processes' tasks for those of this one's."""
        rows = torch.tensor(losses, dtype=torch.float64).reshape(-1, len(TaskLosses._fields))
        return [TaskLosses(*row) for row in self.processes.gathered(rows).tolist()]

    def _reptile(
        self,
        tasks: Iterable[tuple[list[SceneBatch], SceneBatch]],
        sizes: Mapping[str, Tensor],
    ) -> list[TaskLosses]:
        adapted, losses = [], []
        with torch.no_grad():
            for support, query in tasks:
                before = float(self.loss(self.params, query))
                adapted.append(self._adapted(support, sizes))
                losses.append(
                    TaskLosses(before, float(self.loss(adapted[-1], query)), float("nan"))
                )
        reptile_gradients(self.params, adapted)
        return losses

    def _adapted(self, support: list[SceneBatch], sizes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return adapt(
            self.loss,
            self.params,
            support,
            step_sizes=sizes,
            steps=len(support),
            second_order=False,
            clip_norm=self.inner_clip,
        )

    def _apply(self, losses: Sequence[TaskLosses]) -> None:
        query_losses = [task.after for task in losses]
        if not all(math.isfinite(loss) for loss in query_losses):
            raise TrainingError(
                f"the query loss is not finite at step {self.step + 1}: {query_losses}; lower "
                "first_change"
            )
        learned = [p for group in self.optimizer.param_groups[:1] for p in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(learned, self.options.clip_norm))
        if not math.isfinite(norm):
            raise TrainingError(
                f"the outer gradient is not finite at step {self.step + 1}; try float32"
            )
        fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress))
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * fall
        self.optimizer.step()

    def _validate(self) -> dict[str, float]:
        """Measure the query loss on scenes that are kept out, always on the same tasks."""
        losses = []
        sizes = {name: size.detach().exp() for name, size in self.log_sizes.items()}
        with torch.no_grad():
            for number in self.processes.share(range(VALIDATION_TASKS)):
                support, query = self.tasks.validation_task(number)
                before = float(self.loss(self.params, query))
                after = float(self.loss(self._adapted(support, sizes), query))
                losses.append(TaskLosses(before, after, float("nan")))
        return _means(self._losses_of_all(losses))

    def finish(self) -> Path:
        """Score the calibration footage, write the model, and return its path."""
        normal = normal_parts(self.network, self.tasks.calibration_clips, bfloat16=False)
        training = dict(self.base.training)
        training["meta"] = self.fingerprint() | {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "scenes": sorted({clip.scene for clip in self.tasks.clips}),
            "threads": torch.get_num_threads(),
        }
        training["meta"].pop("clips")
        if levels := common_levels(clip.levels for clip in self.tasks.clips):
            training["levels"] = list(levels)
        sizes = {name: size.detach().exp().cpu() for name, size in self.log_sizes.items()}
        counts = (self.options.inner_steps, self.options.batch, self.inner_clip)
        meta = MetaInfo(tuple(self.options.targets), sizes, *counts)
        path = self.folder / MODEL
        rates = [clip.fps for clip in self.tasks.calibration_clips if clip.fps]
        checkpoint = Checkpoint(
            self.network.eval(),
            fps=float(np.median(rates)) if rates else self.base.fps,
            # The base's place models are of its cameras; what it is for are others.
            score_config=score_config_of(self.base).without_place().to_dict(),
            normal=normal,
            training=training,
            meta=meta,
        )
        save_checkpoint(path, checkpoint)
        return path


def _means(losses: Sequence[TaskLosses]) -> dict[str, float]:
    """Average the losses over tasks, without those that were not measured."""
    table = np.array(losses, np.float64)
    return {
        name: float(np.nanmean(column))
        for name, column in zip(TaskLosses._fields, table.T)
        if not np.isnan(column).all()
    }
