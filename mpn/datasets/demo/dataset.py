"""The embedded `demo` data set: generated footage of several cameras, from a seed.

Normal life is people who walk; what does not belong is one of `KINDS`. `scene` makes the places,
`actors` and `bodies` who moves there, `clips` what happens, `drawing` renders it. The layout is
`frames`; SS is the camera, NN the clip:

    ROOT/demo.json                         seed, sizes, frame rate: what the set was made with
    ROOT/training/frames/SS_NN/000.jpg     normal footage
    ROOT/validation/frames/SS_NN/000.jpg   the choice set: for choices, never for test metrics
    ROOT/testing/frames/SS_NN/000.jpg      what metrics are taken on

Beside `validation/frames` and `testing/frames` each:

    labels.csv                             video,start,end (frames from 0, end exclusive)
    test_frame_mask/SS_NN.npy              bool (T,), True = anomalous
    masks/SS_NN/000.png                    255 = anomalous, for every frame
    tracks.csv                             video,frame,track,kind,x,y,w,h (pixels)
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from mpn.datasets.demo.clips import KINDS, Clip, make_clip
from mpn.datasets.demo.scene import Scene, make_scene
from mpn.datasets.demo.writing import ClipWriter, clip_writer
from mpn.errors import DataError
from mpn.io.runs import intervals

VERSION = 1  # of the footage: raised whenever the same seed gives other frames
# of the clips' random numbers
_FIRST_KEY = {"training": 100, "validation": 10_000, "testing": 20_000}
_UNSEEN_SEED, _UNSEEN_CAMERA = 3, 4  # of the camera that no training on the demo set has seen

Settings = dict[str, Any]  # the content of demo.json
Progress = Callable[[int, int], None]  # (frames written, frames in all)


class SceneClips(NamedTuple):
    """A whole scene, nothing of it rendered yet.

    Attributes:
        scene: the place.
        training: clips of normal life.
        validation: clips, most of them with anomalies, for choices.
        testing: clips, most of them with anomalies, for metrics.
    """

    scene: Scene
    training: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    testing: tuple[Clip, ...]


def _plan(seed: int, index: int, split: str, clips: int) -> list[tuple[tuple[str, float], ...]]:
    """Plan for each clip its events: (kind, share of the clip at which it begins).

    One clip in four is wholly normal, the others have two events half a clip apart. Beginnings are
    spread evenly over the clips of a scene, so that a frame's number says nothing about its label.
    """
    if split == "training":
        return [()] * clips
    rng = np.random.default_rng([seed, index, _FIRST_KEY[split]])
    busy = clips - clips // 4
    kinds = rng.permutation([KINDS[(index * 2 * busy + j) % len(KINDS)] for j in range(2 * busy)])
    plans: list[tuple[tuple[str, float], ...]] = []
    for number in range(busy):
        share = 0.5 * (number + rng.random()) / busy
        plans.append(((str(kinds[2 * number]), share), (str(kinds[2 * number + 1]), share + 0.5)))
    plans += [()] * (clips - busy)
    return [plans[number] for number in rng.permutation(clips)]


def scene_clips(
    seed: int,
    index: int,
    *,
    training: int = 5,
    validation: int = 2,
    testing: int = 4,
    length: int = 150,
    test_length: int = 175,
    size: tuple[int, int] = (160, 240),
) -> SceneClips:
    """Make a scene of the family `seed` and its clips; `Clip.frames` renders them.

    The same arguments give the same clips, and a clip does not depend on how many there are.

    Args:
        seed: of the family, 0 or more.
        index: number of the scene, from 0.
        training: number of normal clips.
        validation: number of clips in the choice set.
        testing: number of test clips.
        length: frames of a training or validation clip.
        test_length: frames of a test clip.
        size: (height, width) of a frame in pixels.
    """
    scene = make_scene(seed, index, size)
    splits = []
    for split, clips in (("training", training), ("validation", validation), ("testing", testing)):
        frames = test_length if split == "testing" else length
        plans = _plan(seed, index, split, clips)
        splits.append(
            tuple(
                make_clip(
                    scene,
                    f"{index + 1:02d}_{number + 1:02d}",
                    _FIRST_KEY[split] + number,
                    frames,
                    events,
                )
                for number, events in enumerate(plans)
            )
        )
    return SceneClips(scene, *splits)


def _write_split(clips: list[Clip], folder: Path, labelled: bool, write: ClipWriter) -> None:
    """Write the clips of one split, if any, with labels, masks and tracks where `labelled`."""
    if not clips:
        return
    stretches, tracks = [], []
    folder.mkdir()
    for clip, (labels, rows) in zip(clips, write(clips, folder, labelled)):
        if labelled:
            (folder / "test_frame_mask").mkdir(exist_ok=True)
            np.save(folder / "test_frame_mask" / f"{clip.name}.npy", labels)
            stretches += [[clip.name, start, end] for start, end in intervals(labels)]
            tracks += rows
    if labelled:
        tables = (
            ("labels.csv", ["video", "start", "end"], stretches),
            ("tracks.csv", ["video", "frame", "track", "kind", "x", "y", "w", "h"], tracks),
        )
        for name, head, rows in tables:
            with open(folder / name, "w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([head, *rows])


def _is_there(root: Path, settings: Settings) -> bool:
    """Say whether `root` holds this very set; DataError where it holds something else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        settings_there = json.loads((root / "demo.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(
            f"{root}: holds something other than a demo set (no readable demo.json); "
            "name a folder that is empty or not there"
        ) from None
    if settings_there != settings:
        raise DataError(
            f"{root}: holds a demo set made with other settings (see demo.json); "
            "remove that folder or name another one"
        )
    return True


def _write_set(
    root: Path,
    settings: Settings,
    cameras: Sequence[int],
    label: str,
    progress: Progress | None,
    workers: int = 1,
) -> Path:
    """Write the scenes number `cameras` (from 0) as `settings` say; see `write_demo`."""
    if _is_there(root, settings):
        return root
    written = 0
    clips, lengths = settings["clips"], settings["frames"]
    total = len(cameras) * sum(clips[split] * lengths[split] for split in clips)
    part = root.with_name(f".{root.name}.{os.getpid()}.part")
    bar = tqdm(total=total, desc=label, unit="frame", disable=None if progress is None else True)

    def step() -> None:
        nonlocal written
        written += 1
        bar.update()
        if progress is not None:
            progress(written, total)

    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        scenes = [
            scene_clips(
                settings["seed"],
                camera,
                **clips,
                length=lengths["training"],
                test_length=lengths["testing"],
                size=tuple(settings["size"]),
            )
            for camera in cameras
        ]
        with clip_writer(step, workers) as write:
            for split in clips:
                of_split = [clip for scene in scenes for clip in getattr(scene, split)]
                _write_split(of_split, part / split, split != "training", write)
        (part / "demo.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        os.replace(part, root)
    except OSError as error:
        if not _is_there(root, settings):  # made by another process in the meantime: use that one
            raise DataError(
                f"{root}: the demo set cannot be written: {error}; free space or name another"
            ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{root} was being made, which is kept whole or not at all: the same command makes it "
            "anew"
        ) from None
    finally:
        bar.close()
        shutil.rmtree(part, ignore_errors=True)
    return root


def write_demo(
    root: Path,
    *,
    seed: int = 0,
    scenes: int = 4,
    training: int = 5,
    validation: int = 2,
    testing: int = 4,
    length: int = 150,
    test_length: int = 175,
    size: tuple[int, int] = (160, 240),
    progress: Progress | None = None,
    workers: int = 1,
) -> Path:
    """Make the demo set in the folder `root` (layout: see the module).

    A set made with the same settings is left as it is and used again. The set appears as a whole
    or not at all: it is made in a hidden folder beside `root`, then renamed.

    Args:
        root: folder that is not there, is empty, or holds this very set.
        seed: of the family of scenes, 0 or more.
        scenes: number of cameras.
        training: normal clips of each camera.
        validation: clips of each camera in the choice set.
        testing: test clips of each camera.
        length: frames of a training or validation clip, at 10 frames a second.
        test_length: frames of a test clip.
        size: (height, width) of a frame in pixels.
        progress: called with (frames written, frames in all) after every frame; without it a bar
            is shown where stderr is a terminal.
        workers: processes that write clips side by side, the same bytes whatever their number;
            more than one for scripts with an `if __name__ == "__main__"` only.

    Returns:
        `root`.

    Raises:
        DataError: `root` holds anything else, or cannot be written.
    """
    settings: Settings = {
        "name": "demo",
        "version": VERSION,
        "seed": seed,
        "scenes": scenes,
        "fps": 10,
        "clips": {"training": training, "validation": validation, "testing": testing},
        "frames": {"training": length, "validation": length, "testing": test_length},
        "size": list(size),
        "kinds": list(KINDS),
    }
    return _write_set(Path(root), settings, range(scenes), "making the demo set", progress, workers)


def write_unseen_camera(
    folder: Path,
    *,
    training: int = 3,
    testing: int = 2,
    length: int = 150,
    test_length: int = 175,
    size: tuple[int, int] = (160, 240),
    progress: Progress | None = None,
) -> Path:
    """Make a data set of one camera, 05, that is in no demo set of `write_demo`'s default seed.

    It is laid out, and whole or not there, as the demo set is, without a choice set: normal
    footage to adapt to in `training/frames/05_NN`, labelled clips in `testing/frames/05_NN`. Every
    test clip has normal frames and anomalous ones.

    Args:
        folder: folder that is not there, is empty, or holds this very set.
        training: normal clips.
        testing: test clips, at most 3: from 4 on one in four would be wholly normal.
        length: frames of a training clip, at 10 frames a second.
        test_length: frames of a test clip.
        size: (height, width) of a frame in pixels.
        progress: as `write_demo` takes it.

    Returns:
        `folder`.

    Raises:
        DataError: `folder` holds anything else, or cannot be written.
    """
    settings: Settings = {
        "name": "unseen camera",
        "version": VERSION,
        "seed": _UNSEEN_SEED,
        "scenes": 1,
        "fps": 10,
        "clips": {"training": training, "validation": 0, "testing": testing},
        "frames": {"training": length, "validation": length, "testing": test_length},
        "size": list(size),
        "kinds": list(KINDS),
    }
    return _write_set(Path(folder), settings, [_UNSEEN_CAMERA], "making a new camera", progress)
