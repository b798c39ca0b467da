"""The choice set of real footage: held-out normal frames with anomalies made into them.

See PROTOCOL section 5.

    python -m benchmarks.made_anomalies SCENES --out FOLDER      a picture a scene, to look at them

The kinds are not those that the pseudo-anomaly head is trained on (`mpn.datasets.pseudo_anomalies`:
speed-ups, and pieces of frames that slide straight on). They last one to three seconds and are
labelled where they can be seen:
    reversed   an area runs backwards
    sideways   someone of the same clip, across or against the way he went
    enlarged   someone of the same clip, 1.6 to 2.2 times as large
    drawn      a patterned polygon or ellipse on a curved path
    frozen     an area stands still, or runs at a third of its speed
    shaken     an area trembles
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.made_anomaly_kinds import KINDS, find_blobs
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import DataError
from mpn.model.config import get_config

# A pixel differs visibly by so many grey levels; a frame, by so many such pixels.
VISIBLE_CHANGE, VISIBLE_PIXELS = 12, 24
# Of the frames of an event so many have to be visible; shorter gaps between them are labelled too.
VISIBLE_SHARE, MAX_GAP = 0.6, 5
RATES = (8.0, 30.0)  # frames/s: headers that say otherwise are not believed
MIN_TEST, MAX_TEST = 40, 300  # test frames of a scene


class Event(NamedTuple):
    """What was made, in frames start to end (exclusive); the first and the last show it."""

    kind: str
    start: int
    end: int


@dataclass
class Made:
    """Footage with anomalies.

    Attributes:
        frames: uint8 (T, H, W, C).
        labels: bool (T,).
        masks: bool (T, H, W), where they show.
        events: in order.
    """

    frames: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    events: list[Event]


def make(frames: np.ndarray, fps: float | None, seed: int, *, first_kind: int = 0) -> Made:
    """Make events into about half of the frames, the kinds in turn.

    Args:
        frames: uint8 (T, H, W, C), normal; objects are cut from them too. They are not changed.
        fps: frames/s, taken as 25 where unknown.
        seed: of everything random.
        first_kind: where the turn begins, so that short clips together have all kinds.
    """
    generator = np.random.default_rng((seed, 77))
    made = Made(frames.copy(), np.zeros(len(frames), bool), np.zeros(frames.shape[:3], bool), [])
    blobs = find_blobs(frames)
    turn = first_kind
    for start, end in _stretches(len(frames), float(np.clip(fps or 25.0, *RATES)), generator):
        for _ in range(2 * len(KINDS)):  # a kind that does not work out here gives way to the next
            kind = list(KINDS)[turn % len(KINDS)]
            turn += 1
            changed = KINDS[kind](frames[start:end], start, blobs, generator)
            if changed is not None and _add(made, changed, start, kind):
                break
    return made


def _stretches(count: int, rate: float, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Choose where events go, (start, end) each.

    They last one to three seconds, at most a third of the footage, with as much between them.
    """
    longest = min(3 * rate, count / 3)
    shortest = min(rate, longest / 1.5)
    stretches, at = [], int(generator.uniform(shortest, longest) / 2) + 5
    while at + shortest < count - 3:
        end = min(at + int(generator.uniform(shortest, longest)), count - 3)
        stretches.append((at, end))
        at = end + int(generator.uniform(shortest, longest))
    return stretches


def _add(made: Made, changed: np.ndarray, start: int, kind: str) -> bool:
    """Put a changed stretch in, if it can be seen in enough of its frames."""
    end = start + len(changed)
    difference = (
        np.abs(changed.astype(np.int16) - made.frames[start:end]).max(axis=3) > VISIBLE_CHANGE
    )
    visible = np.flatnonzero(difference.sum(axis=(1, 2)) >= VISIBLE_PIXELS)
    if len(visible) < VISIBLE_SHARE * len(changed):
        return False
    labels = np.zeros(len(changed), bool)
    labels[visible] = True
    for before, after in zip(visible, visible[1:]):
        if after - before <= MAX_GAP:
            labels[before:after] = True
    made.frames[start:end] = changed
    made.labels[start:end] = labels
    made.masks[start:end] = difference & labels[:, None, None]
    made.events.append(Event(kind, start + int(visible[0]), start + int(visible[-1]) + 1))
    return True


