"""What every training shares: its loop, log and progress, and how an interruption is survived.

A run folder holds `config.json` (every option), `log.jsonl` (a line every few steps), `state.pt`
(to resume from) and, at the end, `model.safetensors`. A run that is killed and resumed ends with
the weights of one left alone: everything random is drawn from the seed and the number of the step,
nothing from the state of a generator.

In several processes (`mpn.training.distributed`) all make the same steps, and the first alone
plans, logs and writes.
"""

from __future__ import annotations

import json
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from tqdm import tqdm

from mpn.errors import CheckpointError, TrainingError
from mpn.io.atomic import write_atomically
from mpn.model.device import checked_device, enough_memory
from mpn.model.network import Network
from mpn.model.state import load_state, read_state, save_state, state_bytes
from mpn.training.distributed import current
from mpn.training.run_folder import (
    CONFIG,
    LOG,
    MODEL,
    STATE,
    check_fingerprint,
    check_folder,
    log_lines,
    remove_parts,
)
from mpn.training.stopping import StopSignals, stop_signals

log = logging.getLogger(__name__)

OnLog = Callable[[dict[str, Any]], None]
# The rate that is shown is that of so many steps.
RATE_STEPS = 200
# A run by minutes is planned by the latest of them: what the machine does now, it may go on to do.
PACE_STEPS = 25
# The plan is made anew where it would miss the minutes by more than this share of them.
PLAN_SLACK = 0.02
# Options of the optimiser that say how it computes, not what.
DEVICE_OPTIONS = ("fused", "foreach", "capturable")
# A new plan is told of where it has this share of steps more or less.
NEWS = 0.1


