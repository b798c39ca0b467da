"""A camera's place model, learned from its normal footage, and scores that it did not see.

With K windows the place model is of these, and all other footage is scored by it. With all of the
footage it is of all, and every piece is scored by a model of the other pieces, so that no frame is
judged by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mpn.datasets.windows import Clip
from mpn.errors import DataError
from mpn.motion.cameras import grid_of
from mpn.motion.place import PlaceModel, picture_of
from mpn.motion.static import Readings, readings_every
from mpn.scoring.clips import quotients_by, readable_runs
from mpn.scoring.parts import MOTION_PARTS, PLACE_PARTS, motion_numbers
from mpn.video.timing import USUAL_RATE

# The footage is cut into so many pieces one after the other; each FOLDS-th of them is judged by the
# rest. From MANY_FRAMES frames on there are MANY_FOLDS: the less is held out, the more alike are
# its scores and those that will be seen (benchmarks/results/motion_choices.md, "How much is held
# out").
PIECES, FOLDS = 16, 4
MANY_FRAMES, MANY_FOLDS = 1000, 16


class Stretch(NamedTuple):
    """Frames start to stop (exclusive) of clip number `clip`."""

    clip: int
    start: int
    stop: int


def learn_place(clips: Sequence[Clip], stretches: Sequence[Stretch]) -> PlaceModel:
    """Learn what motion is normal, and what stays, from stretches of footage.

    Args:
        clips: of one camera, with their motion.
        stretches: what counts as normal; a clip's first frame has no motion and is left out.

    Raises:
        DataError: clips without motion, or of pictures of different shapes.
    """
    grids = {None if clip.motion is None else grid_of(clip.motion) for clip in clips}
    grid = grids.pop() if len(grids) == 1 else None
    if grid is None:
        raise DataError(
            "a camera's place model takes recordings of one shape, with their motion; "
            f"{len(clips)} clips were given, of different ones"
        )
    place = PlaceModel(grid)
    for number, start, stop in stretches:
        clip = clips[number]
        assert clip.motion is not None
        place.add(clip.motion[max(start, 1) : stop], clip.frames[start:stop])
    learn_background(place, clips, stretches)
    return place


def learn_background(
    place: PlaceModel, clips: Sequence[Clip], stretches: Sequence[Stretch]
) -> None:
    """Learn how long changes stay, against the place model's normal picture.

    Args:
        place: of the camera; its background is added to.
        clips: of the camera; their motion is not needed.
        stretches: what counts as normal.
    """
    readings = [_readings(clips, stretch, place.grid) for stretch in stretches]
    place.background.learn(place.picture, readings)


def _readings(clips: Sequence[Clip], stretch: Stretch, grid: tuple[int, int]) -> Readings:
    """Give the small pictures of a stretch."""
    number, start, stop = stretch
    clip = clips[number]
    fps = clip.fps or USUAL_RATE
    every = readings_every(fps)
    chosen = range(start, stop, every)
    return Readings(
        lambda: (picture_of(clip.frames[frame], grid) for frame in chosen), len(chosen), every / fps
    )


def learn_places(clips: Sequence[Clip]) -> dict[str, PlaceModel]:
    """Learn the place models of all cameras in normal footage.

    Args:
        clips: a camera is a `Clip.scene`; scenes that were read without their motion, or whose
            clips have pictures of different shapes, are left out.

    Returns:
        By scene.
    """
    places = {}
    for scene in dict.fromkeys(clip.scene for clip in clips):
        scene_clips = [clip for clip in clips if clip.scene == scene]
        grids = {None if clip.motion is None else grid_of(clip.motion) for clip in scene_clips}
        if len(grids) == 1 and None not in grids:
            places[scene] = learn_place(scene_clips, whole_runs(scene_clips))
    return places


def whole_runs(clips: Sequence[Clip]) -> list[Stretch]:
    """List all that can be learned from clips.

    The first frame of a run has no motion, or that since before what is unreadable.

    Args:
        clips: of one camera.
    """
    return [
        Stretch(number, start + 1, stop)
        for number, clip in enumerate(clips)
        for start, stop in readable_runs(clip)
        if stop - start > 1
    ]


def windows_as_stretches(windows: Sequence[tuple[int, int]], window: int) -> list[Stretch]:
    """Turn windows into the stretches of frames that they show.

    Args:
        windows: (clip, target frame).
        window: T.
    """
    return [Stretch(clip, target - window, target + 1) for clip, target in windows]


def frames_in(stretches: Sequence[Stretch]) -> int:
    """Count the frames of stretches."""
    return sum(stretch.stop - stretch.start for stretch in stretches)


def folds_of(stretches: Sequence[Stretch], count: int = FOLDS) -> list[list[Stretch]]:
    """Cut footage into `PIECES` of about the same length, and put every `count`-th together.

    Args:
        stretches: of the footage.
        count: how many folds.

    Returns:
        `count` lists of pieces; a piece lies in one stretch.
    """
    total = frames_in(stretches)
    folds: list[list[Stretch]] = [[] for _ in range(count)]
    taken = 0
    for number, start, stop in stretches:
        at = start
        while at < stop:
            piece = taken * PIECES // total
            end = min(stop, at + -(-(piece + 1) * total // PIECES) - taken)
            folds[piece % count].append(Stretch(number, at, end))
            taken += end - at
            at = end
    return folds


class Pieces(NamedTuple):
    """Held-out footage, cut so that each piece has a place model that has not seen it.

    Attributes:
        judged: the pieces with their models.
        static: judge what stays too.
    """

    judged: list[tuple[Stretch, PlaceModel]]
    static: bool


def pieces_of(
    clips: Sequence[Clip],
    held_out: Sequence[Stretch],
    place: PlaceModel | None,
    *,
    static: bool = False,
) -> Pieces:
    """Pair held-out footage with place models of other footage.

    Args:
        clips: with their motion.
        held_out: stretches that are wanted.
        place: of other footage than the stretches; None to judge every piece by the others.
        static: judge what stays too, where there is enough footage.
    """
    if place is not None:
        return Pieces([(stretch, place) for stretch in held_out], static)
    judged = list(_crossed(clips, held_out))
    return Pieces(judged, static and all(rest.background.known for _, rest in judged))


def with_motion(
    parts: Sequence[Mapping[str, np.ndarray]],
    clips: Sequence[Clip],
    held_out: Sequence[Stretch],
    pieces: Pieces,
    window: int,
) -> list[dict[str, np.ndarray]]:
    """Add the numbers of motion to those that a network gave.

    Args:
        parts: columns of the network's parts, a clip each, float (T,).
        clips: with their motion.
        held_out: stretches that are wanted; the first T frames of each have no score.
        pieces: of these, as `pieces_of` gives them.
        window: T.

    Returns:
        Of each stretch all columns, float (frames - T,).
    """
    static = pieces.static
    numbers: list[dict[str, np.ndarray]] = [{} for _ in clips]
    for (number, start, stop), fitted in pieces.judged:
        columns = motion_columns(clips[number], fitted, start, stop, static=static)
        for name, values in columns.items():
            empty = np.full(len(clips[number].frames), np.nan, np.float32)
            numbers[number].setdefault(name, empty)[start:stop] = values
    return [
        {
            name: values[start + window : stop]
            for name, values in {**parts[number], **numbers[number]}.items()
        }
        for number, start, stop in held_out
    ]


def motion_columns(
    clip: Clip,
    place: PlaceModel,
    start: int = 0,
    stop: int | None = None,
    *,
    static: bool = False,
) -> dict[str, np.ndarray]:
    """Compute the numbers of the parts that judge by a place model, for frames of a clip.

    Args:
        clip: with its motion.
        place: of its camera.
        start: first frame.
        stop: the frame after the last; None for the clip's end.
        static: judge what stays too, as if the clip began at `start`.

    Returns:
        Part -> float32 (stop - start,).

    Raises:
        DataError: the clip was read without its motion.
    """
    quotients = quotients_by(clip, place, static=static, start=start, stop=stop)
    end = len(clip.frames) if stop is None else stop
    rows = [motion_numbers(quotients(frame)) for frame in range(start, end)]
    names = PLACE_PARTS if static else MOTION_PARTS
    return {name: np.array([row[name] for row in rows], np.float32) for name in names}


def _crossed(
    clips: Sequence[Clip], stretches: Sequence[Stretch]
) -> Iterator[tuple[Stretch, PlaceModel]]:
    """Pair every piece of the stretches with a place model of the other folds' pieces."""
    many = frames_in(stretches) >= MANY_FRAMES
    folds = folds_of(stretches, MANY_FOLDS if many else FOLDS)
    fitted = [learn_place(clips, fold) for fold in folds]
    # As the model of all of it judges: most of the frames may be few enough for other
    # quantiles, and then what is held out is not what will be seen.
    whole = sum(place.frames for place in fitted)
    for number, fold in enumerate(folds):
        rest = PlaceModel(fitted[0].grid, as_of=whole)
        for other, place in enumerate(fitted):
            if other != number:
                rest.merge(place)
        yield from ((piece, rest) for piece in fold)
