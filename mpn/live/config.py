"""What `mpn watch` is told: a YAML file, checked whole before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mpn.errors import DataError, MpnError
from mpn.io.atomic import check_writable
from mpn.live.address import check_address, is_file
from mpn.live.config_file import load_values, substituted
from mpn.model.camera_checkpoint import CAMERA_SUFFIX
from mpn.model.released import find_model

USUAL_FPS = 10.0
OUT = Path("runs/watch")
# Names become those of folders, of MQTT topics and of Prometheus labels.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
# Entries that there were, and what to write instead.
EARLIER = {
    "motion_only": "is no more: a camera that is learned here is judged by motion alone; where the "
    "network is to be left out of all cameras, write `network: false`"
}
EXAMPLE = """\
# mpn watch watch.yaml        mpn watch --check watch.yaml
# model: meta                 # a released model's name, or the path of a model file; without it
                              # meta is taken, or demo where only the package is installed
out: runs/watch               # events, clips, what was learned
learning_minutes: 5           # of normal footage, for a camera that is not known yet
# network: true               # ask the network about cameras that are learned here, too

cameras:
  entrance:
    url: rtsp://192.168.1.20/stream2
    # from the environment: rtsp://viewer:${CAMERA_PASSWORD}@192.168.1.20/stream2
  yard:
    url: http://192.168.1.21/video.mjpg
    fps: 5                    # at most so many frames a second are scored (default: 10)
    false_alarms_per_hour: 0.5
  lab:
    url: /dev/video0
    camera_file: lab.camera.safetensors   # learned if it is missing, and kept there
    freeze: true              # don't go on learning
  # rehearsal:                # a film is played at its own rate
  #   url: recordings/lobby.mp4
  #   loop: true

outputs:
  keep:                       # clips and snapshots of events
    days: 14
    gigabytes: 5
"""

CameraName = Annotated[str, Field(pattern=NAME)]
Positive = Annotated[float, Field(gt=0)]
# Turns the section `outputs` of a config in a folder into what it says, and lists its mistakes.
OutputsCheck = Callable[[Any, Path], tuple[Any, list[str]]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CameraConfig(_Section):
    """A camera.

    Attributes:
        url: RTSP, RTMP, HTTP (MJPEG, HLS, MPEG-TS), a device (/dev/video0), or a file.
        camera_file: what it is judged by; learned and kept there if it is missing. Default:
            CAMERA.camera.safetensors in the camera's folder of `out`.
        fps: at most so many frames a second are scored; default: as the camera file was made, else
            `USUAL_FPS`.
        false_alarms_per_hour: sets the threshold; default: that of all cameras.
        freeze: don't go on learning; default: as all cameras.
        loop: a file begins again at its end.
    """

    url: str
    camera_file: Path | None = None
    fps: Annotated[float, Field(gt=0, le=120)] | None = None
    false_alarms_per_hour: Positive | None = None
    freeze: bool | None = None
    loop: bool = False

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        return check_address(value)

    @field_validator("camera_file")
    @classmethod
    def _suffix(cls, value: Path | None) -> Path | None:
        if value is not None and not value.name.endswith(CAMERA_SUFFIX):
            raise ValueError(f"the name of a camera file ends in {CAMERA_SUFFIX}")
        return value


class WatchConfig(_Section):
    """What is watched, and how.

    Attributes:
        cameras: by name.
        model: a released model's name, or the path of a model file.
        out: folder of events, clips and what was learned.
        learning_minutes: of normal footage, for a camera that is not known yet.
        false_alarms_per_hour: of each camera; sets the threshold.
        freeze: don't go on learning.
        network: let the network have a say in the score of cameras that are learned here, too;
            False: of none. None: as each camera's file says, and motion alone judges a camera that
            is learned here.
        outputs: what carries alarms out, and how long clips and snapshots are kept.
    """

    cameras: Annotated[dict[CameraName, CameraConfig], Field(min_length=1)]
    model: str | None = None
    out: Path = OUT
    learning_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 5.0
    false_alarms_per_hour: Positive = 1.0
    freeze: bool = False
    network: bool | None = None
    outputs: Any = Field(default_factory=dict)

    @field_validator("cameras", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        # YAML makes numbers of names such as 12.
        return (
            {str(key): entry for key, entry in value.items()} if isinstance(value, dict) else value
        )


def read_config(
    path: Path, check_outputs: OutputsCheck | None = None, **options: Any
) -> WatchConfig:
    """Read a config, and check all of it that can be checked without opening a camera.

    Paths in it are taken from the file's folder.

    Args:
        path: of the YAML file.
        check_outputs: turns the section `outputs` into what it configures, and lists its mistakes.
        options: fields of `WatchConfig` that go before the file's.

    Raises:
        DataError: it cannot be read, or has mistakes: a line "file: where: what, what to do" each,
            all that can be known at once.
    """
    twice: list[str] = []
    unset: list[str] = []
    mistakes: list[str] = []
    values = load_values(path, twice)
    file_values = {key: value for key, value in values.items() if key not in options}
    filled = substituted(file_values, unset) | options
    config = _checked(filled, mistakes, path.parent)
    outputs = filled.get("outputs", {})
    if check_outputs is not None:
        outputs, output_mistakes = check_outputs(outputs, path.parent)
        mistakes += output_mistakes
    # A variable that is not set is often another mistake at its place, too.
    unset_places = {_place(line) for line in unset}
    lines = [*twice, *unset, *(line for line in mistakes if _place(line) not in unset_places)]
    if lines or config is None:
        raise DataError("\n".join(f"{path}: {line}" for line in lines))
    return config.model_copy(update={"outputs": outputs})


def _place(mistake: str) -> str:
    return mistake.partition(": ")[0]


def config_of_urls(urls: Sequence[str], **options: Any) -> WatchConfig:
    """Make the config of cameras that are given by their addresses alone: camera-1 and on.

    Args:
        urls: of the cameras.
        options: fields of `WatchConfig`, and `loop` for all cameras.

    Raises:
        DataError: mistakes, a line each.
    """
    loop = options.pop("loop", False)
    cameras = {f"camera-{n}": {"url": url, "loop": loop} for n, url in enumerate(urls, 1)}
    mistakes: list[str] = []
    config = _checked({"cameras": cameras, **options}, mistakes, Path())
    if mistakes or config is None:
        raise DataError("\n".join(mistakes))
    return config


def _checked(values: dict[str, Any], mistakes: list[str], base: Path) -> WatchConfig | None:
    """Check values against the model, each other and the disk; None where they make no config."""
    config = None
    try:
        config = _with_paths_from(WatchConfig.model_validate(values), base)
    except ValidationError as error:
        mistakes += mistakes_of(error)
    # Values as they are, not the config: what is missing is said beside what is wrong.
    model, cameras, out = values.get("model"), values.get("cameras"), values.get("out", OUT)
    if isinstance(model, str):
        mistakes += _missing_model(model, base)
    if isinstance(out, str | Path):
        mistakes += _unwritable(base / out / "x", "out", "folder")
    if isinstance(cameras, dict):
        sections = {
            str(name): section for name, section in cameras.items() if isinstance(section, dict)
        }
        mistakes += _missing_films(sections, base)
        mistakes += _camera_files(sections, base, out)
    return config


def _missing_model(model: str, base: Path) -> list[str]:
    try:
        if not os.path.isfile(find_model(_model_in(model, base))):
            return [f"model: there is no {model}, give a model file or a name"]
    except MpnError as error:
        return [f"model: {error}"]
    except OSError as error:  # the name is too long, a folder above it is not to be looked into
        return [f"model: cannot be read ({error.strerror}), give a model file or a name"]
    return []


def _missing_films(cameras: Mapping[str, dict[str, Any]], base: Path) -> list[str]:
    """List cameras that are films, where there is no such film, a line each."""
    lines = []
    for name, camera in cameras.items():
        url = camera.get("url")
        try:
            film = isinstance(url, str) and is_file(check_address(url))
        except ValueError:  # is a mistake already
            continue
        if film and not os.path.isfile(path := base / str(url)):
            problem = "is a folder: mpn score takes one" if os.path.isdir(path) else "is not there"
            lines.append(f"cameras.{name}.url: {path} {problem}; give an address, or a video file")
    return lines


def _camera_files(cameras: Mapping[str, dict[str, Any]], base: Path, out: Any) -> list[str]:
    """List camera files that are another camera's, or cannot be written, a line each."""
    files: dict[str, str] = {}
    named_files = {}
    for name, camera in cameras.items():
        if isinstance(file := camera.get("camera_file"), str | Path):
            named_files[name] = base / file
        elif file is None and isinstance(out, str | Path):
            files[os.path.realpath(default_camera_file(base / out, name))] = name
    lines = []
    for name, file in named_files.items():
        where = f"cameras.{name}.camera_file"
        first = files.setdefault(os.path.realpath(file), name)
        if first != name:
            lines.append(f"{where}: is that of {first}, too; give each camera its own")
        elif not os.path.lexists(file):
            lines += _unwritable(file, where, "file")
    return lines


