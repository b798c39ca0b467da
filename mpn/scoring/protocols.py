"""Named smoothings and normalisations of score series (PROTOCOL section 1). No torch.

A series is float64 (T,), one number a frame of one video. NaN at the start means "no score yet"
(the first frames of a video): it stays NaN, and everything works on the finite rest. NaN or
infinity later in a series is refused.

Three protocols have names (`PROTOCOLS`, `apply`). They are cells of a matrix of score x
normalisation x smoothing, of which `cell` describes one and `series_of` makes the series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mpn.errors import DataError
from mpn.scoring.parts import COLUMNS, COMPACTNESS, PSNR

PROTOCOLS = ("absolute", "causal", "paper")
NORMALISATIONS = ("absolute", "min-max")
SMOOTHINGS = ("off", "causal", "gaussian15")
CELLS: dict[str, tuple[str, str]] = {  # protocol -> its (normalisation, smoothing)
    "absolute": ("absolute", "off"),
    "causal": ("absolute", "causal"),
    "paper": ("min-max", "gaussian15"),
}
PAIR = "pair"  # the paper's pair, of the two columns below it
PAIR_COLUMNS = (PSNR.name, COMPACTNESS.name)
SCORES: dict[str, tuple[str, ...]] = {  # score of the matrix -> the columns it is made of
    "region": ("score",),
    PAIR: PAIR_COLUMNS,
    "psnr": (PSNR.name,),
}
# higher = more normal: minus these is a score
TURNED = tuple(column.name for column in COLUMNS if column.direction == "lower")

CAUSAL_WEIGHT = 0.3
# frames, 2.33: mean lag of the exponential filter
CAUSAL_DELAY = (1.0 - CAUSAL_WEIGHT) / CAUSAL_WEIGHT
PAPER_SIGMA = 2.0  # frames
PAPER_RADIUS = 7  # frames on either side: 15 taps, so 7 frames of the future

DESCRIPTIONS: dict[str, dict[str, str | float | bool]] = {
    "absolute": {
        "normalisation": "none",
        "smoothing": "none",
        "causal": True,
        "delay_frames": 0.0,
        "lookahead_frames": 0,
    },
    "causal": {
        "normalisation": "none (constants from normal footage at most)",
        "smoothing": f"exponential, weight {CAUSAL_WEIGHT} on the newest frame, past and present "
        "only",
        "causal": True,
        "delay_frames": CAUSAL_DELAY,
        "lookahead_frames": 0,
    },
    "paper": {
        "normalisation": "per-video min-max over the whole test video (no camera can know it)",
        "smoothing": "after it, Gaussian of sigma 2, 15 taps, its first and last values held, "
        "looks 7 frames ahead",
        "causal": False,
        "delay_frames": 0.0,
        "lookahead_frames": PAPER_RADIUS,
    },
}

_FLAT = 1e-12  # a spread below this share of the values is rounding, not signal
_SMALLEST_COMPACTNESS = 1e-20  # 200 dB; keeps an exact match from dividing by zero


class Exponential:
    """The causal filter, one value at a time.

    s_t = weight * x_t + (1 - weight) * s_(t-1), s_0 = x_0. A step in the input is followed with a
    mean lag of (1 - weight) / weight frames. Gives bit for bit what `exponential` gives for the
    whole series.

    Args:
        weight: of the newest frame, above 0 and at most 1.

    Raises:
        ValueError: another weight.
    """

    def __init__(self, weight: float = CAUSAL_WEIGHT) -> None:
        if not 0.0 < weight <= 1.0:
            raise ValueError(f"weight {weight}, expected above 0 and at most 1")
        self.weight = weight
        self.state: float | None = None

    def update(self, value: float) -> float:
        """Return the smoothed value of the next frame; NaN as long as only NaN came.

        Args:
            value: of the frame.

        Raises:
            DataError: NaN or infinity once a score has been seen.
        """
        value = float(value)
        if not np.isfinite(value):
            if self.state is None and np.isnan(value):
                return value
            raise DataError(
                f"score {value} after the first score: expected a finite number for every frame"
            )
        if self.state is None:
            self.state = value
        else:
            self.state = self.weight * value + (1.0 - self.weight) * self.state
        return self.state

    def reset(self) -> None:
        """Forget the past: the next value begins a new video."""
        self.state = None


def exponential(x: np.ndarray, weight: float = CAUSAL_WEIGHT) -> np.ndarray:
    """Smooth one video causally and exponentially; see `Exponential`.

    Args:
        x: (T,).
        weight: of the newest frame, above 0 and at most 1.

    Returns:
        float64 (T,).

    Raises:
        DataError: a series that is not (T,) or has gaps after its first score.
    """
    tail, result = _split(x)
    smoother = Exponential(weight)
    result[len(result) - len(tail) :] = [smoother.update(value) for value in tail.tolist()]
    return result


def paper_filter(x: np.ndarray) -> np.ndarray:
    """Smooth one video as the paper does, centred: 15-tap Gaussian of sigma 2, ends held.

    After `utils.py` of the published MPN code, with the kernel's sum made 1 (0.99985 there): the
    first and last 7 frames take the first and last value that the whole kernel gives. It looks 7
    frames ahead. A video of fewer than 15 frames (there, an error or zeros) is lengthened by its
    own first and last score instead.

    Args:
        x: (T,).

    Returns:
        float64 (T,).

    Raises:
        DataError: as `exponential` does.
    """
    tail, result = _split(x)
    if len(tail):
        smooth = gaussian_filter1d(tail, sigma=PAPER_SIGMA, radius=PAPER_RADIUS, mode="nearest")
        if len(tail) > 2 * PAPER_RADIUS:
            smooth[:PAPER_RADIUS] = smooth[PAPER_RADIUS]
            smooth[-PAPER_RADIUS:] = smooth[-PAPER_RADIUS - 1]
        result[len(result) - len(tail) :] = smooth
    return result


def min_max(x: np.ndarray) -> np.ndarray:
    """Stretch one video to [0, 1] by its own extremes; a constant series gives zeros.

    A spread below 1e-12 of the values counts as constant: smoothing leaves rounding errors on a
    constant series, which must not become scores.

    Args:
        x: (T,).

    Returns:
        float64 (T,).

    Raises:
        DataError: as `exponential` does.
    """
    tail, result = _split(x)
    if len(tail):
        low, high = tail.min(), tail.max()
        flat = high - low <= _FLAT * max(abs(low), abs(high))
        result[len(result) - len(tail) :] = 0.0 if flat else (tail - low) / (high - low)
    return result


class Cell(NamedTuple):
    """What a normalisation and a smoothing ask for.

    Attributes:
        normalisation: one of `NORMALISATIONS`.
        smoothing: one of `SMOOTHINGS`.
        live: whether a camera could have had the score, if need be some frames late.
        why: the same in words.
        delay_frames: mean lag of the series behind what happens.
        lookahead_frames: how many later frames a score waits for; None = all of the video.
    """

    normalisation: str
    smoothing: str
    live: bool
    why: str
    delay_frames: float
    lookahead_frames: int | None


_WHY_LIVE = {
    "off": "each frame's own score, at once",
    "causal": f"past and present frames only; follows {CAUSAL_DELAY:.1f} frames late on average",
    "gaussian15": f"waits for {PAPER_RADIUS} later frames (the first score of a video for "
    f"{2 * PAPER_RADIUS})",
}


def cell(normalisation: str, smoothing: str) -> Cell:
    """Describe a cell of the matrix.

    Args:
        normalisation: one of `NORMALISATIONS`.
        smoothing: one of `SMOOTHINGS`.

    Raises:
        ValueError: a cell that does not exist.
    """
    _check_cell(normalisation, smoothing)
    delay = CAUSAL_DELAY if smoothing == "causal" else 0.0
    if normalisation == "min-max":
        why = "per-video min-max needs the lowest and highest score of the whole video, so its end"
        return Cell(normalisation, smoothing, False, why, delay, None)
    ahead = PAPER_RADIUS if smoothing == "gaussian15" else 0
    return Cell(normalisation, smoothing, True, _WHY_LIVE[smoothing], delay, ahead)


def _check_cell(normalisation: str, smoothing: str) -> None:
    if normalisation not in NORMALISATIONS:
        raise ValueError(
            f"normalisation {normalisation!r}, expected one of {', '.join(NORMALISATIONS)}"
        )
    if smoothing not in SMOOTHINGS:
        raise ValueError(f"smoothing {smoothing!r}, expected one of {', '.join(SMOOTHINGS)}")


def series_of(
    score: str, columns: Mapping[str, np.ndarray], normalisation: str, smoothing: str
) -> np.ndarray:
    """Make one video's score in one cell of the matrix.

    Min-max comes before the filter, as in the published code. The pair is `paper_pair` with the
    cell's normalisation and smoothing: (min-max, gaussian15) is the published one.

    Args:
        score: a key of `SCORES`, or the name of a column, which is turned if it is in `TURNED`.
        columns: name -> float64 (T,).
        normalisation: one of `NORMALISATIONS`.
        smoothing: one of `SMOOTHINGS`.

    Returns:
        float64 (T,), higher = more anomalous.

    Raises:
        KeyError: a missing column.
        ValueError: a cell that does not exist.
        DataError: as `exponential` and `paper_pair` do.
    """
    if score == PAIR:
        psnr_db, compactness = (columns[name] for name in PAIR_COLUMNS)
        return paper_pair(psnr_db, compactness, normalisation=normalisation, smoothing=smoothing)
    (column,) = SCORES.get(score, (score,))
    values = np.asarray(columns[column], dtype=np.float64)
    return _step(normalisation, smoothing)(-values if column in TURNED else values)


def _step(normalisation: str, smoothing: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what a cell does with a series."""
    _check_cell(normalisation, smoothing)
    smooth = {"off": _copy, "causal": exponential, "gaussian15": paper_filter}[smoothing]
    return smooth if normalisation == "absolute" else lambda x: smooth(min_max(x))


