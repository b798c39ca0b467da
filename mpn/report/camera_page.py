"""The page of a camera: what it has learned is usual there, to be looked at by who knows the place.

It is made of the camera file alone; where the normal footage is still there, its strangest moments
are shown with a picture. It has no script but the theme's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from markupsafe import Markup

from mpn.adaptation.footage import Without, recordings_of
from mpn.errors import DataError, MpnError
from mpn.io.atomic import write_atomically
from mpn.io.text import clock, percent, plural
from mpn.jobs.summary import UNREADABLE
from mpn.model.camera_checkpoint import CAMERA_SUFFIX
from mpn.model.checkpoint import Checkpoint
from mpn.motion.flow import working_size
from mpn.motion.place import PlaceModel
from mpn.report.page import asset, data_uri, policy, templates
from mpn.report.usual_picture import usual_picture
from mpn.scoring.parts import LABELS
from mpn.video.overlay import RED
from mpn.video.sources import open_source

PICTURE_WIDTH = 480  # pixels of a moment's picture
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 82]
MODEL_SUFFIX, SUFFIX = ".safetensors", ".html"

# A frame of the footage: number of its clip, and its own.
At: TypeAlias = "tuple[int, int]"


@dataclass(frozen=True)
class Shown:
    """A moment of the normal footage, as the page shows it.

    Attributes:
        when: time in its recording.
        recording: its name, "" where there is one alone.
        why: the sentence of its reason, or "".
        score: in words.
        option: what to add to the command where it is not normal.
        picture: as an address that holds it, None where the footage is gone.
    """

    when: str
    recording: str
    why: str
    score: str
    option: str
    picture: str | None


def page_of(camera: Path) -> Path:
    """Name the page of a camera file, beside it.

    Args:
        camera: path of the file.
    """
    return camera.with_name(camera.name.removesuffix(MODEL_SUFFIX) + SUFFIX)


def write_camera_page(path: Path, checkpoint: Checkpoint, file: str) -> Path:
    """Write the page, whole or not at all, and return its path.

    Args:
        path: of the page.
        checkpoint: of a model that knows a camera by place.
        file: name of the model's or camera's file.

    Raises:
        DataError: it knows no camera, or what it says of its footage cannot be read.
        MpnError: the page cannot be written.
    """
    if not checkpoint.places:
        raise DataError(
            f"{file}: this model has learned no camera, so there is nothing to show: mpn adapt "
            f"NORMAL_FOOTAGE --out NAME{CAMERA_SUFFIX} makes one that has"
        )
    try:
        page = _rendered(checkpoint, file)
    except UNREADABLE as error:
        raise DataError(
            f"{file}: what it says of its footage is not as mpn adapt writes it "
            f"({type(error).__name__}: {error}); adapt again"
        ) from error
    # Names of files may hold bytes that are no text: they become question marks.
    write_atomically(path, page.encode("utf-8", "replace"))
    return path


def _rendered(checkpoint: Checkpoint, file: str) -> str:
    learned: Mapping[str, Any] = (checkpoint.camera or {}).get("adapted_on") or {}
    theme = asset("theme.js")
    style = asset("base.css") + asset("overview.css") + asset("camera.css")
    frames = _frames(learned)
    backdrop = frames.get((0, 0))
    return (
        templates()
        .get_template("camera.html.j2")
        .render(
            title=file.removesuffix(MODEL_SUFFIX).removesuffix(".camera"),
            file=file,
            lede=_lede(checkpoint, learned),
            moments=_moments(learned, frames),
            places=[
                _place(name, place, backdrop, checkpoint.fps)
                for name, place in checkpoint.places.items()
            ],
            made=_made_anomaly_rows(learned),
            policy=policy([theme], style),
            theme=Markup(theme),
            style=Markup(style),
        )
    )


def _lede(checkpoint: Checkpoint, learned: Mapping[str, Any]) -> str:
    """Say in a line what it was learned from, and what its threshold is."""
    frames = sum(place.frames for place in checkpoint.places.values())
    text = f"Learned from {plural(frames, 'frame', ',')} of normal footage"
    if checkpoint.fps:
        text += f", {clock(frames / checkpoint.fps)} at {checkpoint.fps:g} a second"
    after = learned.get("after") or {}
    if after.get("threshold") is not None:
        rate = plural(float(learned["options"]["false_alarms_per_hour"]), "false alarm", "g")
        guess = ", extrapolated: a rough guide" if after.get("extrapolated") else ""
        text += f". Threshold for {rate} an hour: {float(after['threshold']):.2f}{guess}"
    return text + "."


def _frames(learned: Mapping[str, Any]) -> dict[At, np.ndarray]:
    """Read again what the footage shows, as far as it is still there.

    Returns:
        (number of the clip, frame) -> uint8 (H, W, C), of all that the page shows, and the first
        frame of the first clip.
    """
    frames: dict[At, np.ndarray] = {}
    try:
        recordings = recordings_of(str(learned["source"]))
        names = [str(name) for name in learned["clips"]]
    except (KeyError, MpnError, OSError):
        return frames
    positions = {(0, 0)}
    positions |= {
        (int(moment["clip"]), int(moment["frame"])) for moment in learned.get("moments") or []
    }
    for clip in sorted({clip for clip, _ in positions}):
        numbers = [frame for number, frame in positions if number == clip]
        try:
            read = _read(recordings[names[clip]], learned, numbers)
        except (KeyError, IndexError, MpnError, OSError):
            continue
        frames |= {(clip, number): frame for number, frame in read}
    return frames


def _read(
    path: Path, learned: Mapping[str, Any], numbers: Sequence[int]
) -> list[tuple[int, np.ndarray]]:
    """Read frames of a recording as it was learned from; numbers that it has not are left out."""
    source = open_source(path, skip_bad=True, fps=learned.get("fps"))
    wanted = np.isin(np.arange(source.length), numbers)
    return list(source.pick(wanted))


def _moments(learned: Mapping[str, Any], frames: Mapping[At, np.ndarray]) -> list[Shown]:
    """Give the strangest moments of what was learned from."""
    shown = []
    for moment in learned.get("moments") or []:
        clip, frame = int(moment["clip"]), int(moment["frame"])
        stretch = _stretch(learned, clip, int(moment["start"]), int(moment["stop"]))
        reason = moment.get("reason")
        if not reason and (clip, frame) not in frames:
            continue  # of a live camera: nobody can look at it
        why = str(reason["sentence"]) if reason else ""
        without = ",".join([*map(str, learned.get("without") or []), stretch])
        picture = _picture(frames, (clip, frame), moment.get("region"))
        when = clock(frame / float(learned.get("fps") or 1))
        score = f"score {float(moment['score']):.2f}"
        shown.append(Shown(when, _name(learned, clip), why, score, f"--without {without}", picture))
    return shown


def _name(learned: Mapping[str, Any], clip: int) -> str:
    """Name a recording where there are several."""
    names = learned.get("clips") or []
    return str(names[clip]) if len(names) > 1 else ""


def _stretch(learned: Mapping[str, Any], clip: int, start: int, stop: int) -> str:
    """Write frames as --without takes them."""
    return str(Without(start, stop - 1, _name(learned, clip) or None))


def _picture(frames: Mapping[At, np.ndarray], at: At, region: Sequence[int] | None) -> str | None:
    """Draw a frame with what stands out in it, as an address that holds the picture."""
    if at not in frames:
        return None
    frame = frames[at]
    height, width = frame.shape[:2]
    scale = PICTURE_WIDTH / width
    size = PICTURE_WIDTH, max(1, round(height * scale))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    small = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small
    if region is not None:
        top, left, tall, wide = (round(int(side) * scale) for side in region)
        cv2.rectangle(small, (left, top), (left + wide, top + tall), RED, 2)
    return _address(small)


def _address(picture: np.ndarray) -> str:
    return data_uri(cv2.imencode(".jpg", picture, QUALITY)[1].tobytes(), "jpeg")


def _place(
    name: str, place: PlaceModel, backdrop: np.ndarray | None, fps: float | None
) -> dict[str, str]:
    """Draw what is usual at a camera's places, and say what the colours mean."""
    picture, top = usual_picture(place, backdrop)
    if not top:
        return {"name": name, "picture": _address(picture), "top": ""}
    size = place.grid if backdrop is None else backdrop.shape[:2]
    share = top / working_size((size[0], size[1]))[1]  # of the picture's width
    text = f"{100 * share:.1f} % of the picture's width a frame"
    if backdrop is not None:
        text = f"{share * size[1]:.1f} px a frame"
        if fps:
            text += f" ({share * size[1] * fps:.0f} px/s)"
    return {"name": name, "picture": _address(picture), "top": text}


def _made_anomaly_rows(learned: Mapping[str, Any]) -> list[dict[str, str]]:
    """Give the rows of what would be found of anomalies made of what moves here."""
    rows = []
    for entry in learned.get("made") or []:
        share = "-"
        if entry["found"] is not None:
            share = percent(entry["found"] / max(int(entry["pieces"]), 1), unit=True)
        aucs = {
            {"score": "score", **LABELS}[name]: f"{100 * float(auc):.1f}"
            for name, auc in entry["auc"].items()
        }
        rows.append({"kind": str(entry["kind"]), "found": share, "auc": aucs["score"]})
    return rows
