"""Frame labels and pixel masks of a data set's test videos, in every form that the field publishes.

Where several label files lie in a data set, the first of this order is used, and what the others
say otherwise is noted:

    1. labels.csv                             video,start,end (frames from 0, end exclusive)
    2. NAME.mat with `gt`                     intervals from 1, last frame included
    3. test_frame_mask/CLIP.npy               one vector per test video
    4. frame_labels_NAME.npy                  one vector over all test videos; also beside the set
    5. *.m with gt_frame = [...]              UCSD's intervals
    6. testing_label_mask/N_label.mat         Avenue's masks (`volLabel`)
    7. Test/CLIP_gt/*.bmp, testing/masks/CLIP/*.png, test_pixel_mask/CLIP.npy: pixel masks

What a person wrote for this very folder comes first, then labels of frames, then those of pixels,
of which a frame is anomalous if any is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpn.datasets import label_readers
from mpn.datasets.label_forms import LabelForm, check_count, find_forms, form_at
from mpn.datasets.layouts import LAYOUTS, DatasetTree
from mpn.datasets.mask_pictures import read_masks
from mpn.errors import LabelError
from mpn.video.paths import require_path

# Reading more than this only to compare it with the labels in use is not worth the wait.
COMPARED_BYTES = 1 << 30
AVENUE_VERSIONS = {3712: "the masks' version", 3867: "the older vector's version"}


@dataclass(frozen=True)
class Labels:
    """Labels of the test videos.

    Attributes:
        frames: per video name bool (T,), True = anomalous.
        source: the file or folder they are from.
        kind: its form, in words.
        sha256: of the file, or of the files one after the other, in order.
        masks: where each video's pixel masks are, if anywhere.
        notes: what other label files beside it say otherwise.
    """

    frames: dict[str, np.ndarray]
    source: Path
    kind: str
    sha256: str
    masks: dict[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Return the number of labelled frames."""
        return sum(label.size for label in self.frames.values())

    @property
    def anomalous(self) -> int:
        """Return the number of anomalous frames."""
        return sum(int(label.sum()) for label in self.frames.values())

    def pixel_mask(self, name: str) -> np.ndarray | None:
        """Read the pixel masks of a video.

        Args:
            name: of the video.

        Returns:
            bool (T, H, W), True = anomalous, in the masks' own size; None without any.

        Raises:
            LabelError: they cannot be read or are not one per frame.
        """
        path = self.masks.get(name)
        if path is None:
            return None
        if path.is_dir():
            pictures = list(read_masks(path))
            if len({picture.shape for picture in pictures}) > 1:
                raise LabelError(f"{path}: masks of different sizes; expected one size")
            masks = np.stack(pictures)
        elif path.suffix == ".mat":
            masks = label_readers.mat_mask(path)
        else:
            masks = np.asarray(label_readers.npy_mask(path)) != 0
        check_count(name, masks.shape[0], self.frames[name].size, path)
        return masks


def load_labels(
    tree: DatasetTree, lengths: dict[str, int], path: str | Path | None = None
) -> Labels:
    """Find and read the labels of a data set's test videos.

    Args:
        tree: from `recognise`.
        lengths: number of frames of every test video by name.
        path: a label file or folder of any form to use instead of what is found in the tree (in
            the order that stands in this module's docstring).

    Raises:
        LabelError: there are none, they cannot be read, or they don't fit the frames exactly;
            names the video, both counts and the file.
        DataError: there is no `path`.
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
    forms = find_forms(tree) if path is None else [form_at(require_path(path), tree)]
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
        masks = next((form.masks for form in find_forms(tree) if form.masks), {})
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


def _compare(frames: dict[str, np.ndarray], form: LabelForm, lengths: dict[str, int]) -> str | None:
    """Say what another label file says otherwise, or None where it says the same."""
    title = f"{form.source} ({form.kind})"
    if sum(file.stat().st_size for file in form.files) > COMPARED_BYTES:
        return f"{title} is there too, too large to be compared"
    try:
        other_frames = form.read(lengths)
    except LabelError as error:
        return f"{title} is there too and does not fit: {error}"
    unlike = [int((frames[name] != other_frames[name]).sum()) for name in frames]
    if not any(unlike):
        return None
    in_use, in_other = (
        sum(int(label.sum()) for label in labels.values()) for labels in (frames, other_frames)
    )
    return (
        f"{title} contradicts: {in_other:,} anomalous frames where the labels in use have "
        f"{in_use:,}, {sum(unlike):,} frames in {sum(map(bool, unlike))} videos differ"
    )


def _sha256(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
