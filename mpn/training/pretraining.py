"""Pre-training: windows of normal footage in, a run folder with a model out.

A run folder holds `config.json` (every option), `log.jsonl` (a line every few steps), `state.pt`
(to resume from) and, at the end, `model.safetensors`. A run that is killed and resumed ends with
the weights of one left alone: everything random is drawn from (seed, epoch, sample), nothing from
the state of a generator.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from mpn.datasets.pseudo_anomalies import PseudoOptions
from mpn.datasets.windows import (
    Clip,
    EpochBatches,
    Sample,
    WindowDataset,
    mirrored,
    split_calibration,
    to_float,
)
from mpn.errors import CheckpointError, MpnError, TrainingError
from mpn.io.atomic import write_atomically
from mpn.model.checkpoint import Checkpoint, load_state, save_checkpoint, save_state
from mpn.model.collapse import collapse
from mpn.model.config import ModelConfig
from mpn.model.losses import loss_terms, total_loss
from mpn.model.network import build_model
from mpn.scoring.clips import normal_parts
from mpn.scoring.scores import ScoreConfig
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

# With --minutes the number of steps is fixed once, from the time that these steps took.
PLAN_FROM, PLAN_AT = 5, 25
LOG_EVERY = 25
DIAGNOSE_EVERY = 500
SAVE_SECONDS = 30.0


@dataclass(frozen=True)
class TrainingOptions:
    """Everything that decides the weights, beside preset and data.

    Attributes:
        minutes, epochs: how long; exactly one is given. An epoch is every window once.
        seed: of initial weights, order and pseudo-anomalies.
        learning_rate: of Adam, after `warmup` steps of linear rise; falls to 1 % along a cosine.
        clip_norm: the gradient's largest norm.
        precision: "float32" or "bfloat16" (autocast; on CPUs with AVX-512 or AMX about twice as
            fast).
        calibration_share: share of the normal footage kept for calibration.
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
    workers: int = 0
    mirror: bool = False

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


