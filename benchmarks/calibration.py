"""Do thresholds keep their promise on normal footage that nothing was fitted on?

    python -m benchmarks.calibration demo       some 20 minutes on one core

Footage: generated clips of the demo set's four cameras that are not in the demo set, of 150 frames
like its own, at 10 frames/s (`benchmarks.calibration_footage`); none has an anomaly. Two questions,
and what was expected before scoring:

(a) The checkpoint's own thresholds, at first from 584 normal frames, a minute. At 60 false alarms
    an hour it would have to show 0.97 episodes, so that threshold is extrapolated already, to about
    the highest of four clips: within a factor of two about every other time. At 360 an hour it
    shows 5 or 6, uncertain by 40 % and more, since four clips are few: within a factor of two about
    two times in three. 1 and 6 an hour: extrapolations, with wide intervals.
(b) Thresholds from more of this footage, 5, 10 and 17 minutes of it, observed on all the other
    clips; twenty random splits, each camera with the same number of clips. At 60 an hour 17 minutes
    show 17 episodes (+-25 %), at 360 a hundred (+-10 %): within a factor of two in nearly all
    splits, and in all. From 5 minutes 60 an hour is 5 episodes: in four of five splits. 6 an hour
    from 17 minutes is one or two episodes; 1 an hour stays an extrapolation.

Also: the same for each camera by itself (10 minutes of its own); clips of 500 frames, which the
thresholds were not made for; thresholds and their 95 % intervals where the clips to fit on are
sampled again and again from all of this footage, which is then the truth (also one clip of each
camera, as little as (a) has); and whether a score "rarer than 1 in X frames" comes once in X. Clips
that a checkpoint names as its own normal footage are left out.

What came is in `results/calibration_before.json` (3.2 times as many as promised at 60 an hour, 1.05
times at 360). So the released model was given 17 minutes of this footage (`--recalibrated`):
`results/calibration.json` is of that one.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mpn
from benchmarks.calibration_footage import (
    CAMERAS,
    FPS,
    OWN,
    Parts,
    footage,
    score_all,
)
from benchmarks.calibration_picture import draw
from benchmarks.calibration_questions import (
    described,
    each_camera,
    own_thresholds,
    refitted,
    tried_out,
    within,
)
from benchmarks.common import ROOT, goal, parser, print_goals, print_table, write_result
from mpn.model.checkpoint import save_checkpoint
from mpn.scoring.detector import Detector
from mpn.scoring.parts import ERROR
from mpn.scoring.reliability import format_reliability

LENGTH, LONG = 150, 500  # frames of a clip
SIZES = (1, 5, 10, 17)  # clips of each camera to fit on: 1, 5, 10 and 17 minutes of all four
ONE_CAMERA = 41  # clips of one camera to fit on: 10 minutes
FACTOR_RATES = (60.0, 360.0)  # that are to be within `FACTOR`, the goal
# where a checkpoint's training summary names clips that were added to its footage
FURTHER = "further_calibration"


def write_recalibrated(
    path: Path, detector: Detector, clips: Mapping[str, Parts], count: int
) -> dict[str, Any]:
    """Write the same weights with `count` clips of each camera added to the normal footage.

    Returns:
        The figures of both models, on the clips that neither has.
    """
    names = list(clips)[: CAMERAS * count]  # cameras in turn
    added = {name: clips[name] for name in names}
    others = {name: parts for name, parts in clips.items() if name not in added}
    normal = {
        part: arrays + [parts[part] for parts in added.values()]
        for part, arrays in detector.checkpoint.normal.items()
    }
    checkpoint = replace(detector.checkpoint, normal=normal)
    source = f"generated normal clips {OWN + 1} to {OWN + count} of each of the demo set's cameras"
    checkpoint.training = {**checkpoint.training, FURTHER: {"footage": source, "clips": names}}
    save_checkpoint(path, checkpoint, half=True)
    written = mpn.load(path)
    result = {"frames_behind": sum(map(len, normal[ERROR.name])), "bytes": path.stat().st_size}
    for title, tested in (("before", detector), ("after", written)):
        promises = tried_out(tested, others)
        print(
            f"\n{title}, on {60 * promises[0].hours:.0f} minutes that neither "
            f"has\n{format_reliability(promises)}"
        )
        result[title] = [described(p) for p in promises]
    return result


def not_its_own(detector: Detector, clips: Mapping[str, Parts]) -> dict[str, Parts]:
    """Leave out the clips in the checkpoint's own normal footage, see `write_recalibrated`."""
    added = detector.checkpoint.training.get(FURTHER, {}).get("clips", ())
    return {name: parts for name, parts in clips.items() if name not in added}


