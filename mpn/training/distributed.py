"""One training in several processes, as `torchrun` starts them: who does what, who tells it.

Every process has the whole network and takes its share of each step's windows or tasks; gradients
are summed, and every process makes the same step. The first one (rank 0) alone plans, speaks and
writes, so the run folder is that of a run in one process.

Gradients are summed here, in one all-reduce behind the backward, and not by torch's
`DistributedDataParallel`: its hooks see nothing of meta-training (`torch.func.functional_call`,
`torch.autograd.grad`), it takes the mean over processes where their shares may differ, and to hide
the all-reduce behind the backward gains little on networks of some megabytes.

Messages between processes are numbers and text, never pickles.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from mpn.datasets.batches import share_of
from mpn.errors import MpnError
from mpn.io.text import plural
from mpn.model.losses import LOSS_TERMS, LossInputs
from mpn.training.stopping import interrupt, on_signals

# What torchrun sets, and what starts processes as it does.
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# The first process may decode, compile, validate or calibrate for as long as it takes: a process
# that is gone is noticed by its closed connections, and by torchrun, not by the clock.
PATIENCE = timedelta(days=30)
JOINING = timedelta(minutes=30)
FAILURES = (MpnError, OSError, MemoryError)

T = TypeVar("T")


class ElsewhereError(MpnError):
    """This process ends because another one does, which says why."""


class Processes:
    """The processes of a training, as one of them sees them; alone, nothing is sent or changed.

    Args:
        rank: of this process, from 0.
        count: of all processes.
        local: rank among those of this machine.
        local_count: how many those are.
        store: of torch.distributed, that all of them share; None for a process alone.

    Raises (all methods that wait for others):
        MpnError: another process has ended.
    """

    def __init__(
        self,
        rank: int = 0,
        count: int = 1,
        *,
        local: int = 0,
        local_count: int = 1,
        store: Store | None = None,
    ) -> None:
        self.rank, self.count, self.local, self.local_count = rank, count, local, local_count
        self._store = store

    @property
    def joined(self) -> bool:
        """Return whether there are others to talk to, as far as torchrun is concerned."""
        return self._store is not None

    @property
    def first(self) -> bool:
        """Return whether this one plans, speaks and writes."""
        return self.rank == 0

    def device(self, device: str) -> str:
        """Return this process's own device for one that all are given.

        Args:
            device: "cuda" stands for a GPU each.
        """
        return f"cuda:{self.local}" if self.joined and device == "cuda" else device

    # --- Shares

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's share of what all do together, in order of rank."""
        return share_of(items, self.rank, self.count)

    def check_shares(self, count: int, what: str, remedy: str) -> None:
        """Check that there is something to do for every process.

        Args:
            count: of what a step is made of.
            what: one of those is.
            remedy: what makes them more.

        Raises:
            MpnError: there is not.
        """
        if count < self.count:
            raise MpnError(
                f"{self.count} processes for {plural(count, what)} a step, and each needs one: "
                f"start {count} at most, or {remedy}"
            )

    def of_share(self, terms: Mapping[str, Tensor], inputs: LossInputs, batch: int) -> dict:
        """Weigh loss terms of a share such that, summed over processes, they are the batch's.

        A term that is a mean over windows counts by the share's part of them. A term of the whole
        batch is computed from what all processes have; each differentiates by its own windows.

        Args:
            terms: of this process's share, unweighted scalars by name.
            inputs: what they were computed from.
            batch: windows of all shares.
        """
        if not self.joined:
            return dict(terms)
        part = len(inputs.target) / batch
        weighed = {}
        for name, value in terms.items():
            looked_at = LOSS_TERMS[name].whole_batch if name in LOSS_TERMS else ()
            if not looked_at:
                weighed[name] = value * part
                continue
            whole = LOSS_TERMS[name].compute(self._whole_batch(inputs, looked_at))
            assert whole is not None  # it applied to the share
            # Its value counts once over all processes, its gradient in each.
            weighed[name] = whole - whole.detach() * (1 - 1 / self.count)
        return weighed

    def _whole_batch(self, inputs: LossInputs, names: Iterable[str]) -> LossInputs:
        """Fill some fields of loss inputs, or of their output, up to all windows of the batch."""
        gathered: dict[str, Any] = {}
        of_output: dict[str, Any] = {}
        for name in names:
            is_input = name in LossInputs._fields
            value = getattr(inputs if is_input else inputs.output, name)
            (gathered if is_input else of_output)[name] = self.gathered(value)
        return inputs._replace(output=replace(inputs.output, **of_output), **gathered)

    # --- Sums and rows

    def sum_gradients(self, parameters: Iterable[Tensor], weight: float = 1.0) -> None:
        """Replace gradients by their sums over processes, each times its process's weight.

        Args:
            parameters: those without a gradient have none in any process.
            weight: of this process.
        """
        if not self.joined:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients]) * weight
        with _report_ended_process():
            dist.all_reduce(flat)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def summed(self, values: Tensor) -> Tensor:
        """Sum values over processes; all get the same sums, to the last bit."""
        if not self.joined:
            return values
        values = values.detach().clone()
        with _report_ended_process():
            dist.all_reduce(values)
        return values

    def gathered(self, rows: Tensor) -> Tensor:
        """Put the rows of all processes one below the other, in order of rank.

        Args:
            rows: (n, ...), n as may be in each process; they stay part of this one's graph.
        """
        if not self.joined:
            return rows
        detached = rows.detach().contiguous()
        parts = [
            part.view(detached.dtype).view(-1, *detached.shape[1:])
            for part in self._gather_bytes(detached.flatten().view(torch.uint8))
        ]
        parts[self.rank] = rows
        return torch.cat(parts)

    def _gather_bytes(self, own_bytes: Tensor) -> list[Tensor]:
        """Gather bytes, (n,) uint8 with an n of each process's own, in order of rank."""
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        with _report_ended_process():
            dist.all_gather(lengths, torch.tensor([len(own_bytes)]))
            longest = max(int(length) for length in lengths)
            filled = own_bytes.new_zeros(longest)
            filled[: len(own_bytes)] = own_bytes
            parts = [torch.empty_like(filled) for _ in range(self.count)]
            dist.all_gather(parts, filled)
        return [part[: int(length)] for part, length in zip(parts, lengths)]

    # --- What the first one says, and who says what went wrong

    def from_first(self, message: bytes) -> bytes:
        """Return the first process's message in all.

        Args:
            message: of the others it is not looked at.
        """
        if not self.joined:
            return message
        with _report_ended_process():
            length = torch.tensor([len(message)])
            dist.broadcast(length, 0)
            if not int(length):
                return b""
            text = torch.zeros(int(length), dtype=torch.uint8)
            if self.first:
                text = torch.frombuffer(bytearray(message), dtype=torch.uint8)
            dist.broadcast(text, 0)
        return text.numpy().tobytes()

    def first_says(self, decide: Callable[[], bool]) -> bool:
        """Let the first process decide something for all.

        Args:
            decide: called there only.
        """
        return self.from_first(b"1" if self.first and decide() else b"") == b"1"

    def first_does(self, action: Callable[[], T], otherwise: T) -> T:
        """Do something in the first process while the others wait for it.

        Args:
            action: called there only; it talks to no other process.
            otherwise: what the others return.

        Raises:
            ElsewhereError: in the others, where the action failed.
        """
        return self.together(action if self.first else lambda: otherwise)

    def together(self, action: Callable[[], T]) -> T:
        """Do something in every process, and go on only if it was done in all.

        A failure that several have is told by the first of them.

        Args:
            action: talks to no other process.

        Raises:
            ElsewhereError: it was done here, and failed elsewhere; or it failed here, and another
                process tells.
        """
        if not self.joined:
            return action()
        result, failure = [], None
        try:
            result.append(action())
        except FAILURES as error:
            failure = error
        failed = self.gathered(torch.tensor([failure is not None])).nonzero().flatten().tolist()
        if failure is not None and failed[0] == self.rank:
            raise failure
        if failed:
            raise ElsewhereError(f"process {failed[0]} of {self.count} failed")
        return result[0]

    def takes_the_word(self) -> bool:
        """Say whether this process is the first to ask, and so the one to tell what went wrong."""
        if self._store is None:
            return True
        try:
            return self._store.add("mpn/failures", 1) == 1
        except RuntimeError:  # it was kept by a process that is gone, and has told
            return False


