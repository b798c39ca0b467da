"""Meta-training: scenes of normal footage in, a model that has learned to be adapted out.

A task is a scene. On support windows the target parameters take a few gradient steps, on query
windows from another time of the same scene the adapted model is judged, and what it is judged by
trains initial parameters and step sizes (Lv et al., CVPR 2021, section 3.4; Li et al., Meta-SGD,
2017). The run folder is that of `mpn.training.pretraining`, and as there a run that is killed and
resumed ends with the weights of one left alone.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mpn.adaptation.inner_loop import SceneBatch, SceneLoss
from mpn.adaptation.maml import TaskLosses, accumulate, adapt, reptile_gradients
from mpn.datasets.augmentation import RandomCamera, temporal_subsample
from mpn.datasets.episodes import SceneEpisodes
from mpn.datasets.windows import Clip, split_calibration
from mpn.errors import CheckpointError, TrainingError
from mpn.io.atomic import write_atomically
from mpn.model.checkpoint import Checkpoint, MetaInfo, load_state, save_checkpoint, save_state
from mpn.model.parameters import target_names
from mpn.training.meta_options import MetaOptions
from mpn.training.pretraining import normal_parts
from mpn.training.run_folder import (
    CONFIG,
    LOG,
    MODEL,
    STATE,
    check_folder,
    difference,
    footprint,
    log_lines,
)

log = logging.getLogger(__name__)

# With minutes the number of steps is fixed once, from the time that these steps took.
PLAN_FROM, PLAN_AT = 2, 12
LOG_EVERY, VALIDATE_EVERY = 5, 50
SAVE_SECONDS = 60.0
VALIDATION_TASKS = 8
# Tasks whose gradients the first step sizes are made of.
TASKS_FOR_SIZES = 24


class MetaTraining:
    """One run, from a pre-trained model or from the state it was interrupted in.

    Args:
        base: the model it starts from; its network is trained in place.
        clips: normal footage of several scenes.
        options: see `MetaOptions`.
        folder: the run folder.
        resume: go on from the folder's state.

    Raises:
        TrainingError: the folder holds another run. CheckpointError: its state can't be resumed.
            DataError: scenes too short. MpnError: targets that the network does not have.
    """

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
        self.base, self.options, self.folder = base, options, Path(folder)
        self.device = torch.device(device)
        torch.set_flush_denormal(True)
        check_folder(self.folder, resume)
        self.network = base.network.to(self.device, memory_format=torch.channels_last).train()
        if options.pseudo_weight is not None:
            self.network.config = replace(self.network.config, pseudo_weight=options.pseudo_weight)
        self.names = target_names(self.network, options.targets)
        self._split(clips)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(options.whole or name in self.names)
        bfloat16 = options.precision == "bfloat16"
        self.loss = SceneLoss(self.network, self.names, bfloat16=bfloat16, without=options.without)
        self.params = {
            name: p for name, p in self.network.named_parameters() if name in set(self.names)
        }
        self.step, self.total, self.seconds = 0, options.steps, 0.0
        self.log_sizes: dict[str, nn.Parameter] = {}
        self.inner_clip = math.inf
        if resume:
            self._load()
        else:
            (self.folder / LOG).unlink(missing_ok=True)
            self._start(self._first_sizes())
        config = self._fingerprint() | {
            "threads": torch.get_num_threads(),
            "device": str(self.device),
        }
        write_atomically(self.folder / CONFIG, json.dumps(config, indent=1))

    def _split(self, clips: Sequence[Clip]) -> None:
        """Scenes to learn from and scenes to validate on; of all, the part kept for calibration."""
        options = self.options
        unknown = sorted(set(options.validation) - {clip.scene for clip in clips})
        if unknown:
            raise TrainingError(
                f"no scene is called {unknown[0]}; there are "
                f"{sorted({clip.scene for clip in clips})}"
            )
        train, self.calibration_clips = split_calibration(clips, options.calibration_share)
        learned = [clip for clip in train if clip.scene not in options.validation]
        kept_out = [clip for clip in train if clip.scene in options.validation]
        least = max(options.shots) + options.queries + 10 * self.network.config.window
        self.clips = [
            *learned,
            *(
                clip
                for every in options.temporal_subsample
                for clip in temporal_subsample(learned, every, least)
            ),
        ]
        if not self.clips:
            raise TrainingError(
                "every scene is kept out for validation: none is left to learn from"
            )
        window = self.network.config.window
        how = {
            "shots": options.shots,
            "queries": options.queries,
            "pseudo": self._pseudo,
            "seed": options.seed,
        }
        self.episodes = SceneEpisodes(self.clips, window, **how)
        self.validation = SceneEpisodes(kept_out, window, **how) if kept_out else None

    @property
    def _pseudo(self) -> bool:
        return self.network.config.pseudo_head and "pseudo" not in self.options.without

    def task(self, number: int, *, validation: bool = False) -> tuple[list[SceneBatch], SceneBatch]:
        """Support batches, one an inner step, and the query batch of a task; all drawn from (seed,
        number)."""
        options, pseudo = self.options, self._pseudo
        episode = (self.validation if validation else self.episodes).task(number)
        generator = np.random.default_rng((options.seed, number, int(validation)))
        shown, asked = episode.support, episode.query
        if options.random_cameras and not validation:
            camera = RandomCamera(generator, self.network.config.size)
            shown, asked = (
                replace(own, stacks=[camera(stack) for stack in own.stacks])
                for own in (shown, asked)
            )
        support = [
            self.loss.prepare(shown.sample(options.batch, generator, pseudo=pseudo))
            for _ in range(options.inner_steps)
        ]
        query = self.loss.prepare(asked.sample(options.queries, generator, pseudo=pseudo))
        return support, query._replace(ranking=options.ranking)

    def _first_sizes(self) -> dict[str, Tensor]:
        """Step sizes, and the length that longer gradients are shortened to, from the gradients of
        some tasks."""
        gradients = []
        for number in range(TASKS_FOR_SIZES):
            support, _ = self.task(number)
            loss = self.loss(self.params, support[0])
            own = torch.autograd.grad(loss, list(self.params.values()), allow_unused=True)
            for name, gradient in zip(self.names, own, strict=True):
                if gradient is None:
                    raise TrainingError(
                        f"the loss does not depend on {name}: leave it out of the targets"
                    )
            gradients.append(dict(zip(self.names, own, strict=True)))
        # Every other task takes the longest step there is; the few that are far beyond would break
        # the network.
        norms = torch.stack(
            [torch.stack([g.norm() for g in own.values()]).norm() for own in gradients]
        )
        self.inner_clip = float(norms.median())
        shortened = [
            {
                name: g * (self.inner_clip / norm.clamp_min(self.inner_clip))
                for name, g in own.items()
            }
            for own, norm in zip(gradients, norms)
        ]
        squares = {
            name: torch.stack([own[name].square() for own in shortened]).mean(0)
            for name in self.names
        }
        return first_sizes(squares, self.options.first_change)

    def _start(self, sizes: Mapping[str, Tensor]) -> None:
        """Makes the outer optimiser. Step sizes are learned by their logarithms: they stay
        positive."""
        options = self.options
        self.log_sizes = {name: nn.Parameter(size.detach().log()) for name, size in sizes.items()}
        learned = [p for p in self.network.parameters() if p.requires_grad]
        if options.algorithm == "reptile":
            learned = list(self.params.values())
        groups = [{"params": learned, "rate": options.learning_rate}]
        if options.algorithm == "meta-sgd":
            groups.append({"params": list(self.log_sizes.values()), "rate": options.size_rate})
        self.optimizer = torch.optim.Adam(groups, lr=options.learning_rate)

    def _fingerprint(self) -> dict[str, Any]:
        """What must agree for a resumed run to be the same run."""
        options = json.loads(json.dumps(asdict(self.options)))
        scenes = self.validation.clips if self.validation else []
        return {
            "base": self.base.sha256,
            "options": options,
            "clips": footprint([*self.clips, *scenes]),
        }

    def _load(self) -> None:
        path = self.folder / STATE
        state = load_state(path)
        try:
            theirs = json.loads(state["fingerprint"])
            for part, value in self._fingerprint().items():
                if theirs[part] != value:
                    if part == "base":
                        raise CheckpointError(
                            f"{path} began from another model: give the same --checkpoint"
                        )
                    raise CheckpointError(difference(path, part, theirs[part], value))
            self.network.load_state_dict(state["network"])
            self._start({name: size.exp() for name, size in state["log_sizes"].items()})
            for name, size in state["log_sizes"].items():  # bit for bit
                self.log_sizes[name].data.copy_(size)
            self.optimizer.load_state_dict(state["optimizer"])
            self.inner_clip = state["inner_clip"]
            self.step, self.total, self.seconds = state["step"], state["total"], state["seconds"]
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(
                f"{path} is not a state of meta-training of this mpn: {error}"
            ) from error
        lines = [line for line in log_lines(self.folder / LOG) if line["step"] <= self.step]
        write_atomically(self.folder / LOG, "".join(json.dumps(line) + "\n" for line in lines))

    def save(self) -> None:
        """Writes the state to resume from. Raises MpnError; the earlier state is then untouched."""
        state = {
            "fingerprint": json.dumps(self._fingerprint()),
            "network": self.network.state_dict(),
            "inner_clip": self.inner_clip,
            "log_sizes": {name: size.detach() for name, size in self.log_sizes.items()},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "total": self.total,
            "seconds": self.seconds,
        }
        save_state(self.folder / STATE, state)

    def run(self, on_log: Callable[[dict[str, Any]], None] | None = None) -> Path:
        """Meta-trains to the end and writes the model; see
        `mpn.training.pretraining.Training.run`."""
        started = last_saved = time.monotonic()
        before = self.seconds
        bar = tqdm(
            total=self.total, initial=self.step, desc="meta-training", unit="step", disable=None
        )
        durations: list[float] = []
        if self.step == 0:
            self.save()
            self._validate(on_log)
        try:
            while self.total is None or self.step < self.total:
                began = time.monotonic()
                losses = self.train_step(watch=(self.step + 1) % LOG_EVERY == 0)
                now = time.monotonic()
                durations.append(now - began)
                self.seconds = before + now - started
                if self.total is None and len(durations) >= PLAN_AT:
                    left = self.options.minutes * 60 - self.seconds
                    self.total = self.step + max(
                        1, int(left / float(np.median(durations[PLAN_FROM:])))
                    )
                    log.info("%.1f minutes are %d outer steps", self.options.minutes, self.total)
                bar.total = self.total
                bar.update()
                bar.set_postfix(
                    query_loss=f"{np.mean([one.after for one in losses]):.5f}", refresh=False
                )
                if self.step % LOG_EVERY == 0:
                    self._write(
                        {"step": self.step, "seconds": round(self.seconds, 1), **_means(losses)},
                        on_log,
                    )
                if self.step % VALIDATE_EVERY == 0 or self.step == self.total:
                    self._validate(on_log)
                if now - last_saved > SAVE_SECONDS:
                    self.save()
                    last_saved = now
        finally:
            bar.close()
            if all(torch.isfinite(p).all() for p in self.network.parameters()):
                self.save()
        return self.finish()

    def train_step(self, *, watch: bool = False) -> list[TaskLosses]:
        """One step of the outer optimiser; the losses of its tasks ("before" only if `watch`).

        Raises TrainingError where a loss or the gradient is not finite.
        """
        options = self.options
        self.optimizer.zero_grad()
        numbers = range(self.step * options.tasks, (self.step + 1) * options.tasks)
        tasks = (self.task(number) for number in numbers)
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
                count=options.tasks,
                watch=watch,
            )
        if options.algorithm == "meta-sgd":
            for name, size in sizes.items():
                self.log_sizes[name].grad = size.grad * size.detach()
        self._apply(losses)
        self.step += 1
        return losses

    def _reptile(self, tasks: Any, sizes: Mapping[str, Tensor]) -> list[TaskLosses]:
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
        how = {"steps": len(support), "second_order": False, "clip_norm": self.inner_clip}
        return adapt(self.loss, self.params, support, step_sizes=sizes, **how)

    def _apply(self, losses: Sequence[TaskLosses]) -> None:
        found = [one.after for one in losses]
        if not all(math.isfinite(loss) for loss in found):
            raise TrainingError(
                f"the query loss is not finite at step {self.step + 1}: {found}; lower first_change"
            )
        learned = [p for group in self.optimizer.param_groups[:1] for p in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(learned, self.options.clip_norm))
        if not math.isfinite(norm):
            raise TrainingError(
                f"the outer gradient is not finite at step {self.step + 1}; try float32"
            )
        done = self.step / self.total if self.total else 0.0
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * (
                0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
            )
        self.optimizer.step()

    def _validate(self, on_log: Callable[[dict[str, Any]], None] | None) -> None:
        """The query loss on scenes that are kept out, before and after adaptation; the same tasks
        every time."""
        if self.validation is None:
            return
        losses = []
        sizes = {name: size.detach().exp() for name, size in self.log_sizes.items()}
        with torch.no_grad():
            for number in range(VALIDATION_TASKS):
                support, query = self.task(number, validation=True)
                before = float(self.loss(self.params, query))
                after = float(self.loss(self._adapted(support, sizes), query))
                losses.append(TaskLosses(before, after, float("nan")))
        self._write(
            {"step": self.step, "seconds": round(self.seconds, 1), "validation": _means(losses)},
            on_log,
        )

    def _write(self, line: dict[str, Any], on_log: Callable[[dict[str, Any]], None] | None) -> None:
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
        if on_log:
            on_log(line)

    def finish(self) -> Path:
        """Scores the held-out footage, writes the model with its step sizes, gives its path."""
        normal = normal_parts(self.network, self.calibration_clips, bfloat16=False)
        training = dict(self.base.training)
        training["meta"] = self._fingerprint() | {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "scenes": sorted({clip.scene for clip in self.clips}),
            "threads": torch.get_num_threads(),
        }
        training["meta"].pop("clips")
        sizes = {name: size.detach().exp().cpu() for name, size in self.log_sizes.items()}
        counts = (self.options.inner_steps, self.options.batch, self.inner_clip)
        meta = MetaInfo(tuple(self.options.targets), sizes, *counts)
        path = self.folder / MODEL
        checkpoint = Checkpoint(
            self.network.eval(),
            fps=self.base.fps,
            score_config=self.base.score_config,
            normal=normal,
            training=training,
            meta=meta,
        )
        save_checkpoint(path, checkpoint)
        return path


def first_sizes(squares: Mapping[str, Tensor], change: float) -> dict[str, Tensor]:
    """Step sizes that change every number by about `change` a step, as Adam's first step does.

    Gradients of one loss differ by orders of magnitude from layer to layer and within one; with one
    number for all, either some don't move or others break. Where a gradient is below a tenth of its
    tensor's, it counts as a tenth.

    Args:
        squares: of each tensor, the mean square of every number's gradient over some tasks.
    """
    return {
        name: change / (square.sqrt() + 0.1 * square.mean().sqrt()).clamp_min(1e-12)
        for name, square in squares.items()
    }


def _means(losses: Sequence[TaskLosses]) -> dict[str, float]:
    """Mean query loss before and after adaptation, and support loss before, leaving out what was
    not looked at."""
    table = np.array(losses, np.float64)
    return {
        name: float(np.nanmean(column))
        for name, column in zip(TaskLosses._fields, table.T)
        if not np.isnan(column).all()
    }
