"""A training by the paper's schedule with its evaluation, and `mpn score` end to end, on a GPU."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.common import ROOT
from benchmarks.gpu_common import Piece, TimeIsOverError
from mpn.bench import write_film
from mpn.errors import MpnError
from mpn.model.checkpoint import Checkpoint, load_checkpoint
from mpn.model.network import build_model
from mpn.scoring.detector import Detector
from mpn.training.run_folder import MODEL, STATE

# As the paper's authors train (docs/design.md): Adam at 1e-4, four windows a step.
SCHEDULE = ["--preset", "base", "--learning-rate", "1e-4", "--batch-size", "4"]
TINY = ["--size", "32x48", "--channels", "4"]
EVALUATION = 120.0  # seconds that it may take
GRACE = 30.0  # seconds that a training may take to save its state


def _mpn(*words: str, seconds: float) -> int | None:
    """Run `mpn ...`; give its exit code, or None where the time was over and it was told to stop.

    Raises:
        MpnError: it failed.
    """
    print("$ mpn " + " ".join(words), flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "mpn", *words],
        cwd=ROOT,
        # A shell's background jobs ignore Ctrl-C, by which a training is told to save its state.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        code = process.wait(max(seconds, 1.0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:  # its state is at most half a minute old
            process.kill()
            process.wait()
        return None
    if code:
        raise MpnError(f"mpn {words[0]} ended with exit code {code}")
    return code


def train(piece: Piece, args: argparse.Namespace) -> None:
    """Train `base` on a data set as far as the time goes, and evaluate it at the end.

    Raises:
        MpnError: there is no data set, or a command failed.
        TimeIsOverError: it is not at its end.
    """
    data = args.data
    if data is None and piece.quick:
        data = tiny_data(piece.path.parent / "data")
    if data is None or not Path(data).is_dir():
        raise MpnError(f"no data set at {data}: give --data FOLDER, see data/README.md")
    data, run = Path(data).resolve(), (piece.path.parent / "base").resolve()
    device = ["--device", str(piece.device)]
    rate = ["--fps", f"{args.fps:g}"]
    if not (run / MODEL).is_file():
        length = ["--epochs", "1"] if piece.quick else ["--minutes", f"{args.minutes:g}"]
        words = ["train", str(data), *rate, *SCHEDULE, *length, *device, "--out", str(run)]
        words += TINY if piece.quick else []
        words += ["--resume"] if (run / STATE).is_file() else []
        if _mpn(*words, seconds=piece.seconds_left - GRACE) is None:
            piece.content["last_line"] = last_line(run)
            piece.save()
            raise TimeIsOverError
    piece.cell("training", lambda: _trained(run))
    figures = run / "evaluation"
    if "evaluation" not in piece.cells:
        if not piece.quick and piece.seconds_left < EVALUATION:
            raise TimeIsOverError
        words = ["evaluate", str(data), *rate, "--checkpoint", str(run / MODEL), *device]
        if _mpn(*words, "--out", str(figures), seconds=piece.seconds_left) is None:
            raise TimeIsOverError
    piece.cell("evaluation", lambda: json.loads((figures / "metrics.json").read_text()))


def last_line(run: Path) -> dict[str, Any] | None:
    """The last line of a training's log."""
    path = run / "log.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return json.loads(lines[-1]) if lines else None


def _trained(run: Path) -> dict[str, Any]:
    training = load_checkpoint(run / MODEL).training
    return {name: training[name] for name in ("steps", "seconds", "windows")} | {
        "last_line": last_line(run)
    }


def tiny_data(folder: Path) -> Path:
    """A data set of noise in the frames layout, with a bright block in one test video."""
    generator = np.random.default_rng(0)
    for part, count in (("training", 4), ("testing", 2)):
        for number in range(1, count + 1):
            frames = folder / part / "frames" / f"{number:02d}"
            frames.mkdir(parents=True, exist_ok=True)
            for t in range(14):
                picture = generator.integers(80, 120, (64, 96), np.uint8)
                if part == "testing" and number == 1 and t >= 7:
                    picture[16:40, 4 * t : 4 * t + 24] = 250
                cv2.imwrite(str(frames / f"{t:03d}.png"), picture)
    (folder / "testing" / "labels.csv").write_text("video,start,end\n01,7,14\n02,,\n")
    return folder


def score(piece: Piece, args: argparse.Namespace) -> None:
    """Score a generated video of 360x240 from the file to the results, here and on the GPU."""
    frames = 40 if piece.quick else 3000
    film = piece.path.parent / "film.mp4"
    if not film.is_file():
        write_film(film, frames)
    torch.manual_seed(0)
    size = {"channels": 4, "height": 32, "width": 48} if piece.quick else {}
    for preset in ("small", "base"):
        for device in dict.fromkeys(("cpu", str(piece.device))):
            for batch in (4,) if device == "cpu" else (4, 32, 128):
                for way in (None,) if device == "cpu" and not piece.quick else (None, "graph"):
                    # A processor takes minutes for all of it with `base`.
                    limit = 100 if device == "cpu" and preset == "base" else frames

                    def measure(
                        preset: str = preset,
                        device: str = device,
                        batch: int = batch,
                        way: str | None = way,
                        limit: int = limit,
                    ) -> dict[str, Any]:
                        network = build_model(preset, **size).eval()
                        detector = Detector(
                            Checkpoint(network), device=device, batch_size=batch, compiled=way
                        )
                        return _scored(detector, film, min(limit, frames))

                    name = f"{preset}, {device}, batch {batch}, {way or 'eager'}, no motion"
                    piece.cell(name, measure)
    for motion in (True, False):
        piece.cell(
            f"mpn score of demo, {'with' if motion else 'no'} motion",
            lambda motion=motion: _command(piece, film, motion, frames),
        )


def _scored(detector: Detector, film: Path, frames: int) -> dict[str, Any]:
    """Frames/s behind the first two batches: decoding, network, scores."""
    warm = 2 * detector.batch_size + detector.config.window
    began, count = time.perf_counter(), 0
    results = detector.score(film)
    for count, _ in enumerate(results, 1):
        if count == warm:
            began = time.perf_counter()
        if count == frames:
            break
    results.close()
    seconds = time.perf_counter() - began
    return {"frames_per_second": max(count - warm, 1) / seconds, "frames": count}


def _command(piece: Piece, film: Path, motion: bool, frames: int) -> dict[str, Any]:
    out = piece.path.parent / ("scored" if motion else "scored-no-motion")
    began = time.perf_counter()
    words = ["score", str(film.resolve()), "--checkpoint", "demo", "--no-report"]
    words += ["--device", str(piece.device), "--out", str(out.resolve())]
    # The rate of the model's footage: at another one motion would judge alone.
    words += ["--fps", "10"] if motion else ["--no-motion"]
    if _mpn(*words, seconds=piece.seconds_left) is None:
        raise TimeIsOverError
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "frames_per_second": frames / seconds, "frames": frames}
