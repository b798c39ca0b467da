"""What of a path is footage, and what is left out and why: one rule for every verb.

A file is itself. A folder that holds pictures is a clip. Any other folder is its video files and
what its folders are, however deep. What lies there and is not taken is named, with the reason;
only what is plainly something else (text, and what systems keep for themselves) is passed over.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mpn.errors import DataError
from mpn.video.paths import (
    VIDEO_SUFFIXES,
    contents,
    is_folder,
    is_image,
    is_readable_kind,
    is_video,
    natural_key,
    require_path,
    visible,
)

# Folders of labels, as data sets call them (`mpn.datasets.label_forms`).
LABEL_FOLDERS = {
    "ground_truth",
    "masks",
    "test_frame_mask",
    "test_pixel_mask",
    "testing_label_mask",
}
# Files that lie beside footage, hold none and are no text: labels, models, documents.
COMPANIONS = {".mat", ".npy", ".npz", ".pdf", ".pt", ".safetensors", ".xls", ".xlsx"}
# Folders of previews, where recordings lie beside them.
PREVIEW_FOLDERS = {"preview", "previews", "thumb", "thumbnail", "thumbnails", "thumbs"}
# A window and its target: fewer pictures are no clip, where other footage lies beside them.
MIN_CLIP = 5
EXPECTED = f"video files ({', '.join(sorted(VIDEO_SUFFIXES))}), pictures, or folders of pictures"


class LeftOut(NamedTuple):
    """Something beside the footage that is not taken.

    Attributes:
        path: the file or folder.
        kind: "labels", "masks", "empty", "unused" (a file of another kind), "pictures" (a few,
            beside recordings or folders of them), "below-frames" (footage below a folder of
            pictures), "mixed" (pictures and videos in one folder), "unlisted" (a folder that may
            not be read), "special" (a FIFO, a device), "results" (of `mpn score`), "other-layout",
            "other-split" (validation).
        reason: to follow the path.
    """

    path: Path
    kind: str
    reason: str


@dataclass
class Footage:
    """What a path stands for.

    Attributes:
        sources: video files and folders of pictures, in natural order.
        left_out: what else lies there.
    """

    sources: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def footage_of(path: str | Path) -> Footage:
    """Find the footage that a path stands for: the rule of all verbs.

    A path that does not exist but has one of * ? [ in it is a pattern: the videos and folders that
    it matches, and what these stand for.

    Args:
        path: a file, a folder or a pattern.

    Raises:
        DataError: it does not exist or cannot be listed, or as many pictures as videos lie in one
            folder.
    """
    if not Path(path).exists() and re.search("[*?[]", str(path)):
        return _matches(str(path))
    path = require_path(path)
    if not path.is_dir():
        return Footage([path])
    footage = Footage()
    _walk(path, footage, set())
    if [entry.path for entry in footage.left_out if entry.kind == "mixed"] == [path]:
        raise DataError(
            f"{path}: {footage.left_out[0].reason}; expected the frames of one video or video "
            "files, give one of them by name"
        )
    return footage


def find_sources(path: str | Path) -> list[Path]:
    """List the videos that a path stands for, see `footage_of`, in natural order.

    Args:
        path: a file, a folder or a pattern.

    Raises:
        DataError: as `footage_of`, and where there is none.
    """
    return sources_of(path, footage_of(path))


def sources_of(path: str | Path, footage: Footage) -> list[Path]:
    """Return the sources of footage that was looked for at `path`.

    Raises:
        DataError: there are none; what lies there is named.
    """
    if footage.sources:
        return footage.sources
    if not is_folder(Path(path)):  # a pattern
        raise DataError(
            f"{path}: matches files and folders, none of them a video; expected a pattern of "
            f"video files ({', '.join(sorted(VIDEO_SUFFIXES))}) or of folders of frames"
        )
    named = [entry for entry in footage.left_out if entry.kind not in ("empty", "unused")]
    why = "".join(f"; {line}" for line in describe_left_out(named, Path(path)))
    raise DataError(
        f"{path}: no frames or videos found, it holds {contents(Path(path))}{why}; expected "
        f"{EXPECTED}"
    )


def _matches(pattern: str) -> Footage:
    """Find the footage that a pattern with * ? [ stands for, without files of other suffixes."""
    matched = sorted(
        map(Path, glob.glob(pattern, recursive=True)), key=lambda item: natural_key(str(item))
    )
    footage, visited = Footage(), set()
    for item in matched:
        if is_folder(item):
            if item.resolve() not in visited:
                _walk(item, footage, visited)
        elif is_video(item):
            footage.sources.append(item)
    if not footage.sources:
        matches = (
            f"matches {len(matched)} files and folders, none of them a video"
            if matched
            else "matches nothing"
        )
        raise DataError(
            f"{pattern}: {matches}; expected a pattern of video files "
            f"({', '.join(sorted(VIDEO_SUFFIXES))}) or of folders of frames"
        )
    # "**" finds a folder and what is in it
    footage.sources = list(dict.fromkeys(footage.sources))
    return footage


def _walk(folder: Path, footage: Footage, visited: set[Path]) -> None:
    """Add a folder's footage, and what is left out of it.

    Args:
        folder: to look into.
        footage: is added to.
        visited: folders looked into, added to: it stops at links that go round.

    Raises:
        DataError: the folder cannot be listed.
    """
    visited.add(folder.resolve())
    items = visible(folder)
    if all((folder / name).is_file() for name in ("scores.csv", "state.json")):
        footage.left_out.append(LeftOut(folder, "results", "holds results of mpn score"))
        return
    folders = [item for item in items if is_folder(item)]
    others = set(folders)
    files = [item for item in items if item not in others]
    pictures, videos = [f for f in files if is_image(f)], [f for f in files if is_video(f)]
    if videos and len(pictures) > len(videos):
        reason = f"holds {len(pictures)} pictures and {len(videos)} videos"
        footage.left_out.append(LeftOut(folder, "mixed", reason))
        return
    below = _below(folders, visited, videos)
    sources = {video: [video] for video in videos} | {
        path: inside.sources for path, inside in below.items()
    }
    left_out = _unsuitable_files(files, pictures, videos)
    left_out += [entry for inside in below.values() for entry in inside.left_out]
    recordings = [source for path in items for source in sources.get(path, ())]
    if pictures and not videos and (len(pictures) >= MIN_CLIP or not recordings):
        footage.sources.append(folder)
        reason = f"lies below {folder.name}, which holds pictures itself"
        footage.left_out += [LeftOut(path, "below-frames", reason) for path in recordings]
        footage.left_out += [entry for entry in left_out if entry.kind != "empty"]
        return
    beside = "recordings" if videos else "folders of recordings"
    footage.sources += recordings
    footage.left_out += [
        LeftOut(path, "pictures", f"is a picture beside {beside}") for path in pictures
    ]
    footage.left_out += left_out


def _below(
    folders: Sequence[Path], visited: set[Path], recordings: Sequence[Path]
) -> dict[Path, Footage]:
    """Find the footage in each of the folders of a folder, in which recordings lie too, or none."""
    names = {item.name for item in folders}
    below: dict[Path, Footage] = {}
    for item in folders:
        real = item.resolve()
        if real in visited or real in item.parent.resolve().parents:  # a link that goes round
            continue
        inside = below[item] = Footage()
        if item.name.lower() in LABEL_FOLDERS:
            inside.left_out.append(LeftOut(item, "labels", "is a folder of labels"))
            continue
        if item.name.endswith("_gt") and item.name[:-3] in names:
            reason = f"holds the masks of {item.name[:-3]}"
            inside.left_out.append(LeftOut(item, "masks", reason))
            continue
        try:
            if recordings and _are_previews(item, recordings):
                reason = "holds previews of the recordings beside it"
                inside.left_out.append(LeftOut(item, "pictures", reason))
                continue
            _walk(item, inside, visited)
        except DataError as error:
            reason = str(error).removeprefix(f"{item}: ").partition(";")[0]
            inside.left_out.append(LeftOut(item, "unlisted", reason))
        if not inside.sources and not inside.left_out:
            held = contents(item)
            reason = "is empty" if held == "nothing" else f"gives no clip, it holds {held}"
            inside.left_out.append(LeftOut(item, "empty", reason))
    return below


def _are_previews(folder: Path, recordings: Sequence[Path]) -> bool:
    """Say whether a folder holds pictures of the recordings beside it, such as cam_1.jpg.

    By its own name, or since its pictures are named after several recordings: those of one may be
    its frames.
    """
    items = visible(folder)
    if not items or not all(is_image(item) for item in items):
        return False
    if folder.name.lower() in PREVIEW_FOLDERS:
        return True
    # 003.png may be a frame as well as a preview of 003.mp4; 003.mp4.png may not.
    stems = {item.name for item in recordings}
    stems |= {item.stem for item in recordings if not item.stem.isdigit()}
    stems = sorted(stems, key=len, reverse=True)
    owners = {
        next((stem for stem in stems if re.match(rf"{re.escape(stem)}(?!\d)", item.name)), None)
        for item in items
    }
    return None not in owners and len(owners) > 1


def _unsuitable_files(
    files: Sequence[Path], pictures: Sequence[Path], videos: Sequence[Path]
) -> list[LeftOut]:
    """List the files that are no footage and may have been meant as such."""
    taken, left_out = {*pictures, *videos}, []
    for item in files:
        if item in taken:
            continue
        if not is_readable_kind(item):
            left_out.append(LeftOut(item, "special", "is no regular file (a FIFO or a device)"))
        elif item.suffix.lower() not in COMPANIONS and not _is_text(item):
            suffix = item.suffix.lower() or "no suffix"
            left_out.append(LeftOut(item, "unused", f"is not taken for a video ({suffix})"))
    return left_out


def _is_text(path: Path) -> bool:
    """Say whether a file's beginning is text, or nothing; a file that cannot be read is none."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return False
    return not any(byte < 9 or 13 < byte < 27 for byte in start)


# Kinds of `LeftOut` that are as they should be in a data set.
EXPECTED_KINDS = {"labels", "masks", "other-split"}


def describe_left_out(left_out: Iterable[LeftOut], root: Path, shown: int = 4) -> list[str]:
    """Say what is left out, a line for each reason: "a, b and 3 more: is empty".

    Args:
        left_out: entries; those of `EXPECTED_KINDS` are passed over.
        root: what was looked into; paths are written as they lie below it.
        shown: how many are named in a line.
    """
    by_reason: dict[str, list[str]] = {}
    for entry in left_out:
        if entry.kind not in EXPECTED_KINDS:
            below = entry.path.is_relative_to(root) and entry.path != root
            name = str(entry.path.relative_to(root) if below else entry.path)
            by_reason.setdefault(entry.reason, []).append(name)
    lines = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - shown} more" if len(names) > shown else ""
        lines.append(f"left out: {', '.join(names[:shown])}{more}: {reason}")
    return lines
