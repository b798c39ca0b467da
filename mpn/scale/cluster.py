"""Ray: steps of many recordings on the cores of a machine or of a cluster.

Tasks of Ray's core, and not Ray Data: an item is a file with a folder of results, not a row of a
table; what is wanted of the engine is that a core takes the next file, that a file whose worker
died is given to another, and that all can be stopped. Ray Data streams blocks of rows between
operators, and would bring Arrow and pandas along for a table that no step needs.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mpn.errors import MpnError
from mpn.scale.work import Answer, Common, Item, Step, attempt

LOCAL = "local"
ADDRESS = re.compile(r"auto|(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")
RETRIES = 3  # of a source whose worker died; one that kills its workers is left out after so many
IN_FLIGHT = 1000  # tasks that Ray knows at a time, and no fewer than twice as many as can run
CONNECT_SECONDS = 10.0
STOP_SECONDS = 30.0  # so long tasks that were stopped may take to keep what they have
STORE_BYTES = 200_000_000  # of a local cluster: a camera's numbers, some megabytes
INSTALL = "pip install 'mpn[scale]'"
# Of a local cluster, set before Ray is imported, which is why no module does that at its top. Its
# ports are those of the loopback interface alone: Ray does that on macOS and Windows, and by this
# name on Linux too; the address that it can be given, 127.0.0.1, it takes for the machine's own.
# A source that is too large for the memory is not tried again for ever, and workers are as nice to
# other programs as the command is: Ray's 15 is next to nothing beside any of them.
PRIVATE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_task_oom_retries": str(RETRIES),
    "RAY_worker_niceness": "0",
}


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster that this process is connected to; see `connected`.

    Attributes:
        gpu: whether a task takes a GPU.
        threads: processor threads, and so cores, of a task.
    """

    gpu: bool = False
    threads: int = 1

    @property
    def places(self) -> int:
        """Return how many tasks can run at a time."""
        import ray

        has = ray.cluster_resources()
        fit = int(has.get("CPU", 0)) // self.threads
        return min(fit, int(has.get("GPU", 0))) if self.gpu else fit

    def each(
        self, step: Step, common: Common, items: Sequence[Item]
    ) -> Generator[tuple[int, Answer], None, None]:
        """Take a step of every item, and give the answers as they come.

        Whatever ends this - an error, Ctrl-C - stops the tasks that run; they keep what they have.

        Args:
            step: of `mpn.scale.work`.
            common: what all tasks share.
            items: the sources.

        Yields:
            The number of an item, and what came of it.

        Raises:
            MpnError: what keeps every item from being done, as a full disk.
        """
        import ray

        task = ray.remote(
            num_cpus=self.threads, num_gpus=int(self.gpu), max_retries=RETRIES, max_calls=0
        )(attempt)
        shared = ray.put(common)
        most = max(IN_FLIGHT, 2 * self.places)
        running: dict[Any, int] = {}
        waiting = iter(enumerate(items))
        try:
            while True:
                for number, item in waiting:
                    running[task.remote(step, shared, item)] = number
                    if len(running) >= most:
                        break
                if not running:
                    return
                ready, _ = ray.wait(list(running), num_returns=1)
                for reference in ready:
                    number = running.pop(reference)
                    answer = _answer(reference, items[number])
                    if answer.failure:
                        raise MpnError(answer.failure)
                    yield number, answer
        finally:
            _stop(list(running))


def _answer(reference: Any, item: Item) -> Answer:
    import ray
    from ray import exceptions

    try:
        return ray.get(reference)
    except (
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.OutOfMemoryError,
        exceptions.ObjectLostError,  # the answer, with the machine that had it
    ):
        return Answer(
            reason=f"{item.path}: its worker died {RETRIES + 1} times (killed, out of memory, or "
            "by this file); the same command tries again"
        )


def _stop(running: Sequence[Any]) -> None:
    """Interrupt tasks, and wait until they have kept what they have."""
    import ray

    for reference in running:
        ray.cancel(reference)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=STOP_SECONDS)


@contextmanager
def connected(address: str, *, gpu: bool = False, threads: int = 1) -> Iterator[Cluster]:
    """Start a cluster on this machine or connect to one, for a `with` block.

    Args:
        address: `LOCAL` for one of this machine's own, that ends with the block; HOST:PORT of a
            cluster that this machine belongs to, or "auto" to find it. Whoever is there gets this
            user's commands, and can run any code as this user: see SECURITY.md.
        gpu: whether a task takes a GPU.
        threads: processor threads, and so cores, of a task.

    Raises:
        MpnError: there is no such cluster, it has no room for a task, or Ray is not installed.
    """
    if not ADDRESS.fullmatch(address) and address != LOCAL:
        raise MpnError(
            f"{address!r} is no address of a Ray cluster: HOST:PORT or auto was expected"
        )
    _check_there(address)
    with _local_place(address == LOCAL) as options:
        try:
            import ray
            from ray import exceptions
            from ray._private import worker as internals
        except ImportError as error:
            raise MpnError(
                f"{error.name} is not installed, which several processes need: {INSTALL}"
            ) from error
        # Its log is no part of ours: what goes wrong comes back as an answer. Of workers that died
        # it would write on stdout all the same; so its debugger keeps it quiet.
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        internals._worker_logs_enabled = False
        try:
            ray.init(address=address, **quiet, **options)
        except (exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            line = " ".join(str(error).split())
            raise MpnError(f"the Ray cluster at {address} cannot be used: {line}") from error
        try:
            cluster = Cluster(gpu, threads)
            if cluster.places < 1:
                kind = "a free GPU" if gpu else f"{threads} cores"
                raise MpnError(f"the Ray cluster at {address} has no machine with {kind}")
            yield cluster
        finally:
            ray.shutdown()


def _check_there(address: str) -> None:
    """Check that something listens at HOST:PORT: Ray asks for a minute, and ends the process."""
    host, _, port = address.rpartition(":")
    if not host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise MpnError(
            f"nothing answers at {address} ({error}): ray start --head, on the machine of that "
            "name, makes a cluster, and says its address"
        ) from error


@contextmanager
def _local_place(local: bool) -> Iterator[dict[str, Any]]:
    """Give the options of a cluster of this machine alone, and tidy up after it."""
    before = dict(os.environ)  # Ray adds to it too
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    folder = None
    options: dict[str, Any] = {}
    if local:
        # Who connects shows a token that only this run's processes have.
        os.environ.update(PRIVATE, RAY_AUTH_TOKEN=secrets.token_hex(32))
        # Sockets have short names, and this folder is this user's alone.
        folder = tempfile.mkdtemp(prefix="mpn-ray-", dir="/tmp")
        options = {"object_store_memory": STORE_BYTES, "_temp_dir": folder}
        options["include_dashboard"] = False
    try:
        yield options
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)
