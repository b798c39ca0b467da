"""Inputs as they come: odd ones of every kind are made, and `mpn score` is run on each.

Train, score, evaluate and doctor are asked what each holds, too: they have to agree (see
`benchmarks.accounts`).

Made with OpenCV, by changing the bytes of whole files, and, where `ffmpeg` is at hand, with that
(what is not made is said). Each is four seconds of two squares that move, unless it says otherwise.

    python -m benchmarks.odd_inputs FOLDER                   (some minutes: a run for each input)
    python -m benchmarks.odd_inputs FOLDER --only broken     (those with this in the name; no table)
    python -m benchmarks.odd_inputs FOLDER --make-only
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.accounts import accounts_of, differences
from benchmarks.common import RESULTS, ROOT, commit, machine
from benchmarks.odd_files import (
    CODECS,
    RATE,
    SIZE,
    break_avi,
    break_mp4,
    cut,
    drop_mkv,
    picture,
    set_avi_header,
    set_mkv_rate,
    set_mp4_intervals,
    set_mp4_rotation,
    write_pictures,
    write_video,
)
from benchmarks.odd_videos import VIDEOS, make_videos
from benchmarks.score_jobs import write_tiny_model
from mpn.io.text import printable

COUNT = 40  # frames
BROKEN = (12, 13, 27)


class Input(NamedTuple):
    """One input.

    Attributes:
        path: or pattern to score.
        what: it is, in words.
        options: of the command.
        ffmpeg: options to make it with; None: made by OpenCV.
    """

    path: str
    what: str
    options: tuple[str, ...] = ()
    ffmpeg: tuple[str, ...] | None = None


# --- What is made

INPUTS = (
    Input("usual.mp4", "MPEG-4 in .mp4"),
    Input("usual.avi", "Motion JPEG in .avi"),
    Input("usual.mkv", "Motion JPEG in .mkv"),
    Input("usual.mov", "MPEG-4 in .mov"),
    Input("usual.webm", "VP8 in .webm"),
    Input("frames", "a folder of .jpg, no frame rate"),
    Input("frames", "the same with a frame rate", ("--fps", "12.5")),
    Input("pattern/cam*.mp4", "a pattern: two of the three videos in its folder"),
    Input("mixed", "a folder: two good videos, a text, an empty file, one cut short"),
    Input("recordings", "folders of videos in a folder"),
    Input("portrait.mp4", "portrait"),
    Input("odd_size", "pictures of 143x97"),
    Input("grey.avi", "a grey video"),
    Input("grey_pictures", "grey pictures"),
    Input("alpha_pictures", "pictures with transparency"),
    Input("16_bit_pictures", "16-bit .png"),
    Input("10_in_16_bit_pictures", "16-bit .png that hold 10 bits"),
    Input("variable.mp4", "variable frame rate: 20 frames 0.1 s apart, then 0.3 s"),
    Input("rotated.mp4", "lies on its side, with rotation metadata"),
    Input("broken.avi", f"frames {BROKEN} overwritten, Motion JPEG"),
    Input("broken.mp4", f"frames {BROKEN} overwritten, MPEG-4"),
    Input("dropped.mkv", f"frames {BROKEN} were never recorded"),
    Input("ends_early.avi", "cut off at 60 %"),
    Input("cut_index.mp4", "cut off at 60 %, its index was at the end"),
    Input("count_high.avi", "its header says 500 frames"),
    Input("count_low.avi", "its header says 10 frames"),
    Input("rate_lie.mkv", "its header says 50 frames/s, its times 10"),
    Input("rate_absurd.avi", "its header says 90,000 frames/s"),
    Input("missing_picture", "one number missing, one picture cut short"),
    Input("two_frames.mp4", "two frames"),
    Input("text.mp4", "a text called .mp4"),
    Input("empty.mp4", "0 bytes"),
    Input("tiny", "pictures of 4x4"),
    Input("usual.mp4", "every third frame", ("--every", "3")),
    Input("usual.mp4", "from 1 s to 3 s", ("--start", "1", "--end", "3")),
    Input(
        "usual.mp4",
        "from 1 s on, another rate, every second frame",
        ("--start", "1", "--fps", "5", "--every", "2"),
    ),
    Input("usual.mp4", "from beyond its end", ("--start", "60")),
    Input("nothing*.mp4", "a pattern that matches nothing"),
    Input(
        "10_bit.mp4", "H.264 with 10 bits", ffmpeg=("-c:v", "libx264", "-pix_fmt", "yuv420p10le")
    ),
    Input(
        "hevc_10_bit.mkv",
        "H.265 with 10 bits",
        ffmpeg=("-c:v", "libx265", "-pix_fmt", "yuv420p10le"),
    ),
    Input(
        "alpha.webm", "VP9 with transparency", ffmpeg=("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p")
    ),
    Input(
        "odd_size.mp4",
        "H.264 of 143x97",
        ffmpeg=("-vf", "scale=143:97", "-c:v", "libx264", "-pix_fmt", "yuv444p"),
    ),
    Input(
        "variable.webm",
        "variable frame rate, VP9",
        ffmpeg=("-vf", "select='lt(n,20)+not(mod(n,3))'", "-fps_mode", "vfr", "-c:v", "libvpx-vp9"),
    ),
    Input(
        "b_frames.avi",
        "H.264 with B-frames in .avi",
        ffmpeg=("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    ),
    Input("transport.ts", "H.264 in .ts", ffmpeg=("-c:v", "libx264", "-pix_fmt", "yuv420p")),
    Input("usual.wmv", "Windows Media", ffmpeg=("-c:v", "wmv2")),
    Input(
        "late.mkv",
        "begins at 5 s",
        ffmpeg=("-output_ts_offset", "5", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
    ),
)


FOLDERS = (
    Input("names", "a folder: three videos, one whose name is not UTF-8"),
    Input("recorder", "a folder with suffixes of recorders"),
    Input("fifo_pictures", "a FIFO among pictures", ("--fps", "10")),
)
ALL = (*INPUTS, *(Input(video.name, video.what) for video in VIDEOS), *FOLDERS)


def make_with_opencv(folder: Path) -> None:
    """Make everything that needs no ffmpeg."""
    frames = [picture(index) for index in range(COUNT)]
    for suffix in CODECS:
        write_video(folder / f"usual{suffix}", frames)
    write_video(folder / "portrait.mp4", [picture(index, SIZE[::-1]) for index in range(COUNT)])
    write_video(folder / "grey.avi", [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames])
    write_video(folder / "two_frames.mp4", frames[:2])
    (folder / "text.mp4").write_text("this is not a video\n" * 50)
    (folder / "empty.mp4").touch()

    def changed(
        name: str, change: Callable[..., None], *arguments: object, **named: object
    ) -> None:
        made = folder / name
        shutil.copy(folder / f"usual{made.suffix}", made)
        change(made, *arguments, **named)

    changed("variable.mp4", set_mp4_intervals, [1] * 20 + [3] * (COUNT - 20))
    write_video(
        folder / "rotated.mp4", [cv2.rotate(f, cv2.ROTATE_90_COUNTERCLOCKWISE) for f in frames]
    )
    set_mp4_rotation(folder / "rotated.mp4", 90)
    changed("broken.avi", break_avi, BROKEN)
    changed("broken.mp4", break_mp4, BROKEN)
    changed("dropped.mkv", drop_mkv, BROKEN)
    changed("ends_early.avi", cut, 0.6)
    changed("cut_index.mp4", cut, 0.6)
    changed("count_high.avi", set_avi_header, count=500)
    changed("count_low.avi", set_avi_header, count=10)
    changed("rate_lie.mkv", set_mkv_rate, 50)
    changed("rate_absurd.avi", set_avi_header, rate=90_000)
    _make_folders(folder, frames)


def _make_folders(folder: Path, frames: list[np.ndarray]) -> None:
    write_pictures(folder / "frames", frames, ".jpg")
    write_pictures(folder / "tiny", [frame[:4, :4] for frame in frames])
    write_pictures(folder / "odd_size", [picture(index, (97, 143)) for index in range(COUNT)])
    grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    write_pictures(folder / "grey_pictures", grey, ".jpg")
    write_pictures(
        folder / "alpha_pictures", [np.dstack([frame, alpha]) for frame, alpha in zip(frames, grey)]
    )
    write_pictures(folder / "16_bit_pictures", [frame.astype(np.uint16) * 257 for frame in frames])
    write_pictures(
        folder / "10_in_16_bit_pictures", [frame.astype(np.uint16) * 4 for frame in frames]
    )
    gap = write_pictures(folder / "missing_picture", frames, ".jpg")
    (gap / "012.jpg").unlink()
    cut(gap / "027.jpg", 0.5)
    for name in (
        "pattern/cam1.mp4",
        "pattern/cam2.mp4",
        "pattern/other.mp4",
        "mixed/a.mp4",
        "mixed/b.avi",
        "recordings/monday/1.mp4",
        "recordings/monday/2.mp4",
        "recordings/tuesday/early/1.avi",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / f"usual{Path(name).suffix}", folder / name)
    for source, name in (
        ("text.mp4", "c_text.mp4"),
        ("empty.mp4", "d_empty.mp4"),
        ("ends_early.avi", "e_early.avi"),
    ):
        shutil.copy(folder / source, folder / "mixed" / name)


def make_with_ffmpeg(folder: Path, one: Input) -> str | None:
    """Make one input with ffmpeg from the folder of frames; say why not, or None."""
    if shutil.which("ffmpeg") is None:
        return "not made: no ffmpeg"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-framerate",
        str(RATE),
        "-i",
        str(folder / "frames" / "%03d.jpg"),
    ]
    done = subprocess.run(
        [*command, *one.ffmpeg, str(folder / one.path)], capture_output=True, text=True
    )
    return None if done.returncode == 0 else "not made: this ffmpeg cannot"


# --- Scoring

# `mpn`, but for the breaking of lines that are longer than a terminal is wide.
UNBROKEN_MPN = "from mpn import cli; cli.COLUMNS = 10**6; raise SystemExit(cli.main())"


def score(folder: Path, one: Input, out: Path, checkpoint: Path) -> list[str]:
    """Score one input and give its row of the table."""
    command = [sys.executable, "-c", UNBROKEN_MPN, "score", str(folder / one.path), *one.options]
    command += ["--checkpoint", str(checkpoint), "--out", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="surrogateescape"
    )
    summaries = [json.loads(path.read_text()) for path in sorted(out.glob("**/events.json"))]
    frames = " + ".join(str(summary["frames"]) for summary in summaries)
    rates = sorted({f"{summary['fps']:.4g}" for summary in summaries})
    tiny = write_tiny_model(out / "tiny.safetensors")
    agreed = agreement(folder / one.path, tiny, out / "accounts")
    message = _said(done, folder, out)
    return [str(done.returncode), frames or "-", ", ".join(rates) or "-", agreed, message]


def agreement(footage: Path, model: Path, work: Path) -> str:
    """Say whether the verbs agree on what an input holds, and where they do not."""
    if not footage.exists():  # a pattern
        return "-"
    return "; ".join(differences(accounts_of(footage, model, work))) or "yes"


# What the command prints of every source: not worth a place in the table.
USUAL_LINES = re.compile(
    r"results in|: preset \w+, frames of|^\s*(threshold|highest score|event|look at:) |^.*:$"
    r"|^source +frames|^\S+ +\d+ +[\d:.]+ +\d+ |unlike camera \d+ or others"
)


def _said(done: subprocess.CompletedProcess, folder: Path, out: Path) -> str:
    """Give what is said beyond the usual in one line, without the folders' names."""
    lines = [*done.stderr.splitlines(), *done.stdout.splitlines()]
    lines = [line.strip() for line in lines if line.strip() and not USUAL_LINES.search(line)]
    text = "; ".join(dict.fromkeys(lines)).replace(f"{out}/", "").replace(f"{folder}/", "")
    return text.replace(str(folder), "FOLDER").replace("|", "/") or "-"


