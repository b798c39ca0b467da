"""What train, score, evaluate and doctor each say of the same footage: they have to agree.

Each is asked by the code that its verb runs: which recordings there are, how many frames each has,
which of these are lost, the frame rate, the time of the last frame where times are kept, and what
is left out.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mpn import cli
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import load_clips
from mpn.doctor.diagnose import diagnose
from mpn.errors import DataError, SizeError
from mpn.evaluation.run_detector import score_set
from mpn.evaluation.test_set import open_set
from mpn.model.checkpoint import load_checkpoint
from mpn.scoring.detector import Detector
from mpn.video.footage import footage_of

CLOSE = 0.0006  # seconds: `mpn score` writes thousandths
RATE_CLOSE = 1e-6


@dataclass(frozen=True)
class Recording:
    """What a verb says of a recording.

    Attributes:
        frames: lost ones counted.
        lost: numbers of those that cannot be used.
        rate: frames/s, NaN if unknown.
        last: seconds of the last frame, NaN if unknown or not kept by this verb.
    """

    frames: int
    lost: tuple[int, ...]
    rate: float
    last: float = math.nan


@dataclass
class Account:
    """What a verb says of a folder; paths are resolved.

    Attributes:
        recordings: by path.
        refused: recordings that cannot be read.
        left_out: what is no recording.
    """

    recordings: dict[Path, Recording] = field(default_factory=dict)
    refused: set[Path] = field(default_factory=set)
    left_out: set[Path] = field(default_factory=set)


def by_score(folder: Path, model: Path, work: Path) -> Account:
    """Run `mpn score` and read what it has written."""
    arguments = ["score", str(folder), "--checkpoint", str(model), "--out", str(work)]
    with _quiet():
        cli.main([*arguments, "--no-report", "--no-motion"])
    footage = footage_of(folder)
    account = Account(left_out={entry.path.resolve() for entry in footage.left_out})
    for events in work.glob("**/events.json"):
        summary = json.loads(events.read_text())
        with events.with_name("scores.csv").open() as file:
            rows = list(csv.DictReader(file))
        rate = math.nan if "frame rate unknown" in str(summary["notes"]) else summary["fps"]
        account.recordings[Path(summary["source"]).resolve()] = Recording(
            len(rows),
            tuple(sorted(bad["index"] for bad in summary["bad_frames"])),
            rate,
            math.nan if math.isnan(rate) else float(rows[-1]["time"]),
        )
    account.refused = {path.resolve() for path in footage.sources} - set(account.recordings)
    return account


def by_train(folder: Path, model: Path, work: Path) -> Account:
    """Load the footage as training does."""
    tree = recognise(folder)
    account = Account(left_out={entry.path.resolve() for entry in tree.left_out})
    paths = {video.name: video.path.resolve() for video in tree.training}
    config = load_checkpoint(model).network.config
    with _quiet(), contextlib.suppress(DataError):  # none of them can be read
        for clip in load_clips(
            tree.training, config.size, config.grey, skip_bad=True, min_side=config.stride
        ):
            lost = tuple(sorted(bad.index for bad in clip.bad))
            account.recordings[paths[clip.name]] = Recording(
                len(clip.frames), lost, clip.fps or math.nan
            )
    account.refused = set(paths.values()) - set(account.recordings)
    return account


def by_evaluate(folder: Path, model: Path, work: Path) -> Account:
    """Score the footage as an evaluation does; it stops at what cannot be read, and names it."""
    tree = recognise(folder)
    account = Account(left_out={entry.path.resolve() for entry in tree.left_out})
    detector = Detector(load_checkpoint(model), precision="float32")
    for video in tree.testing:
        labels = work / "labels.csv"
        labels.write_bytes(os.fsencode(f"video,start,end\n{video.name},0,1\n"))
        try:
            test = open_set(replace(tree, testing=(video,)), labels, skip_bad=True)
            with _quiet():
                [(_, scored)] = score_set(detector, test.sources)
        except (DataError, SizeError):
            account.refused.add(video.path.resolve())
            continue
        source = test.sources[video.name]
        account.recordings[video.path.resolve()] = Recording(
            len(scored.smoothed),
            tuple(sorted(bad.index for bad in source.bad)),
            float(source.fps or math.nan),
            float(scored.times[-1]),
        )
    return account


def by_doctor(folder: Path, model: Path, work: Path) -> Account:
    """Diagnose the footage."""
    tree = recognise(folder)
    account = Account(left_out={entry.path.resolve() for entry in tree.left_out})
    try:
        diagnosis = diagnose(folder, progress=False)
    except DataError:  # none of them can be read
        account.refused = {video.path.resolve() for video in tree.training}
        return account
    small = [finding.where for finding in diagnosis.findings if finding.kind == "too-small"]
    for clip in diagnosis.clips:
        if clip.error is None and clip.name not in small:
            account.recordings[clip.video.path.resolve()] = Recording(
                clip.frames, tuple(sorted(bad.index for bad in clip.bad)), clip.fps or math.nan
            )
    account.refused = {video.path.resolve() for video in tree.training} - set(account.recordings)
    return account


VERBS: dict[str, Callable[[Path, Path, Path], Account]] = {
    "score": by_score,
    "train": by_train,
    "evaluate": by_evaluate,
    "doctor": by_doctor,
}


def accounts_of(footage: Path, model: Path, work: Path) -> dict[str, Account]:
    """Ask all verbs.

    Args:
        footage: a file or folder.
        model: any model's file.
        work: a folder for what is written; made.
    """
    folder = work / "footage"
    folder.mkdir(parents=True)
    name = footage.name if footage.is_file() else "camera"
    (folder / name).symlink_to(footage)
    (folder / "labels.csv").write_text("video,start,end\n")  # which makes test videos of all
    accounts = {}
    for verb, ask in VERBS.items():
        (work / verb).mkdir(parents=True)
        accounts[verb] = ask(folder, model, work / verb)
    return accounts


def differences(accounts: dict[str, Account]) -> Iterator[str]:
    """Say where verbs disagree with `mpn score`, a line each."""
    scored = accounts["score"]
    for verb, account in accounts.items():
        for kind in ("refused", "left_out"):
            unlike = getattr(account, kind) ^ getattr(scored, kind)
            if unlike:
                yield f"{kind} differs in {verb}: {sorted(path.name for path in unlike)}"
        if set(account.recordings) != set(scored.recordings):
            yield f"{verb} has {len(account.recordings)} recordings of {len(scored.recordings)}"
        for path in set(account.recordings) & set(scored.recordings):
            recording, other = account.recordings[path], scored.recordings[path]
            if not _alike(recording, other):
                yield f"{path.name}: {verb} says {recording}, score {other}"


def _alike(first: Recording, other: Recording) -> bool:
    """Say whether two verbs say the same, but for a time that the first does not keep."""
    same_rate = math.isclose(first.rate, other.rate, rel_tol=RATE_CLOSE)
    unknown = math.isnan(first.rate) and math.isnan(other.rate)
    same_time = math.isnan(first.last) or abs(first.last - other.last) <= CLOSE
    return (first.frames, first.lost) == (other.frames, other.lost) and (
        unknown or (same_rate and same_time)
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let nothing be printed or logged."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
