"""Anomalies made of a camera's own motion: which of them would be found, and by which part.

In held-out normal footage the largest thing that moves is made faster, turned round, or put at
another place, and judged like the frame that it is from. Nobody has to label anything, and the
answer is about this camera: where people run anyway, a runner is not found. It is no detection
rate: real anomalies look odd, too, and made ones move as evenly as what they are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from mpn.adaptation.place import Stretch
from mpn.motion.flow import DIRECTED, DIRECTIONS, SPEED
from mpn.motion.place import PlaceModel
from mpn.scoring.parts import MOTION_PARTS, motion_numbers
from mpn.scoring.protocols import exponential
from mpn.scoring.scores import combine

FASTER, TURNED, ELSEWHERE = "twice as fast", "the other way", "elsewhere"
KINDS = (FASTER, TURNED, ELSEWHERE)
TIMES = 2.0  # as fast
SLOWEST = 0.5  # pixels of the working size a frame: what is slower is not altered
MIN_CELLS = 4  # of what moves: less is noise
# Of a made anomaly, at the most; it is found if any of its frames is above the threshold.
PIECE_SECONDS, MIN_PIECE_SHARE = 2.0, 0.5
MIN_PIECE = 0.5  # share of a piece's frames in which something moves
MAX_FRAMES = 600  # that are looked at, in pieces spread evenly over the footage
WHOLE = "score"


class Made(NamedTuple):
    """What became of the made anomalies of a kind.

    Attributes:
        kind: one of `KINDS`.
        pieces: how many there are, of `PIECE_SECONDS` each at the most.
        found: so many of them are above the threshold; None where there is no threshold.
        auc: how well the score, and each part that judges motion, tells frames with one from the
            same frames without, in [0, 1]: 0.5 for not at all.
    """

    kind: str
    pieces: int
    found: int | None
    auc: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return self._asdict()


def altered(motion: np.ndarray, kind: str, shift: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Alter the largest thing that moves in a frame.

    Args:
        motion: (rows, columns, CHANNELS), as `mpn.motion.flow.MotionReader.read` gives it.
        kind: one of `KINDS`.
        shift: cells down and to the right, by which it is put elsewhere.

    Returns:
        The motion, float32, and whether there was anything to alter.
    """
    made = motion.astype(np.float32)
    moving = (made[..., SPEED] > SLOWEST).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas) or areas.max() < MIN_CELLS:
        return made, False
    thing = labels == 1 + int(areas.argmax())
    if kind == FASTER:
        for channels in (SPEED, DIRECTED):
            made[..., channels][thing] *= TIMES
    elif kind == TURNED:
        made[..., DIRECTED][thing] = np.roll(made[..., DIRECTED][thing], DIRECTIONS // 2, axis=-1)
    else:
        made[thing] = 0
        made[np.roll(thing, shift, axis=(0, 1))] = motion[thing]
    return made, True


class Judged(NamedTuple):
    """A held-out stretch of which no frame is in the place model that judges it.

    Attributes:
        stretch: (clip, first frame, end).
        place: the model.
        columns: all parts of its frames, (end - first,), NaN where there is none.
    """

    stretch: Stretch
    place: PlaceModel
    columns: Mapping[str, np.ndarray]


def _pieces(judged: Sequence[Judged], fps: float) -> list[tuple[Judged, Stretch]]:
    """Cut held-out stretches into pieces for an anomaly each; of many, evenly spread ones."""
    length = max(2, round(PIECE_SECONDS * fps))
    pieces = []
    for held_out in judged:
        clip, start, stop = held_out.stretch
        # A stretch that is shorter, as those of little footage are, is a piece as it is.
        piece_length = min(length, stop - start)
        if piece_length < MIN_PIECE_SHARE * length:
            continue
        pieces += [
            (held_out, Stretch(clip, first, first + piece_length))
            for first in range(start, stop - piece_length + 1, piece_length)
        ]
    most = max(2, MAX_FRAMES // length)
    if len(pieces) <= most:
        return pieces
    return [pieces[round(n * (len(pieces) - 1) / (most - 1))] for n in range(most)]


def try_out(
    motions: Sequence[np.ndarray],
    judged: Sequence[Judged],
    fps: float,
    weights: Mapping[str, float],
    normal: Mapping[str, tuple[float, float]],
    smoothing: float,
    threshold: float | None,
) -> list[Made]:
    """Make anomalies of all kinds, and say which would be found.

    Args:
        motions: of the clips, (T, rows, columns, CHANNELS).
        judged: the held-out footage.
        fps: of the footage.
        weights: part -> its weight in the score.
        normal: part -> its mean and deviation on normal frames.
        smoothing: of the score, see `mpn.scoring.protocols.exponential`.
        threshold: of the score.

    Returns:
        One a kind; none where nothing moves.
    """
    used = [name for name in weights if weights[name]]
    results = []
    for kind in KINDS:
        shifts = np.random.default_rng(0)
        tries = [
            _tried(motions, held_out, piece, kind, _shift(shifts, held_out.place.grid), used)
            for held_out, piece in _pieces(judged, fps)
        ]
        pairs = [pair for pair in tries if pair is not None]
        if not pairs:
            return []
        scores = [
            tuple(
                exponential(combine(columns, {n: weights[n] for n in used}, normal), smoothing)
                for columns in pair
            )
            for pair in pairs
        ]
        above = None
        if threshold is not None:
            above = sum(bool((made > threshold).any()) for _, made in scores)
        auc = {WHOLE: _auc(scores)} | {
            name: _auc([(plain[name], made[name]) for plain, made in pairs])
            for name in MOTION_PARTS
            if name in used
        }
        results.append(Made(kind, len(pairs), above, auc))
    return results


def _shift(generator: np.random.Generator, grid: tuple[int, int]) -> tuple[int, int]:
    """Draw how far something is put elsewhere: a quarter of a side at the least, either way."""
    down, right = (int(generator.integers(cells // 4, cells - cells // 4)) for cells in grid)
    return down, right


def _tried(
    motions: Sequence[np.ndarray],
    judged: Judged,
    piece: Stretch,
    kind: str,
    shift: tuple[int, int],
    used: Sequence[str],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]] | None:
    """Judge a piece as it is and altered; None where too little moves in it.

    Returns:
        Part -> numbers of the frames in which something was altered, plain and altered.
    """
    clip, start, stop = piece
    frames = slice(start - judged.stretch.start, stop - judged.stretch.start)
    plain = {name: judged.columns[name][frames] for name in used}
    rows, changed = [], []
    before: np.ndarray | None = None
    for motion in motions[clip][start:stop]:
        made, is_altered = altered(motion, kind, shift)
        speeds = judged.place.speeds(made)
        quotients = judged.place.lasting(speeds if before is None else before, speeds)
        rows.append(motion_numbers(quotients))
        changed.append(is_altered and before is not None)  # motion has to last for two frames
        before = speeds
    counted = np.array(changed) & ~np.isnan(np.sum(list(plain.values()), axis=0))
    if counted.mean() < MIN_PIECE:
        return None
    numbers = {name: np.array([row[name] for row in rows]) for name in MOTION_PARTS}
    made_columns = {**plain, **{name: numbers[name] for name in MOTION_PARTS if name in used}}
    return (
        {name: values[counted].astype(np.float64) for name, values in plain.items()},
        {name: values[counted].astype(np.float64) for name, values in made_columns.items()},
    )


def _auc(pairs: Sequence[tuple[np.ndarray, ...]]) -> float:
    """Compute how often a frame with a made anomaly is above one without."""
    plain, made = (np.concatenate(values) for values in zip(*pairs))
    labels = np.repeat([False, True], [len(plain), len(made)])
    return float(roc_auc_score(labels, np.concatenate([plain, made])))
