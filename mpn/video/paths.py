"""What lies in a folder: pictures, video files, in natural order; what a path stands for."""

from __future__ import annotations

import glob
import re
from collections import Counter
from pathlib import Path

from mpn.errors import DataError, FrameError

# Those of files, of recorders and camcorders, and of streams as they are.
_VIDEOS = """
    .avi .divx .flv .f4v .m4v .mkv .mov .mp4 .mpe .mpeg .mpg .mxf .ogm .ogv .qt .webm .wmv
    .3g2 .3gp .asf .dav .dv .m2p .m2t .m2ts .mts .tod .trp .ts .vob
    .264 .265 .avc .h264 .h265 .hevc .ivf .m1v .m2v .mjpeg .mjpg .y4m
"""
VIDEO_SUFFIXES = set(_VIDEOS.split())
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm"}


def natural_key(text: str) -> tuple:
    """Make a sort key that puts "2" before "10": digits count as numbers, letters without case."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if i % 2 else part.lower() for i, part in enumerate(parts)), text


def visible(folder: Path) -> list[Path]:
    """List what a folder holds, in natural order.

    Hidden files (`._x`, `.DS_Store`) and `Thumbs.db` are left out.

    Args:
        folder: to be listed.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        items = [item for item in folder.iterdir() if not item.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be listed ({error.strerror}); expected a readable folder"
        ) from error
    return sorted(
        (item for item in items if item.name != "Thumbs.db"),
        key=lambda item: natural_key(item.name),
    )


def folder_name(path: Path) -> str:
    """Name a folder as the user sees it: a link's own name, but the real one for "." and ".."."""
    return path.name if path.name not in ("", "..") else path.resolve().name


def images_in(folder: Path) -> list[Path]:
    """List the pictures directly in a folder (by suffix, any case), in natural order.

    Only files: to read a FIFO that nobody writes to takes for ever.
    """
    return [
        item for item in visible(folder) if item.suffix.lower() in IMAGE_SUFFIXES and item.is_file()
    ]


def videos_in(folder: Path) -> list[Path]:
    """List the video files directly in a folder (by suffix, any case), in natural order."""
    return [
        item for item in visible(folder) if item.suffix.lower() in VIDEO_SUFFIXES and item.is_file()
    ]


def holds_images(folder: Path) -> bool:
    """Say whether a folder directly holds pictures."""
    return folder.is_dir() and bool(images_in(folder))


