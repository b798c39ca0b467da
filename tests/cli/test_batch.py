"""A folder of recordings of which many are broken, and a kill in the middle of it.

The same with 200 recordings: `benchmarks.batch_safety`.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import batch_safety
from tests.cli.conftest import Cli

GOOD = 3


def test_a_batch_that_was_killed_ends_as_one_left_alone(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    batch = tmp_path / "batch"
    broken = batch_safety.write_batch(batch, GOOD, 1)
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    words = ["score", batch, "--checkpoint", still, "--no-report", "--threads", "1", "--out"]
    assert cli(*words, alone).code == 0
    assert batch_safety.finished(alone) == GOOD
    reached = batch_safety.kill_in_the_middle(batch_safety.command(batch, killed, still), killed, 1)
    assert 1 <= reached < GOOD
    again = cli(*words, killed)
    assert again.code == 0 and again.out.count("scored before") >= reached
    assert batch_safety.finished(killed) == GOOD and not batch_safety.unlike(alone, killed)
    expected = [str(path) for path in broken] + [f"printed {path}" for path in broken]
    assert batch_safety.named(killed, again.out) == dict.fromkeys(expected, 1)


def test_what_differs_is_seen(tmp_path: Path) -> None:
    for name in ("alone", "killed"):
        folder = tmp_path / name / "a"
        folder.mkdir(parents=True)
        for table in ("scores.csv", "events.json", "a_regions.csv"):
            (folder / table).write_text(table)
    assert not batch_safety.unlike(tmp_path / "alone", tmp_path / "killed")
    (tmp_path / "killed" / "a" / "a_regions.csv").write_text("other")
    assert batch_safety.unlike(tmp_path / "alone", tmp_path / "killed") == ["a"]
    (tmp_path / "killed" / "a" / "a_regions.csv").unlink()
    assert batch_safety.unlike(tmp_path / "alone", tmp_path / "killed") == ["a"]
