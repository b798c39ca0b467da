"""What a machine can do with a model: frames a second by engine, precision and batch.

Everything that is compared is measured in turn, round by round, so that a machine that slows down
slows all of it down.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from mpn.errors import MpnError
from mpn.model.checkpoint import Checkpoint
from mpn.model.engines import Engine, engine_precision, installed_engines, open_engine
from mpn.model.network import Network
from mpn.motion.flow import MotionReader
from mpn.scoring.detector import Detector
from mpn.scoring.scores import BATCH_SIZE
from mpn.video.ahead import compute_ahead
from mpn.video.sources import open_source

FILM_SIZE = (240, 360)  # (height, width), as the demo set's cameras and most small ones
FILM_FRAMES, WARM_UP = 90, 12
BATCHES = (1, BATCH_SIZE)
PRODUCT_SIDE = 2048  # of the matrices whose product is taken for what the processor can do
ROUNDS, ROUNDS_OF_FILM = 10, 3
SECONDS = 20.0  # of either kind of round: what is slow gets fewer of them, two at least
# What gains less than this is not worth an option: it may be noise.
WORTH = 1.05


class Setting(NamedTuple):
    """What runs the network, and how precisely ("float32" or "bfloat16")."""

    engine: str
    precision: str

    @property
    def options(self) -> str:
        """Return the options of `mpn score` that ask for it; empty for what is done without."""
        words = [] if self.engine == "torch" else ["--engine", self.engine]
        if self != usual_setting(self.engine):
            words += ["--precision", self.precision]
        return " ".join(words)


class NetworkRate(NamedTuple):
    """The network alone: frames a second in each round."""

    setting: Setting
    batch: int
    rates: list[float]


class FilmRate(NamedTuple):
    """All of it, from a video file to scores: frames a second in each round."""

    setting: Setting
    rates: list[float]


@dataclass(frozen=True)
class NetworkBench:
    """The network alone, beside what the processor can do.

    Attributes:
        flops: floating-point operations of a frame's matrix products and convolutions.
        peak: precision -> operations a second of a product of two large matrices, in each round.
        rates: of every setting and batch.
    """

    flops: int
    peak: dict[str, list[float]]
    rates: list[NetworkRate]

    def share(self, rate: NetworkRate) -> float:
        """Compute how much of the peak of its precision a setting reaches.

        Args:
            rate: one of `rates`.
        """
        peak = statistics.median(self.peak[rate.setting.precision])
        return statistics.median(rate.rates) * self.flops / peak


@dataclass(frozen=True)
class FilmBench:
    """A video file of `FILM_SIZE` scored.

    Attributes:
        motion: frames a second of decoding and optical flow alone, in each round.
        rates: all of it, by every setting.
    """

    motion: list[float]
    rates: list[FilmRate]

    def best(self) -> FilmRate:
        """Choose the setting to use: the usual one, unless another is well quicker each time."""
        usual = next(rate for rate in self.rates if rate.setting == usual_setting())
        quickest = max(self.rates, key=lambda rate: statistics.median(rate.rates))
        always = all(measured > other for measured, other in zip(quickest.rates, usual.rates))
        return quickest if always and self.gain(quickest) >= WORTH else usual

    def gain(self, rate: FilmRate) -> float:
        """Compute how many times as quick as the usual setting another is, round by round.

        Args:
            rate: one of `rates`.
        """
        usual = next(rate for rate in self.rates if rate.setting == usual_setting())
        return statistics.median(
            measured / other for measured, other in zip(rate.rates, usual.rates)
        )


def usual_setting(engine: str = "torch") -> Setting:
    """Name what an engine does without --precision on this processor.

    Args:
        engine: its name.
    """
    return Setting(engine, "bfloat16" if engine_precision(engine, "auto") else "float32")


def settings_here() -> list[Setting]:
    """List what can run a network here: installed engines, in the precisions that are quick."""
    settings = []
    for engine in installed_engines():
        settings += [Setting(engine, "float32"), usual_setting(engine)]
    return list(dict.fromkeys(settings))


def open_engines(network: Network, settings: Iterable[Setting]) -> dict[Setting, Engine]:
    """Make what runs a network by each of some settings.

    Args:
        network: on the processor.
        settings: of engines that are installed.
    """
    return {
        setting: open_engine(setting.engine, network, setting.precision == "bfloat16")
        for setting in settings
    }


def bench_network(
    network: Network,
    engines: Mapping[Setting, Engine],
    batches: Sequence[int] = BATCHES,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> NetworkBench:
    """Measure the network alone, and products of matrices beside it.

    Args:
        network: on the processor.
        engines: that run it, by their settings.
        batches: windows at a time.
        rounds: how often each is measured.
        seconds: past which no more rounds begin, after two.
    """
    config = network.config
    shape = (config.window * config.colours, *config.size)
    generator = torch.Generator().manual_seed(0)
    windows = torch.rand((max(batches), *shape), generator=generator) * 2 - 1
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(windows[:1])
    timed: list[Callable[[], object]] = []
    # Of whole numbers torch has no quick product to compare with.
    precisions = [
        name
        for name in dict.fromkeys(setting.precision for setting in engines)
        if getattr(torch, name).is_floating_point
    ]
    for precision in precisions:
        matrix = torch.rand((PRODUCT_SIDE, PRODUCT_SIDE), generator=generator)
        timed.append(_product(matrix.to(getattr(torch, precision))))
    cells = [(setting, batch) for setting in engines for batch in batches]
    for setting, batch in cells:
        timed.append(_forward(engines[setting], windows[:batch]))
    times = _seconds_in_turn(timed, rounds, seconds, "network")
    products = times[: len(precisions)]
    peak = {
        precision: [2 * PRODUCT_SIDE**3 / elapsed for elapsed in taken]
        for precision, taken in zip(precisions, products)
    }
    rates = [
        NetworkRate(setting, batch, [batch / elapsed for elapsed in taken])
        for (setting, batch), taken in zip(cells, times[len(precisions) :])
    ]
    return NetworkBench(counter.get_total_flops(), peak, rates)


def bench_film(
    checkpoint: Checkpoint,
    settings: Sequence[Setting],
    rounds: int = ROUNDS_OF_FILM,
    frames: int = FILM_FRAMES,
    seconds: float = SECONDS,
) -> FilmBench:
    """Measure motion alone and the whole scoring of a video file that is made for it.

    Args:
        checkpoint: the model.
        settings: by which its network is run, the usual one among them.
        rounds: how often each is measured.
        frames: of the file.
        seconds: past which no more rounds begin, after two.

    Raises:
        MpnError: the file cannot be made.
    """
    detectors = [
        Detector(checkpoint, engine=setting.engine, precision=setting.precision)
        for setting in settings
    ]
    with TemporaryDirectory() as folder, _only_errors():
        film = Path(folder) / "film.mp4"
        write_film(film, frames)
        timed = [lambda: _motion(film), *(_scoring(detector, film) for detector in detectors)]
        times = _seconds_in_turn(timed, rounds, seconds, "scoring")
    motion, *scoring = ([frames / elapsed for elapsed in taken] for taken in times)
    return FilmBench(
        motion, [FilmRate(setting, rates) for setting, rates in zip(settings, scoring)]
    )


def _seconds_in_turn(
    timed: Sequence[Callable[[], object]], rounds: int, seconds: float, title: str
) -> list[list[float]]:
    """Take the time of each, round by round, behind a round that does not count."""
    times: list[list[float]] = [[] for _ in timed]
    with tqdm(total=(rounds + 1) * len(timed), desc=title, disable=None, leave=False) as bar:
        begun = None
        for number in range(rounds + 1):
            if begun is not None and number > 2 and time.perf_counter() - begun > seconds:
                break
            for taken, call in zip(times, timed):
                before = time.perf_counter()
                call()
                if number:
                    taken.append(time.perf_counter() - before)
                bar.update()
            begun = begun or time.perf_counter()
    return times


@contextmanager
def _only_errors() -> Iterator[None]:
    """Leave unsaid what scoring has to say of a film that no camera has taken."""
    logger = logging.getLogger("mpn")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@torch.inference_mode()
def _call(function: Callable[..., object], *arguments: torch.Tensor) -> None:
    function(*arguments)


def _product(matrix: torch.Tensor) -> Callable[[], None]:
    return lambda: _call(torch.mm, matrix, matrix)


def _forward(engine: Callable[..., object], windows: torch.Tensor) -> Callable[[], None]:
    return lambda: _call(engine, windows)


def _motion(film: Path) -> None:
    source = open_source(film)
    reader = MotionReader(source.size)
    tasks = ((None, reader.begin(image)) for image in source.frames())
    with closing(compute_ahead(tasks)) as moved:
        _exhaust(moved)


def _scoring(detector: Detector, film: Path) -> Callable[[], None]:
    with closing(detector.score(film)) as results:  # an engine opens its graph, which takes seconds
        _exhaust(islice(results, WARM_UP))
    return lambda: _exhaust(detector.score(film))


def _exhaust(items: Iterable[object]) -> None:
    for _ in items:
        pass


def write_film(path: Path, frames: int) -> None:
    """Write an mp4 file of `FILM_SIZE`, 30 frames/s: figures on a textured ground, sensor noise.

    Args:
        path: of the file.
        frames: their number.

    Raises:
        MpnError: this build of OpenCV cannot write mp4.
    """
    height, width = FILM_SIZE
    generator = np.random.default_rng(0)
    ground = generator.integers(60, 200, (height, width, 3)).astype(np.uint8)
    ground = cv2.GaussianBlur(ground, (9, 9), 0)
    starts = generator.uniform((0, 0), (width, height), (12, 2))
    speeds = generator.uniform(-2, 2, (12, 2))
    noise = generator.normal(0, 3, (8, *ground.shape))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, height))
    if not writer.isOpened():
        raise MpnError("this build of OpenCV cannot write an mp4 file")
    for number in range(frames):
        frame = ground.copy()
        for n, (x, y) in enumerate((starts + number * speeds) % (width, height)):
            cv2.ellipse(frame, (int(x), int(y)), (6, 15), 0, 0, 360, (30 + 15 * n,) * 3, -1)
        writer.write(np.clip(frame + noise[number % len(noise)], 0, 255).astype(np.uint8))
    writer.release()
