"""Scores of clips: a column of numbers for every part, NaN where a frame has none.

The first T frames of a clip have no score. A frame that could not be read holds its neighbour
instead: it has none either, and nor has a frame whose window shows one, so that what was never seen
is not taken for normal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from tqdm import tqdm

from mpn.datasets.windows import Clip
from mpn.errors import DataError
from mpn.io.runs import intervals
from mpn.model.engines import Engine, TorchEngine
from mpn.model.network import Network
from mpn.motion.cameras import choose_place, grid_of
from mpn.motion.place import PlaceModel, picture_of
from mpn.scoring.detector import Detector
from mpn.scoring.parts import ScorePart, given_parts
from mpn.scoring.scores import ScoreConfig, score_frames
from mpn.video.timing import USUAL_RATE

# Of held-out footage, so many frames are kept in a model for its thresholds.
NORMAL_FRAMES = 100_000


def readable_runs(clip: Clip, without: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """Find the stretches of a clip that hold no unreadable frame.

    Args:
        clip: its `bad` frames are left out.
        without: further stretches (start, stop) that are left out.

    Returns:
        (start, stop), in order.
    """
    free = np.ones(len(clip.frames), bool)
    for start, stop in without:
        free[start:stop] = False
    free[[bad.index for bad in clip.bad if bad.index < len(free)]] = False
    return intervals(free)


def score_clips(
    detector: Detector, clips: Sequence[Clip], title: str
) -> list[dict[str, np.ndarray]]:
    """Score every frame of every clip.

    Args:
        detector: the model.
        clips: of its network's size and colour; with their motion, if the model judges motion.
        title: of the progress bar.

    Returns:
        Of each clip: column (`Detector.columns`) -> raw numbers, float32 (T,), NaN where there is
        no score.
    """
    columns = []
    total = sum(len(clip.frames) for clip in clips)
    with tqdm(total=total, desc=title, unit="frame", disable=None, leave=False) as bar:
        for clip in clips:
            rows: list[Mapping[str, float]] = [{}] * len(clip.frames)
            for frame, numbers in _scored(
                detector.network,
                replace(clip, fps=clip.fps or detector.checkpoint.fps),
                detector.parts,
                detector.places,
                patch=detector.score_config.patch,
                engine=detector.engine,
                batch_size=detector.batch_size,
            ):
                rows[frame] = numbers
                bar.update()
            columns.append(
                {
                    name: values.astype(np.float32)
                    for name, values in columns_of(rows, detector.columns).items()
                }
            )
    return columns


def normal_parts(
    network: Network,
    clips: Sequence[Clip],
    places: Mapping[str, PlaceModel] | None = None,
    *,
    bfloat16: bool = False,
) -> dict[str, list[np.ndarray]]:
    """Score normal footage for a model's thresholds, see `Checkpoint.normal`.

    Args:
        network: of the model.
        clips: normal footage that it was not trained on; the first `NORMAL_FRAMES` frames count.
        places: place models of its cameras, of other footage than this.
        bfloat16: run the network in bfloat16 autocast.

    Returns:
        Part -> raw scores, float32, an array for every stretch of a clip without unreadable frames
        (one for a clip that has none), the first T frames of each left out.
    """
    places = places or {}
    parts = given_parts(network, places)
    window, engine = network.config.window, TorchEngine(network, bfloat16)
    normal: dict[str, list[np.ndarray]] = {part.name: [] for part in parts}
    left = NORMAL_FRAMES
    for clip in tqdm(clips, desc="calibrating", unit="clip", disable=None, leave=False):
        cut = clip.cut(0, left)
        rows = dict(_scored(network, cut, parts, places, engine=engine))
        left -= len(rows)
        for start, stop in readable_runs(cut) or [(0, 0)]:
            stretch = [rows[frame] for frame in range(start + window, stop)]
            for name, values in columns_of(stretch, normal).items():
                normal[name].append(values.astype(np.float32))
        if left <= 0:
            break
    return normal


def columns_of(rows: Sequence[Mapping[str, float]], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn rows of numbers, a row a frame, into columns.

    Args:
        rows: name -> number, empty for a frame without a score.
        names: of the columns.

    Returns:
        name -> float64 (T,), NaN where a row has no such number.
    """
    return {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}