class Training:
    """One run, from its options or from the state it was interrupted in.

    Args:
        clips: all normal footage; a share of it is held out for calibration.
        preset: of the network.
        options: see `TrainingOptions`.
        folder: the run folder.
        resume: go on from the folder's state.

    Raises:
        TrainingError: the folder holds another run; CheckpointError: its state can't be resumed.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        config: ModelConfig,
        options: TrainingOptions,
        folder: str | Path,
        *,
        resume: bool = False,
        device: str = "cpu",
    ) -> None:
        self.config, self.options, self.folder = config, options, Path(folder)
        self.device = torch.device(device)
        torch.set_flush_denormal(True)
        torch.manual_seed(options.seed)
        self.network = build_model(config).to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate)
        train, self.calibration_clips = split_calibration(clips, options.calibration_share)
        if options.mirror:
            train = [*train, *mirrored(train)]
        pseudo = PseudoOptions() if config.pseudo_head else None
        self.dataset = WindowDataset(train, config.window, seed=options.seed, pseudo=pseudo)
        self.batches = EpochBatches(len(self.dataset), options.batch_size, options.seed)
        self.step = 0
        self.total = options.epochs * len(self.batches) if options.epochs else None
        self.seconds = 0.0
        self.rate = 0.0
        check_folder(self.folder, resume)
        if resume:
            self._load()
        else:
            # Of a run that was killed before it saved anything.
            (self.folder / LOG).unlink(missing_ok=True)
        for part in self.folder.glob(".*.part"):  # a killed writer cannot tidy up
            part.unlink(missing_ok=True)
        self._save_config()

    def _fingerprint(self) -> dict[str, Any]:
        """What must agree for a resumed run to be the same run."""
        options = {name: value for name, value in asdict(self.options).items() if name != "workers"}
        return {
            "preset": self.config.to_dict(),
            "options": options,
            "clips": footprint(self.dataset.clips),
        }

    def _save_config(self) -> None:
        config = self._fingerprint() | {
            "threads": torch.get_num_threads(),
            "device": str(self.device),
        }
        write_atomically(self.folder / CONFIG, json.dumps(config, indent=1))

    def _load(self) -> None:
        path = self.folder / STATE
        state = load_state(path)
        try:
            theirs = json.loads(state["fingerprint"])
            ours = json.loads(json.dumps(self._fingerprint()))
            for part, value in ours.items():
                if theirs[part] != value:
                    raise CheckpointError(difference(path, part, theirs[part], value))
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.total, self.seconds = state["step"], state["total"], state["seconds"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} is not a training state of this mpn: {error}") from error
        # Lines written after the state was saved will be written again.
        lines = [line for line in log_lines(self.folder / LOG) if line["step"] <= self.step]
        write_atomically(self.folder / LOG, "".join(json.dumps(line) + "\n" for line in lines))

    def save(self) -> None:
        """Writes the state to resume from. Raises MpnError; the earlier state is then untouched."""
        state = {
            "fingerprint": json.dumps(self._fingerprint()),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "total": self.total,
            "seconds": self.seconds,
        }
        save_state(self.folder / STATE, state)

    def run(self, on_log: Callable[[dict[str, Any]], None] | None = None) -> Path:
        """Trains to the end and writes the model.

        Args:
            on_log: called with every line of the log.

        Returns:
            The model's path.

        Raises:
            TrainingError: a loss that is not finite. KeyboardInterrupt passes, with the state
                saved.
        """
        started = last_saved = time.monotonic()
        before = self.seconds
        bar = tqdm(total=self.total, initial=self.step, desc="training", unit="step", disable=None)
        durations: list[float] = []
        batches = self._batches()
        if self.step == 0:  # killed at any moment, it can be resumed
            self.save()
        try:
            while self.total is None or self.step < self.total:
                began = time.monotonic()
                losses = self.train_step(next(batches))
                now = time.monotonic()
                durations = [*durations[-200:], now - began]
                self.seconds = before + now - started
                self._plan(durations)
                self.rate = self.options.batch_size * len(durations) / sum(durations)
                if bar.total != self.total:
                    bar.total = self.total
                bar.update()
                shown = {name: f"{value:.4f}" for name, value in losses.items()}
                bar.set_postfix(shown | {"samples/s": f"{self.rate:.1f}"}, refresh=False)
                if self.step % LOG_EVERY == 0 or self.step == self.total:
                    self._write_log(losses, on_log)
                if now - last_saved > SAVE_SECONDS:
                    self.save()
                    last_saved = now
        finally:
            bar.close()
            # Whatever ended the loop, the last whole step is kept - unless it was a broken one.
            if all(torch.isfinite(p).all() for p in self.network.parameters()):
                self.save()
        return self.finish()

    def _batches(self) -> Iterator[Sample]:
        per_epoch = len(self.batches)
        while True:
            epoch, start = divmod(self.step, per_epoch)
            self.batches.epoch = self.dataset.epoch = epoch
            self.batches.start = start
            yield from DataLoader(
                self.dataset, batch_sampler=self.batches, num_workers=self.options.workers
            )

    def _plan(self, durations: list[float]) -> None:
        """Fixes the number of steps of a run by minutes, once its speed is known."""
        # A run resumed before its plan has to measure anew.
        if self.total is None and self.step >= PLAN_AT and len(durations) > PLAN_FROM:
            seconds = float(np.median(durations[PLAN_FROM:]))
            left = self.options.minutes * 60 - self.seconds
            self.total = self.step + max(1, int(left / seconds))
            log.info(
                "%.1f minutes are %d steps of %.2f s", self.options.minutes, self.total, seconds
            )

    def _learning_rate(self) -> float:
        rise = min(1.0, (self.step + 1) / self.options.warmup)
        if self.total is None or self.total <= self.options.warmup:
            return self.options.learning_rate * rise
        done = max(0, self.step - self.options.warmup) / (self.total - self.options.warmup)
        return (
            self.options.learning_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        )

    def train_step(self, sample: Sample) -> dict[str, float]:
        """One step of the optimizer; the unweighted losses. Raises TrainingError where one is not
        finite."""
        frames, tampered = (tensor.to(self.device) for tensor in sample)
        window, target = to_float(frames)
        self.network.train()
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"
        ):
            output = self.network(window.contiguous(memory_format=torch.channels_last))
        weights = self.config.training.loss_weights
        terms = loss_terms(output, target, tampered, weights)
        loss = total_loss(terms, weights)
        losses = {name: float(term.detach()) for name, term in terms.items()}
        if not math.isfinite(float(loss.detach())):
            raise TrainingError(
                f"the loss is not finite at step {self.step + 1}: {losses}; the state before it is "
                f"kept, try a lower learning rate than {self.options.learning_rate} or float32"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad()
        loss.backward()
        self.norm = float(
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        )
        if not math.isfinite(self.norm):
            raise TrainingError(
                f"the gradient is not finite at step {self.step + 1}; the state before it is kept, "
                f"try a lower learning rate than {self.options.learning_rate} or float32"
            )
        self.optimizer.step()
        self.step += 1
        return losses

    def _write_log(
        self, losses: dict[str, float], on_log: Callable[[dict[str, Any]], None] | None
    ) -> None:
        line: dict[str, Any] = {
            "step": self.step,
            "epoch": self.step / len(self.batches),
            "seconds": round(self.seconds, 2),
            "samples_per_second": round(self.rate, 2),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "gradient_norm": self.norm,
            "losses": losses,
        }
        if self.step % DIAGNOSE_EVERY == 0 or self.step == self.total:
            line["collapse"] = self.diagnose()
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
        if on_log:
            on_log(line)

    @torch.inference_mode()
    def diagnose(self, windows: int = 16) -> dict[str, float]:
        """The collapse diagnostics on held-out normal windows, evenly spread, in float32."""
        try:
            dataset = WindowDataset(self.calibration_clips, self.config.window)
        except MpnError:  # held-out footage shorter than a window
            return {}
        chosen = np.linspace(0, len(dataset) - 1, min(windows, len(dataset))).astype(int)
        self.network.eval()
        found = []
        for number in chosen:
            window, _ = to_float(dataset[int(number)].frames.unsqueeze(0).to(self.device))
            found.append(collapse(self.network(window)))
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def finish(self) -> Path:
        """Scores the held-out footage, writes the model, gives its path."""
        normal = normal_parts(self.network, self.calibration_clips, bfloat16=False)
        rates = [clip.fps for clip in self.calibration_clips if clip.fps]
        training = self._fingerprint() | {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "windows": len(self.dataset),
            "held_out": [clip.name for clip in self.calibration_clips],
            "collapse": self.diagnose(),
            "threads": torch.get_num_threads(),
        }
        training.pop("preset")
        checkpoint = Checkpoint(
            self.network,
            fps=float(np.median(rates)) if rates else None,
            score_config=ScoreConfig().to_dict(),
            normal=normal,
            training=training,
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
    resume: bool = False,
    device: str = "cpu",
    on_log: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Trains a network on normal footage; the path of its model. A finished run that is resumed is
    left alone.

    See `Training` for the arguments and what it raises.
    """
    training = Training(clips, config, options, folder, resume=resume, device=device)
    return training.run(on_log)
