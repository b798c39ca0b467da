"""The verb `mpn doctor`: say what a source is, what is wrong with it, and how to mend it."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mpn.cli import above_zero, new_parser
from mpn.datasets.layouts import LAYOUTS
from mpn.doctor.diagnose import Diagnosis, diagnose
from mpn.doctor.findings import SEVERITIES
from mpn.doctor.fingerprints import Clip
from mpn.io.text import align, clock, json_text, plural

EXAMPLES = """  mpn doctor recordings/
  mpn doctor data/ped2 --fps 10
  mpn doctor lobby.mp4 --json"""
MAX_ROWS = 30  # of the table
MAX_ALIKE = 3  # findings of a kind that are printed whole


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "doctor",
        "Reads every frame of a data set, a folder of recordings or a video and says what will go "
        "wrong with it in training, scoring and evaluation, and how to mend it.",
        EXAMPLES,
    )
    verb.add_argument(
        "data",
        type=Path,
        metavar="DIR|VIDEO",
        help="data set, folder of recordings or frames, or video",
    )
    verb.add_argument(
        "--layout", choices=LAYOUTS, help="layout of the folder (default: recognised from the tree)"
    )
    verb.add_argument(
        "--labels", type=Path, help="label file or folder (default: found in the folder)"
    )
    verb.add_argument(
        "--fps", type=above_zero, help="frames per second, instead of what the files say"
    )
    verb.add_argument(
        "--json", action="store_true", help="print everything as JSON instead of the summary"
    )
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    diagnosis = diagnose(
        options.data, layout=options.layout, labels=options.labels, fps=options.fps
    )
    if options.json:
        print(json_text(diagnosis.to_dict(), indent=1))
    else:
        print(
            "\n".join(
                [*_header(diagnosis), "", *_table(diagnosis.clips), "", *_findings(diagnosis)]
            )
        )
    if not diagnosis.complete:
        sys.stdout.flush()
        raise KeyboardInterrupt


def _header(diagnosis: Diagnosis) -> list[str]:
    tree, clips, labels = diagnosis.tree, diagnosis.clips, diagnosis.labels
    if tree.root.is_dir():
        lines = [tree.describe()]
    else:
        lines = [f"{tree.root}: a video"]
    frames, read = sum(clip.frames for clip in clips), sum(clip.complete for clip in clips)
    lines.append(
        f"{frames:,} frames, {_bytes(sum(clip.bytes for clip in clips))}, every one of "
        "them looked at"
    )
    if not diagnosis.complete:
        lines[-1] = (
            f"interrupted: {read} of {len(clips)} videos read to the end; what follows is of "
            f"{frames:,} frames"
        )
    if labels:
        lines.append(
            f"labels: {labels.kind}, {labels.anomalous:,} of {labels.total:,} frames anomalous"
        )
    return lines


def _table(clips: Sequence[Clip]) -> list[str]:
    """Make a row a video; of many videos a row for each scene of each split, or for each split."""
    groups: dict[tuple[str, ...], list[Clip]] = {(clip.name,): [clip] for clip in clips}
    for keys in (("split", "scene"), ("split",)):
        if len(groups) > MAX_ROWS:
            groups = defaultdict(list)
            for clip in clips:
                names = {"split": clip.split or "videos", "scene": f"scene {clip.video.scene}"}
                groups[tuple(names[key] for key in keys)].append(clip)
    rows: list[tuple[str, ...]] = [("video", "frames", "size", "frames/s", "length", "on disk")]
    for key, group in groups.items():
        name = (
            key[0]
            if len(group) == 1 and len(key) == 1
            else f"{' '.join(key)} ({len(group)} videos)"
        )
        rows.append((name, *_cells(group)))
    return align(rows)


def _cells(clips: Sequence[Clip]) -> tuple[str, ...]:
    """Write frames, size, frames/s, length and bytes of some videos."""
    read = [clip for clip in clips if clip.frames]
    if not read:
        return ("-", "-", "-", "-", _bytes(sum(clip.bytes for clip in clips)))
    sizes = {f"{clip.size[1]}x{clip.size[0]}" for clip in read if clip.size}
    rates = {f"{clip.fps:.4g}" if clip.fps else "?" for clip in read}
    seconds = [clip.seconds for clip in read if clip.seconds is not None]
    return (
        f"{sum(clip.frames for clip in read):,}",
        sizes.pop() if len(sizes) == 1 else f"{len(sizes)} sizes",
        rates.pop() if len(rates) == 1 else f"{len(rates)} rates",
        clock(sum(seconds)) if len(seconds) == len(read) else "?",
        _bytes(sum(clip.bytes for clip in clips)),
    )


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count else "-"


def _findings(diagnosis: Diagnosis) -> list[str]:
    """Write two lines a finding, the worst first.

    Of many of a kind the first few, and where the others are.
    """
    findings = diagnosis.findings
    if not findings:
        return ["nothing found that would go wrong" + (" so far" if not diagnosis.complete else "")]
    lines, kinds = [], defaultdict(list)
    for finding in findings:
        kinds[finding.severity, finding.kind].append(finding)
    for (severity, kind), alike in kinds.items():
        shown = alike if len(alike) <= MAX_ALIKE + 1 else alike[:MAX_ALIKE]
        for finding in shown:
            lines += [f"{severity}: {finding.where}: {finding.what}", f"  remedy: {finding.remedy}"]
        rest = alike[len(shown) :]
        if rest:
            places = list(dict.fromkeys(finding.where for finding in rest))
            where = f"{', '.join(places[:6])}{', ...' * (len(places) > 6)}"
            lines.append(f"{severity}: {len(rest)} more of that ({kind}; --json has all): {where}")
    counts = [
        plural(number, severity, "d")
        for severity in SEVERITIES
        if (number := sum(finding.severity == severity for finding in findings))
    ]
    return [*lines, "", ", ".join(counts)]
