"""What lies in a folder: pictures, video files, in natural order; what a path stands for."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from mpn.errors import DataError

VIDEO_SUFFIXES = {".avi", ".mp4", ".m4v", ".mkv", ".mov", ".mpg", ".mpeg", ".webm", ".wmv", ".flv", ".ts"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm"}


def natural_key(text: str) -> tuple:
    """Sort key that puts "2" before "10": digit groups count as numbers, letters without case."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if i % 2 else part.lower() for i, part in enumerate(parts)), text


def visible(folder: Path) -> list[Path]:
    """What a folder holds, in natural order, without hidden files (`._x`, `.DS_Store`) and `Thumbs.db`.

    Raises DataError where the folder cannot be listed.
    """
    try:
        found = [item for item in folder.iterdir() if not item.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); expected a readable folder") from error
    return sorted((item for item in found if item.name != "Thumbs.db"), key=lambda item: natural_key(item.name))


def folder_name(path: Path) -> str:
    """A folder's name as the user sees it: a link's own name, but the real one for "." and ".."."""
    return path.name if path.name not in ("", "..") else path.resolve().name


def images_in(folder: Path) -> list[Path]:
    """The pictures directly in a folder (by suffix, any case), in natural order."""
    return [item for item in visible(folder) if item.suffix.lower() in IMAGE_SUFFIXES and not item.is_dir()]


def videos_in(folder: Path) -> list[Path]:
    """The video files directly in a folder (by suffix, any case), in natural order."""
    return [item for item in visible(folder) if item.suffix.lower() in VIDEO_SUFFIXES and not item.is_dir()]


def holds_images(folder: Path) -> bool:
    """Whether a folder directly holds pictures."""
    return folder.is_dir() and bool(images_in(folder))


def contents(folder: Path) -> str:
    """What a folder holds, in words for an error message: "nothing", or counts by suffix and some names."""
    items = visible(folder)
    if not items:
        return "nothing"
    folders = [item.name for item in items if item.is_dir()]
    suffixes = Counter(item.suffix.lower() or "no suffix" for item in items if not item.is_dir())
    words = [f"{count} file{'s' * (count > 1)} ({suffix})" for suffix, count in suffixes.most_common(4)]
    if folders:
        shown = ", ".join(folders[:4]) + (", ..." if len(folders) > 4 else "")
        words.append(f"{len(folders)} folder{'s' * (len(folders) > 1)} ({shown})")
    return ", ".join(words)


def require_path(path: str | Path) -> Path:
    """`path` as a Path; DataError that names the nearest existing parent where it does not exist."""
    path = Path(path)
    if path.exists():
        return path
    parent = next((p for p in path.absolute().parents if p.exists()), Path("/"))
    raise DataError(f"{path}: does not exist; the nearest folder that does is {parent}, which holds "
                    f"{contents(parent) if parent.is_dir() else 'no files: it is a file itself'}")


def find_sources(path: str | Path) -> list[Path]:
    """The videos that a path stands for, in natural order.

    A file is itself; a folder of frames is itself; otherwise the folder's video files and frame folders
    (without `NAME_gt` beside `NAME`, UCSD's masks). Raises DataError where there is none, or where
    pictures and videos lie in one folder.
    """
    path = require_path(path)
    if not path.is_dir():
        return [path]
    images, videos = images_in(path), videos_in(path)
    if images and videos:
        raise DataError(f"{path}: holds {len(images)} pictures and {len(videos)} videos; expected the frames "
                        "of one video or video files, give one of them by name")
    if images:
        return [path]
    folders = [item for item in visible(path) if holds_images(item)]
    names = {item.name for item in folders}
    folders = [item for item in folders if not (item.name.endswith("_gt") and item.name[:-3] in names)]
    found = sorted(videos + folders, key=lambda item: natural_key(item.name))
    if not found:
        raise DataError(f"{path}: no frames or videos found, it holds {contents(path)}; expected video files "
                        f"({', '.join(sorted(VIDEO_SUFFIXES))}), pictures, or folders of pictures")
    return found
