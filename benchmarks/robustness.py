"""A labelled set, its test videos disturbed: what is left of each part, and what motion adds.

    python -m benchmarks.robustness CHECKPOINT data/ped2 --fps 10
    python -m benchmarks.robustness CHECKPOINT data/ped2 --fps 10 --only shake noise

Every test video is scored as it is and in seven disturbed versions, which are made frame by frame
at the source's size. Frame AUC (micro, causal) of the score, of the score without motion (the same
columns, motion's weights 0) and of every part. The last version is no disturbance but a camera that
was moved; what the model says of it, and of the others, is printed under the table. It reads a test
split: that is noted in results/readings.csv. About five minutes for 2,000 frames on a core.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.common import log_reading, parser, print_table, write_result
from benchmarks.few_shot_common import open_model, plain
from mpn.datasets.layouts import recognise
from mpn.evaluation.test_set import LabelledSet, open_set
from mpn.metrics import bootstrap_interval, frame_auc, paired_bootstrap
from mpn.scoring import protocols
from mpn.scoring.clips import columns_of
from mpn.scoring.detector import Detector
from mpn.scoring.parts import PLACE_PARTS
from mpn.scoring.rates import at_rate
from mpn.scoring.scores import combine
from mpn.video.frame_source import FrameSource
from mpn.video.timing import WHOLE

JPEG_QUALITY = 30
NOISE_SIGMA = 8.0  # grey levels, of every pixel and channel for itself
SHAKE = 2.0  # pixels, at most, along each side
DRIFT, DRIFT_FRAMES = 0.2, 200  # share of the brightness; frames of one period
# Rain: so many pixels of a frame for one streak, its length (share of the height), grey levels
RAIN_PIXELS, RAIN_LENGTH, RAIN_LEVELS = 2500, 1 / 12, 60
MOVED = 10  # pixels to the right
SEED = 0
WITHOUT = "score without motion"

Disturb = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def as_it_is(frame: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Leave a frame as it is. All disturbances take the frame's number and a generator."""
    return frame


def jpeg(frame: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Compress and decode a frame."""
    done, packed = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    picture = cv2.imdecode(packed, cv2.IMREAD_COLOR) if done else None
    if picture is None:
        raise SystemExit("cannot compress a frame")
    return picture


def noise(frame: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, new in every frame."""
    grains = generator.standard_normal(frame.shape, np.float32) * NOISE_SIGMA
    return (frame + grains).round().clip(0, 255).astype(np.uint8)


def moved(frame: np.ndarray, right: float, down: float) -> np.ndarray:
    """Move the picture by pixels; what comes in at the edges is the edge."""
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float64)
    size = frame.shape[1], frame.shape[0]
    return cv2.warpAffine(frame, matrix, size, borderMode=cv2.BORDER_REPLICATE)


