"""The label files of a data set, found and fitted to its test videos; `label_readers` reads them.

A form is one way in which the field publishes labels; `find_forms` lists those of a data set in the
order of preference that stands in `mpn.datasets.labels`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mpn.datasets import label_readers
from mpn.datasets.layouts import DatasetTree, Video, child
from mpn.datasets.mask_pictures import check_alike, mask_files, read_masks
from mpn.errors import LabelError
from mpn.video.paths import natural_key, visible


@dataclass(frozen=True)
class LabelForm:
    """A label file or folder, not read yet.

    Attributes:
        kind: its form, in words.
        source: the file or folder.
        files: all files that the labels depend on.
        read: called with the number of frames of every test video by name, gives labels bool (T,)
            by name.
        masks: where each video's pixel masks are, if it has any.
    """

    kind: str
    source: Path
    files: tuple[Path, ...]
    read: Callable[[dict[str, int]], dict[str, np.ndarray]]
    masks: dict[str, Path] = field(default_factory=dict)


def check_count(name: str, labels: int, frames: int, source: Path) -> None:
    """Check that a video has one label a frame.

    Args:
        name: of the video.
        labels: how many there are in `source`.
        frames: how many the video has.
        source: the label file, for the message.

    Raises:
        LabelError: it has more or fewer.
    """
    if labels != frames:
        raise LabelError(
            f"{source}: {labels:,} labels for test video {name}, which has {frames:,} "
            "frames; expected one label a frame"
        )


# --- Finding


def find_forms(tree: DatasetTree) -> list[LabelForm]:
    """List the label files of a data set, in the order of preference."""
    root = tree.root if tree.root.is_dir() else tree.root.parent
    searched = [root] + [folder for name in ("testing", "test") if (folder := child(root, name))]
    files = [item for folder in searched for item in visible(folder) if item.is_file()]

    def with_suffix(suffix: str) -> list[Path]:
        alike = [file for file in files if file.suffix.lower() == suffix]
        # The one that is named as the data set first, the others as they were.
        return sorted(alike, key=lambda file: file.stem.lower() != root.resolve().name.lower())

    def folders(name: str) -> list[Path]:
        return [below for folder in searched if (below := child(folder, name))]

    vectors = [
        file for file in with_suffix(".npy") if file.stem.lower().startswith("frame_labels_")
    ]
    beside = root.resolve().parent / f"frame_labels_{root.resolve().name}.npy"
    forms = [_csv_form(file, tree) for file in files if file.name.lower() == "labels.csv"]
    forms += [
        _gt_form(file)
        for file in with_suffix(".mat")
        if (names := label_readers.mat_variables(file)) is None or "gt" in names
    ]
    forms += [_vectors_form(folder, tree) for folder in folders("test_frame_mask")]
    forms += [_vector_form(file) for file in vectors + ([beside] if beside.is_file() else [])]
    forms += [
        _m_form(file)
        for file in with_suffix(".m")
        if "gt_frame" in file.read_text(errors="replace")
    ]
    forms += [_avenue_form(folder, tree) for folder in folders("testing_label_mask")]
    if any(_gt_folder(video) for video in tree.testing):
        forms.append(_pictures_form(tree.testing[0].path.parent, tree))
    forms += [_pictures_form(folder, tree) for folder in folders("masks")]
    forms += [_pixels_form(folder, tree) for folder in folders("test_pixel_mask")]
    return forms


def form_at(path: Path, tree: DatasetTree) -> LabelForm:
    """Recognise the label file or folder that a user names, whatever its form.

    Args:
        path: an existing file or folder.
        tree: the data set that it is for.

    Raises:
        LabelError: it is no form of labels, or its first array cannot be read.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        inside = [
            item
            for item in visible(path)
            if item.is_dir() or item.suffix.lower() in (".npy", ".mat")
        ]
        suffixes = {item.suffix.lower() for item in inside if not item.is_dir()}
        if ".mat" in suffixes:
            return _avenue_form(path, tree)
        if ".npy" in suffixes:
            first = label_readers.load_npy(
                next(item for item in inside if item.suffix.lower() == ".npy")
            )
            return (_pixels_form if first.ndim == 3 else _vectors_form)(path, tree)
        if inside:
            return _pictures_form(path, tree)
    elif suffix == ".mat":
        return _gt_form(path)
    elif suffix == ".npy":
        return _vector_form(path)
    elif suffix == ".m":
        return _m_form(path)
    elif suffix == ".csv":
        return _csv_form(path, tree)
    raise LabelError(
        f"{path}: is no form of labels; expected .mat, .npy, .m, .csv, or a folder of "
        ".npy, N_label.mat or mask folders"
    )


