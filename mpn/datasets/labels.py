"""Frame labels and pixel masks of a data set's test videos, in every form that the field publishes.

Where several label files lie in a data set, the first of this order is used, and what the others
say otherwise is noted:

    1. labels.csv                             video,start,end (frames from 0, end exclusive)
    2. NAME.mat with `gt`                     intervals from 1, last frame included
    3. test_frame_mask/CLIP.npy               one vector per test video
    4. frame_labels_NAME.npy                  one vector over all test videos, also beside the data
    set
    5. *.m with gt_frame = [...]              UCSD's intervals
    6. testing_label_mask/N_label.mat         Avenue's masks (`volLabel`)
    7. Test/CLIP_gt/*.bmp, testing/masks/CLIP/*.png, test_pixel_mask/CLIP.npy: pixel masks

What a person wrote for this very folder comes first, then labels of frames, then those of pixels,
of which a frame is anomalous if any is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpn.datasets import label_readers
from mpn.datasets.layouts import LAYOUTS, DatasetTree, Video, child
from mpn.errors import LabelError
from mpn.video.paths import natural_key, require_path, visible

# Reading more than this only to compare it with the labels in use is not worth the wait.
COMPARED_BYTES = 1 << 30
AVENUE_VERSIONS = {3712: "the masks' version", 3867: "the older vector's version"}


@dataclass(frozen=True)
class Labels:
    """Labels of the test videos.

    frames: per video name bool (T,), True = anomalous. source: the file or folder they are from.
    kind: its form, in words. sha256: of the file, or of the files one after the other, in order.
    masks: where each video's pixel masks are, if anywhere. notes: what other label files beside it
    say otherwise.
    """

    frames: dict[str, np.ndarray]
    source: Path
    kind: str
    sha256: str
    masks: dict[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Number of labelled frames."""
        return sum(label.size for label in self.frames.values())

    @property
    def anomalous(self) -> int:
        """Number of anomalous frames."""
        return sum(int(label.sum()) for label in self.frames.values())

    def pixel_mask(self, name: str) -> np.ndarray | None:
        """Masks of a video as bool (T, H, W), True = anomalous, in the masks' own size; None
        without any.

        Raises LabelError where they cannot be read or are not one per frame.
        """
        place = self.masks.get(name)
        if place is None:
            return None
        if place.is_dir():
            masks = [label_readers.read_mask(file) for file in label_readers.mask_files(place)]
            if len({mask.shape for mask in masks}) > 1:
                raise LabelError(f"{place}: masks of different sizes; expected one size")
            mask = np.stack(masks)
        elif place.suffix == ".mat":
            mask = label_readers.mat_mask(place)
        else:
            mask = np.asarray(label_readers.npy_mask(place)) != 0
        _check(name, mask.shape[0], self.frames[name].size, place)
        return mask


@dataclass(frozen=True)
class _Form:
    """A label file found, not read yet: read(lengths) gives the labels by video."""

    kind: str
    source: Path
    files: tuple[Path, ...]
    read: Callable[[dict[str, int]], dict[str, np.ndarray]]
    masks: dict[str, Path] = field(default_factory=dict)


def load_labels(
    tree: DatasetTree, lengths: dict[str, int], path: str | Path | None = None
) -> Labels:
    """The labels of a data set's test videos.

    tree: from `recognise`. lengths: number of frames of every test video by name. path: a label
    file or folder of any form to use instead of what is found in the tree (the order stands in this
    module's docstring). Raises LabelError where there are none, where they cannot be read, or where
    they don't fit the frames exactly, naming the video, both counts and the file; DataError for a
    missing `path`.
    """
    if not tree.testing:
        unsplit = " and ".join(name for name, layout in LAYOUTS.items() if not layout.has_splits)
        raise LabelError(
            f"{tree.root}: has no test videos ({tree.layout} layout), so nothing to "
            f"label; in the {unsplit} layouts a labels.csv makes test videos of all"
        )
    absent = [video.name for video in tree.testing if video.name not in lengths]
    if absent:
        raise LabelError(
            f"{tree.root}: the length of test video {absent[0]} is not given; "
            "expected the number of frames of every test video"
        )
    lengths = {video.name: int(lengths[video.name]) for video in tree.testing}
    forms = _find(tree) if path is None else [_form_at(require_path(path), tree)]
    if not forms:
        raise LabelError(
            f"{tree.root}: no labels found; expected one of labels.csv, NAME.mat, "
            "frame_labels_NAME.npy, test_frame_mask/, *.m, testing_label_mask/, "
            "CLIP_gt/, testing/masks/ or test_pixel_mask/ (data/README.md), or give "
            "the file"
        )
    chosen = forms[0]
    frames = chosen.read(lengths)
    masks = chosen.masks or next((form.masks for form in forms if form.masks), {})
    if path is not None and not masks:
        masks = next((form.masks for form in _find(tree) if form.masks), {})
    notes = [note for form in forms[1:] if (note := _compare(frames, form, lengths))]
    kind = chosen.kind + _avenue_version(tree, frames)
    return Labels(frames, chosen.source, kind, _sha256(chosen.files), masks, tuple(notes))