def default_camera_file(out: Path, name: str) -> Path:
    """Return where a camera's file is kept that the config names none for.

    Args:
        out: folder of the watch.
        name: of the camera.
    """
    return out / name / f"{name}{CAMERA_SUFFIX}"


def _unwritable(file: Path, where: str, kind: str) -> list[str]:
    """Say that a file that is to be written cannot be, and why."""
    try:
        check_writable(file)
    except MpnError as error:
        reason = str(error).removeprefix(f"cannot write {file}: ").partition(";")[0]
        return [f"{where}: cannot be written ({reason}); give another {kind}"]
    return []


def _model_in(model: str, base: Path) -> str:
    """Return the path of a model file that lies in the config's folder, else what was given."""
    return str(base / model) if os.path.isfile(base / model) else model


def _with_paths_from(config: WatchConfig, base: Path) -> WatchConfig:
    """Take the paths of a config from a folder."""
    cameras = {}
    for name, camera in config.cameras.items():
        paths: dict[str, Any] = {}
        if camera.camera_file:
            paths["camera_file"] = base / camera.camera_file
        if is_file(camera.url):
            paths["url"] = str(base / camera.url)
        cameras[name] = camera.model_copy(update=paths)
    model = None if config.model is None else _model_in(config.model, base)
    return config.model_copy(update={"cameras": cameras, "model": model, "out": base / config.out})


def mistakes_of(error: ValidationError, where: tuple[str, ...] = ()) -> list[str]:
    """Write pydantic's findings as "where: what, what to do"; never with the value: secrets.

    Args:
        error: of a section.
        where: keys on the way to it.
    """
    lines = []
    for mistake in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in (*where, *mistake["loc"])) or "file"
        message = mistake["msg"].removeprefix("Value error, ")
        advice = {
            "string_pattern_mismatch": "names have letters, digits, - and _, up to 64; rename it",
            "extra_forbidden": "is not known here; take it out, or see mpn watch --example",
            "missing": "is missing; add it, see mpn watch --example",
            "model_type": "has entries of its own, a line each, such as `url: ...`; see mpn watch "
            "--example",
        }.get(mistake["type"], f"{message[:1].lower()}{message[1:]}; see mpn watch --example")
        if mistake["type"] == "extra_forbidden":
            advice = EARLIER.get(place, advice)
        lines.append(f"{place}: {advice}")
    return lines