# --- Forms


def _fill(
    source: Path, name: str, frames: int, spans: list[tuple[int, int]], counted: str
) -> np.ndarray:
    """Make labels bool (frames,) from spans [start, stop) from 0."""
    label = np.zeros(frames, bool)
    for start, stop in spans:
        if start < 0 or stop > frames:
            raise LabelError(
                f"{source}: labels of test video {name} reach frames {start} to "
                f"{stop - 1} (from 0), the video has {frames:,} frames; expected "
                f"{counted} inside it"
            )
        label[start:stop] = True
    return label


def _interval_form(path: Path, kind: str, reader: Callable[[Path], list[np.ndarray]]) -> LabelForm:
    def read(lengths: dict[str, int]) -> dict[str, np.ndarray]:
        videos = reader(path)
        if len(videos) != len(lengths):
            raise LabelError(
                f"{path}: labels for {len(videos)} test videos, the data set has "
                f"{len(lengths)} ({', '.join(list(lengths)[:4])}, ...); expected one "
                "entry each, in natural order"
            )
        return {
            name: _fill(
                path,
                name,
                lengths[name],
                [(a - 1, b) for a, b in pairs.tolist()],
                "intervals from 1",
            )
            for name, pairs in zip(lengths, videos)
        }

    return LabelForm(kind, path, (path,), read)


def _gt_form(path: Path) -> LabelForm:
    return _interval_form(path, f"intervals of {path.name} (gt)", label_readers.mat_intervals)


def _m_form(path: Path) -> LabelForm:
    return _interval_form(path, f"intervals of {path.name} (gt_frame)", label_readers.m_intervals)


def _vector_form(path: Path) -> LabelForm:
    def read(lengths: dict[str, int]) -> dict[str, np.ndarray]:
        vector = label_readers.npy_vector(path)
        ends = np.cumsum(list(lengths.values()))
        if vector.size != ends[-1]:
            last = list(lengths)[
                min(int(np.searchsorted(ends, vector.size, side="right")), len(ends) - 1)
            ]
            left = vector.size - int(ends[-1])
            detail = (
                f"they run out in video {last}"
                if left < 0
                else f"{left:,} are left over after video {last}"
            )
            raise LabelError(
                f"{path}: {vector.size:,} labels, the {len(lengths)} test videos have "
                f"{ends[-1]:,} frames together; {detail}; expected one label a frame"
            )
        return dict(zip(lengths, np.split(vector, ends[:-1])))

    return LabelForm(f"one vector of frame labels ({path.name})", path, (path,), read)


def _csv_form(path: Path, tree: DatasetTree) -> LabelForm:
    def read(lengths: dict[str, int]) -> dict[str, np.ndarray]:
        names = _spellings(tree)
        spans: dict[str, list[tuple[int, int]]] = {name: [] for name in lengths}
        rows = label_readers.csv_rows(path)
        for line, written, start, end in rows:
            if written not in names:
                raise LabelError(
                    f"{path}: line {line} names the video '{written}', which is not "
                    "one test video; expected one of "
                    f"{', '.join(list(lengths)[:6])}{', ...' * (len(lengths) > 6)}"
                )
            if start is not None and end is not None:
                spans[names[written]].append((start, end))
        label_readers.check_normal(path, [(row[0], names[row[1]], *row[2:]) for row in rows])
        return {
            name: _fill(path, name, lengths[name], spans[name], "start and end (exclusive) from 0")
            for name in lengths
        }

    return LabelForm("intervals of labels.csv", path, (path,), read)


def _spellings(tree: DatasetTree) -> dict[str, str]:
    """Map ways to write a test video in labels.csv to its name: with suffix, with its folder."""
    names_by_way: dict[str, set[str]] = {}
    for video in tree.testing:
        ways = {video.name, video.path.name}
        if video.path.is_relative_to(tree.root):
            relative = video.path.relative_to(tree.root)
            ways |= {relative.as_posix(), relative.with_suffix("").as_posix()}
        for way in ways:
            names_by_way.setdefault(way, set()).add(video.name)
    return {
        way: next(iter(names))
        for way, names in names_by_way.items()
        if len(names) == 1 and way != "."
    }