ALONE = Processes()
_joined: list[Processes] = []


def current() -> Processes:
    """Return the processes that this one has `joined`, or itself alone."""
    return _joined[-1] if _joined else ALONE


def restarts() -> int:
    """Return how often torchrun has started the processes anew, after one had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


@contextmanager
def joined(device: str = "cpu") -> Iterator[Processes]:
    """Join the processes that torchrun has started with this one, while a `with` block trains.

    Trainings within it share their work. Without torchrun's variables in the environment the
    process is alone. SIGTERM interrupts as Ctrl-C does: it is what torchrun stops processes with.

    Args:
        device: that is trained on; gradients are summed by NCCL on "cuda", by Gloo elsewhere.

    Raises:
        MpnError: the others are not reached.
    """
    if not all(name in os.environ for name in VARIABLES):
        yield ALONE
        return
    local, local_count = (
        int(os.environ.get(name, default))
        for name, default in (("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    )
    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    if on_gpu and local < torch.cuda.device_count():  # else the device is refused where it is used
        torch.cuda.set_device(local)
    try:
        shared, rank, count = next(iter(rendezvous("env://", timeout=JOINING)))
        # torchrun keeps its store over restarts: there lie addresses of processes that are gone.
        store = PrefixStore(f"mpn/{restarts()}", shared)
        dist.init_process_group(
            # Messages go between processors in any case.
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=store,
            rank=rank,
            world_size=count,
            timeout=PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise MpnError(f"the other processes of this training are not reached: {reason}") from error
    _joined.append(Processes(rank, count, local=local, local_count=local_count, store=store))
    whole = False
    try:
        with on_signals((signal.SIGTERM,), interrupt):
            yield _joined[-1]
        whole = True
    finally:
        _joined.pop()
        # After a failure NCCL may wait for ever for what others did not take part in.
        if whole or not on_gpu:
            dist.destroy_process_group()


@contextmanager
def _report_ended_process() -> Iterator[None]:
    """Say in a line of our own that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        raise MpnError(
            "another process of this training has ended, so this one does too; --resume goes on "
            "from the last state"
        ) from error


def leave_process_group(_: int) -> None:
    """Keep a process that makes samples out of reach of the signals that torchrun sends to all.

    It ends with the process that it makes them for.
    """
    if current().joined:
        with suppress(OSError):
            os.setpgid(0, 0)