def goals_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Compare with the goals: within a factor of two of promised, and on how much footage."""
    goals = {}
    largest = result["refitted"][-1]
    for rate in FACTOR_RATES:
        ratio = next(p["ratio"] for p in result["own"]["promises"] if p["rate"] == rate)
        entry = {
            "figure": ratio,
            "needed": "observed / promised of 0.5 to 2",
            "reached": within(ratio),
        }
        goals[f"(a) {rate:g} an hour, the checkpoint's own threshold"] = entry
        row = largest["rates"][f"{rate:g}"]
        name = (
            f"(b) {rate:g} an hour, from {largest['minutes_behind']:.0f} minutes, % of splits "
            "within a factor of two"
        )
        goals[name] = goal(100 * row["within_factor_two"] / row["splits"], 95)
    goals["frames observed"] = goal(
        min(result["footage"]["frames"], largest["frames_observed"]), 50_000
    )
    return goals


def print_splits(title: str, rates: Mapping[str, Any]) -> None:
    """Print a table of `over_splits`."""
    print(f"\n{title}")
    rows = [
        [
            rate,
            f"{row['ratio']['median']:.2f}",
            f"{row['ratio']['low']:.2f} to {row['ratio']['high']:.2f}",
            *(f"{row[name]} of {row['splits']}" for name in ("within_factor_two", "extrapolated")),
        ]
        for rate, row in rates.items()
    ]
    head = ["promised/h", "observed/promised", "range", "within factor 2", "extrapolated"]
    print_table(head, rows)


def print_refitted(one: Mapping[str, Any]) -> None:
    """Print what came of thresholds from so many clips."""
    minutes, frames = one["minutes_behind"], one["frames_observed"]
    print_splits(
        f"(b) thresholds from {minutes:.0f} minutes, on {frames:,} other frames", one["rates"]
    )
    for rate, row in one["coverage"]["rates"].items():
        low, high, near = (
            100 * row[name] for name in ("not_too_low", "not_too_high", "within_factor_two")
        )
        print(
            f"sampled anew, {rate}/h: {near:.1f} % within a factor of two; "
            f"interval not too low in {low:.1f} %, not too high in {high:.1f} %"
        )
    for x, row in one["coverage"]["rarity_share_times_x"].items():
        if row["mean"] is not None:
            print(
                f"sampled anew, frames rarer than 1 in {x}, times that: {row['mean']:.2f} on "
                f"average (frame by frame {row['frame_by_frame']:.2f}), claimed in "
                f"{100 * row['can_be_claimed']:.0f} %"
            )


def main(args: argparse.Namespace) -> None:
    """Score the footage, ask all questions, print and write what came."""
    detector = mpn.load(args.checkpoint)
    clips_of_each, length, long_length, splits = (
        (128, LENGTH, LONG, 20) if not args.quick else (8, 40, 60, 2)
    )
    sizes, one_camera, long_clips = (SIZES, ONE_CAMERA, 7) if not args.quick else ((1, 2, 3), 4, 1)
    clips = score_all(detector, footage(clips_of_each, length), args.parts)
    clips = not_its_own(detector, clips)
    long = score_all(detector, footage(long_clips, long_length, OWN + clips_of_each), args.parts)
    frames, long_frames = (
        sum(len(parts[ERROR.name]) for parts in some.values()) for some in (clips, long)
    )
    result: dict[str, Any] = {
        "checkpoint": {"name": args.checkpoint.name, "sha256": detector.checkpoint.sha256},
        "precision": "bfloat16" if detector.bfloat16 else "float32",
        "footage": {
            "cameras": CAMERAS,
            "clips": len(clips),
            "frames_of_a_clip": length,
            "fps": FPS,
            "frames": frames,
            "hours": round(frames / FPS / 3600, 3),
            "long_clips": len(long),
            "long_frames": long_frames,
        },
        "expected": " ".join((__doc__ or "").partition("(a)")[2].partition("Also:")[0].split()),
        "own": own_thresholds(detector, clips, long),
        "refitted": [refitted(detector, clips, count, splits) for count in sizes],
        "each_camera": each_camera(detector, clips, one_camera, splits),
    }
    print(f"(a) the checkpoint's own thresholds, on {frames:,} other normal frames")
    print(format_reliability(tried_out(detector, clips)))
    for row in result["own"]["rarity"]:
        print(
            f"frames rarer than 1 in {row['one_in']}, times that: "
            f"{row.get('share_times_x', 'cannot be claimed')}"
        )
    print(f"\nthe same on {long_frames:,} frames in clips of {long_length}")
    print(format_reliability(tried_out(detector, long)))
    for fit in result["refitted"]:
        print_refitted(fit)
    alone = result["each_camera"]
    print_splits(
        f"each camera from {alone['minutes_behind']:.0f} minutes of its own, together",
        alone["rates"],
    )
    if args.recalibrated:
        result["recalibrated"] = write_recalibrated(args.recalibrated, detector, clips, sizes[-1])
    result["goals"] = goals_of(result)
    print()
    print_goals(result["goals"])
    draw(write_result("calibration", args, result).with_suffix(".png"), result)


if __name__ == "__main__":
    made = parser(__doc__)
    made.add_argument("checkpoint", type=Path)
    made.add_argument(
        "--parts",
        type=Path,
        default=ROOT / "runs" / "calibration",
        help="where raw scores are kept",
    )
    made.add_argument(
        "--recalibrated",
        type=Path,
        metavar="OUT",
        help="also write the model with more normal footage",
    )
    main(made.parse_args())