def paper_pair(
    psnr_db: np.ndarray,
    compactness: np.ndarray,
    a: float = 0.5,
    *,
    normalisation: str = "min-max",
    smoothing: str = "gaussian15",
) -> np.ndarray:
    """Make the paper's anomaly score of one video from its two series.

    1 - (a * N(PSNR) + (1 - a) * N(10 log10(1 / compactness))), N = per-video min-max, then
    `paper_filter`, as `Test.py` of the published code (the plain, not the few-shot script) does
    them, with a = 0.5. With another smoothing that one is put after N; with normalisation
    "absolute" it is minus the mean of the two in dB, weighted by a and 1 - a.

    Args:
        psnr_db: (T,) in dB, higher = more normal.
        compactness: (T,), >= 0.
        a: weight of the PSNR, 0 to 1.
        normalisation: one of `NORMALISATIONS`.
        smoothing: one of `SMOOTHINGS`.

    Returns:
        float64 (T,), higher = more anomalous.

    Raises:
        DataError: they differ in length or in where they start, or compactness is negative.
        ValueError: another cell or a outside [0, 1].
    """
    step = _step(normalisation, smoothing)
    if not 0.0 <= a <= 1.0:
        raise ValueError(f"a is {a}, expected 0 to 1")
    error = np.asarray(compactness, dtype=np.float64)
    psnr_db = np.asarray(psnr_db, dtype=np.float64)
    if error.shape != psnr_db.shape or not np.array_equal(np.isnan(error), np.isnan(psnr_db)):
        raise DataError(
            f"PSNR {psnr_db.shape} and compactness {error.shape} must have scores for the same "
            "frames"
        )
    if (error < 0).any():
        raise DataError(f"compactness {np.nanmin(error)} is negative, expected squared distances")
    decibel = -10.0 * np.log10(np.maximum(error, _SMALLEST_COMPACTNESS))
    normal = a * step(psnr_db) + (1.0 - a) * step(decibel)
    return -normal if normalisation == "absolute" else 1.0 - normal