def _avenue_version(tree: DatasetTree, frames: dict[str, np.ndarray]) -> str:
    if tree.layout != "avenue" and "avenue" not in str(tree.root.resolve().name).lower():
        return ""
    anomalous = sum(int(label.sum()) for label in frames.values())
    return (
        f", {anomalous:,} anomalous frames: "
        f"{AVENUE_VERSIONS.get(anomalous, 'neither published version')}"
    )


def _compare(frames: dict[str, np.ndarray], form: _Form, lengths: dict[str, int]) -> str | None:
    """What another label file says otherwise, or None where it says the same."""
    what = f"{form.source} ({form.kind})"
    if sum(file.stat().st_size for file in form.files) > COMPARED_BYTES:
        return f"{what} is there too, too large to be compared"
    try:
        other = form.read(lengths)
    except LabelError as error:
        return f"{what} is there too and does not fit: {error}"
    unlike = {name: int((frames[name] != other[name]).sum()) for name in frames}
    if not any(unlike.values()):
        return None
    mine, theirs = (
        sum(int(label.sum()) for label in labels.values()) for labels in (frames, other)
    )
    return (
        f"{what} contradicts: {theirs:,} anomalous frames where the labels in use have "
        f"{mine:,}, {sum(unlike.values()):,} frames in {sum(map(bool, unlike.values()))} "
        "videos differ"
    )