class Choice(NamedTuple):
    """One scene of the choice set.

    Attributes:
        training: the first half of its longest clip, and its other clips whole; normal.
        normal: test footage as it is, from the other half, a second later.
        made: the same frames with anomalies, once or several times with other ones.
        truth: by the names of `made`.
    """

    scene: str
    training: list[Clip]
    normal: Clip
    made: list[Clip]
    truth: dict[str, Made]


def choice_set(clips: Sequence[Clip], seed: int = 0) -> list[Choice]:
    """Make the choice set of clips of normal footage, by scene.

    Args:
        clips: normal footage.
        seed: of everything random.

    Raises:
        DataError: a scene is too short.
    """
    choices = []
    for number, scene in enumerate(dict.fromkeys(clip.scene for clip in clips)):
        ordered = sorted(
            (clip for clip in clips if clip.scene == scene), key=lambda clip: -len(clip.frames)
        )
        longest = ordered[0]
        cut = len(longest.frames) // 2
        gap = round(float(np.clip(longest.fps or 25.0, *RATES)))
        first = replace(
            longest,
            frames=longest.frames[:cut],
            bad=[bad for bad in longest.bad if bad.index < cut],
        )
        frames = longest.frames[cut + gap :][:MAX_TEST]
        if len(frames) < MIN_TEST:
            raise DataError(
                f"scene {scene}: {len(frames)} frames are left to test on, "
                f"{MIN_TEST} are needed: its longest clip has {len(longest.frames)} "
                "frames"
            )
        normal = Clip(f"{scene}-normal", scene, frames, longest.fps)
        made, truth = [], {}
        for version in range(max(1, MAX_TEST // len(frames))):
            version_made = make(
                frames, longest.fps, seed + 100 * number + version, first_kind=number + 3 * version
            )
            made.append(
                replace(normal, name=f"{scene}-made{version + 1}", frames=version_made.frames)
            )
            truth[made[-1].name] = version_made
        choices.append(Choice(scene, [first, *ordered[1:]], normal, made, truth))
    return choices


def contact_sheet(made: Made, columns: int = 8) -> np.ndarray:
    """Draw a row an event, uint8 BGR: frames spread over it, what was changed outlined."""
    rows = []
    for event in made.events:
        tiles = []
        for t in np.linspace(event.start, event.end - 1, columns).astype(int):
            tile = np.ascontiguousarray(
                np.repeat(made.frames[t].mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
            )
            outlines, _ = cv2.findContours(
                made.masks[t].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(tile, outlines, -1, (0, 140, 255), 1)
            cv2.putText(
                tile, f"{event.kind} {t}", (3, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 255, 255), 1
            )
            tiles.append(
                cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255, 255, 255))
            )
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def main() -> None:
    """Write SCENE-madeN.png for every version of every scene; print what was made."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "data", type=Path, metavar="SCENES", help="normal footage, a folder a camera"
    )
    arguments.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args()
    small = get_config("small")
    args.out.mkdir(parents=True, exist_ok=True)
    for choice in choice_set(
        load_clips(recognise(args.data).training, small.size, small.grey), args.seed
    ):
        for name, made in choice.truth.items():
            if made.events:
                cv2.imwrite(str(args.out / f"{name}.png"), contact_sheet(made))
            kinds = ", ".join(f"{event.kind} {event.end - event.start}" for event in made.events)
            print(
                f"{name}: {made.labels.sum()} of {len(made.labels)} frames anomalous: "
                f"{kinds or 'nothing'}"
            )


if __name__ == "__main__":
    main()
