"""What lies in a folder: pictures and video files, in natural order."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import stat
from collections import Counter
from pathlib import Path

from mpn.errors import DataError

# Those of files, of recorders and camcorders, and of streams as they are.
_VIDEOS = """
    .avi .divx .flv .f4v .m4v .mkv .mov .mp4 .mpe .mpeg .mpg .mxf .ogm .ogv .qt .webm .wmv
    .3g2 .3gp .asf .dav .dv .m2p .m2t .m2ts .mts .tod .trp .ts .vob
    .264 .265 .avc .h264 .h265 .hevc .ivf .m1v .m2v .mjpeg .mjpg .y4m
"""
VIDEO_SUFFIXES = set(_VIDEOS.split())
MAX_KEYS = 1000  # recordings that a camera file knows again, by `footage_key`
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm"}


def natural_key(text: str) -> tuple:
    """Make a sort key that puts "2" before "10": digits count as numbers, letters without case."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if i % 2 else part.lower() for i, part in enumerate(parts)), text


# Folders and files that systems make of their own accord, beside the names that begin with . or @
# (Synology's and QNAP's thumbnails, snapshots): recycle bins, previews. Never footage.
SYSTEM_NAMES = {
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "__macosx",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "thumbs.db",
}


def is_system_name(name: str) -> bool:
    """Say whether a name is one that systems use for themselves: never footage, nor labels."""
    return name.startswith((".", "@")) or name.lower() in SYSTEM_NAMES


def visible(folder: Path) -> list[Path]:
    """List what a folder holds, in natural order.

    Hidden files (`._x`, `.DS_Store`) and what systems keep for themselves (`@eaDir`, `#recycle`,
    `Thumbs.db`, `lost+found`) are left out.

    Args:
        folder: to be listed.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        items = [folder / name for name in os.listdir(folder) if not is_system_name(name)]
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be listed ({error.strerror}); expected a readable folder"
        ) from error
    return sorted(items, key=lambda item: natural_key(item.name))


def is_folder(path: Path) -> bool:
    """Say whether a path is a folder; one that may not be looked at is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_readable_kind(path: Path) -> bool:
    """Say whether a path may be opened as a file.

    A FIFO, a socket or a device may not: reading it may wait for ever. A link that leads nowhere
    may: the attempt says what is wrong.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode)


def folder_name(path: Path) -> str:
    """Name a folder as the user sees it: a link's own name, but the real one for "." and ".."."""
    return path.name if path.name not in ("", "..") else path.resolve().name


NAME_BYTES = 255  # of a file, as most file systems have it


def result_name(name: str, room: int = 0) -> str:
    """Make a name for results of a name of footage, that every file system and program takes.

    Bytes that are no UTF-8 become %XX, and a name that would be too long ends in a checksum.

    Args:
        name: of a file or folder, without its suffix.
        room: bytes that will be added to it.
    """
    text = re.sub("[\udc80-\udcff]", lambda match: f"%{ord(match[0]) - 0xDC00:02X}", name).encode(
        errors="replace"
    )
    if len(text) + room > NAME_BYTES:
        end = "-" + hashlib.sha256(text).hexdigest()[:8]
        text = text[: NAME_BYTES - room - len(end)] + end.encode()
    return text.decode(errors="ignore")


def images_in(folder: Path) -> list[Path]:
    """List the pictures directly in a folder (by suffix, any case), in natural order."""
    return [item for item in visible(folder) if is_image(item)]


def is_image(path: Path) -> bool:
    """Say whether a path is a picture file, by its suffix and by what it is."""
    return path.suffix.lower() in IMAGE_SUFFIXES and is_readable_kind(path)


def is_video(path: Path) -> bool:
    """Say whether a path is a video file, by its suffix and by what it is."""
    return path.suffix.lower() in VIDEO_SUFFIXES and is_readable_kind(path)


def holds_images(folder: Path) -> bool:
    """Say whether a folder directly holds pictures."""
    return is_folder(folder) and any(is_image(item) for item in visible(folder))


def footage_key(source: str, modified: int | str) -> str:
    """Make a short name of a recording as it is now, which does not say where it lies.

    Args:
        source: its path, resolved.
        modified: see `stamp_of`.
    """
    return hashlib.sha256(json.dumps([source, modified]).encode()).hexdigest()[:16]


def stamp_of(path: Path) -> int | str:
    """Return what changes when a source is changed in place.

    Args:
        path: a video file or a folder of pictures.

    Returns:
        Of a file the time of its last change in nanoseconds; of a folder a checksum of the names,
        sizes and such times of its pictures.
    """
    if not is_folder(path):
        return path.stat().st_mtime_ns
    digest = hashlib.sha256()
    for file in images_in(path):
        try:
            status = file.stat()
        except OSError:  # a link that leads nowhere
            digest.update(os.fsencode(file.name) + b"\0absent\n")
            continue
        facts = f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode()
        digest.update(os.fsencode(file.name) + facts)
    return digest.hexdigest()


def contents(folder: Path) -> str:
    """Describe what a folder holds for an error message: counts by suffix and some names."""
    items = visible(folder)
    if not items:
        return "nothing"
    folders = [item.name for item in items if is_folder(item)]
    suffixes = Counter(item.suffix.lower() or "no suffix" for item in items if not is_folder(item))
    words = [
        f"{count} file{'s' * (count > 1)} ({suffix})" for suffix, count in suffixes.most_common(4)
    ]
    if folders:
        shown = ", ".join(folders[:4]) + (", ..." if len(folders) > 4 else "")
        words.append(f"{len(folders)} folder{'s' * (len(folders) > 1)} ({shown})")
    return ", ".join(words)


def require_path(path: str | Path, hint: str = "") -> Path:
    """Make a Path of a path that exists.

    Args:
        path: to be looked for.
        hint: what else to say where nothing is called alike.

    Raises:
        DataError: it does not exist; what is called alike is named, or its nearest existing parent.
    """
    path = Path(path)
    if path.exists():
        return path
    parent = next((p for p in path.absolute().parents if p.exists()), Path("/"))
    if alike := _alike(path.absolute(), parent):
        raise DataError(f"{path}: does not exist; did you mean {' or '.join(alike)}?")
    hint = f"; {hint}" if hint else ""
    raise DataError(
        f"{path}: does not exist; the nearest folder that does is {parent}, which "
        f"holds {contents(parent) if parent.is_dir() else 'no files: it is a file itself'}{hint}"
    )


def _alike(path: Path, parent: Path) -> list[str]:
    """List what lies in the nearest folder and is called about as the first part that is absent."""
    absent = path.parts[len(parent.parts)]
    try:
        items = visible(parent) if is_folder(parent) else []
    except DataError:  # it may not be listed
        return []
    # Without suffixes, which make all videos alike; itself it may be, as a link that leads nowhere.
    stems = {item.stem.lower(): item for item in items if item.name != absent}
    close = difflib.get_close_matches(Path(absent).stem.lower(), stems, n=3)
    return [str(stems[stem]) for stem in close]