def shake(frame: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Move every frame by another part of `SHAKE` pixels, evenly distributed."""
    right, down = generator.uniform(-SHAKE, SHAKE, 2)
    return moved(frame, right, down)


def drift(frame: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Make the picture slowly brighter and darker, a sine that begins as it is."""
    gain = 1 + DRIFT * np.sin(2 * np.pi * number / DRIFT_FRAMES)
    return (frame * gain).round().clip(0, 255).astype(np.uint8)


def rain(frame: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Draw thin bright streaks, a pixel wide and a little aslant, elsewhere in every frame."""
    height, width = frame.shape[:2]
    length = height * RAIN_LENGTH
    streaks = np.zeros((height, width), np.uint8)
    for x, y in generator.uniform(0, (width, height), (height * width // RAIN_PIXELS, 2)):
        end = round(x + 0.2 * length), round(y + length)
        cv2.line(streaks, (round(x), round(y)), end, RAIN_LEVELS, 1, cv2.LINE_AA)
    return cv2.add(frame, cv2.merge([streaks] * 3))


class Version(NamedTuple):
    """How a set is disturbed: of every `every`-th frame, what is made."""

    disturb: Disturb
    every: int = 1


VERSIONS: dict[str, Version] = {
    "as it is": Version(as_it_is),
    f"JPEG, quality {JPEG_QUALITY}": Version(jpeg),
    f"noise, sigma {NOISE_SIGMA:g} grey levels": Version(noise),
    "every second frame": Version(as_it_is, 2),
    f"shake, up to {SHAKE:g} pixels": Version(shake),
    f"brightness +-{100 * DRIFT:.0f} % in {DRIFT_FRAMES} frames": Version(drift),
    f"rain, a streak in {RAIN_PIXELS} pixels": Version(rain),
    f"moved {MOVED} pixels to the right": Version(lambda frame, *_: moved(frame, MOVED, 0)),
}


class DisturbedSource(FrameSource):
    """Another source's frames, disturbed; the same each time that they are read.

    Args:
        source: opened.
        version: what is made of it.
        seed: of its disturbances.
    """

    def __init__(self, source: FrameSource, version: Version, seed: Iterable[int]) -> None:
        span = WHOLE._replace(every=version.every)
        super().__init__(source.path, source.name, False, source.fps, span)
        self.size, self._source, self._version = source.size, source, version
        self._seed = list(seed)
        self.length = -(-source.length // version.every)

    def _decoded(self, wanted: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        # What is left out is disturbed too: each frame's chance follows that of the one before.
        generator = np.random.default_rng(self._seed)
        for number, frame in enumerate(self._source.frames()):
            if number % self._version.every == 0:
                index = number // self._version.every
                disturbed = self._version.disturb(frame, number, generator)
                if wanted is None or wanted[index]:
                    yield index, disturbed

    def _position_of(self, number: int) -> tuple[int, float]:
        return number * self._version.every, float("nan")


@contextmanager
def heard(name: str) -> Iterator[list[str]]:
    """Gather the lines of a logger, instead of showing them."""
    lines: list[str] = []
    logger, handler = logging.getLogger(name), logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    shown, logger.propagate = logger.propagate, False
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.propagate = shown


def scored(
    detector: Detector, source: FrameSource, limit: int | None = None
) -> dict[str, np.ndarray]:
    """Score a video, its first `limit` frames.

    Returns:
        Column -> raw numbers, float64 (T,), NaN where there is no score: the score, the score
        without motion, the parts and the diagnostics.
    """
    detector, _ = at_rate(detector, source.fps)
    results = [(result.raw, result.parts) for result in islice(detector.score(source), limit)]
    columns = columns_of([parts for _, parts in results], detector.columns)
    still = {
        name: 0.0 if name in PLACE_PARTS else weight for name, weight in detector.weights.items()
    }
    scores = {"score": np.array([raw for raw, _ in results])}
    if any(still.values()):
        scores[WITHOUT] = combine(columns, still, detector.normal)
    return scores | {part.name: columns[part.name] for part in detector.parts}


def figures(
    labels: Mapping[str, np.ndarray], series: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """Compute the figures of one version from labels and what `scored` gave, by video.

    Returns:
        "auc": column -> micro, causal; "interval": of the score, and "motion": the score minus the
        one without motion, each with its 95 % interval over videos.
    """
    first = {name: np.isnan(columns["score"]).sum() for name, columns in series.items()}
    truth = {name: labels[name][start:] for name, start in first.items()}
    causal = {
        column: {
            name: protocols.exponential(series[name][column])[start:]
            for name, start in first.items()
        }
        for column in next(iter(series.values()))
    }
    result: dict[str, Any] = {
        "frames": sum(map(len, truth.values())),
        "anomalous": int(sum(label.sum() for label in truth.values())),
        "auc": {column: frame_auc(truth, values) for column, values in causal.items()},
        "interval": bootstrap_interval(truth, causal["score"], frame_auc)._asdict(),
    }
    if WITHOUT in causal:
        pair = paired_bootstrap(truth, causal["score"], causal[WITHOUT])
        result["motion"] = pair._asdict()
    return result


def measure(
    detector: Detector, test: LabelledSet, version: Version, limit: int | None
) -> dict[str, Any]:
    """Score all videos of one version; figures, and what was said of the camera how often."""
    series, labels = {}, {}
    with heard("mpn.motion.cameras") as lines:
        for number, (name, source) in enumerate(
            tqdm(test.sources.items(), leave=False, disable=None)
        ):
            disturbed = DisturbedSource(source, version, (SEED, number))
            series[name] = scored(detector, disturbed, limit)
            labels[name] = test.labels.frames[name][:: version.every][:limit]
    return figures(labels, series) | {"said": dict(Counter(lines))}


def show(found: Mapping[str, dict[str, Any]], videos: int) -> None:
    """Print the table, with what was said of the camera under it."""
    columns = list(next(iter(found.values()))["auc"])
    rows = []
    for name, entry in found.items():
        motion = entry.get("motion")
        gain = (
            ""
            if motion is None
            else "{value:+.1f} ({low:+.1f} to {high:+.1f})".format(
                **{key: 100 * motion[key] for key in ("value", "low", "high")}
            )
        )
        auc = {column: f"{100 * value:.1f}" for column, value in entry["auc"].items()}
        rows.append([name, *(auc.get(column, "-") for column in columns), gain])
    print_table(["frame AUC, causal, %", *columns, "motion's gain, 95 %"], rows)
    for name, entry in found.items():
        for line, times in entry["said"].items():
            print(f"{name}, {times} of {videos} videos: {line}")


def _options() -> argparse.Namespace:
    """Read the command line."""
    arguments = parser(__doc__)
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument("data", type=Path, metavar="DATA", help="a labelled set")
    arguments.add_argument("--fps", type=float, help="where the videos do not say")
    arguments.add_argument("--label", help="of the result file (default: the folder's name)")
    arguments.add_argument("--videos", type=int, default=1, metavar="N", help="only every N-th")
    arguments.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="versions with one of these in them"
    )
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    return arguments.parse_args()


def main() -> None:
    """Score all versions, note the reading, print the table, write robustness-LABEL.json."""
    args = _options()
    detector = open_model(args.checkpoint, args)
    test = open_set(recognise(args.data), fps=args.fps)
    every = len(test.sources) // 2 if args.quick else args.videos
    sources = dict(list(test.sources.items())[:: max(every, 1)])
    test = LabelledSet(test.tree, sources, test.lengths, test.rates, test.labels, test.truth)
    results: dict[str, dict[str, Any]] = {}
    versions = {
        name: version
        for name, version in VERSIONS.items()
        if any(text in name for text in args.only)
    }
    if not versions:
        raise SystemExit(f"--only: no version has {' or '.join(args.only)} in it")
    for name, version in versions.items():
        results[name] = measure(detector, test, version, 120 if args.quick else None)
        print(f"{name}: {100 * results[name]['auc']['score']:.2f}", flush=True)
    if not args.quick:
        sha256, label = detector.checkpoint.sha256[:12], args.label or args.data.name
        shown = "; ".join(
            f"{name} {100 * result['auc']['score']:.2f}" for name, result in results.items()
        )
        log_reading(
            f"robustness {label}, {args.checkpoint.name} sha256 {sha256}",
            SEED,
            f"frame AUC % score {shown}",
        )
    print()
    show(results, len(sources))
    result = {
        "checkpoint": {"path": args.checkpoint.name, "sha256": detector.checkpoint.sha256},
        "data": {"name": args.data.name, "videos": len(sources), "of": len(test.labels.frames)},
        "labels": {"kind": test.labels.kind, "sha256": test.labels.sha256},
        "weights": detector.weights,
        "seed": SEED,
        "versions": results,
    }
    write_result(f"robustness-{args.label or args.data.name}", args, plain(result))


if __name__ == "__main__":
    main()