class TrainingRun(ABC):
    """A training run, new or resumed from the state that it was interrupted in.

    A subclass builds `network` and `optimizer` in its `__init__`, between this one and `_open`.

    Attributes:
        step: steps done.
        total: steps of the whole run; None until a run by minutes has measured its own speed. It
            changes with the machine's speed, so that minutes stay minutes.
        seconds: that it has trained, over all interruptions.
        durations: seconds of this process's latest steps.

    Args:
        folder: the run folder.
        minutes: how long, where `total` is None: the number of steps is then planned from the time
            that the latest steps took, first at step `plan_at`; the first `plan_from` don't count.
        total: the number of steps, or None.
        device: of the network.
        resume: go on from the folder's state.

    Raises:
        TrainingError: the folder holds another run.
        CheckpointError: there is none to resume.
        MpnError: there is no such device.
    """

    title: ClassVar[str]
    plan_from: ClassVar[int]
    plan_at: ClassVar[int]
    log_every: ClassVar[int]
    save_seconds: ClassVar[float] = 30.0

    network: Network
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        folder: str | Path,
        *,
        minutes: float | None,
        total: int | None,
        device: str,
        resume: bool,
    ) -> None:
        self.folder = Path(folder)
        self.processes = current()
        if self.processes.first:
            check_folder(self.folder, resume)
        torch.set_flush_denormal(True)
        self.device = torch.device(checked_device(self.processes.device(device)))
        self.minutes, self.total = minutes, total
        self.step, self.seconds = 0, 0.0
        self.durations: deque[float] = deque(maxlen=RATE_STEPS)
        # Of this process: steps, and seconds between them, for logging, saving and validating.
        self._own_steps, self._between = 0, 0.0
        # From the step of the latest plan on `progress` rises evenly, from what it was there.
        self._planned_at: tuple[int, float] = (0, 0.0)
        self._told_total: int | None = None
        self._on_log: OnLog | None = None

    @property
    def on_gpu(self) -> bool:
        """Return whether it trains on a GPU."""
        return self.device.type == "cuda"

    def _adam(self, parameters: Any, learning_rate: float) -> torch.optim.Adam:
        """Make an optimiser of parameters, or groups of them; on a GPU a step is one kernel."""
        return torch.optim.Adam(parameters, lr=learning_rate, fused=True if self.on_gpu else None)

    def _placed(self, network: Network) -> Network:
        """Move a network to the device, in the layout that convolutions are quick in."""
        network = network.to(self.device)
        return network.to(memory_format=torch.channels_last)  # type: ignore  # not in torch's stub

    # --- What a training says of itself

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Give what must agree for a resumed run to be the same run, plain values."""

    @abstractmethod
    def _steps(self) -> Iterator[Any]:
        """Train from `step` on, one step each time; yield what `_shown` and `_log_line` take."""

    @abstractmethod
    def _shown(self, losses: Any) -> dict[str, str]:
        """Give what the progress bar shows of a step."""

    @abstractmethod
    def _log_line(self, losses: Any) -> dict[str, Any]:
        """Give what the log says of a step, beside its number and the time."""

    @abstractmethod
    def finish(self) -> Path:
        """Score the calibration footage, write the model, and return its path."""

    def _between_steps(self) -> None:  # noqa: B027 (a training may have nothing to do)
        """Do what is due at `step`: called before the first step and after every one."""

    def _machine(self) -> dict[str, Any]:
        """Give what config.json says beside the fingerprint: of the machine, not of the run."""
        return {}

    def _state(self) -> dict[str, Any]:
        """Give the state to resume from, beside step, time and fingerprint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def _restore(self, state: dict[str, Any]) -> None:
        """Take over what `_state` gave."""
        self.network.load_state_dict(state["network"])
        groups = zip(state["optimizer"]["param_groups"], self.optimizer.param_groups, strict=True)
        for stored, group in groups:  # how the steps are computed is the device's, not the run's
            stored.update({name: group[name] for name in DEVICE_OPTIONS})
        self.optimizer.load_state_dict(state["optimizer"])

    # --- The run folder

    def _open(self, resume: bool) -> None:
        """Make the folder ready, from its state if the run is resumed.

        Raises:
            CheckpointError: the state is not of this run, or not whole.
        """
        if not self.processes.first:  # takes its state over from the first, see `_agree`
            return
        if resume:
            self._load()
        else:
            # Of a run that was killed before it saved anything.
            (self.folder / LOG).unlink(missing_ok=True)
        remove_parts(self.folder)
        config = {"threads": torch.get_num_threads(), "device": str(self.device)} | self._machine()
        if self.processes.joined:
            config["processes"] = self.processes.count
        text = json.dumps(self.fingerprint() | config, indent=1)
        write_atomically(self.folder / CONFIG, text)

    def _load(self) -> None:
        path = self.folder / STATE
        self._take(load_state(path), path)
        # Lines written after the state was saved will be written again.
        lines = [line for line in log_lines(self.folder / LOG) if line["step"] <= self.step]
        write_atomically(self.folder / LOG, "".join(json.dumps(line) + "\n" for line in lines))

    def _take(self, state: dict[str, Any], path: Path) -> None:
        try:
            check_fingerprint(path, json.loads(state["fingerprint"]), self.fingerprint())
            self._restore(state)
            self.step, self.total, self.seconds = state["step"], state["total"], state["seconds"]
            if planned_at := state.get(
                "planned_at"
            ):  # earlier states have one plan, from the start
                self._planned_at = (int(planned_at[0]), float(planned_at[1]))
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(
                f"{path} is not a state of {self.title} of this mpn: {error}"
            ) from error

    def _agree(self) -> None:
        """Begin where the first of several processes does.

        Raises:
            TrainingError: this one has other footage, or other options.
        """
        first = self.processes.first
        if not self.processes.joined:
            return
        content = self.processes.from_first(state_bytes(self._whole_state()) if first else b"")
        path = self.folder / STATE

        def take() -> None:
            try:
                self._take(read_state(content, path), path)
            except CheckpointError as error:
                raise TrainingError(f"not what the first process trains: {error}") from error

        self.processes.together(take if not first else lambda: None)

    def save(self) -> None:
        """Write the state to resume from.

        Raises:
            MpnError: it cannot be written; the earlier state is then untouched.
        """
        if self.processes.first:
            save_state(self.folder / STATE, self._whole_state())

    def _whole_state(self) -> dict[str, Any]:
        counts = {"step": self.step, "total": self.total, "seconds": self.seconds}
        fingerprint = {"fingerprint": json.dumps(self.fingerprint())}
        plan = {"planned_at": list(self._planned_at)}
        return fingerprint | counts | plan | self._state()

    def is_due(self, every: int, step: int) -> bool:
        """Say whether what is done every so many steps, and after the last, is due at `step`.

        Args:
            every: so many steps.
            step: the number of steps done.
        """
        return step % every == 0 or step == self.total

    def write_log(self, line: dict[str, Any]) -> None:
        """Append a line to the log, with the step and the time, and tell whoever listens."""
        if not self.processes.first:
            return
        line = {"step": self.step, "seconds": round(self.seconds, 2)} | line
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._on_log:
            self._on_log(line)

    # --- The loop

    def run(self, on_log: OnLog | None = None) -> Path:
        """Train to the end and write the model.

        Args:
            on_log: called with every line of the log.

        Returns:
            The model's path.

        Raises:
            TrainingError: a loss or gradient that is not finite.
            KeyboardInterrupt: it passes, with the state saved.
        """
        self._on_log = on_log
        if self.total is not None and self.step >= self.total:
            log.info("%s: finished already, after %d steps", self.title, self.step)
        self._agree()
        if self.step == 0:  # killed at any moment, it can be resumed
            self.save()
        self._between_steps()
        self.durations.clear()
        self._own_steps, self._between = 0, 0.0
        with (
            stop_signals(self.processes.joined) as stop,
            tqdm(
                total=self.total,
                initial=self.step,
                desc=self.title,
                unit="step",
                disable=None if self.processes.first else True,
            ) as bar,
        ):
            try:
                self._train(bar, stop)
            finally:
                # Whatever ended the loop, the last whole step is kept - unless it was a broken one.
                if all(torch.isfinite(p).all() for p in self.network.parameters()):
                    self.save()
        return self.processes.first_does(self.finish, self.folder / MODEL)

    def _train(self, bar: tqdm[Any], stop: StopSignals) -> None:
        started = last_saved = time.monotonic()
        before, steps, in_steps = self.seconds, self._steps(), 0.0
        while self.total is None or self.step < self.total:
            began = time.monotonic()
            with enough_memory(self.title, "give a smaller --batch-size, or smaller frames"):
                losses = next(steps)
            now = time.monotonic()
            self.durations.append(now - began)
            self.seconds = before + now - started
            self._own_steps += 1
            self._between = max(0.0, now - started - in_steps - (now - began))
            in_steps += now - began
            stopped = self._plan_together(stop.asked)
            bar.total = self.total
            bar.update()
            bar.set_postfix(self._shown(losses), refresh=False)
            if self.is_due(self.log_every, self.step):
                self.write_log(self._log_line(losses))
            self._between_steps()
            if now - last_saved > self.save_seconds:
                self.save()
                last_saved = now
            if stopped:
                raise KeyboardInterrupt

    # --- How far it is, and how far it will go

    @property
    def progress(self) -> float:
        """Return how much of the run is done, 0 to 1; 0 while its length is not known.

        It never jumps: where the number of steps changes, what is left is spread over what is left.
        """
        start, before = self._planned_at
        if self.total is None or self.total <= start:
            return before
        share = max(0, self.step - start) / (self.total - start)
        return before + (1 - before) * min(1.0, share)

    def _plan_together(self, stop: bool) -> bool:
        """Plan in the first process for all; say whether any of them was asked to stop."""
        if self.processes.first:
            self._plan()
        if not self.processes.joined:
            return stop
        plan = torch.zeros(4, dtype=torch.float64)
        plan[0] = stop
        if self.processes.first:
            total = -1 if self.total is None else self.total
            plan[1:] = torch.tensor([total, *self._planned_at], dtype=torch.float64)
        stops, total, step, before = self.processes.summed(plan).tolist()
        self.total = None if total < 0 else int(total)
        self._planned_at = int(step), before
        return stops > 0

    def _plan(self) -> None:
        """Keep the number of steps of a run by minutes such that it ends when they are over."""
        if self.minutes is None:
            return
        limit = self.minutes * 60
        if self.seconds >= limit:
            self.total = self.step
            return
        if self._own_steps < self.plan_at:
            return
        # The first steps are slow; a pause of the machine is no pace.
        latest = list(self.durations)[self.plan_from :][-PACE_STEPS:]
        pace = float(np.median(latest)) + self._between / self._own_steps
        planned = self.seconds + (self.total - self.step) * pace if self.total else 0.0
        if abs(planned - limit) <= PLAN_SLACK * limit:
            return
        self._replan(self.step + max(1, int((limit - self.seconds) / pace)), pace)

    def _replan(self, total: int, pace: float) -> None:
        """Take another number of steps, and tell of it where it is news."""
        if self.step > self._planned_at[0]:
            self._planned_at = (self.step, self.progress)
        self.total = total
        if not self._told_total or abs(total / self._told_total - 1) > NEWS:
            self._told_total = total
            log.info(
                "%s: %.1f minutes are %d steps of %.2f s", self.title, self.minutes, total, pace
            )