def with_gaps(folder: Path, files: list[Path]) -> list[tuple[str, Path | None]]:
    """List (name, file) per frame, with (name, None) where the numbering leaves one out.

    Numbering may start anywhere and go in equal steps (0, 5, 10). Names that share no prefix, or
    whose numbers follow no step (timestamps), are taken as they come.

    Args:
        folder: for error messages.
        files: its pictures in natural order.

    Raises:
        FrameError: two files have one number, or more frames are missing than there are.
    """
    plain: list[tuple[str, Path | None]] = [(file.name, file) for file in files]
    matches = [m for file in files if (m := re.match(r"(.*?)(\d+)(\D*)$", file.stem))]
    if len(matches) < len(files) or len({(m[1].lower(), m[3]) for m in matches}) > 1:
        return plain
    numbers = [int(m[2]) for m in matches]
    steps = [after - before for before, after in zip(numbers, numbers[1:])]
    if 0 in steps:
        repeated = steps.index(0)
        raise FrameError(
            f"{folder}: {files[repeated].name} and {files[repeated + 1].name} have one "
            "number; expected one picture a frame (are two recordings or masks "
            "mixed?)"
        )
    step = Counter(steps).most_common(1)[0][0] if steps else 1
    if steps.count(step) * 2 <= len(steps) or any(s % step for s in steps):
        return plain
    absent = sum(s // step - 1 for s in steps)
    if absent > len(files):  # stand-ins for most of the video would be made up
        jump = max(range(len(steps)), key=steps.__getitem__)
        raise FrameError(
            f"{folder}: the numbering jumps from {files[jump].name} to "
            f"{files[jump + 1].name}, {absent:,} of {absent + len(files):,} frames "
            "are missing; expected one recording"
        )
    entries = plain[:1]
    for match, number, file, gap in zip(matches, numbers, files[1:], steps):
        for missing in range(number + step, number + gap, step):
            digits = str(missing).zfill(len(match[2]))
            entries.append((f"{match[1]}{digits}{match[3]}{file.suffix}", None))
        entries.append((file.name, file))
    return entries


def contents(folder: Path) -> str:
    """Describe what a folder holds for an error message: counts by suffix and some names."""
    items = visible(folder)
    if not items:
        return "nothing"
    folders = [item.name for item in items if item.is_dir()]
    suffixes = Counter(item.suffix.lower() or "no suffix" for item in items if not item.is_dir())
    words = [
        f"{count} file{'s' * (count > 1)} ({suffix})" for suffix, count in suffixes.most_common(4)
    ]
    if folders:
        shown = ", ".join(folders[:4]) + (", ..." if len(folders) > 4 else "")
        words.append(f"{len(folders)} folder{'s' * (len(folders) > 1)} ({shown})")
    return ", ".join(words)


def require_path(path: str | Path) -> Path:
    """Make a Path of a path that exists.

    Args:
        path: to be looked for.

    Raises:
        DataError: it does not exist; its nearest existing parent is named.
    """
    path = Path(path)
    if path.exists():
        return path
    parent = next((p for p in path.absolute().parents if p.exists()), Path("/"))
    raise DataError(
        f"{path}: does not exist; the nearest folder that does is {parent}, which "
        f"holds {contents(parent) if parent.is_dir() else 'no files: it is a file itself'}"
    )


def find_sources(path: str | Path, *, deep: bool = False) -> list[Path]:
    """List the videos that a path stands for, in natural order.

    A file is itself; a folder of frames is itself; otherwise the folder's video files and frame
    folders (without `NAME_gt` beside `NAME`, UCSD's masks). A path that does not exist but has one
    of * ? [ in it is a pattern: the videos and folders that it matches, and what these stand for.

    Args:
        path: a file, a folder or a pattern.
        deep: look into folders below too, of whatever is no video by itself
            (recordings/monday/*.mp4).

    Raises:
        DataError: there is none, or pictures and videos lie in one folder.
    """
    if not Path(path).exists() and re.search("[*?[]", str(path)):
        return _matches(str(path), deep)
    path = require_path(path)
    if not path.is_dir():
        return [path]
    sources = _in_folder(path, deep, set())
    if not sources:
        raise DataError(
            f"{path}: no frames or videos found, it holds {contents(path)}; expected "
            f"video files ({', '.join(sorted(VIDEO_SUFFIXES))}), pictures, or folders "
            "of pictures"
        )
    return sources


def _matches(pattern: str, deep: bool) -> list[Path]:
    """List what a pattern with * ? [ stands for, without pictures and files of other suffixes."""
    matched = sorted(
        map(Path, glob.glob(pattern, recursive=True)), key=lambda item: natural_key(str(item))
    )
    sources = [
        source
        for item in matched
        for source in (_in_folder(item, deep, set()) if item.is_dir() else [item])
        if source.is_dir() or source.suffix.lower() in VIDEO_SUFFIXES
    ]
    if not sources:
        matches = (
            f"matches {len(matched)} files and folders, none of them a video"
            if matched
            else "matches nothing"
        )
        raise DataError(
            f"{pattern}: {matches}; expected a pattern of video files "
            f"({', '.join(sorted(VIDEO_SUFFIXES))}) or of folders of frames"
        )
    return list(dict.fromkeys(sources))  # "**" finds a folder and what is in it


def _in_folder(folder: Path, deep: bool, seen: set[Path]) -> list[Path]:
    """List the folder itself if it holds frames, or its videos and frame folders.

    Args:
        folder: where to look.
        deep: also in the folders below.
        seen: folders looked into, added to: it stops at links that go round.
    """
    seen.add(folder.resolve())
    images, videos = images_in(folder), videos_in(folder)
    if images and videos:
        raise DataError(
            f"{folder}: holds {len(images)} pictures and {len(videos)} videos; "
            "expected the frames of one video or video files, give one of them by name"
        )
    if images:
        return [folder]
    folders = [
        item
        for item in visible(folder)
        if item.is_dir() and (deep and not videos or holds_images(item))
    ]
    names = {item.name for item in folders}
    folders = [
        item for item in folders if not (item.name.endswith("_gt") and item.name[:-3] in names)
    ]
    sources = []
    for item in sorted(videos + folders, key=lambda item: natural_key(item.name)):
        if not deep or item in videos:
            sources.append(item)
        elif item.resolve() not in seen:
            sources += _in_folder(item, deep, seen)
    return sources
