"""What every benchmark needs: machine, repeated figures, tables, result files, log of readings.

Nothing here imports torch, so that a process which only starts others stays small.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpn.io.text import format_rows

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
READINGS = RESULTS / "readings.csv"


def parser(text: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks share; `text` is the module's docstring."""
    made = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--quick",
        action="store_true",
        help="tiny sizes, to see that it works; no figures to report",
    )
    made.add_argument(
        "--results",
        type=Path,
        help="folder of the result file (default: "
        "benchmarks/results; with --quick a temporary one)",
    )
    return made


def commit() -> str:
    """Name the commit that is checked out, with '+' where tracked files differ from it.

    Returns:
        The short hash; 'unknown' outside git.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git(
            "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"
        )
        return git("rev-parse", "--short", "HEAD") + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine(threads: int | None = None) -> dict[str, Any]:
    """CPU model, cores, memory and versions, as every result file names them."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = {name: _version(name) for name in ("torch", "numpy", "opencv-python-headless")}
    return {
        "cpu": cpu,
        "cores": cores,
        "threads": threads,
        "memory_gib": round(memory, 1),
        "load_average_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **packages,
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest, highest and the number of repetitions."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "n": len(values),
    }


def shown(figure: Mapping[str, Any], digits: int = 2) -> str:
    """A `spread` as text: median (lowest-highest)."""
    return f"{figure['median']:.{digits}f} ({figure['low']:.{digits}f}-{figure['high']:.{digits}f})"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns padded to their widest cell; the first to the left, the others to the right."""
    print(format_rows(header, rows), end="")


def print_goals(goals: Mapping[str, Any]) -> None:
    """Lines of name -> (figure, needed, reached)."""
    for name, goal in goals.items():
        print(
            f"{'reached' if goal['reached'] else 'MISSED '}  {name}: {goal['figure']:.2f} "
            f"(needed: {goal['needed']})"
        )


def goal(figure: float, needed: float, *, at_most: bool = False) -> dict[str, Any]:
    """One goal: its figure, what is needed and whether that is reached."""
    reached = figure <= needed if at_most else figure >= needed
    return {
        "figure": figure,
        "needed": f"{'at most' if at_most else 'at least'} {needed:g}",
        "reached": bool(reached),
    }


def write_result(
    name: str, args: argparse.Namespace, result: Mapping[str, Any], threads: int | None = None
) -> Path:
    """Write NAME.json with machine, date, commit and command beside the result; print its place."""
    folder = args.results or (
        Path(tempfile.mkdtemp(prefix="mpn-quick-")) if args.quick else RESULTS
    )
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        # A label may stand behind the module's name.
        "command": shlex.join(
            ["python", "-m", f"benchmarks.{name.partition('-')[0]}", *sys.argv[1:]]
        ),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "quick": args.quick,
        "machine": machine(threads),
        **result,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwritten: {path}")
    return path


def in_fresh_process(module: str, case: Mapping[str, Any]) -> dict[str, Any]:
    """Run `python -m benchmarks.MODULE --case JSON` and read its result, the last line, JSON."""
    command = [sys.executable, "-m", f"benchmarks.{module}", "--case", json.dumps(case)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def _status(field: str) -> int:
    """A size from /proc/self/status in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def resident_mib(pid: int) -> float | None:
    """Look at another process' memory, MiB; None where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    match = re.search(r"VmRSS:\s+(\d+)", status)
    return int(match[1]) / 1024 if match else None


@contextmanager
def peak_memory() -> Iterator[dict[str, int]]:
    """Resident memory in bytes: `before`, `peak` in the block and their difference `extra`.

    The kernel's own high-water mark of this process, reset at the start, and not getrusage: its
    ru_maxrss is inherited from the process that started this one.
    """
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    memory = {"before": _status("VmRSS")}
    yield memory
    memory["peak"] = _status("VmHWM")
    memory["extra"] = memory["peak"] - memory["before"]


def log_reading(score_config: str, seed: int | str, figure: str, path: Path = READINGS) -> None:
    """Notes that a test split was read (PROTOCOL section 5)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["date", "commit", "recipe", "seed", "figure"])
        writer.writerow([datetime.date.today().isoformat(), commit(), score_config, seed, figure])
