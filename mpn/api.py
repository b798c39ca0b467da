"""What a Python user calls: load a model, score with it, adapt it to a camera, save it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.camera_file import write_camera
from mpn.adaptation.inner_loop import Adaptation
from mpn.model.checkpoint import load_checkpoint
from mpn.scoring.detector import Detector as ScoringDetector
from mpn.scoring.scores import ScoreConfig


class Detector(ScoringDetector):
    """A model with its calibration, which can be adapted to a camera and saved.

    See `mpn.scoring.detector.Detector` for its arguments, `score` and `calibration`.
    """

    def adapt(
        self,
        source: str | Path,
        shots: int = 10,
        steps: int | None = None,
        *,
        method: str = "adam",
        **options: Any,
    ) -> Detector:
        """This detector adapted to a camera, and calibrated on it; itself it is left as it is.

        Args:
            source: normal footage of the camera: a video, a folder of frames, or a folder of
                several of either.
            shots: K, windows to adapt on, spread over the footage; the rest of it is for
                thresholds.
            steps: gradient steps; default: 100, or as many as the model was meta-trained with.
            method: "adam", or "meta" (learned step sizes of a meta-trained model: quicker, and
                finds less).
            options: see `mpn.adaptation.camera.adapt_camera` and
                `mpn.adaptation.camera.CameraOptions`.

        Returns:
            A detector whose `checkpoint.camera["adapted_on"]` says what was done and what came of
            it.

        Raises:
            DataError: footage that cannot be read, or too little of it. AdaptationError: it made
                the model worse.
        """
        own = {name: options.pop(name) for name in ("fps", "skip_bad") if name in options}
        chosen = CameraOptions(shots=shots, adaptation=Adaptation(method, steps), **options)
        return self.sibling(adapt_camera(self, source, chosen, **own)[0])

    def save(self, path: str | Path, *, standalone: bool = False) -> Path | None:
        """Writes an adapted detector as a camera file, or as a whole model; see
        `mpn.adaptation.camera_file.write_camera`."""
        return write_camera(path, self.checkpoint, standalone=standalone)


def load(
    path: str | Path,
    *,
    score_config: ScoreConfig | None = None,
    device: str = "cpu",
    precision: str = "auto",
) -> Detector:
    """A detector from a model file.

    Args:
        path: a .safetensors checkpoint of mpn or a camera file; or the name of a released model:
            "demo" comes with the package, "ped2" and "meta" with the repository.
        score_config, device, precision: see `Detector`.

    Raises:
        CheckpointError: the file is missing, broken, or not one of mpn's; or a camera file's base
            is.
    """
    return Detector(
        load_checkpoint(path), score_config=score_config, device=device, precision=precision
    )