def report(rows: Sequence[Sequence[str]]) -> str:
    """Compose the table and what it holds for."""
    about = machine()
    lines = [
        "# Inputs as they come",
        "",
        f"`python -m benchmarks.odd_inputs FOLDER`, {datetime.date.today().isoformat()}, commit "
        f"{commit()}, OpenCV {cv2.__version__}, torch {about['torch']}. Each input is {COUNT} "
        f"frames at {RATE} frames/s unless it says otherwise; `mpn score INPUT` with the "
        "options in the second column. Exit code 0: scored, 1: not. Agreed: train, score, evaluate "
        "and doctor say the same of its recordings, frames, lost frames, rate, times, and of what "
        "is left out.",
        "",
        "| input | what it is | exit code | frames | frame rate | agreed | what was said |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the inputs, score each, write the table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "folder", type=Path, help="where the inputs are made; must be empty or missing"
    )
    arguments.add_argument(
        "--checkpoint", type=Path, default=ROOT / "mpn" / "models" / "demo.safetensors"
    )
    arguments.add_argument(
        "--only", default="", metavar="TEXT", help="score only inputs whose name has this in it"
    )
    arguments.add_argument(
        "--make-only", action="store_true", help="make the inputs and score none"
    )
    arguments.add_argument("--results", type=Path, default=RESULTS, help="folder of odd_inputs.md")
    options = arguments.parse_args()
    folder = options.folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        arguments.error(f"{folder} is not empty")
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    make_with_opencv(inputs)
    make_videos(inputs)
    reasons = {case.path: make_with_ffmpeg(inputs, case) for case in INPUTS if case.ffmpeg}
    if options.make_only:
        return
    rows = []
    for number, case in enumerate(case for case in ALL if options.only in case.path):
        description = case.what + (f" (`{' '.join(case.options)}`)" if case.options else "")
        reason = reasons.get(case.path)
        cells = (
            ["-", "-", "-", "-", reason]
            if reason
            else score(inputs, case, folder / "out" / str(number), options.checkpoint.resolve())
        )
        rows.append([printable(cell) for cell in (f"`{case.path}`", description, *cells)])
        print(" | ".join(rows[-1]), flush=True)
    if options.only:
        return
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / "odd_inputs.md"
    path.write_text(report(rows))
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