def _sha256(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _check(name: str, found: int, frames: int, source: Path) -> None:
    if found != frames:
        raise LabelError(
            f"{source}: {found:,} labels for test video {name}, which has {frames:,} "
            "frames; expected one label a frame"
        )


# --- Finding


def _find(tree: DatasetTree) -> list[_Form]:
    """Every label file of a data set, in the order of preference."""
    root = tree.root if tree.root.is_dir() else tree.root.parent
    places = [root] + [place for name in ("testing", "test") if (place := child(root, name))]
    files = [item for place in places for item in visible(place) if item.is_file()]

    def with_suffix(suffix: str) -> list[Path]:
        found = [file for file in files if file.suffix.lower() == suffix]
        # stable
        return sorted(found, key=lambda file: file.stem.lower() != root.resolve().name.lower())

    def folders(name: str) -> list[Path]:
        return [found for place in places if (found := child(place, name))]

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


def _form_at(path: Path, tree: DatasetTree) -> _Form:
    """The label file or folder that a user names, whatever its form."""
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
    """Labels bool (frames,) from spans [start, stop) from 0."""
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


def _interval_form(path: Path, kind: str, reader: Callable[[Path], list[np.ndarray]]) -> _Form:
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

    return _Form(kind, path, (path,), read)


def _gt_form(path: Path) -> _Form:
    return _interval_form(path, f"intervals of {path.name} (gt)", label_readers.mat_intervals)


def _m_form(path: Path) -> _Form:
    return _interval_form(path, f"intervals of {path.name} (gt_frame)", label_readers.m_intervals)


def _vector_form(path: Path) -> _Form:
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

    return _Form(f"one vector of frame labels ({path.name})", path, (path,), read)


def _csv_form(path: Path, tree: DatasetTree) -> _Form:
    def read(lengths: dict[str, int]) -> dict[str, np.ndarray]:
        names = _spellings(tree)
        spans: dict[str, list[tuple[int, int]]] = {name: [] for name in lengths}
        for line, written, start, end in label_readers.csv_rows(path):
            if written not in names:
                raise LabelError(
                    f"{path}: line {line} names the video '{written}', which is not "
                    "one test video; expected one of "
                    f"{', '.join(list(lengths)[:6])}{', ...' * (len(lengths) > 6)}"
                )
            if start is not None and end is not None:
                spans[names[written]].append((start, end))
        return {
            name: _fill(path, name, lengths[name], spans[name], "start and end (exclusive) from 0")
            for name in lengths
        }

    return _Form("intervals of labels.csv", path, (path,), read)


def _spellings(tree: DatasetTree) -> dict[str, str]:
    """Ways to write a test video in labels.csv -> its name: with suffix, with its folder."""
    found: dict[str, set[str]] = {}
    for video in tree.testing:
        ways = {video.name, video.path.name}
        if video.path.is_relative_to(tree.root):
            relative = video.path.relative_to(tree.root)
            ways |= {relative.as_posix(), relative.with_suffix("").as_posix()}
        for way in ways:
            found.setdefault(way, set()).add(video.name)
    return {
        way: next(iter(names)) for way, names in found.items() if len(names) == 1 and way != "."
    }


def _per_video(
    kind: str,
    folder: Path,
    places: dict[str, Path],
    reader: Callable[[Path], np.ndarray],
    files: tuple[Path, ...],
    pixels: bool,
) -> _Form:
    """A form with a file or folder per test video; `reader` gives its labels bool (T,)."""

    def read(lengths: dict[str, int]) -> dict[str, np.ndarray]:
        absent = [name for name in lengths if name not in places]
        if absent:
            raise LabelError(
                f"{folder}: nothing for test video {absent[0]} ({len(absent)} of "
                f"{len(lengths)} test videos have no labels there); expected one file "
                "or folder per test video"
            )
        frames = {name: reader(places[name]) for name in lengths}
        for name, label in frames.items():
            _check(name, label.size, lengths[name], places[name])
        return frames

    return _Form(kind, folder, files, read, places if pixels else {})


def _any_pixel(masks: np.ndarray) -> np.ndarray:
    # one mask at a time: they may be mapped
    return np.array([bool(np.any(mask)) for mask in masks], bool)


def _vectors_form(folder: Path, tree: DatasetTree) -> _Form:
    places = {v.name: file for v in tree.testing if (file := folder / f"{v.name}.npy").is_file()}
    return _per_video(
        f"vectors of frame labels ({folder.name}/*.npy)",
        folder,
        places,
        label_readers.npy_vector,
        tuple(places.values()),
        pixels=False,
    )


def _pixels_form(folder: Path, tree: DatasetTree) -> _Form:
    places = {v.name: file for v in tree.testing if (file := folder / f"{v.name}.npy").is_file()}
    return _per_video(
        f"pixel masks ({folder.name}/*.npy)",
        folder,
        places,
        lambda file: _any_pixel(label_readers.npy_mask(file)),
        tuple(places.values()),
        pixels=True,
    )


def _avenue_form(folder: Path, tree: DatasetTree) -> _Form:
    numbers = {
        int(found[0]): file
        for file in sorted(folder.glob("*.mat"), key=lambda f: natural_key(f.name))
        if (found := re.findall(r"\d+", file.stem))
    }
    places = {
        video.name: numbers[int(found[-1])]
        for video in tree.testing
        if (found := re.findall(r"\d+", video.name)) and int(found[-1]) in numbers
    }
    return _per_video(
        f"pixel masks ({folder.name}/*.mat, volLabel)",
        folder,
        places,
        lambda file: _any_pixel(label_readers.mat_mask(file)),
        tuple(places.values()),
        pixels=True,
    )


def _gt_folder(video: Video) -> Path | None:
    folder = video.path.with_name(f"{video.path.name}_gt")
    return folder if folder.is_dir() and label_readers.mask_files(folder) else None


def _pictures_form(folder: Path, tree: DatasetTree) -> _Form:
    """Folders of mask pictures: CLIP_gt (UCSD) or CLIP."""
    places = {}
    for video in tree.testing:
        found = [folder / f"{video.name}_gt", folder / video.name]
        place = next(
            (
                place
                for place in found
                if place.is_dir()
                and label_readers.mask_files(place)
                # a clip's own .tif frames are no masks
                and not place.samefile(video.path)
            ),
            None,
        )
        if place is not None:
            places[video.name] = place
    files = tuple(file for place in places.values() for file in label_readers.mask_files(place))
    clip = "CLIP_gt" if any(place.name.endswith("_gt") for place in places.values()) else "CLIP"
    kind = f"pixel masks ({folder.name}/{clip}/*{files[0].suffix.lower() if files else ''})"
    return _per_video(kind, folder, places, _any_picture, files, pixels=True)


def _any_picture(folder: Path) -> np.ndarray:
    return np.array(
        [bool(label_readers.read_mask(file).any()) for file in label_readers.mask_files(folder)],
        bool,
    )
