"""Live cameras for an hour: frames, lag, memory, and the time from an anomaly to its webhook.

    python -m benchmarks.live_soak --work FOLDER --minutes 60
    python -m benchmarks.live_soak --work FOLDER --quick           (two cameras, four minutes)

Sixteen cameras of 360x240 at 10 frames a second: generated scenes (two cameras of each, at other
minutes; drawn at two thirds of the size and enlarged), twelve minutes of normal life again and
again, and from the eighteenth minute on every tenth with an anomaly. A real RTSP server sends them
(`benchmarks.rtsp_server`: a Python with GStreamer's binding, by --gi), `mpn watch` watches them as
a user calls it, and tells a webhook here of its events. No camera is known before: the first five
minutes are learned.

An anomaly is found if an event begins while it is seen, or in the NEAR seconds after. Its latency
is from the sending of the first frame that shows it until the webhook has the event. Events at
other times are false alarms, but for those while a camera learns, which do not count.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np

from benchmarks.common import ROOT, machine, parser, print_table, resident_mib, write_result
from benchmarks.day import GROUP, LOOKED_FOR, MINUTE, RATE, join
from mpn.cli import positive
from mpn.datasets.demo.clips import make_clip
from mpn.datasets.demo.scene import make_scene
from mpn.io.runs import intervals

SEED, SIZE = 11, (360, 240)  # width and height
SCENES, NORMAL, ODD = 8, 12, 2  # scenes, and each one's minutes of normal life and with an anomaly
FIRST_ODD, EVERY = 18, 10  # minutes: no anomaly before, and from one to the next of a camera
NEAR = 5.0  # seconds
LOOKS = 5.0  # seconds between two looks at the watcher
PORT, HOOK_PORT = 8654, 8655


class Anomaly(NamedTuple):
    """What is to be found: kind, and the first and last frame of the film that show it."""

    kind: str
    first: int
    last: int


@dataclass
class Seen:
    """What was seen of a run: webhooks (Unix seconds, message), looks at it, sending times."""

    hooks: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    looks: list[dict[str, Any]] = field(default_factory=list)
    sent: dict[int, list[float]] = field(default_factory=dict)  # by camera, of a frame 0


def render(folder: Path, task: tuple[int, int]) -> None:
    """Write a minute of a scene, and beside it its anomaly: kind, first and last frame."""
    scene, key = task
    path = folder / f"{scene}-{key}.mp4"
    if path.with_suffix(".json").exists():
        return
    kind = LOOKED_FOR[(scene + key) % len(LOOKED_FOR)] if key >= NORMAL else ""
    clip = make_clip(
        make_scene(SEED, scene, fps=RATE),
        str(key),
        100 * scene + key,
        MINUTE * RATE,
        ((kind, 0.3),) if kind else (),
    )
    shows = []
    with av.open(str(path), "w") as container:
        options = {"crf": "23", "g": str(GROUP), "tune": "zerolatency"}
        stream = container.add_stream("libx264", RATE, options=options)
        stream.pix_fmt, (stream.width, stream.height) = "yuv420p", SIZE
        for frame in clip.frames():
            picture = cv2.resize(frame.image, SIZE, interpolation=cv2.INTER_CUBIC)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
            shows.append(bool(frame.tracks))
        container.mux(stream.encode())
    anomalies = [(kind, first, end - 1) for first, end in intervals(np.array(shows))[:1]]
    path.with_suffix(".json").write_text(json.dumps(anomalies))


def film_of(camera: int, minutes: int, folder: Path) -> tuple[Path, list[Anomaly]]:
    """Join the film of a camera of its scene's minutes; give what is to be found in it."""
    scene, second = camera % SCENES, camera // SCENES
    path = folder / f"film-{camera}-{minutes}.mp4"
    keys, anomalies = [], []
    for minute in range(minutes):
        turn, rest = divmod(minute - FIRST_ODD - camera % EVERY, EVERY)
        key = NORMAL + turn % ODD if turn >= 0 and not rest else (minute + 2 * second) % NORMAL
        keys.append(key)
        for kind, first, last in json.loads((folder / f"{scene}-{key}.json").read_text()):
            start = minute * MINUTE * RATE
            anomalies.append(Anomaly(kind, start + first, start + last))
    if not path.exists():
        join([folder / f"{scene}-{key}.mp4" for key in keys], path)
    return path, anomalies


