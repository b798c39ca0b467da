"""What a folder or video is, what will go wrong with it, and how to mend that.

    diagnosis = diagnose("recordings/")
    for finding in diagnosis.findings:
        print(finding.severity, finding.where, finding.what, finding.remedy)

`mpn.doctor.fingerprints` reads the clips, each frame once; `mpn.doctor.file_checks`,
`mpn.doctor.clip_checks`, `mpn.doctor.frame_checks` and `mpn.doctor.near_duplicates` look for
trouble.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mpn.datasets.labels import Labels, load_labels
from mpn.datasets.layouts import DatasetTree, Video, recognise
from mpn.doctor import clip_checks, file_checks, frame_checks, near_duplicates
from mpn.doctor.findings import SEVERITIES, Finding, skipping, some
from mpn.doctor.fingerprints import Clip, read_clip
from mpn.errors import DataError
from mpn.io.text import plural

MAX_THUMBS = 500_000  # tiny pictures that are kept, 432 bytes each


@dataclass
class Diagnosis:
    """What a source is and what was found.

    Attributes:
        tree: what was recognised.
        clips: its videos, training first; see `Clip`.
        findings: the worst first.
        labels: of the test videos, None without any that fit.
        complete: False where Ctrl-C came before everything was read; the findings are of what was.
    """

    tree: DatasetTree
    clips: list[Clip]
    findings: list[Finding] = field(default_factory=list)
    labels: Labels | None = None
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in plain types, for JSON.

        Frames are counted from 0, sizes are [height, width] in pixels.
        """
        labels = self.labels and {
            "source": str(self.labels.source),
            "kind": self.labels.kind,
            "frames": self.labels.total,
            "anomalous": self.labels.anomalous,
        }
        return {
            "path": str(self.tree.root),
            "layout": self.tree.layout,
            "complete": self.complete,
            "scenes": list(self.tree.scenes),
            "labels": labels,
            "videos": [_row(clip) for clip in self.clips],
            "findings": [asdict(finding) for finding in self.findings],
        }


def _row(clip: Clip) -> dict[str, Any]:
    return {
        "name": clip.video.name,
        "scene": clip.video.scene,
        "split": clip.split or None,
        "path": str(clip.video.path),
        "frames": clip.frames,
        "header_frames": clip.header,
        "size": list(clip.size) if clip.size else None,
        "fps": clip.fps,
        "seconds": clip.seconds,
        "bytes": clip.bytes,
        "error": clip.error,
        "complete": clip.complete,
    }


def diagnose(
    path: str | Path,
    *,
    layout: str | None = None,
    labels: str | Path | None = None,
    fps: float | None = None,
    progress: bool = True,
) -> Diagnosis:
    """Read every frame of a data set, a folder of recordings or a video, and look for trouble.

    Ctrl-C ends the reading, not the diagnosis: it is made of what was read, and `complete` is
    False.

    Args:
        path: as `mpn.datasets.layouts.recognise` takes it.
        layout: instead of what would be recognised.
        labels: a label file or folder instead of what lies in the data set.
        fps: frames/s instead of what the files say.
        progress: show a bar where stderr is a terminal.

    Raises:
        DataError: nothing there, no layout fits, or not one of the videos can be read.
    """
    tree = recognise(path, layout)
    clips = [Clip(video, split) for video, split in _videos(tree)]
    complete = _read(clips, fps, progress)
    broken = [clip for clip in clips if clip.error]
    if broken and len(broken) == len(clips):
        many = f"{tree.root}: none of its {len(clips)} videos can be read, the first: "
        raise DataError((many if len(clips) > 1 else "") + str(broken[0].error))
    findings = [finding for clip in broken for finding in _unreadable(clip)]
    usable = [clip for clip in clips if not clip.error and clip.frames]
    checks = file_checks.CHECKS + clip_checks.CHECKS + frame_checks.CHECKS
    for check in (*checks, near_duplicates.near_duplicates):
        findings += check(tree, usable)
    test_labels, label_findings = _labels(tree, clips, labels)
    findings += label_findings
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Diagnosis(tree, clips, findings, test_labels, complete)


def _videos(tree: DatasetTree) -> Iterator[tuple[Video, str]]:
    """Yield every video once, with its split."""
    if not tree.has_splits:
        yield from ((video, "both" if tree.testing else "") for video in tree.training)
        return
    yield from ((video, "training") for video in tree.training)
    yield from ((video, "testing") for video in tree.testing)


def _read(clips: list[Clip], fps: float | None, progress: bool) -> bool:
    """Read the clips; False where Ctrl-C came in between."""
    # Test footage is looked for in the training footage, where there are both.
    splits = {clip.split for clip in clips} >= {"training", "testing"}
    thumbs = 0
    with tqdm(unit=" frames", leave=False, disable=None if progress else True) as bar:
        try:
            for number, clip in enumerate(clips, 1):
                bar.set_description_str(f"{number}/{len(clips)} {clip.name}")
                read_clip(clip, fps=fps, thumbs=splits and thumbs < MAX_THUMBS, step=bar.update)
                thumbs += len(clip.thumbs)
        except KeyboardInterrupt:
            return False
    return True


def _unreadable(clip: Clip) -> Iterator[Finding]:
    remedy = (
        "copy or export it again, convert it to H.264 .mp4, or take it out of the folder "
        f"({skipping('it')})"
    )
    yield Finding("unreadable", "error", clip.name, str(clip.error), remedy)


def _labels(
    tree: DatasetTree, clips: list[Clip], path: str | Path | None
) -> tuple[Labels | None, Iterable[Finding]]:
    """Read the labels of the test videos, where there are any, and say what is wrong with them."""
    tested = [clip for clip in clips if clip.split in ("testing", "both")]
    if not tested and path is None:
        return None, []
    remedy = (
        "see data/README.md for the forms; a labels.csv (video,start,end; from 0, end exclusive) "
        "is the simplest"
    )
    unread = [clip.name for clip in tested if clip.error or not clip.complete]
    if unread:
        message = f"labels were not looked at: the length of {some(unread)} is unknown"
        return None, [Finding("labels", "note", str(tree.root), message, "mend the videos first")]
    try:
        labels = load_labels(tree, {clip.video.name: clip.frames for clip in tested}, path)
    except DataError as error:
        where = str(path or tree.root)
        return None, [
            Finding("labels", "error", where, str(error).removeprefix(f"{where}: "), remedy)
        ]
    remedy = "remove the wrong one, or name the right one: --labels FILE"
    differ = [
        Finding("labels-differ", "warning", str(labels.source), note, remedy)
        for note in labels.notes
    ]
    return labels, differ + list(_classes(labels))


def _classes(labels: Labels) -> Iterator[Finding]:
    where, per_video = str(labels.source), labels.frames
    if labels.anomalous in (0, labels.total):
        kind = "normal" if labels.anomalous == 0 else "anomalous"
        remedy = "look whether they are the right labels; with one class no AUC is defined"
        yield Finding(
            "one-class",
            "error",
            where,
            f"all {labels.total:,} test frames are labelled {kind}",
            remedy,
        )
        return
    one_class = [name for name, label in per_video.items() if label.all() or not label.any()]
    if one_class:
        message = (
            f"{plural(len(one_class), 'test video')} of {len(per_video)} with one class only: "
            f"{some(one_class)}"
        )
        remedy = (
            "nothing; figures per video and their mean leave them out, the frame AUC over all has "
            "them"
        )
        yield Finding("one-class-videos", "note", where, message, remedy)