def apply(protocol: str, series: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put every video of one score column under a protocol.

    "absolute": as it is; "causal": `exponential` with weight 0.3; "paper": per-video `min_max`,
    then `paper_filter`, in the published order.

    Args:
        protocol: one of `PROTOCOLS`.
        series: name of the video -> float64 (T,), higher = more anomalous.

    Returns:
        The same, under the protocol.

    Raises:
        DataError: naming the video, for a series with gaps.
        ValueError: another protocol.
    """
    if protocol not in CELLS:
        raise ValueError(f"protocol {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    step = _step(*CELLS[protocol])
    result = {}
    for name, values in series.items():
        try:
            result[name] = step(values)
        except DataError as error:
            raise DataError(f"video {name!r}: {error}") from None
    return result


def _copy(x: np.ndarray) -> np.ndarray:
    return _split(x)[1]


def _split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the finite rest of a series, and a copy of all of it to be overwritten there."""
    result = np.array(x, dtype=np.float64)
    if result.ndim != 1:
        raise DataError(f"a score series of shape {result.shape}, expected one number a frame (T,)")
    scored = np.flatnonzero(~np.isnan(result))
    tail = result[scored[0] :] if len(scored) else result[:0]
    bad = np.flatnonzero(~np.isfinite(tail))
    if len(bad):
        frame = len(result) - len(tail) + bad[0]
        raise DataError(f"the score of frame {frame} is {result[frame]}, expected a finite number")
    return tail.copy(), result
