"""Clips: the footage in a folder as videos with names of their own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpn.errors import DataError
from mpn.video.footage import footage_of
from mpn.video.paths import folder_name, is_folder


@dataclass(frozen=True)
class Video:
    """One clip.

    Attributes:
        name: unique within its split.
        path: a video file or a folder of frames.
        scene: its camera.
    """

    name: str
    path: Path
    scene: str


def clips_in(folder: Path | None, scene: str) -> tuple[Video, ...]:
    """List the footage in a folder, however deep, each a video of one scene.

    Args:
        folder: where it lies; None gives nothing.
        scene: of all of it.

    Raises:
        DataError: see `named`.
    """
    if folder is None:
        return ()
    paths = footage_of(folder).sources
    # Down to where clips lie side by side: training/frames/part1/{01, 02, ...}.
    while len(tops := {path.relative_to(folder).parts[:1] for path in paths}) == 1:
        below = folder / next(iter(tops))[0] if () not in tops else folder
        if below == folder or below in paths:
            break
        folder = below
    return named(folder, paths, scene)


def named(folder: Path, paths: Sequence[Path], scene: str) -> tuple[Video, ...]:
    """Name videos by where they lie below a folder, see `clip_names`.

    Args:
        folder: that all of them lie in; a clip may be the folder itself.
        paths: of the clips.
        scene: of all of them.

    Raises:
        DataError: two would have one name.
    """
    names = clip_names(folder, paths)
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise DataError(
            f"{folder}: two clips would be called {twice[0]} (scene_clip); rename one of them"
        )
    return tuple(Video(names[path], path, scene) for path in paths)


def clip_names(folder: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """Name footage by file stem or folder name; of several in a folder by both, FOLDER_CLIP.

    Where two stems coincide, files are named with their suffix.

    Args:
        folder: that all of them lie in.
        paths: of the clips.

    Returns:
        Path -> name.
    """
    by_top: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        below = path.relative_to(folder).parts
        by_top[folder / below[0] if below else folder].append(path)
    labels = {
        top: folder_name(top) if is_folder(top) else top.stem or folder_name(top) for top in by_top
    }
    often = Counter(labels.values())
    names: dict[Path, str] = {}
    for top, inside in by_top.items():
        label = labels[top] if often[labels[top]] == 1 else top.name
        if len(inside) == 1:
            names[inside[0]] = label
        else:
            names |= {path: f"{label}_{name}" for path, name in clip_names(top, inside).items()}
    return names
