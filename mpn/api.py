"""What a Python user calls: load a model, score, adapt it to a camera, teach the camera, save."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.camera_file import (
    changing,
    check_room,
    read_camera,
    with_earlier_lessons,
    write_camera,
    write_taught,
)
from mpn.adaptation.footage import Without
from mpn.adaptation.inner_loop import Adaptation
from mpn.errors import MpnError
from mpn.io.text import plural
from mpn.jobs import JobOptions
from mpn.jobs.by_itself import learn_camera
from mpn.jobs.examples import examples_of, listed_event
from mpn.jobs.first_pass import Recording
from mpn.model.checkpoint import load_checkpoint
from mpn.model.taught import Taught, checked_name
from mpn.scoring.detector import Detector as ScoringDetector
from mpn.scoring.result import Result
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
        network: bool | None = None,
        force: bool = False,
        standalone: bool = False,
        without: Iterable[tuple[int, int] | tuple[int, int, str]] = (),
    ) -> Detector:
        """Adapt to a camera, and calibrate on it; this detector itself is left as it is.

        Args:
            source: normal footage of the camera: a video, a folder of frames, or a folder of
                several of either.
            shots: K, windows to adapt on, spread over the footage, the rest being for thresholds;
                default: all of it, 10 for "meta".
            steps: gradient steps of the other methods; default: 300, or as many as the model was
                meta-trained with.
            method: "place" learns what motion is normal where, and takes no gradient; "adam" trains
                the network on three quarters of it, too; "meta" changes it by a few steps whose
                sizes were meta-trained.
            fps: frames per second, instead of what the source says.
            skip_bad: go on without frames that cannot be read.
            false_alarms_per_hour: the rate that the report's thresholds are for.
            network: let the network have a say in the score; default: where it is trained, or with
                `shots`. Motion alone is three times as quick, here and in scoring.
            force: give the adapted model even where its loss on held-out frames has risen.
            standalone: it will be saved as a whole model, of any size.
            without: (first, last) frames that are not normal; of several recordings (first, last,
                recording's name).

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
            network=network,
            force=force,
            standalone=standalone,
            without=[
                Without(span[0], span[1], span[2] if len(span) == 3 else None) for span in without
            ],
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
            detector = self.sibling(camera.checkpoint, camera.checkpoint.score_config)
            places = camera.judgements(recording, detector, 1).places
            yield from detector.score(recording.open(), images=images, own_places=places)

    def save(self, path: str | Path, *, standalone: bool = False) -> Path | None:
        """Write an adapted detector as a camera file, or as a whole model.

        What a camera file of that name was taught, the new one knows too.

        Args:
            path: NAME.camera.safetensors; of a whole model any name ending in .safetensors.
            standalone: a whole model, which needs no base beside it.

        Returns:
            Where an earlier file of that name is kept, or None if there was none.

        Raises:
            MpnError: as `mpn.adaptation.camera_file.write_camera`.
        """
        checkpoint = self.checkpoint
        with changing(path):
            if not standalone and checkpoint.camera is not None:
                checkpoint = with_earlier_lessons(path, checkpoint)
            return write_camera(path, checkpoint, standalone=standalone)


def load(
    path: str | Path,
    *,
    score_config: ScoreConfig | None = None,
    device: str = "cpu",
    precision: str = "auto",
    engine: str = "torch",
) -> Detector:
    """Load a detector from a model file.

    Args:
        path: a .safetensors checkpoint of mpn or a camera file; or the name of a released model:
            "demo" comes with the package, "ped2" and "meta" with the repository.
        score_config: how parts make the score; default: the model's.
        device: "cpu" or "cuda".
        precision: "float32", "bfloat16" or "auto" (bfloat16 where the processor has it).
        engine: what runs the network: "torch", "onnxruntime" or "openvino".

    Raises:
        CheckpointError: the file is missing, broken, or not one of mpn's; or a camera file's base
            is.
        MpnError: device, precision or engine cannot be used.
    """
    return Detector(
        load_checkpoint(path),
        score_config=score_config,
        device=device,
        precision=precision,
        engine=engine,
    )


def teach(
    camera: str | Path, events: str | Path, numbers: int | Iterable[int], *, name: str | None = None
) -> tuple[Taught, ...]:
    """Teach a camera by events of an earlier scoring: they are normal there, or have a name.

    What is normal goes quiet at that camera wherever it looks and moves like that; of later events
    the nearest name is told. An event that was taught before is taught anew. The camera file as it
    was is kept as a version, see `mpn.adaptation.camera_file.write_camera`.

    Args:
        camera: path of the camera file.
        events: events.json in the folder that `mpn score` wrote, or that folder.
        numbers: of the events, from 1 on, in the order of the file, as in terminal and report.
        name: what they show; default: they are normal.

    Returns:
        What was taught, an entry an event.

    Raises:
        CheckpointError: `camera` cannot be read.
        DataError: there is no such event, or its recording cannot be read or has changed.
        MpnError: `camera` is no camera file, the name cannot be one, or too much was taught.
    """
    try:
        name = None if name is None else checked_name(name)
    except ValueError as error:
        raise MpnError(f"{error}; give another name") from error
    checkpoint = read_camera(camera)
    detector = ScoringDetector(checkpoint)
    chosen = [numbers] if isinstance(numbers, int) else list(dict.fromkeys(numbers))
    listed = [listed_event(Path(events), number) for number in chosen]
    taught = {(lesson.source, lesson.frame) for lesson in checkpoint.taught}
    check_room(camera, taught | {(entry.path.name, entry.event.peak_frame) for entry in listed})
    fresh = tuple(examples_of(detector, entry, name) for entry in listed)
    with changing(camera):
        checkpoint = read_camera(camera)  # it may have been taught meanwhile, by a click
        write_taught(camera, checkpoint, (*checkpoint.taught, *fresh))
    return fresh


def teach_from(
    camera: str | Path, other: str | Path, *, normal: bool = False
) -> tuple[Taught, ...]:
    """Teach a camera what another camera was taught.

    Args:
        camera: path of the camera file.
        other: path of the other one.
        normal: what is normal there, instead of the names.

    Returns:
        What was taught.

    Raises:
        CheckpointError: a file cannot be read.
        MpnError: one of them is no camera file, the other one was taught no such thing, or too much
            was taught.
    """
    read_camera(camera)
    fresh = tuple(lesson for lesson in read_camera(other).taught if (lesson.name is None) == normal)
    if not fresh:
        missing = "what is normal there" if normal else "any name"
        raise MpnError(f"{other} was not taught {missing} (mpn teach {other} --list)")
    with changing(camera):
        checkpoint = read_camera(camera)
        write_taught(camera, checkpoint, (*checkpoint.taught, *fresh))
    return fresh


def forget(camera: str | Path, what: str | int) -> tuple[Taught, ...]:
    """Make a camera forget something that it was taught; it then scores as before.

    Args:
        camera: path of the camera file.
        what: a name, "normal" for all that is normal, or the number of an event from 1 on in the
            order of `load(camera).checkpoint.taught`.

    Returns:
        What is forgotten.

    Raises:
        CheckpointError: `camera` cannot be read.
        MpnError: it is no camera file, or was not taught this.
    """
    with changing(camera):
        checkpoint = read_camera(camera)
        taught = checkpoint.taught
        if isinstance(what, int):
            gone = [what - 1] if 1 <= what <= len(taught) else []
        else:
            gone = [i for i, lesson in enumerate(taught) if (lesson.name or "normal") == what]
        if not gone:
            names = ", ".join(sorted({lesson.name or "normal" for lesson in taught})) or "nothing"
            raise MpnError(
                f"{camera} was not taught {what!r}: it knows {names}, in "
                f"{plural(len(taught), 'event')} (mpn teach CAMERA --list)"
            )
        remaining = tuple(lesson for i, lesson in enumerate(taught) if i not in gone)
        write_taught(camera, checkpoint, remaining)
        return tuple(taught[i] for i in gone)
