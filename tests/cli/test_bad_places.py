"""Places that cannot be written to: one line, exit code 1, and nothing that was there is lost."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import PLAIN, TINY, Cli, contents
from tests.helpers.small_model import footage, write_footage


def test_a_file_in_the_way_of_the_results(
    cli: Cli, tree: Path, still: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine")
    write_footage(tmp_path / "clip", footage(9))
    assert "taken" in cli("score", "clip", "--checkpoint", still, "--out", "taken", *PLAIN).error()
    assert "taken" in cli("evaluate", tree, "--checkpoint", still, "--out", "taken", *PLAIN).error()
    assert "taken" in cli("train", tree, *TINY, "--out", "taken").error()
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_folder_in_the_way_of_the_table(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "clip", footage(9))
    (tmp_path / "out" / "clip" / "scores.csv").mkdir(parents=True)
    error = cli("score", "clip", "--checkpoint", still, "--out", "out", *PLAIN).error()
    assert "scores.csv" in error and "give another --out" in error


@pytest.fixture
def no_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file that is flushed to disk finds it full."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mpn.io.atomic.os.fsync", full)


def test_a_full_disk_while_training_keeps_the_earlier_state(
    cli: Cli,
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    assert cli("train", tree, *TINY, "--out", "run").code == 0
    before = contents(tmp_path / "run")
    request.getfixturevalue("no_space")
    error = cli("train", tree, *TINY, "--out", "run", "--resume").error()
    assert "the disk is full" in error and "the earlier file is untouched" in error
    assert contents(tmp_path / "run") == before


def test_a_full_disk_while_scoring_keeps_the_rows(cli: Cli, still: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    write_footage(tmp_path / "clip", footage(9))
    (tmp_path / "runs" / "score" / "clip").mkdir(parents=True)
    (tmp_path / "runs" / "score" / "clip" / "scores.csv").symlink_to("/dev/full")
    assert (
        "scores.csv: No space left on device"
        in cli("score", "clip", "--checkpoint", still, *PLAIN).error()
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("file systems cannot be mounted here: " + made.stderr.decode().strip())
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_small_disk_while_training(cli: Cli, tree: Path, small_disk: Path) -> None:
    error = cli("train", tree, *TINY, "--out", small_disk / "run").error()
    assert "state.pt" in error and "the disk is full" in error
    # nothing half done
    assert {path.name for path in (small_disk / "run").iterdir()} <= {"config.json", "log.jsonl"}


def test_a_limit_on_file_sizes_while_training(cli: Cli, tree: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    try:
        error = cli("train", tree, *TINY, "--out", "run").error()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot write run/state.pt" in error
    # nothing half done
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"config.json", "log.jsonl"}
