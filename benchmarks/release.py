"""Make a released model of a run's: weights as float16.

python -m benchmarks.release RUN/model.safetensors OUT [--place data/ped2 --fps 10]
python -m benchmarks.release RUN/model.safetensors OUT --place data/demo --demo-clips 17
python -m benchmarks.release mpn/models/demo.safetensors OUT --static data/demo
python -m benchmarks.release checkpoints/ped2.safetensors OUT --static data/ped2 --fps 10

--place gives a model that was trained before there were place models those of its training footage:
the clips that its training held out are scored anew, the network stays as it is, to the bit.
--static adds to a model with place models what they know of changes that stay, and that part of its
normal scores; all others stay as they are, to the bit.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.calibration import FURTHER
from benchmarks.calibration_footage import (
    CAMERAS,
    FPS,
    OWN,
    camera_of,
    decoded,
    footage,
    raw_parts,
)
from mpn.adaptation.place import learn_background, learn_places, whole_runs
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import Clip, load_clips, split_calibration
from mpn.errors import DataError
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.motion.cameras import judge_static
from mpn.motion.place import PlaceModel
from mpn.scoring.clips import normal_parts, static_quotients
from mpn.scoring.detector import Detector
from mpn.scoring.model_score import score_config_of
from mpn.scoring.parts import STAYS, motion_numbers
from mpn.video.images import fit_frame

DEMO_LENGTH = 150  # frames of a clip of the demo set


def with_places(checkpoint: Checkpoint, data: Path, fps: float | None) -> Checkpoint:
    """Add the place models of a model's training footage, as its training would have."""
    config = checkpoint.config
    clips = load_clips(recognise(data).training, config.size, config.grey, motion=True, fps=fps)
    share = checkpoint.training.get("options", {}).get("calibration_share", 0.125)
    train, held_out = split_calibration(clips, share)
    places = learn_places(train)
    normal = normal_parts(checkpoint.network, held_out, places)
    static = judge_static(places)
    for scene, place in learn_places(held_out).items():
        places[scene].merge(place)
    score_config = score_config_of(checkpoint).without_place()
    score_config = score_config.with_place(trained_here=True, static=static)
    return replace(checkpoint, places=places, normal=normal, score_config=score_config.to_dict())


def with_static(checkpoint: Checkpoint, data: Path, fps: float | None) -> Checkpoint:
    """Add what stays in normal footage to a model's place models and normal scores."""
    config = checkpoint.config
    rate = fps or checkpoint.fps
    clips = load_clips(recognise(data).training, config.size, config.grey, fps=rate)
    share = checkpoint.training.get("options", {}).get("calibration_share", 0.125)
    train, held_out = split_calibration(clips, share)
    learned, rest = (
        {scene: _still(place, clips, scene) for scene, place in checkpoint.places.items()}
        for clips in (train, held_out)
    )
    numbers = []
    for clip in tqdm([*held_out, *_further(checkpoint)], unit="clip", disable=None):
        quotients = static_quotients(clip, learned[clip.scene])
        # the place models' other two channels are not asked for
        values = [
            motion_numbers(np.stack([quotients(frame)] * 3))[STAYS.name]
            for frame in range(config.window, len(clip.frames))
        ]
        numbers.append(np.array(values, np.float32))
    expected = [len(clip_scores) for clip_scores in checkpoint.normal["error"]]
    if [len(clip_scores) for clip_scores in numbers] != expected:
        raise DataError(f"{data} is not what the model's normal scores are of")
    for scene, place in checkpoint.places.items():
        place.background = learned[scene].background
        place.background.merge(rest[scene].background)
    score_config = score_config_of(checkpoint).without_place()
    return replace(
        checkpoint,
        normal={**checkpoint.normal, STAYS.name: numbers},
        score_config=score_config.with_place(trained_here=True, static=True).to_dict(),
    )


def _still(place: PlaceModel, clips: Sequence[Clip], scene: str) -> PlaceModel:
    """Make a place model of one scene's clips that knows what stays and no motion."""
    still, scene_clips = PlaceModel(place.grid), [clip for clip in clips if clip.scene == scene]
    for number, start, stop in whole_runs(scene_clips):
        still.add((), scene_clips[number].frames[start:stop])
    learn_background(still, scene_clips, whole_runs(scene_clips))
    return still


def _further(checkpoint: Checkpoint) -> Iterator[Clip]:
    """Render the further clips behind a model's thresholds, fitted to its network."""
    names = checkpoint.training.get(FURTHER, {}).get("clips", [])
    config = checkpoint.config
    for clip in footage(len(names) // CAMERAS, DEMO_LENGTH) if names else ():
        frames = [fit_frame(frame, config.size, config.grey) for frame in decoded(clip)]
        yield Clip(clip.name, camera_of(clip.name), np.stack(frames), FPS)


def with_further(checkpoint: Checkpoint, count: int) -> Checkpoint:
    """Add normal clips of the demo set's cameras, never trained on, to a model's thresholds.

    Args:
        checkpoint: the model.
        count: clips of 150 frames of each camera.
    """
    detector = Detector(checkpoint)
    normal = {name: list(clips) for name, clips in checkpoint.normal.items()}
    clips = footage(count, DEMO_LENGTH)
    for clip in tqdm(clips, desc="scoring", unit="clip", disable=None):
        for name, values in raw_parts(detector, clip).items():
            normal[name].append(values)
    source = f"generated normal clips {OWN + 1} to {OWN + count} of each of the demo set's cameras"
    further = {"footage": source, "clips": [clip.name for clip in clips]}
    training = {**checkpoint.training, FURTHER: further}
    return replace(checkpoint, normal=normal, training=training)


def main() -> None:
    """Reads a model, writes it at half precision, prints both sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--place", type=Path, metavar="DATA", help="its training footage")
    parser.add_argument("--static", type=Path, metavar="DATA", help="its training footage")
    parser.add_argument("--fps", type=float, help="of footage that does not say")
    parser.add_argument(
        "--demo-clips",
        type=int,
        default=0,
        metavar="N",
        help="for the demo set's thresholds: so many more normal clips of each of its cameras",
    )
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.model)
    if options.place:
        checkpoint = with_places(checkpoint, options.place, options.fps)
    if options.demo_clips:
        checkpoint = with_further(checkpoint, options.demo_clips)
    if options.static:
        checkpoint = with_static(checkpoint, options.static, options.fps)
    save_checkpoint(options.out, checkpoint, half=True)
    load_checkpoint(options.out)
    print(
        f"{options.model.stat().st_size / 1e6:.1f} MB -> {options.out}, "
        f"{options.out.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
