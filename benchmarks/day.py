"""A long recording judged by itself: what is found of twenty anomalies, memory, time, kills.

    python -m benchmarks.day --work FOLDER                          (eight hours of footage)
    python -m benchmarks.day --work FOLDER --hours 1 --kills 5
    python -m benchmarks.day --work FOLDER --quick

One generated camera, its normal life rendered minute by minute, no two alike, and minutes with one
anomaly each, four of every kind but abandoned objects (what stays is no part of this score), at
random times. H.264, 10 frames a second; 14 ms of a core for every frame. `mpn score` runs
as a user calls it; its memory is looked at every few seconds. With --kills it runs again into
another folder and is killed (SIGKILL) at random times and called again; the tables are compared.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from benchmarks.common import ROOT, machine, parser, print_table, resident_mib, write_result
from mpn.datasets.demo.clips import KINDS, make_clip
from mpn.datasets.demo.scene import make_scene
from mpn.io.runs import intervals
from mpn.jobs.state import EVENTS, SCORES
from mpn.jobs.summary import strangeness

SEED, RATE, MINUTE = 5, 10, 60
LOOKED_FOR = tuple(kind for kind in KINDS if kind != "abandoned object")
OF_EACH, MOMENTS = 4, 30
NEAR = 2.0  # seconds that a moment may lie beside the anomaly
LOOKS = 5.0  # seconds between two looks at the memory
GROUP = 10 * RATE  # frames from key frame to key frame


class Anomaly(NamedTuple):
    """What is to be found: its kind and its seconds in the day."""

    kind: str
    start: float
    end: float


def render(folder: Path, task: tuple[int, str]) -> list[tuple[int, int]]:
    """Write a clip of a minute; return the frames that show its anomaly, as intervals."""
    key, kind = task
    clip = make_clip(
        make_scene(SEED, 0, fps=RATE), str(key), key, MINUTE * RATE, ((kind, 0.3),) if kind else ()
    )
    labels = []
    camera = clip.scene.camera
    with av.open(str(folder / f"{key}.mp4"), "w") as container:
        stream = container.add_stream("libx264", RATE, options={"crf": "23", "g": str(GROUP)})
        stream.pix_fmt, stream.height, stream.width = "yuv420p", camera.height, camera.width
        for frame in clip.frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, "bgr24")))
            labels.append(bool(frame.tracks))
        container.mux(stream.encode())
    return intervals(np.array(labels))


def make_day(work: Path, hours: int, each: int) -> tuple[Path, list[Anomaly]]:
    """Render the clips and join them; the same arguments give the same day."""
    clips, path, truth = work / "clips", work / f"day-{hours}h.mp4", work / f"day-{hours}h.json"
    if truth.exists():
        return path, [Anomaly(*values) for values in json.loads(truth.read_text())]
    clips.mkdir(parents=True, exist_ok=True)
    minutes = list(range(hours * MINUTE))
    odd = [(10_000 + number, kind) for number, kind in enumerate(each * LOOKED_FOR)]
    tasks = [*((key, "") for key in minutes), *odd]
    todo = [task for task in tasks if not (clips / f"{task[0]}.done").exists()]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for (key, _), shown in zip(todo, pool.map(partial(render, clips), todo)):
            (clips / f"{key}.done").write_text(json.dumps(shown))
    draw = random.Random(SEED)
    step = len(minutes) / len(odd)  # apart, so that none says what is usual to another
    order = draw.sample(odd, len(odd))
    anomalies = []
    for number, (key, kind) in enumerate(order):
        at = int(number * step + draw.random() * step / 2)
        minutes[at] = key
        (first, end), *_ = json.loads((clips / f"{key}.done").read_text())
        anomalies.append(Anomaly(kind, at * MINUTE + first / RATE, at * MINUTE + end / RATE))
    join([clips / f"{key}.mp4" for key in minutes], path)
    truth.write_text(json.dumps(anomalies))
    return path, anomalies


def join(paths: Sequence[Path], out: Path) -> None:
    """Write clips one after the other, without coding them again."""
    with av.open(str(out), "w") as container:
        stream, shift = None, 0
        for path in paths:
            with av.open(str(path)) as clip:
                video = clip.streams.video[0]
                if stream is None:
                    stream = container.add_stream_from_template(video)
                for packet in clip.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    container.mux(packet)
                assert video.time_base is not None
                shift += round(MINUTE / video.time_base)


def score(video: Path, out: Path, kills: Sequence[float]) -> dict[str, Any]:
    """Run `mpn score`, killed after so many seconds each time; return seconds, memory, output."""
    command = [sys.executable, "-m", "mpn", "score", str(video), "--out", str(out)]
    begun, memory, output = time.monotonic(), [], ""
    for until in [*kills, None]:
        with (out.parent / f"{out.name}.log").open("a+") as log:
            child = subprocess.Popen(
                [*command, "--moments", str(MOMENTS)], stdout=log, stderr=log, cwd=ROOT
            )
            started = time.monotonic()
            while child.poll() is None:
                if until is not None and time.monotonic() - started > until:
                    child.send_signal(signal.SIGKILL)
                    child.wait()
                    break
                if (mebibytes := resident_mib(child.pid)) is not None:
                    memory.append((time.monotonic() - begun, mebibytes))
                time.sleep(min(LOOKS, until or LOOKS))
            log.seek(0)
            output = log.read()
        if until is None and child.returncode:
            raise SystemExit(output[-2000:])
    return {"seconds": time.monotonic() - begun, "memory": memory, "said": output}


def found_among(events: Path, anomalies: Sequence[Anomaly]) -> dict[str, Any]:
    """Count the anomalies that are among the strangest moments, and the moments that are one."""
    summary = json.loads(events.read_text())
    level = summary["threshold"]["value"]
    strangest = sorted(summary["events"], key=lambda event: -strangeness(event, level))[:MOMENTS]

    def meets(event: dict[str, Any], anomaly: Anomaly) -> bool:
        return (
            event["start_seconds"] < anomaly.end + NEAR
            and event["end_seconds"] > anomaly.start - NEAR
        )

    kinds = {
        kind: [
            any(meets(event, anomaly) for event in strangest)
            for anomaly in anomalies
            if anomaly.kind == kind
        ]
        for kind in LOOKED_FOR
    }
    return {
        "events": len(summary["events"]),
        "anomalies": len(anomalies),
        "found": sum(sum(hits) for hits in kinds.values()),
        "found_by_kind": {kind: f"{sum(hits)} of {len(hits)}" for kind, hits in kinds.items()},
        "right_moments": [
            any(meets(event, anomaly) for anomaly in anomalies) for event in strangest
        ],
        "notes": summary["notes"],
    }


def main() -> None:
    """Make the day, judge it, print and write what was found."""
    arguments = parser(__doc__)
    arguments.add_argument("--work", type=Path, required=True, help="for the day and its results")
    arguments.add_argument("--hours", type=int, default=8)
    arguments.add_argument("--kills", type=int, default=0, help="in a second run")
    args = arguments.parse_args()
    hours, each = (1, 1) if args.quick else (args.hours, OF_EACH)
    args.work.mkdir(parents=True, exist_ok=True)
    video, anomalies = make_day(args.work, hours, each)
    out = args.work / f"scored-{hours}h"
    shutil.rmtree(out, ignore_errors=True)
    out.with_name(f"{out.name}.log").unlink(missing_ok=True)
    run = score(video, out, ())
    memory = np.array(run["memory"])
    np.savetxt(args.work / f"memory-{hours}h.csv", memory, delimiter=",", header="seconds,MiB")
    quarters = [float(part[:, 1].max()) for part in np.array_split(memory, 4) if len(part)]
    lines = re.findall(r".* of footage, .*", run["said"])
    result: dict[str, Any] = {
        "hours": hours,
        "rate": RATE,
        "bytes": video.stat().st_size,
        **found_among(out / video.stem / EVENTS, anomalies),
        "seconds": run["seconds"],
        "said_before": lines[0] if lines else None,
        "peak_mib_by_quarter_of_the_run": quarters,
        "machine": machine(),
    }
    if args.kills:
        again = args.work / f"scored-{hours}h-killed"
        shutil.rmtree(again, ignore_errors=True)
        draw = random.Random(0)
        kills = [draw.uniform(0.02, 0.25) * run["seconds"] for _ in range(args.kills)]
        killed = score(video, again, kills)
        same = [
            (again / video.stem / name).read_bytes() == (out / video.stem / name).read_bytes()
            for name in (SCORES, f"{video.stem}_regions.csv", EVENTS)
        ]
        result |= {
            "kills": args.kills,
            "same_after_kills": same,
            "seconds_with_kills": killed["seconds"],
        }
    print_table(["kind", "found"], [[kind, text] for kind, text in result["found_by_kind"].items()])
    print(
        f"{result['found']} of {result['anomalies']} among the {MOMENTS} strangest moments; "
        f"{run['seconds'] / 60:.0f} minutes for {hours} hours; MiB at the most, by quarter: "
        + ", ".join(f"{value:.0f}" for value in quarters)
    )
    write_result(f"day-{hours}h", args, result)


if __name__ == "__main__":
    main()