def receive(seen: Seen) -> ThreadingHTTPServer:
    """Start to take webhooks, each with the time at which it came."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.hooks.append((time.time(), json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", HOOK_PORT), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def listen(server: subprocess.Popen[str], seen: Seen) -> None:
    """Note when the RTSP server sends; each line gives a guess of when frame 0 of a film was."""
    assert server.stdout is not None
    for line in server.stdout:
        camera, frame, at = line.split()
        seen.sent.setdefault(int(camera), []).append(float(at) - int(frame) / RATE)


def look(pid: int, status: Path) -> dict[str, Any] | None:
    """Look at the watcher: memory, processor time, and where its cameras stand."""
    try:
        cameras = json.loads(status.read_text())["cameras"]
        spent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, ValueError):
        return None
    mebibytes = resident_mib(pid)
    if mebibytes is None:
        return None
    seconds = (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")
    return {"at": time.time(), "mib": mebibytes, "cpu_seconds": seconds, "cameras": cameras}


def watch(
    films: Sequence[Path], minutes: float, out: Path, gi: str, learning: float | None = None
) -> tuple[Seen, float]:
    """Serve the films, watch them for so many minutes, and end it as a service manager does.

    Args:
        films: of the cameras.
        minutes: for so long.
        out: folder of what is written.
        gi: a Python that has GStreamer's binding.
        learning: minutes of a camera that are learned, instead of as many as usual.

    Returns:
        What was seen, and the seconds that the ending took.
    """
    out.mkdir(parents=True)
    config = {
        "out": str(out),
        "cameras": {f"cam{k}": {"url": f"rtsp://127.0.0.1:{PORT}/{k}"} for k in range(len(films))},
        "outputs": {"webhooks": [{"url": f"http://127.0.0.1:{HOOK_PORT}/"}]},
        **({} if learning is None else {"learning_minutes": learning}),
    }
    path = out / "watch.yaml"
    path.write_text(json.dumps(config))  # which is YAML too
    seen = Seen()
    hook = receive(seen)
    command = [gi, str(ROOT / "benchmarks" / "rtsp_server.py"), str(PORT), *map(str, films)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    if server.stdout.readline().strip() != "serving":
        raise SystemExit(f"the RTSP server did not start: does {gi} have GStreamer's binding?")
    threading.Thread(target=listen, args=(server, seen), daemon=True).start()
    with (out / "watch.log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "mpn", "watch", str(path)], stdout=log, stderr=log, cwd=ROOT
        )
        try:
            until = time.monotonic() + 60 * minutes
            while time.monotonic() < until:
                time.sleep(LOOKS)
                if child.poll() is not None:
                    raise SystemExit(f"mpn watch ended by itself: {out / 'watch.log'}")
                seen.looks += filter(None, [look(child.pid, out / "status.json")])
            child.send_signal(signal.SIGTERM)
            signalled = time.monotonic()
            child.wait(120)
            ending = time.monotonic() - signalled
        finally:
            for process in (child, server):
                process.kill()
            hook.shutdown()
    return seen, ending


def found_of(seen: Seen, anomalies: Sequence[Sequence[Anomaly]], until: float) -> dict[str, Any]:
    """Count found anomalies, latencies and false alarms of all cameras.

    Args:
        seen: of the run.
        anomalies: of each camera's film.
        until: Unix seconds of the end; what was not over NEAR seconds before is not counted.
    """
    latencies, missed, false, hours = [], [], 0, 0.0
    last = seen.looks[-1]["cameras"]
    for camera, camera_anomalies in enumerate(anomalies):
        name = f"cam{camera}"
        zero, begun = statistics.median(seen.sent[camera]), last[name]["alarms_from"]
        if begun is None:
            continue
        came = [
            at
            for at, message in seen.hooks
            if message.get("camera") == name and message.get("phase") == "begin" and at > begun
        ]
        hours += (until - begun) / 3600
        true: set[float] = set()
        for anomaly in camera_anomalies:
            first, end = zero + anomaly.first / RATE, zero + anomaly.last / RATE + NEAR
            if first < begun or end > until:
                continue
            hits = [at for at in came if first <= at <= end]
            true.update(hits)
            latencies += [hits[0] - first] if hits else []
            missed += [] if hits else [anomaly.kind]
        false += len(came) - len(true)
    return {
        "anomalies": len(latencies) + len(missed),
        "found": len(latencies),
        "missed_kinds": sorted(missed),
        "latency_seconds": {
            "median": statistics.median(latencies) if latencies else None,
            "p95": float(np.quantile(latencies, 0.95)) if latencies else None,
            "all": sorted(round(seconds, 2) for seconds in latencies),
        },
        "false_alarms": false,
        "false_alarms_per_camera_and_hour": false / hours if hours else None,
    }


def run_of(seen: Seen) -> dict[str, Any]:
    """Say how the run was: frames, lag, memory, processor; from the sixth minute on apart."""
    begun = seen.looks[0]["at"]
    settled = [entry for entry in seen.looks if entry["at"] - begun > 300] or seen.looks
    first, last = settled[0], seen.looks[-1]
    seconds = max(last["at"] - first["at"], 1e-9)

    def grown(name: str) -> int:
        return sum(
            status[name] - first["cameras"][camera][name]
            for camera, status in last["cameras"].items()
        )

    lags = [status["lag"] for entry in settled for status in entry["cameras"].values()]
    tenth = [entry["mib"] for entry in seen.looks]
    return {
        "received": grown("received"),
        "scored": grown("frames"),
        "dropped": grown("dropped"),
        "scored_frames_per_second": grown("frames") / seconds,
        "reconnects": sum(status["reconnects"] for status in last["cameras"].values()),
        "lag_seconds": {"median": statistics.median(lags), "p95": float(np.quantile(lags, 0.95))},
        "processor_cores": (last["cpu_seconds"] - first["cpu_seconds"]) / seconds,
        "peak_mib_by_tenth_of_the_run": [float(max(part)) for part in np.array_split(tenth, 10)],
        "states": sorted({status["state"] for status in last["cameras"].values()}),
    }


def nothing_lost(out: Path, seen: Seen) -> dict[str, int]:
    """Compare what the journal says with what the webhook was told, by event and phase."""
    lines = (out / "events.jsonl").read_text().splitlines() if seen.hooks else []
    written = {(event["id"], event["phase"]) for event in map(json.loads, lines)}
    delivered = {
        (message["id"], message["phase"]) for _, message in seen.hooks if "phase" in message
    }
    return {
        "in_journal": len(written),
        "told": len(delivered),
        "not_told": len(written - delivered),
    }


def main() -> None:
    """Makes the films, watches them, prints and writes what came."""
    made = parser(__doc__)
    made.add_argument("--work", type=Path, required=True, help="for films and what is written")
    made.add_argument("--cameras", type=positive, default=16)
    made.add_argument("--minutes", type=positive, default=60)
    made.add_argument("--gi", default="/usr/bin/python3", help="a Python that has gi (GStreamer)")
    args = made.parse_args()
    if args.quick:
        args.cameras, args.minutes = 2, 4
    folder = args.work / "minutes"
    folder.mkdir(parents=True, exist_ok=True)
    scenes = range(min(SCENES, args.cameras))
    tasks = [(scene, key) for scene in scenes for key in range(NORMAL + ODD)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(render, folder), tasks))
    shown = [film_of(k, args.minutes + 3, folder) for k in range(args.cameras)]
    out = args.work / "out"
    shutil.rmtree(out, ignore_errors=True)
    before = machine()
    films, learning = [path for path, _ in shown], 1.0 if args.quick else None
    seen, ending = watch(films, args.minutes, out, args.gi, learning)
    result = {
        "cameras": args.cameras,
        "minutes": args.minutes,
        **run_of(seen),
        **found_of(seen, [anomalies for _, anomalies in shown], seen.looks[-1]["at"]),
        "events": nothing_lost(out, seen),
        "ending_seconds": ending,
        "machine": before,
    }
    print_table(["", ""], [[key, json.dumps(value)[:90]] for key, value in result.items()])
    write_result("live_soak", args, result)


if __name__ == "__main__":
    main()
