"""An archive of many small recordings on a Ray cluster of this machine, a worker killed on the way.

    python -m benchmarks.ray_archive            (some minutes)
    python -m benchmarks.ray_archive --quick    (8 recordings)

`mpn score FOLDER` in one process; the same with `--ray`, with a worker killed (SIGKILL) once half
of the recordings are scored; and the same again. Wanted: every recording scored once, with the
tables of the run in one process, to the byte; nothing scored again by the last. Further what the
parts of it take - start-up, a task, reading, adding up surveys - from which docs/scale.md reckons
what more machines would give.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.batch_safety import finished, unlike
from benchmarks.common import ROOT, goal, parser, print_goals, write_result
from benchmarks.odd_files import picture, write_stream
from benchmarks.score_jobs import write_tiny_model
from mpn.jobs import JobOptions
from mpn.jobs.first_pass import add_up, pass_over
from mpn.scale.cluster import LOCAL, connected
from mpn.scale.work import Answer, Common, Item, Model, look

COUNT, SIZE = 12, (96, 144)  # frames of a recording, their (height, width)
FILES, QUICK_FILES = 200, 8
LOOK_SECONDS = 0.25  # between two looks at a run's processes
SURVEYED = 20  # recordings whose first passes are added up


def write_archive(folder: Path, count: int) -> None:
    """Write recordings of a scene, each from another moment on."""
    folder.mkdir(parents=True)
    for number in range(count):
        pictures = [picture(7 * number + index, SIZE) for index in range(COUNT)]
        write_stream(folder / f"{number:03d}.mp4", pictures)


def command(folder: Path, out: Path, model: Path | str, *more: str) -> list[str]:
    """The command line of a run."""
    words = ["score", str(folder), "--checkpoint", str(model), "--out", str(out), "--no-report"]
    return [sys.executable, "-m", "mpn", *words, *more]


class Tree:
    """The processes that one has started, at any depth: what they are at, and what they use.

    Args:
        root: id of the one, which counts too.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._used: dict[int, float] = {}  # processor seconds, as last seen

    def look(self) -> dict[int, bytes]:
        """Command lines of those that are there now."""
        parents, titles, used = {}, {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            try:
                columns = (folder / "stat").read_text().rpartition(") ")[2].split()
                titles[pid] = (folder / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            parents[pid] = int(columns[1])
            used[pid] = (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")

        def is_ours(pid: int) -> bool:
            return pid == self._root or (pid in parents and is_ours(parents[pid]))

        ours = [pid for pid in titles if is_ours(pid)]
        self._used |= {pid: used[pid] for pid in ours}
        return {pid: titles[pid] for pid in ours}

    @property
    def processor_seconds(self) -> float:
        """What all that were seen have used, until each was seen last."""
        return sum(self._used.values())


class Killer:
    """Kills a Ray worker at its task, once.

    Args:
        out: folder of the results.
        count: recordings that are scored by then.
    """

    def __init__(self, out: Path, count: int) -> None:
        self._out, self._count = out, count
        self.killed: dict[str, Any] = {}

    def __call__(self, titles: dict[int, bytes], seconds: float) -> None:
        """Look at the command lines of a run's processes, so long after it began."""
        if self.killed:
            return
        at_work = [pid for pid, title in titles.items() if title.startswith(b"ray::attempt")]
        done = finished(self._out)
        if at_work and done >= self._count:
            os.kill(at_work[0], signal.SIGKILL)
            self.killed = {
                "scored": done,
                "after_seconds": seconds,
                "workers_at_work": len(at_work),
            }


def run(words: list[str], watch: Callable[[dict[int, bytes], float], object] | None = None) -> dict:
    """Run a command; gives its seconds, and the processor seconds of all its processes."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    load, began = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            words, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
        )
        tree = Tree(process.pid)
        while process.poll() is None:
            titles = tree.look()
            if watch:
                watch(titles, time.monotonic() - began)
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - began
        output.seek(0)
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode}: {output.read()[-2000:]}")
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": tree.processor_seconds,
        "load_average_before": round(load, 2),
    }


def seconds_of_each(out: Path) -> float:
    """Seconds from one scored recording to the next, without start-up: by when each was written."""
    ended = sorted(path.stat().st_mtime for path in out.glob("*/state.json"))
    return (ended[-1] - ended[0]) / max(1, len(ended) - 1)


def modified(out: Path) -> dict[str, int]:
    """When each table of scores was written last."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/scores.csv")}


def rows(out: Path) -> set[int]:
    """How many rows the tables of scores have."""
    return {len(path.read_text().splitlines()) - 1 for path in out.glob("*/scores.csv")}


def _nothing(common: Common, item: Item, answer: Answer) -> None:
    """A step that does nothing, for what a task costs."""


def parts(archive: Path, work: Path, model: Path) -> dict[str, Any]:
    """What the parts of a run take, seconds."""
    files = sorted(archive.iterdir())
    common = Common(1, JobOptions(), Model(model, None, {}))
    items = [Item(path, work / "survey" / path.stem) for path in files]
    began = time.monotonic()
    looked = [look(common, item, Answer()) for item in items]
    seconds: dict[str, Any] = {"open_a_recording": (time.monotonic() - began) / len(files)}
    began = time.monotonic()
    count = sum(1 for item in items for _ in item.recording().open().frames())
    seconds["read_a_recording"] = (time.monotonic() - began) / len(files)
    seconds["frames_read"] = count
    seconds["bytes_of_a_recording"] = sum(path.stat().st_size for path in files) / len(files)
    recordings = [item.recording() for item in items[:SURVEYED]]
    stamps = [glance.stamp for _, glance in looked[:SURVEYED]]
    began = time.monotonic()
    for recording, stamp in zip(recordings, stamps):
        pass_over(recording, stamp, len(recordings))
    seconds["first_pass_of_a_recording"] = (time.monotonic() - began) / len(recordings)
    began = time.monotonic()
    add_up(recordings, stamps)
    seconds["add_up_a_survey"] = (time.monotonic() - began) / len(recordings)
    surveys = list((work / "survey").glob("*/survey.safetensors"))
    seconds["bytes_of_a_survey"] = sum(path.stat().st_size for path in surveys) / len(surveys)
    began = time.monotonic()
    with connected(LOCAL) as cluster:
        seconds["start_ray"] = time.monotonic() - began
        for name in ("first", "later"):  # the first tasks start the workers, and import torch
            began = time.monotonic()
            assert all(not answer.failure for _, answer in cluster.each(_nothing, common, items))
            seconds[f"{name}_tasks_each"] = (time.monotonic() - began) / len(items)
    return {name: round(value, 5) for name, value in seconds.items()}


def main() -> None:
    """Make the archive, score it in three ways, and take the time of the parts."""
    args = parser(__doc__).parse_args()
    count = QUICK_FILES if args.quick else FILES
    work = Path(tempfile.mkdtemp(prefix="mpn-ray-archive-"))
    archive, alone, killed = work / "archive", work / "alone", work / "killed"
    write_archive(archive, count)
    tiny = write_tiny_model(work / "tiny.safetensors")
    model = tiny if args.quick else ROOT / "mpn" / "models" / "demo.safetensors"
    runs, killer = {}, Killer(killed, count // 2)
    for name, out, options in (
        ("one_process", alone, ("--threads", "1")),
        ("ray", killed, ("--ray",)),
    ):
        runs[name] = run(command(archive, out, model, *options), killer if name == "ray" else None)
        runs[name]["seconds_of_each"] = round(seconds_of_each(out), 4)
        print(f"{name}: {runs[name]}", flush=True)
    before = modified(killed)
    runs["ray_again"] = run(command(archive, killed, model, "--ray"))
    differ = unlike(alone, killed)
    summary = json.loads((killed / "summary.json").read_text())
    names = [entry["source"] for entry in summary if entry["scored"]]
    scored_again = sum(before[name] != when for name, when in modified(killed).items())
    result = {
        "ray": version("ray"),
        "recordings": count,
        "frames_of_each": COUNT,
        "frame_size": SIZE,
        "model": model.name,
        "runs": runs,
        "kill": killer.killed,
        "speed_up": {
            key: round(runs["one_process"][key] / runs["ray"][key], 3)
            for key in ("seconds", "seconds_of_each", "processor_seconds")
        },
        "differ": differ,
        "parts_seconds": parts(archive, work, tiny),
        "goals": {
            "recordings scored": goal(finished(killed), count),
            "named once in summary.json": goal(
                len(set(names)) if len(names) == count else 0, count
            ),
            "tables equal to those of one process, to the byte": goal(count - len(differ), count),
            "tables with a row a frame": goal(int(rows(killed) == {COUNT}), 1),
            "a worker killed at its task": goal(int(bool(killer.killed)), 1),
            "scored again by the same command": goal(scored_again, 0, at_most=True),
        },
    }
    print_goals(result["goals"])
    print(f"kill {killer.killed}")
    print(f"speed-up {result['speed_up']}; parts {result['parts_seconds']}")
    write_result("ray_archive", args, result, threads=1)


if __name__ == "__main__":
    main()
