"""What a Python user calls: load a model, score with it, adapt it to a camera, save it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.camera_file import write_camera
from mpn.adaptation.inner_loop import Adaptation
from mpn.jobs import JobOptions
from mpn.jobs.by_itself import Recording, learn_camera
from mpn.model.checkpoint import load_checkpoint
from mpn.scoring.detector import Detector as ScoringDetector
from mpn.scoring.detector import Result
from mpn.scoring.scores import ScoreConfig
from mpn.video.paths import folder_name


class Detector(ScoringDetector):
    """A model with its calibration, which can be adapted to a camera and saved.

    See `mpn.scoring.detector.Detector` for its arguments, `score` and `calibration`.
    """

    def adapt(
        self,
        source: str | Path,
        shots: int | None = None,
        steps: int | None = None,
        *,
        method: str = "place",
        fps: float | None = None,
        skip_bad: bool = False,
        false_alarms_per_hour: float = 1.0,
        guard: bool = True,
        force: bool = False,
        standalone: bool = False,
    ) -> Detector:
        """Adapt to a camera, and calibrate on it; this detector itself is left as it is.

        Args:
            source: normal footage of the camera: a video, a folder of frames, or a folder of
                several of either.
            shots: K, windows to adapt on, spread over the footage, the rest being for thresholds;
                default: all of it for "place", 10 for the other methods.
            steps: gradient steps of the other methods; default: 100, or as many as the model was
                meta-trained with.
            method: "place" learns what motion is normal where, and takes no gradient; "adam" and
                "meta" (learned step sizes of a meta-trained model) change the network too.
            fps: frames per second, instead of what the source says.
            skip_bad: go on without frames that cannot be read.
            false_alarms_per_hour: the rate that the report's thresholds are for.
            guard: leave out what looks anomalous beside the rest of the footage.
            force: give the adapted model even where its loss on held-out frames has risen.
            standalone: it will be saved as a whole model, of any size.

        Returns:
            A detector whose `checkpoint.camera["adapted_on"]` says what was done and what came of
            it.

        Raises:
            DataError: footage that cannot be read, or too little of it. AdaptationError: it made
                the model worse.
        """
        options = CameraOptions(
            shots=shots,
            adaptation=Adaptation(method, steps),
            false_alarms_per_hour=false_alarms_per_hour,
            guard=guard,
            force=force,
            standalone=standalone,
        )
        checkpoint, _ = adapt_camera(self, source, options, fps=fps, skip_bad=skip_bad)
        return self.sibling(checkpoint, checkpoint.score_config)

    def score_by_itself(
        self,
        source: str | Path,
        *,
        fps: float | None = None,
        apart: float | None = None,
        images: bool = False,
    ) -> Iterator[Result]:
        """Score a recording by itself, in two passes: how unlike the rest of it each moment is.

        There is no normal footage, so a high score says what is strange there, not what is wrong.

        Args:
            source: a video file or a folder of frames.
            fps: frames per second, instead of what the source says.
            apart: seconds around a moment that have no say in what is usual; default: a 32nd of
                the recording, between a second and a minute.
            images: give the source's frames back in the results.

        Yields:
            One result a frame, in order, in units of the recording's ordinary frames.

        Raises:
            DataError: it cannot be read, or is too short.
            SizeError: frames too small for the network.
        """
        path, options = Path(source), JobOptions(fps=fps)
        with TemporaryDirectory() as folder:  # for what the first pass has seen
            recording = Recording(path, Path(folder), partial(options.open, path))
            camera = learn_camera(self, [recording], folder_name(path), apart)
            own = self.sibling(camera.checkpoint, camera.checkpoint.score_config)
            place_at = camera.judgements(recording, own, 1).place_at
            yield from own.score(recording.open(), images=images, place_at=place_at)

    def save(self, path: str | Path, *, standalone: bool = False) -> Path | None:
        """Write an adapted detector as a camera file, or as a whole model.

        Args:
            path: NAME.camera.safetensors; of a whole model any name ending in .safetensors.
            standalone: a whole model, which needs no base beside it.

        Returns:
            Where an earlier file of that name is kept, or None if there was none.

        Raises:
            MpnError: as `mpn.adaptation.camera_file.write_camera`.
        """
        return write_camera(path, self.checkpoint, standalone=standalone)


def load(
    path: str | Path,
    *,
    score_config: ScoreConfig | None = None,
    device: str = "cpu",
    precision: str = "auto",
) -> Detector:
    """Load a detector from a model file.

    Args:
        path: a .safetensors checkpoint of mpn or a camera file; or the name of a released model:
            "demo" comes with the package, "ped2" and "meta" with the repository.
        score_config: how parts make the score; default: the model's.
        device: "cpu" or "cuda".
        precision: "float32", "bfloat16" or "auto" (bfloat16 where the processor has it).

    Raises:
        CheckpointError: the file is missing, broken, or not one of mpn's; or a camera file's base
            is.
    """
    return Detector(
        load_checkpoint(path), score_config=score_config, device=device, precision=precision
    )
