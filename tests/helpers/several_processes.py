"""Trainings in several processes, under torchrun's agent, for tests of `mpn.training.distributed`.

    python -m tests.helpers.several_processes FOLDER

runs all of them in a few seconds, as torch is imported once and the workers are forked, and leaves
there a run folder each, NAME.err with what was written to stderr, and outcomes.json: of each name
what its processes returned, in order of rank, and the exit codes of those that failed.

Numbers are float64, so that only what is computed otherwise differs, not what is rounded otherwise.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch._dynamo  # an optimiser imports it with its first step
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from mpn.cli import run as run_verb
from mpn.errors import MpnError
from mpn.model.checkpoint import Checkpoint
from mpn.model.network import build_model
from mpn.training import meta_training, run
from mpn.training.distributed import current, joined, restarts
from mpn.training.meta_options import MetaOptions
from mpn.training.meta_training import MetaTraining
from mpn.training.pretraining import Training, train
from tests.helpers.small_model import write_tree
from tests.helpers.training_runs import OPTIONS, PRESET, walkers

# All terms are means over windows but "ranking".
CONFIG = replace(
    PRESET, training=PRESET.training.with_weights({"frame": 0.5, "ranking": 0.3, "pseudo": 0.1})
)
# Six steps of five windows: two and three of them in two processes; one, two and two in three.
OPTIONS = replace(OPTIONS, epochs=1, batch_size=5)
META = MetaOptions(
    ("encoder.block1.", "pseudo_head."),
    steps=2,
    inner_steps=2,
    shots=(1, 2),
    batch=2,
    queries=2,
    tasks=3,
    learning_rate=1e-3,
    validation=("camera1",),
    temporal_subsample=(),
    precision="float32",
)
ARGUMENTS = "--size 32x48 --channels 4 --epochs 1 --precision float32 --fps 10 --batch-size 4"


def digest(training: Training | MetaTraining) -> int:
    """A checksum of all weights, to the bit."""
    sums = 0
    for parameter in training.network.parameters():
        sums = zlib.crc32(parameter.detach().numpy().tobytes(), sums)
    return sums


def pretrained(folder: Path, resume: bool = False) -> dict[str, int]:
    """Pre-train, as one of the processes if there are several."""
    training = current().together(
        lambda: Training(walkers(), CONFIG, OPTIONS, folder, resume=resume)
    )
    training.run()
    return {"step": training.step, "digest": digest(training)}


def meta_trained(folder: Path, algorithm: str) -> dict[str, int]:
    """Meta-train on three tasks a step."""
    torch.manual_seed(5)
    base = Checkpoint(build_model(PRESET), fps=10.0)
    options = replace(META, algorithm=algorithm, whole=algorithm != "reptile")
    clips = [replace(clip, scene=f"camera{i}") for i, clip in enumerate(walkers(3, 80))]
    training = current().together(lambda: MetaTraining(base, clips, options, folder))
    training.run()
    return {"step": training.step, "digest": digest(training)}


def for_a_minute(folder: Path) -> dict[str, int]:
    """Pre-train for a minute by clocks that go at each process's own pace."""
    clock = SimpleNamespace(now=100.0)
    original = Training.train_step

    def step(self, sample):
        clock.now += (4.0, 31.0)[self.processes.rank] * (2 if self.step > 6 else 1)
        return original(self, sample)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "train_step", step)
        patch.setattr(Training, "plan_at", 6)
        patch.setattr(run, "time", SimpleNamespace(monotonic=lambda: clock.now))
        options = replace(OPTIONS, epochs=None, minutes=1.0)
        training = current().together(lambda: Training(walkers(), PRESET, options, folder))
        training.run()
    return {"step": training.step, "digest": digest(training)}


def on_other_footage(folder: Path) -> str:
    """Pre-train on other footage in process 1; say what came of it."""
    try:
        train(walkers(4 + current().rank), PRESET, OPTIONS, folder)
    except MpnError as error:
        return f"{type(error).__name__}: {error}"
    return "trained"


def everything(folder: str) -> dict[str, object]:
    """Train what is compared with one process."""
    where = Path(folder)
    with joined():
        return {
            "pretrained": pretrained(where / "pretrained"),
            "meta-sgd": meta_trained(where / "meta-sgd", "meta-sgd"),
            "reptile": meta_trained(where / "reptile", "reptile"),
        }


