"""Pre-training: a network learns from windows of normal footage (`mpn.training.run`)."""

from __future__ import annotations

import json
import logging
import math
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mpn.adaptation.place import learn_places
from mpn.datasets.augmentation import mirrored
from mpn.datasets.batches import EpochBatches, batch_of, stack_samples
from mpn.datasets.pseudo_anomalies import KINDS, PseudoOptions
from mpn.datasets.windows import Clip, Sample, WindowDataset, split_calibration, to_float
from mpn.errors import TrainingError
from mpn.model.checkpoint import Checkpoint, save_checkpoint
from mpn.model.compiled import for_training
from mpn.model.config import ModelConfig
from mpn.model.losses import LossInputs, loss_terms, total_loss
from mpn.model.network import build_model
from mpn.motion.cameras import judge_static
from mpn.scoring.clips import normal_parts
from mpn.scoring.scores import ScoreConfig
from mpn.training.device_windows import DeviceWindows, sent, usual_workers, windows_on
from mpn.training.diagnosis import diagnose, in_words
from mpn.training.distillation import Teacher
from mpn.training.distributed import current, leave_process_group
from mpn.training.run import OnLog, TrainingRun
from mpn.training.run_folder import MODEL, footprint
from mpn.video.ahead import read_ahead
from mpn.video.depth import common_levels

log = logging.getLogger(__name__)

DIAGNOSE_EVERY = 500


@dataclass(frozen=True)
class TrainingOptions:
    """Everything that decides the weights, beside model configuration and data.

    Attributes:
        minutes: how long; exactly one of this and `epochs` is given.
        epochs: how long; an epoch is every window once.
        seed: of initial weights, order and pseudo-anomalies.
        learning_rate: of Adam, after `warmup` steps of linear rise; falls to 1 % along a cosine.
        clip_norm: the gradient's largest norm.
        precision: "float32" or "bfloat16" (autocast; on CPUs with AVX-512 or AMX about twice as
            fast).
        calibration_share: share of the normal footage kept for calibration.
        pseudo_kind: what the pseudo-anomaly head learns from, beside speed-ups: one of
            `mpn.datasets.pseudo_anomalies.KINDS`.
        workers: processes that make samples; None for what suits the device.
        mirror: also learn from mirror images, as if of as many further cameras; for models of many
            cameras only, since with one it hides which way things normally go.
    """

    minutes: float | None = None
    epochs: int | None = None
    seed: int = 0
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup: int = 100
    clip_norm: float = 1.0
    precision: str = "bfloat16"
    calibration_share: float = 0.125
    workers: int | None = 0
    mirror: bool = False
    pseudo_kind: str = "ellipses"

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.epochs is None):
            raise TrainingError("give either minutes or epochs, not both and not neither")
        if (self.minutes or self.epochs or 0) <= 0:
            raise TrainingError(
                f"a training of {self.minutes or self.epochs}: a number above 0 was expected"
            )
        if self.precision not in ("float32", "bfloat16"):
            raise TrainingError(f"precision {self.precision!r}: float32 or bfloat16 was expected")
        if self.batch_size < 1 or not 0 < self.calibration_share <= 0.5 or self.learning_rate <= 0:
            raise TrainingError(
                f"{self}: batch size, held-out share or learning rate is out of range"
            )
        if self.pseudo_kind not in KINDS:
            raise TrainingError(
                f"pseudo-anomalies {self.pseudo_kind!r}: {', '.join(KINDS)} were expected"
            )


