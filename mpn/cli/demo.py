"""mpn demo: everything on the embedded demo set, with what a user would run one by one."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from mpn.cli import above_zero, evaluate, from_zero, new_parser, score, train
from mpn.cli.data import DEMO, DEMO_FOLDER, open_data
from mpn.training.run_folder import MODEL, STATE

EXAMPLES = """  python -m mpn demo               about 12 minutes on two cores
  python -m mpn demo --minutes 2   a quick look, with poorer figures"""


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    own = new_parser(
        "demo",
        "Generates the demo set, trains on it, evaluates, and scores a video of it with an "
        "overlay.",
        EXAMPLES,
    )
    own.add_argument("--minutes", type=above_zero, default=8.0, help="of training (default: 8)")
    own.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="results (default: runs/demo)"
    )
    own.add_argument("--seed", type=from_zero, default=0, help="of the training (default: 0)")
    return own


def main(options: argparse.Namespace) -> None:
    """Runs the verb."""
    began = time.monotonic()
    run, out = options.out / "train", options.out
    model = run / MODEL
    arguments = [
        DEMO,
        "--minutes",
        str(options.minutes),
        "--seed",
        str(options.seed),
        "--out",
        str(run),
    ]
    if (run / STATE).exists():
        print(f"going on with the training in {run}", file=sys.stderr)
        arguments.append("--resume")
    _step("1/3 training", train, arguments)
    _step(
        "2/3 evaluation",
        evaluate,
        [DEMO, "--checkpoint", str(model), "--out", str(out / "evaluate")],
    )
    data = argparse.Namespace(data=DEMO, layout=None, fps=None)
    video = next(video for video in open_data(data).testing)
    arguments = [
        str(video.path),
        "--checkpoint",
        str(model),
        "--overlay",
        "--out",
        str(out / "score"),
    ]
    if data.fps:
        arguments += ["--fps", str(data.fps)]
    _step("3/3 scoring one video", score, arguments)
    print(f"\ndone in {(time.monotonic() - began) / 60:.1f} minutes. Where to look:")
    print(
        f"  {out}/evaluate/report.html   the figures, and every video beside its scores: open it "
        "in a browser"
    )
    print(f"  {out}/evaluate/metrics.json, matrix.json, scores/, regions/, curves/")
    print(f"  {out}/score/{video.path.name}/report.html, overlay.webm, events.json, scores.csv")
    print(f"  {model}   the model: python -m mpn score YOUR_VIDEO --checkpoint {model}")
    print(f"  {DEMO_FOLDER}/   the footage")


def _step(title: str, verb, arguments: list[str]) -> None:  # noqa: ANN001 (a module of mpn.cli)
    print(
        f"\n== {title}: mpn {verb.__name__.rpartition('.')[2]} {' '.join(arguments)}",
        file=sys.stderr,
    )
    verb.main(verb.parser().parse_args(arguments))
