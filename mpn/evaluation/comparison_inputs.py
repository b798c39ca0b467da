"""Folders of scores to compare, and the labels that belong to them. No torch."""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mpn.datasets.label_readers import check_normal, csv_rows
from mpn.errors import DataError, LabelError
from mpn.evaluation.comparison import Run
from mpn.evaluation.score_files import LABELS, read_scores
from mpn.video.paths import natural_key, require_path

FIGURES = "metrics.json"


class Truth(NamedTuple):
    """Labels, and where they are from.

    Attributes:
        frames: video -> bool (T,), as many as `of` has.
        facts: source, sha256, frames and anomalous.
    """

    frames: dict[str, np.ndarray]
    facts: dict[str, Any]
    of: str


def systems_of(arguments: Sequence[str]) -> dict[str, list[Path]]:
    """Return the systems that arguments stand for: name -> the folders of its runs.

    A folder is one system, called after it; a pattern with * ? [ is one system, its matches are
    runs; NAME=A,B,... is one system called NAME, and A, B are folders or patterns.

    Raises:
        DataError: a folder does not exist, a pattern matches no folder, or a name or a run is there
            twice.
    """
    systems: dict[str, list[Path]] = {}
    for argument in arguments:
        name, folders = _system_of(argument)
        # two folders of one name in different places
        if name in systems and Path(argument).is_dir():
            name = argument
        if name in systems:
            raise DataError(
                f"{argument}: two systems are called {name!r}; write NAME=FOLDER to tell them apart"
            )
        twice = [
            folder
            for folder in folders
            if sum(folder.resolve() == other.resolve() for other in folders) > 1
        ]
        if twice:
            raise DataError(
                f"{argument}: {twice[0]} is given twice; the runs of a system are different folders"
            )
        systems[name] = folders
    return systems


def _system_of(argument: str) -> tuple[str, list[Path]]:
    if Path(argument).is_dir():
        folder = Path(argument)
        named_after = folder.resolve().parent if folder.name == "scores" else folder.resolve()
        return named_after.name, [folder]
    name, equals, rest = argument.partition("=")
    if equals and name:
        return name, [folder for part in rest.split(",") for folder in _folders(part.strip())]
    return argument, _folders(argument)


def _folders(text: str) -> list[Path]:
    """Return a folder, or those that a pattern matches in natural order."""
    if re.search("[*?[]", text) and not Path(text).exists():
        matched = sorted((path for path in glob.glob(text) if Path(path).is_dir()), key=natural_key)
        if not matched:
            raise DataError(
                f"{text}: matches no folder; expected folders of scores, or such that "
                "`evaluate` wrote"
            )
        return [Path(path) for path in matched]
    if not text or not require_path(text).is_dir():
        raise DataError(
            f"{text!r} is not a folder; expected a folder of scores, or one that `evaluate` wrote"
        )
    return [Path(text)]


def scores_in(folder: Path) -> Path:
    """Say where the score files are.

    Below what `evaluate` wrote, where it took them from, or in the folder itself.
    """
    if (folder / "scores").is_dir():
        return folder / "scores"
    taken = _figures(folder).get("scores_from")
    return Path(taken) if isinstance(taken, str) and Path(taken).is_dir() else folder


def _labels_in(folder: Path) -> Path | None:
    """Find the labels.csv that `evaluate` wrote for these scores.

    In the folder or, of its scores/, beside it.
    """
    places = [folder, *([folder.resolve().parent] if folder.resolve().name == "scores" else [])]
    return next(
        (candidate / LABELS for candidate in places if (candidate / LABELS).is_file()), None
    )


def _figures(folder: Path) -> dict[str, Any]:
    """Read what metrics.json of a folder says; nothing where there is none."""
    try:
        content = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_systems(
    systems: Mapping[str, Sequence[Path]], truth: Truth | None = None, labels: Path | None = None
) -> tuple[Truth, dict[str, dict[str, Run]], list[str]]:
    """Read the labels and every run's scores, which have the same videos and frames, and notes.

    Args:
        systems: from `systems_of`.
        truth: labels of a data set; without it they are those of `labels`, a file as `labels.csv`,
            or of the folders' own labels.csv, which must then agree.
        labels: a labels.csv, where there is no `truth`.

    Raises:
        LabelError: there are no labels, or folders with different ones.
        DataError: scores that don't fit, see `mpn.evaluation.score_files.read_scores`.
    """
    folders = [folder for runs in systems.values() for folder in runs]
    notes: list[str] = []
    labels_of = {folder: path for folder in folders if (path := _labels_in(folder))}
    if truth is None:
        reference = next(iter(labels_of), folders[0])
        source = labels or labels_of.get(reference)
        if source is None:
            raise LabelError(
                f"{folders[0]}: no {LABELS} beside the scores, as `evaluate` writes it, nor in any "
                f"other of the {len(folders)} folders; give the data set that was scored with "
                "--data"
            )
        truth = _read_labels(source, reference, notes)
        if labels is None:
            _same_labels(truth, labels_of, reference, notes)
    lengths = {video: len(frames) for video, frames in truth.frames.items()}
    scores: dict[str, dict[str, Run]] = {}
    for system, runs in systems.items():
        scores[system] = {}
        for folder in runs:
            try:
                scores[system][str(folder)] = read_scores(scores_in(folder), lengths, notes)
            except DataError as error:
                raise DataError(f"{error} (videos and frames are those of {truth.of})") from None
    return truth, scores, list(dict.fromkeys(notes))


