"""An archive on a Ray cluster of this machine: `test_cluster` runs it in a process of its own."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mpn.errors import MpnError
from mpn.scale import cluster as clusters
from mpn.scale import work
from mpn.scale.cluster import LOCAL, Cluster, connected
from mpn.scale.work import Item
from tests.helpers import archives
from tests.helpers.archives import common_of, items_of, tables

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def listeners(word: str) -> set[str]:
    """Addresses, as Linux writes them, that processes with a word in their command line listen
    on."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A":  # listens
                sockets[f"socket:[{columns[9]}]"] = columns[1].partition(":")[0]
    ports = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "cmdline").read_bytes():
                links = [os.readlink(link) for link in (folder / "fd").iterdir()]
                ports |= {sockets[link] for link in links if link in sockets}
        except OSError:
            continue
    return ports


@contextmanager
def started() -> Iterator[Cluster]:
    """A cluster of this machine; where Ray does not start at all the test is skipped."""
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(connected(LOCAL))
        except MpnError as error:
            if "cannot be used" in str(error):
                pytest.skip(f"Ray does not start here: {error}")
            raise
        yield cluster


def test_an_archive_on_a_cluster_of_this_machine(
    still: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    paths = archives.write_archive(tmp_path / "archive", 4)
    common, alone, out = common_of(still), tmp_path / "alone", tmp_path / "out"
    for item in items_of(paths, alone):
        assert not work.attempt(work.score, common, item).reason
    before, folders = dict(os.environ), []
    make = tempfile.mkdtemp
    monkeypatch.setattr(
        tempfile, "mkdtemp", lambda **how: folders.append(make(**how)) or folders[-1]
    )
    with started() as cluster:
        assert cluster.places >= 1
        # Nobody elsewhere can reach it, and it tells nobody elsewhere.
        (place,) = folders
        assert listeners(place) and listeners(place) <= LOOPBACK
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"

        # A worker is killed: each recording is scored once, as without workers, to the byte.
        items = items_of(paths, out)
        answers = dict(cluster.each(archives.score_at_the_second_try, common, items))
        assert sorted(answers) == [0, 1, 2, 3] and (out / "killed-1").exists()
        assert [answers[n].reason for n in range(4)] == [""] * 4
        assert {n: answers[n].value.summary["frames"] for n in answers} == dict.fromkeys(
            range(4), archives.LENGTH
        )
        assert tables(out) == tables(alone)

        # Stopped while it works: what runs is interrupted, and waited for.
        endless = items_of(paths[:2], tmp_path / "stopped")
        stopped = cluster.each(archives.last_until_stopped, common, endless)
        assert next(stopped)[0] == 0
        while not (tmp_path / "stopped" / "1" / "begun").exists():
            time.sleep(0.05)
        stopped.close()
        assert (tmp_path / "stopped" / "1" / "kept").exists()
    assert dict(os.environ) == before
    assert capfd.readouterr().out == ""  # which belongs to the results
    assert folders and not Path(folders[0]).exists()
    assert its_last_answer(items[0], monkeypatch) == (
        f"{items[0].path}: its worker died 4 times (killed, out of memory, or by this file); the "
        "same command tries again"
    )


def its_last_answer(item: Item, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why a source is left out that kills its workers; Ray has been imported."""
    import ray

    def get(_: object) -> None:
        raise ray.exceptions.WorkerCrashedError

    monkeypatch.setattr(ray, "get", get)
    return clusters._answer(None, item).reason
