"""Normal footage of the demo set's cameras that the demo set does not hold, scored.

For `benchmarks.calibration`; rendered in memory by the generator of the demo set: same scenes,
other clips. A clip's random numbers hang on the seed, the camera and its own number only. Numbers 0
to 4 of each camera are the demo set's training clips and are left out: the model has learned from
four of them, and its own thresholds stand on the fifth.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
from tqdm import tqdm

from mpn.datasets.demo.clips import Clip
from mpn.datasets.demo.dataset import scene_clips
from mpn.datasets.demo.writing import JPEG_QUALITY
from mpn.errors import DataError
from mpn.io.atomic import write_atomically
from mpn.motion.cameras import PlaceStream
from mpn.scoring.clips import columns_of
from mpn.scoring.detector import Detector
from mpn.scoring.protocols import exponential
from mpn.scoring.scores import combine, score_frames
from mpn.video.images import fit_frame

SEED, CAMERAS, FPS = 0, 4, 10  # of the demo set
OWN = 5  # training clips of a camera that are the demo set's

Parts = dict[str, np.ndarray]  # part -> float32 (T,), from the first frame with a score on


def footage(clips: int, length: int, first: int = OWN) -> list[Clip]:
    """Make normal clips of `length` frames, the cameras in turn.

    Each camera gives the clips of numbers `first` to `first` + `clips`.
    """
    cameras = [
        scene_clips(
            SEED, index, training=first + clips, validation=0, testing=0, length=length
        ).training[first:]
        for index in range(CAMERAS)
    ]
    return [clip for turn in zip(*cameras) for clip in turn]


def camera_of(name: str) -> str:
    """The camera of a clip: 03_17 is one of camera 03."""
    return name.partition("_")[0]


def decoded(clip: Clip) -> Iterator[np.ndarray]:
    """Render a clip as it would be read from the demo set's files, through JPEG.

    Returns:
        uint8 (H, W, 3) BGR, frame by frame.
    """
    for frame in clip.frames():
        yield through_jpeg(frame.image)


def through_jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> np.ndarray:
    """Give a picture as it would be read from a file.

    Args:
        image: uint8 (H, W, 3), BGR.
        quality: of the JPEG; by default that of the demo set's files.
    """
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DataError(f"OpenCV could not encode a frame of shape {image.shape}")
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def raw_parts(detector: Detector, clip: Clip) -> Parts:
    """The raw score parts of a clip, as `Checkpoint.normal` keeps them."""
    config = detector.config
    quotients: dict[int, np.ndarray] = {}
    static = any(part.needs_static for part in detector.parts)

    def fitted(frame: np.ndarray) -> np.ndarray:
        return fit_frame(frame, config.size, config.grey)

    def frames() -> Iterator[np.ndarray]:
        stream = None
        for number, frame in enumerate(decoded(clip)):
            if detector.places:
                stream = stream or PlaceStream(
                    detector.places, frame.shape[:2], FPS, fitted if static else None
                )
                quotients[number] = stream.read(frame)
            yield fitted(frame)

    scored = score_frames(
        detector.network,
        frames(),
        parts=detector.parts,
        quotients=quotients.pop if detector.places else None,
        patch=detector.score_config.patch,
        engine=detector.engine,
    )
    columns = columns_of([frame.parts for frame in scored], detector.weights)
    return {name: values.astype(np.float32) for name, values in columns.items()}


def score_all(detector: Detector, clips: Sequence[Clip], folder: Path) -> dict[str, Parts]:
    """Score every clip; the raw parts by its name.

    They are kept in `folder`, and what lies there is not scored again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for clip in tqdm(clips, desc="scoring", unit="clip", disable=None):
        path = folder / f"{clip.name}-{clip.length}.npz"
        if not path.exists():
            buffer = io.BytesIO()
            np.savez(buffer, **raw_parts(detector, clip))
            write_atomically(path, buffer.getvalue())
        try:
            with np.load(path, allow_pickle=False) as stored:
                parts[clip.name] = {name: stored[name] for name in detector.weights}
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise DataError(
                f"{path} is not a clip's raw scores ({error}); remove it, it is then made again"
            ) from error
    return parts


def fitted_on(detector: Detector, clips: Mapping[str, Parts]) -> Detector:
    """Make a detector with the clips as its normal footage.

    Units and thresholds are made of them, weights stay.
    """
    normal = {name: [parts[name] for parts in clips.values()] for name in detector.weights}
    return detector.sibling(replace(detector.checkpoint, normal=normal))


def smoothed(detector: Detector, clips: Mapping[str, Parts]) -> dict[str, np.ndarray]:
    """The scores that the detector compares with its threshold, float64 (T,) a clip."""
    return {
        name: exponential(
            combine(parts, detector.weights, detector.normal), detector.score_config.smoothing
        )
        for name, parts in clips.items()
    }