def _read_labels(path: Path, reference: Path, notes: list[str]) -> Truth:
    """Read a labels.csv for the videos and frames of the `reference` folder's scores."""
    spans: dict[str, list[tuple[int, int]]] = {}
    rows = csv_rows(path)
    check_normal(path, rows)
    for _, video, start, end in rows:
        spans_of_video = spans.setdefault(video, [])
        if start is not None and end is not None:
            spans_of_video.append((start, end))
    scores = read_scores(scores_in(reference))
    missing = [video for video in spans if video not in scores]
    if missing or not spans:
        raise DataError(
            f"{scores_in(reference)}: no scores of {len(missing)} of {len(spans)} videos that "
            f"{path} labels" + (f" ({', '.join(missing[:5])})" if missing else "")
        )
    frames = {}
    for video, spans_of_video in spans.items():
        frames[video] = np.zeros(len(next(iter(scores[video].values()))), bool)
        for start, end in spans_of_video:
            if end > len(frames[video]):
                raise LabelError(
                    f"{path}: video {video!r} is labelled to frame {end}, but "
                    f"{scores_in(reference)} has {len(frames[video])} scores of it"
                )
            frames[video][start:end] = True
    unlabelled = [video for video in scores if video not in spans]
    if unlabelled:
        notes.append(
            f"{path}: {len(unlabelled)} videos that have scores are not in it, left out "
            f"({', '.join(unlabelled[:5])}); a video without anomalies is written VIDEO,,"
        )
    return Truth(frames, _facts(path, frames), str(reference))


def _facts(path: Path, frames: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Say where labels are from and what is in them.

    The SHA-256 is the original's where `evaluate` noted it.
    """
    facts: dict[str, Any] = {
        "source": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    facts |= {
        "frames": sum(map(len, frames.values())),
        "anomalous": int(sum(y.sum() for y in frames.values())),
    }
    noted = _figures(path.parent).get("labels")
    if not isinstance(noted, dict) or not {"source", "sha256"} <= set(noted):
        return facts
    return facts | {"made_from": {"source": str(noted["source"]), "sha256": str(noted["sha256"])}}


def _same_labels(
    truth: Truth, labels_of: Mapping[Path, Path], reference: Path, notes: list[str]
) -> None:
    """Check that the other folders' labels say the same as those of the reference."""
    files = {truth.facts.get("made_from", truth.facts)["sha256"]}
    for folder, path in labels_of.items():
        if folder == reference:
            continue
        other = _read_labels(path, folder, [])
        files.add(other.facts.get("made_from", other.facts)["sha256"])
        unlike = _unlike(truth.frames, other.frames)
        if unlike:
            counts = (
                f"{labels.facts['anomalous']} of {labels.facts['frames']} frames anomalous in "
                f"{labels.facts['source']} (sha256 "
                f"{labels.facts.get('made_from', labels.facts)['sha256'][:12]})"
                for labels in (truth, other)
            )
            raise LabelError(
                f"the labels differ: {' but '.join(counts)}; {unlike}; evaluate both with the same "
                "label file, or give the data set with --data"
            )
    if len(files) > 1:
        notes.append(f"{len(files)} label files, different as files, that label every frame alike")


def _unlike(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> str:
    """Say how two sets of labels differ, "" where they don't."""
    for video in [*first, *second]:
        if video not in first or video not in second:
            return f"only one has video {video!r}"
        if len(first[video]) != len(second[video]):
            return (
                f"video {video!r} has {len(first[video])} frames in one and "
                f"{len(second[video])} in the other"
            )
    different = {video: int((first[video] != second[video]).sum()) for video in first}
    if not any(different.values()):
        return ""
    videos = [video for video, count in different.items() if count]
    return (
        f"{sum(different.values())} frames of {len(videos)} videos differ, the first of them "
        f"{videos[0]!r}"
    )