class Training(TrainingRun):
    """A pre-training, new or resumed from the state that it was interrupted in.

    Args:
        clips: all normal footage; a share of it is held out for calibration.
        config: of the network.
        options: see `TrainingOptions`.
        folder: the run folder.
        movers_from: footage of other cameras, not trained on, that movers are cut out of.
        teacher: a network to learn from too, see `mpn.training.distillation`.
        start: a model of this configuration to begin with, in place of new weights.
        resume: go on from the folder's state.
        device: "cpu" or "cuda"; a run may go on on the other one.
        compiled: how the network is made quicker, see `mpn.model.compiled`; None: not at all.

    Raises:
        TrainingError: the folder holds another run.
        CheckpointError: its state can't be resumed.
        DataError: footage without a window.
    """

    title, plan_from, plan_at, log_every = "training", 5, 25, 25
    tampers = True  # whether windows are tampered with, where the network has a head for that

    def __init__(
        self,
        clips: Sequence[Clip],
        config: ModelConfig,
        options: TrainingOptions,
        folder: str | Path,
        *,
        movers_from: Sequence[Clip] = (),
        teacher: Teacher | None = None,
        start: Checkpoint | None = None,
        resume: bool = False,
        device: str = "cpu",
        compiled: str | None = None,
    ) -> None:
        super().__init__(folder, minutes=options.minutes, total=None, device=device, resume=resume)
        self.config, self.options = config, options
        self.loss = math.nan  # of the last step
        self._planned_at = (options.warmup, 0.0)
        torch.manual_seed(options.seed)
        self.network = self._placed(build_model(config))
        self._start = start.sha256 if start else None
        if start is not None:
            self.network.load_state_dict(start.network.state_dict())
        self.compiled, self._forward = compiled, for_training(self.network, compiled)
        self.teacher = teacher.to(self.device) if teacher else None
        self.optimizer = self._adam(self._learned(), options.learning_rate)
        train, self.calibration_clips = split_calibration(clips, options.calibration_share)
        self.places = learn_places(train)
        train = [replace(clip, motion=None) for clip in train]  # done with
        if options.mirror:
            train = [*train, *mirrored(train)]
        pseudo = PseudoOptions(kind=options.pseudo_kind)
        self.dataset = WindowDataset(
            train,
            config.window,
            seed=options.seed,
            pseudo=pseudo if config.pseudo_head and self.tampers else None,
            movers_from=movers_from,
        )
        usual = usual_workers(self.device, tampered=self.dataset.pseudo is not None)
        self._workers = usual if options.workers is None else options.workers
        self._device_windows: DeviceWindows | None = None
        if self.on_gpu:
            torch.backends.cudnn.benchmark = True  # all batches have one shape
            self._device_windows = windows_on(self.dataset, self.device)
        self._clips = footprint(self.dataset.clips)
        # A checksum: it is the same footage or not.
        self._movers = None
        if movers_from:
            self._movers = zlib.crc32(json.dumps(footprint(movers_from)).encode())
        share = self.processes.rank, self.processes.count
        self.batches = EpochBatches(len(self.dataset), options.batch_size, options.seed, share)
        self.processes.check_shares(self.batches.batch_size, "window", "raise --batch-size")
        if options.epochs:
            self.total = options.epochs * len(self.batches)
        self._open(resume)

    def _learned(self) -> list[torch.nn.Parameter]:
        """Give what the optimiser changes."""
        return list(self.network.parameters())

    def fingerprint(self) -> dict[str, Any]:
        """Give what must agree for a resumed run to be the same run, plain values."""
        options = {name: value for name, value in asdict(self.options).items() if name != "workers"}
        options["movers_from"] = self._movers
        options["teacher"] = self.teacher.fingerprint() if self.teacher else None
        options["start"] = self._start
        return {
            "preset": self.config.to_dict(),
            "options": options,
            "clips": self._clips,
        }

    def _steps(self) -> Iterator[dict[str, float]]:
        while True:
            epoch, start = divmod(self.step, len(self.batches))
            self.batches.epoch = self.dataset.epoch = epoch
            self.batches.start = start
            with closing(self._epoch()) as samples:
                for sample in samples:
                    yield self.train_step(sample)

    def _epoch(self) -> Generator[Sample, None, None]:
        """Yield the batches that are left of an epoch."""
        if self._device_windows is not None:
            for numbers in self.batches:
                yield self._device_windows.batch(numbers)
            return
        loader = DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            num_workers=self._workers,
            collate_fn=stack_samples,
            worker_init_fn=leave_process_group,
        )
        if not self.on_gpu:
            yield from map(batch_of, loader)
            return
        # Made and sent while the GPU is at the batches before.
        with closing(read_ahead(sent(loader, self.device))) as samples:
            yield from samples

    def _machine(self) -> dict[str, Any]:
        machine: dict[str, Any] = {"compiled": self.compiled} if self.compiled else {}
        return machine | (
            {"frames_on_gpu": self._device_windows is not None} if self.on_gpu else {}
        )

    def _learning_rate(self) -> float:
        rise = min(1.0, (self.step + 1) / self.options.warmup)
        fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress))
        return self.options.learning_rate * rise * fall

    def train_step(self, sample: Sample) -> dict[str, float]:
        """Take one step of the optimizer.

        Args:
            sample: a batch.

        Returns:
            The unweighted loss terms by name.

        Raises:
            TrainingError: a loss or the gradient is not finite.
        """
        self.network.train()
        self.optimizer.zero_grad()  # before the forward, which then has their memory
        terms, loss = self._loss(sample)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        loss.backward()
        self.processes.sum_gradients(self.network.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        losses = self._checked(terms, loss, norm)
        self.optimizer.step()
        self.step += 1
        return losses

    def _precision(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"
        )

    def _loss(self, sample: Sample) -> tuple[dict[str, Tensor], Tensor]:
        """Compute the unweighted loss terms by name, and their weighted sum."""
        frames, tampered = (tensor.to(self.device) for tensor in sample)
        window, target = to_float(frames)
        with self._precision():
            output = self._forward(window.contiguous(memory_format=torch.channels_last))
            taught = self.teacher.terms(window, target, output) if self.teacher else {}
        training = self.config.training
        terms = loss_terms(output, target, tampered, training.loss_weights) | taught
        inputs = LossInputs(output, target, tampered)
        terms = self.processes.of_share(terms, inputs, self.batches.batch_size)
        weights = training.weights_at(self.progress)
        return terms, total_loss(terms, weights | (self.teacher.weights if self.teacher else {}))

    def _checked(self, terms: Mapping[str, Tensor], loss: Tensor, norm: Tensor) -> dict[str, float]:
        """Read the loss terms and the gradient's norm, and check them.

        The one moment of a step in which the processor waits for a GPU.
        """
        values = self.processes.summed(torch.stack([*terms.values(), loss]))
        read = torch.stack([*values, norm]).tolist()
        losses = dict(zip(terms, read))
        lower = f"try a lower learning rate than {self.options.learning_rate} or float32"
        if not math.isfinite(read[-2]):
            raise TrainingError(
                f"the loss is not finite at step {self.step + 1}: {losses}; the state before it is "
                f"kept, {lower}"
            )
        self.loss, self.norm = read[-2:]
        if not math.isfinite(self.norm):
            raise TrainingError(
                f"the gradient is not finite at step {self.step + 1}; the state before it is kept, "
                f"{lower}"
            )
        return losses

    def _samples_per_second(self) -> float:
        return self.options.batch_size * len(self.durations) / sum(self.durations)

    def _shown(self, losses: dict[str, float]) -> dict[str, str]:
        return {"loss": f"{self.loss:.4f}"}  # one number: the bar shall have room in 80 columns

    def _log_line(self, losses: dict[str, float]) -> dict[str, Any]:
        line: dict[str, Any] = {
            "epoch": self.step / len(self.batches),
            "samples_per_second": round(self._samples_per_second(), 2),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "gradient_norm": self.norm,
            "losses": losses,
        }
        if self.is_due(DIAGNOSE_EVERY, self.step):
            line |= self.diagnose()
        return line

    def diagnose(self) -> dict[str, Any]:
        """Look at the held-out windows, see `mpn.training.diagnosis.diagnose`."""
        return diagnose(self.network, self.calibration_clips)

    def finish(self) -> Path:
        """Score the calibration footage, write the model, and return its path."""
        normal = normal_parts(self.network, self.calibration_clips, self.places, bfloat16=False)
        static = judge_static(self.places)
        # The calibration footage was judged by a place model of the rest; now it counts too.
        for scene, place in learn_places(self.calibration_clips).items():
            if scene in self.places:
                self.places[scene].merge(place)
        rates = [clip.fps for clip in self.calibration_clips if clip.fps]
        diagnosis = self.diagnose()
        if words := in_words(diagnosis):
            log.info(words)
        training = self.fingerprint() | {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "windows": len(self.dataset),
            "held_out": [clip.name for clip in self.calibration_clips],
            "threads": torch.get_num_threads(),
            **diagnosis,
        }
        training.pop("preset")
        if levels := common_levels(clip.levels for clip in self.dataset.clips):
            training["levels"] = list(levels)
        score_config = ScoreConfig()
        if self.places:
            score_config = score_config.with_place(trained_here=True, static=static)
        checkpoint = Checkpoint(
            self.network,
            fps=float(np.median(rates)) if rates else None,
            score_config=score_config.to_dict(),
            normal=normal,
            training=training,
            places=self.places,
        )
        path = self.folder / MODEL
        save_checkpoint(path, checkpoint)
        return path


def train(
    clips: Sequence[Clip],
    config: ModelConfig,
    options: TrainingOptions,
    folder: str | Path,
    *,
    on_log: OnLog | None = None,
    **further: Any,
) -> Path:
    """Train a network on normal footage, and return the path of its model.

    A finished run that is resumed is left alone. See `Training` for what it raises.

    Args:
        clips: all normal footage.
        config: of the network.
        options: see `TrainingOptions`.
        folder: the run folder.
        on_log: called with every line of the log.
        **further: the other arguments of `Training`, such as `resume` and `device`.
    """
    training = current().together(lambda: Training(clips, config, options, folder, **further))
    return training.run(on_log)
