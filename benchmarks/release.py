"""Make a released model of a run's: weights as float16.

python -m benchmarks.release RUN/model.safetensors OUT [--place data/ped2 --fps 10]
python -m benchmarks.release RUN/model.safetensors OUT --place data/demo --demo-clips 17

--place gives a model that was trained before there were place models those of its training footage:
the clips that its training held out are scored anew, the network stays as it is, to the bit.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from benchmarks.calibration import FURTHER
from benchmarks.calibration_footage import OWN, footage, raw_parts
from mpn.adaptation.place import learn_places
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import load_clips, split_calibration
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.scoring.clips import normal_parts
from mpn.scoring.detector import Detector
from mpn.scoring.model_score import score_config_of

DEMO_LENGTH = 150  # frames of a clip of the demo set


def with_places(checkpoint: Checkpoint, data: Path, fps: float | None) -> Checkpoint:
    """Add the place models of a model's training footage, as its training would have."""
    config = checkpoint.config
    clips = load_clips(recognise(data).training, config.size, config.grey, motion=True, fps=fps)
    share = checkpoint.training.get("options", {}).get("calibration_share", 0.125)
    train, held_out = split_calibration(clips, share)
    places = learn_places(train)
    normal = normal_parts(checkpoint.network, held_out, places)
    for scene, place in learn_places(held_out).items():
        places[scene].merge(place)
    score_config = score_config_of(checkpoint).with_place(trained_here=True).to_dict()
    return replace(checkpoint, places=places, normal=normal, score_config=score_config)


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
    save_checkpoint(options.out, checkpoint, half=True)
    load_checkpoint(options.out)
    print(
        f"{options.model.stat().st_size / 1e6:.1f} MB -> {options.out}, "
        f"{options.out.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