def what_two_agree_on(folder: str) -> dict[str, object]:
    """Train what only several processes can disagree on."""
    where = Path(folder)
    with joined():
        minute, other_footage = for_a_minute(where / "minute"), on_other_footage(where / "other")
        return {"minute": minute, "other": other_footage}


def in_step(rank: int, number: int, act: Callable[[], object]) -> None:
    """Do something in a process while it makes the pre-training's step of that number."""
    original = Training.train_step

    def step(self, sample):
        if self.step == number - 1 and self.processes.rank == rank:
            act()
        return original(self, sample)

    Training.train_step = step


def killed(folder: str) -> None:
    """Pre-train; process 1 is killed in the fourth step."""
    in_step(1, 4, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with joined():
        pretrained(Path(folder))


def gone_on(folder: str) -> dict[str, int]:
    """Go on with a pre-training."""
    with joined():
        return pretrained(Path(folder), resume=True)


def stopped(folder: str) -> int:
    """Pre-train; process 1 alone gets a SIGTERM in the third step. Return the steps done."""
    in_step(1, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with joined() as processes:
        training = processes.together(lambda: Training(walkers(), CONFIG, OPTIONS, folder))
        try:
            training.run()
        except KeyboardInterrupt:
            return training.step
    return -1


def cli(*arguments: str) -> int:
    """Run `mpn train`."""
    code = run_verb("train", list(arguments))
    if code:
        sys.exit(code)
    return code


def cli_killed(*arguments: str) -> int:
    """Run `mpn train`; the process that writes is killed in the fifth step, once."""
    if not restarts():
        in_step(0, 5, lambda: os.kill(os.getpid(), signal.SIGKILL))
    Training.save_seconds = -1
    return cli(*arguments)


def cli_one_fails(*arguments: str) -> int:
    """Run `mpn train`; process 1 alone finds something in the third step."""

    def full() -> None:
        raise MpnError("the GPU has not enough memory")

    in_step(1, 3, full)
    return cli(*arguments)


@contextmanager
def stderr_in(path: Path) -> Iterator[None]:
    """Write what this process and its children say to a file."""
    before = os.dup(2)
    with path.open("w") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


class Runs:
    """Runs in `count` processes each, and what came of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outcomes = folder, {}

    def alone(self, name: str, work: Callable[[str], object]) -> None:
        """Run a function of a folder in a process that torchrun knows nothing of."""
        process = os.fork()
        if not process:
            work(str(self.folder / name))
            os._exit(0)
        if os.waitpid(process, 0)[1]:
            raise SystemExit(f"{name} failed alone")

    def run(
        self,
        name: str,
        count: int,
        work: Callable[[str], object],
        *,
        restarts: int = 0,
        folder: str | None = None,
    ) -> None:
        """Run a function of a folder in so many processes; `restarts` as --max-restarts."""
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=restarts,
            monitor_interval=0.05,
            start_method="fork",
            local_addr="localhost",
        )
        with stderr_in(self.folder / f"{name}.err"):
            try:
                returned = elastic_launch(config, work)(str(self.folder / (folder or name)))
                outcome = {"returned": [returned[rank] for rank in range(count)], "codes": {}}
            except ChildFailedError as error:
                failures = error.failures.items()
                outcome = {"returned": None, "codes": {r: f.exitcode for r, f in failures}}
        self.outcomes[name] = outcome


def main(folder: Path) -> None:
    """Run all of them."""
    # Nothing outside of this machine is asked for its own name.
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    Training.log_every = MetaTraining.log_every = 1
    meta_training.TASKS_FOR_SIZES, meta_training.VALIDATION_TASKS = 4, 3
    meta_training.VALIDATE_EVERY = 2
    logging.getLogger().setLevel(logging.ERROR)
    runs = Runs(folder)
    runs.alone("one", everything)
    runs.run("two", 2, everything)
    runs.run("agreed", 2, what_two_agree_on)
    runs.run("killed", 2, killed)
    runs.run("killed_gone_on", 3, gone_on, folder="killed")
    runs.run("stopped", 2, stopped)
    runs.alone("stopped", gone_on)
    arguments = (str(write_tree(folder / "street")), *ARGUMENTS.split(), "--out")
    runs.run("cli_killed", 2, lambda out: cli_killed(*arguments, out), restarts=1)
    runs.run("cli_one_fails", 2, lambda out: cli_one_fails(*arguments, out))
    runs.run("cli_no_data", 2, lambda out: cli("nowhere", "--out", out))
    (folder / "outcomes.json").write_text(json.dumps(runs.outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