def _per_video(
    kind: str,
    folder: Path,
    paths: dict[str, Path],
    reader: Callable[[Path], np.ndarray],
    files: tuple[Path, ...],
    pixels: bool,
) -> LabelForm:
    """Make a form with a file or folder per test video; `reader` gives its labels bool (T,)."""

    def read(lengths: dict[str, int]) -> dict[str, np.ndarray]:
        absent = [name for name in lengths if name not in paths]
        if absent:
            raise LabelError(
                f"{folder}: nothing for test video {absent[0]} ({len(absent)} of "
                f"{len(lengths)} test videos have no labels there); expected one file "
                "or folder per test video"
            )
        frames = {name: reader(paths[name]) for name in lengths}
        for name, label in frames.items():
            check_count(name, label.size, lengths[name], paths[name])
        return frames

    return LabelForm(kind, folder, files, read, paths if pixels else {})


def _any_pixel(masks: np.ndarray) -> np.ndarray:
    # one mask at a time: they may be mapped
    return np.array([bool(np.any(mask)) for mask in masks], bool)


def _vectors_form(folder: Path, tree: DatasetTree) -> LabelForm:
    paths = {v.name: file for v in tree.testing if (file := folder / f"{v.name}.npy").is_file()}
    return _per_video(
        f"vectors of frame labels ({folder.name}/*.npy)",
        folder,
        paths,
        label_readers.npy_vector,
        tuple(paths.values()),
        pixels=False,
    )


def _pixels_form(folder: Path, tree: DatasetTree) -> LabelForm:
    paths = {v.name: file for v in tree.testing if (file := folder / f"{v.name}.npy").is_file()}
    return _per_video(
        f"pixel masks ({folder.name}/*.npy)",
        folder,
        paths,
        lambda file: _any_pixel(label_readers.npy_mask(file)),
        tuple(paths.values()),
        pixels=True,
    )


def _avenue_form(folder: Path, tree: DatasetTree) -> LabelForm:
    by_number = {
        int(digits[0]): file
        for file in sorted(folder.glob("*.mat"), key=lambda f: natural_key(f.name))
        if (digits := re.findall(r"\d+", file.stem))
    }
    paths = {
        video.name: by_number[int(digits[-1])]
        for video in tree.testing
        if (digits := re.findall(r"\d+", video.name)) and int(digits[-1]) in by_number
    }
    return _per_video(
        f"pixel masks ({folder.name}/*.mat, volLabel)",
        folder,
        paths,
        lambda file: _any_pixel(label_readers.mat_mask(file)),
        tuple(paths.values()),
        pixels=True,
    )


def _gt_folder(video: Video) -> Path | None:
    folder = video.path.with_name(f"{video.path.name}_gt")
    return folder if folder.is_dir() and mask_files(folder) else None


def _pictures_form(folder: Path, tree: DatasetTree) -> LabelForm:
    """Make a form of folders of mask pictures: CLIP_gt (UCSD) or CLIP."""
    paths = {}
    for video in tree.testing:
        for masks in (folder / f"{video.name}_gt", folder / video.name):
            # a clip's own .tif frames are no masks
            if masks.is_dir() and mask_files(masks) and not masks.samefile(video.path):
                paths[video.name] = masks
                break
    files = tuple(file for masks in paths.values() for file in mask_files(masks))
    clip = "CLIP_gt" if any(masks.name.endswith("_gt") for masks in paths.values()) else "CLIP"
    kind = f"pixel masks ({folder.name}/{clip}/*{files[0].suffix.lower() if files else ''})"
    form = _per_video(kind, folder, paths, _any_picture, files, pixels=True)

    def read(lengths: dict[str, int]) -> dict[str, np.ndarray]:
        check_alike(list(paths.values()))
        return form.read(lengths)

    return replace(form, read=read)


def _any_picture(folder: Path) -> np.ndarray:
    return np.array([bool(mask.any()) for mask in read_masks(folder)], bool)