def _scored(
    network: Network,
    clip: Clip,
    parts: Sequence[ScorePart],
    places: Mapping[str, PlaceModel] | None,
    *,
    patch: int = ScoreConfig.patch,
    engine: Engine | None = None,
    batch_size: int | None = None,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the number of each frame that has a score, and its columns."""
    quotients = None
    if any(part.needs_place for part in parts):
        static = any(part.needs_static for part in parts)
        quotients = quotients_of(clip, places or {}, static=static)
    for start, stop in readable_runs(clip):
        for frame in score_frames(
            network,
            clip.frames[start:stop],
            parts=parts,
            quotients=quotients and partial(_from, quotients, start),
            patch=patch,
            engine=engine,
            batch_size=batch_size,
        ):
            yield start + frame.frame, frame.parts


def _from(quotients: Callable[[int], np.ndarray], start: int, frame: int) -> np.ndarray:
    return quotients(start + frame)


def quotients_of(
    clip: Clip, places: Mapping[str, PlaceModel], *, static: bool = False
) -> Callable[[int], np.ndarray]:
    """Give what a clip's frames show by what is normal at its place.

    Args:
        clip: with its motion.
        places: place models by camera; the clip's is chosen by its first frame.
        static: judge what stays too.

    Returns:
        Frame number -> float32 (2 or 3, rows, columns), as `mpn.motion.cameras.PlaceStream` gives
        it.

    Raises:
        DataError: the clip was read without its motion.
    """
    place = choose_place(places, clip.frames[0], grid_of(_motion_of(clip)), clip.name)
    return quotients_by(clip, place, static=static)


def quotients_by(
    clip: Clip, place: PlaceModel, *, static: bool = False, start: int = 0, stop: int | None = None
) -> Callable[[int], np.ndarray]:
    """Give what a clip's frames show by what is normal at a place.

    Args:
        clip: with its motion.
        place: of its camera.
        static: judge what stays too.
        start: what stays is judged as if the clip began here.
        stop: the frame after the last that is asked for; None for the clip's end.

    Returns:
        See `quotients_of`.

    Raises:
        DataError: the clip was read without its motion.
    """
    motion = _motion_of(clip)

    def moving(frame: int) -> np.ndarray:
        return place.quotients(motion[max(frame - 1, 0)], motion[frame])

    if not static:
        return moving
    staying = static_quotients(clip, place, start, stop)
    return lambda frame: np.concatenate([moving(frame), staying(frame)[None]])


def static_quotients(
    clip: Clip, place: PlaceModel, start: int = 0, stop: int | None = None
) -> Callable[[int], np.ndarray]:
    """Give for how long changes have stayed in a clip, by what is normal at a place.

    Args:
        clip: its motion is not needed.
        place: of its camera; what it does not know is 0.
        start: what stays is judged as if the clip began here.
        stop: the frame after the last that is asked for; None for the clip's end.

    Returns:
        Frame number -> float32 (rows, columns), see `mpn.motion.static.StaticReader`.
    """
    if not place.background.known:
        nothing = np.zeros(place.grid, np.float32)
        return lambda frame: nothing
    reader = place.static_reader(clip.fps or USUAL_RATE)
    readings = [
        reader.read(partial(picture_of, frame, place.grid)) for frame in clip.frames[start:stop]
    ][:: reader.every]
    return lambda frame: readings[(frame - start) // reader.every]


def _motion_of(clip: Clip) -> np.ndarray:
    if clip.motion is None:
        raise DataError(f"{clip.name} was read without its motion, which this model judges")
    return clip.motion
