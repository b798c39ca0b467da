"""Small reports for the tests and the benchmark: films whose frames say where they are, made-up
scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from mpn.evaluation.result import MatrixCell, ProtocolGap, ProtocolMatrix, ScoreMetrics
from mpn.metrics import Curve, Interval
from mpn.report import film
from mpn.report.model import (
    EventRow,
    Film,
    Highlight,
    Inside,
    Picture,
    Report,
    Runs,
    Table,
    Trace,
)
from mpn.scoring.protocols import Cell
from mpn.scoring.reliability import Promise

SIZE = (96, 144)  # of the footage
FPS = 25.0


def write_film(path: Path, rows: Runs, size: tuple[int, int] = SIZE, fps: float = FPS) -> Film:
    """A film of a disc that moves right by a pixel a row, with its heat in the same place."""
    at = [row for start, step, count in rows for row in range(start, start + step * count, step)]
    return film.write_film(
        path, (_picture(row, size) for row in at), (_heat(row, size) for row in at), fps, size, rows
    )


def _picture(row: int, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    picture = np.repeat(np.linspace(60, 140, width).astype(np.uint8)[None, :, None], height, 0)
    cv2.circle(picture, (disc(row, size), height // 2), height // 8, 235, -1)
    return picture


def _heat(row: int, size: tuple[int, int]) -> np.ndarray:
    heat = np.zeros((24, 36), np.uint8)
    cv2.circle(heat, (disc(row, size) * 36 // size[1], 12), 4, 160, -1)
    return heat


def disc(row: int, size: tuple[int, int] = SIZE) -> int:
    """How far right the disc is, in pixels of the footage."""
    return 10 + row % (size[1] - 20)


def scores(count: int, bumps: list[tuple[int, int]], seed: int = 0) -> np.ndarray:
    """Calm noise about 1 with bumps to about 5 over [start, end); the first four rows have none."""
    values = 1 + 0.15 * np.random.default_rng(seed).standard_normal(count)
    for start, end in bumps:
        values[start:end] += 4 * np.sin(np.linspace(0.3, np.pi - 0.3, end - start))
    values[:4] = np.nan
    return values


def trace(
    name: str, folder: Path | None = None, count: int = 150, seed: int = 0, labels: bool = True
) -> Trace:
    """A video with two events and, if wanted, labels: the first is found, the second a false alarm,
    one is missed."""
    bumps = [(40, 70), (100, 112)]
    values = scores(count, bumps, seed)
    events = [
        EventRow(
            start,
            end,
            start + int(np.argmax(values[start:end])),
            float(np.max(values[start:end])),
            one_in,
            beyond,
            (30, disc(start), 36, 36),
            start / FPS,
            end / FPS,
        )
        for (start, end), one_in, beyond in zip(bumps, (12000.0, 350.0), (True, False))
    ]
    regions = [
        (row, k, float(values[row]), (30, disc(row) - 18, 36, 36))
        for k, (a, b) in enumerate(bumps)
        for row in range(a, b)
    ]
    shown = None if folder is None else write_film(folder / f"film-{seed}.webm", [(0, 1, count)])
    return Trace(
        name,
        values,
        FPS,
        threshold=2.0,
        labels=[(38, 72), (130, 140)] if labels else None,
        events=events,
        regions=regions,
        size=SIZE,
        film=shown,
    )


def picture(title: str, shade: int = 90) -> Picture:
    """A small grey picture."""
    _, png = cv2.imencode(".png", np.full((64, 96), shade, np.uint8))
    return Picture(title, f"What {title.lower()} shows, in a sentence.", png.tobytes())


def curve(power: float) -> Curve:
    """A made-up ROC: y = x ** power."""
    x = np.linspace(0, 1, 50)
    return Curve(x, x**power, 1 - x)


def promises() -> list[Promise]:
    """Promised and observed rates, the first two extrapolated, the first without any false
    alarm."""
    rows = [
        (1, 0.0, (0.0, 2.2), 0, True),
        (6, 4.0, (1.8, 9.0), 7, True),
        (60, 71.0, (60.0, 83.0), 118, False),
        (360, 402.0, (371.0, 434.0), 670, False),
    ]
    return [
        Promise(
            rate,
            6 - np.log10(rate),
            extrapolated,
            (1.0, 2.0),
            0.28,
            observed,
            interval,
            episodes,
            1.67,
        )
        for rate, observed, interval, episodes, extrapolated in rows
    ]


BASELINES = {"frame_number": 0.75, "flow_speed": 0.967}


def matrix(baselines: Mapping[str, float] = BASELINES) -> ProtocolMatrix:
    """A protocol matrix: three scores and some baselines under every protocol."""
    protocols = ProtocolMatrix([])
    nan = float("nan")
    for normalisation in ("absolute", "min-max"):
        for smoothing in ("off", "causal", "gaussian15"):
            live = normalisation == "absolute" and smoothing != "gaussian15"
            cell = Cell(
                normalisation,
                smoothing,
                live,
                "knows past frames only" if live else "needs the whole video",
                delay_frames=7 / 3 if smoothing == "causal" else 0.0,
                lookahead_frames=0 if live else None,
            )
            for score, value in (("region", 0.943), ("pair", 0.871), ("psnr", 0.862)):
                metrics = ScoreMetrics(value, 0.9, nan, 0.12, nan)
                interval = Interval(value, value - 0.05, value + 0.03, 1000, 0)
                protocols.cells.append(MatrixCell(score, False, cell, metrics, interval))
            for name, value in baselines.items():
                metrics = ScoreMetrics(value, 0.9, nan, 0.12, nan)
                interval = Interval(value, nan, nan, 0, 1000)
                protocols.baselines.append(MatrixCell(name, True, cell, metrics, interval))
    protocols.gaps.append(ProtocolGap("region", False, Interval(0.017, -0.004, 0.04, 1000, 0)))
    return protocols


def evaluation(folder: Path | None = None, videos: int = 2) -> Report:
    """A report with every section."""
    traces = [trace(f"video {k:02d}", folder, seed=k) for k in range(videos)]
    table = Table(
        ["frame AUC (micro), %", "absolute", "causal", "paper's protocol"],
        [
            ["region score", "93.9", "94.3", "95.1"],
            ["95 % interval", "88.0 to 97.1", "88.3 to 97.4", "89.9 to 98.0"],
            ["no learning"],
            ["speed alone", "96.5", "96.7", "97.0"],
        ],
        "Frame-level figures",
    )
    activations = [
        Inside(
            "video 00",
            55,
            "strongest event",
            [picture("Frame"), picture("Prediction", 120), picture("Error", 30)],
        ),
        Inside("video 01", 20, "lowest score", [picture("Frame", 60)]),
    ]
    return Report(
        "evaluate",
        "Small set",
        [Highlight("Micro AUC", "94.3 %", "95 %: 88.3 to 97.4")],
        facts=[
            ("Labels", "labels.csv: 2 videos, 300 frames, 88 anomalous"),
            ("SHA-256", "ab" * 32),
        ],
        traces=traces,
        notes=["Speed alone, without learning, scores higher."],
        tables=[table],
        matrix=matrix(),
        roc=[("region score", curve(0.2), 0.943), ("speed alone", curve(0.1))],
        precision_recall=[("region score", curve(0.5))],
        reliability=promises(),
        activations=activations,
        further=[("metrics.json", "metrics.json"), ("scores", "scores/video 00.csv")],
    )
