"""What `mpn watch` is told: a YAML file, checked whole before anything is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mpn.errors import DataError, MpnError
from mpn.live.address import check_address, is_file
from mpn.model.camera_checkpoint import CAMERA_SUFFIX
from mpn.model.released import find_model

USUAL_FPS = 10.0
MOST_BYTES = 1_000_000  # of a config: more is none
# Names become those of folders, of MQTT topics and of Prometheus labels.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
EXAMPLE = """\
# mpn watch watch.yaml        mpn watch --check watch.yaml
model: meta                   # a released model's name, or the path of a model file
out: runs/watch               # events, clips, what was learned
learning_minutes: 2           # of normal footage, for a camera that is not known yet

cameras:
  entrance:
    url: rtsp://viewer:${CAMERA_PASSWORD}@192.168.1.20/stream2   # ${...}: from the environment
  yard:
    url: http://192.168.1.21/video.mjpg
    fps: 5                    # at most so many frames a second are scored (default: 10)
    false_alarms_per_hour: 0.5
  lab:
    url: /dev/video0
    camera_file: lab.camera.safetensors   # learned if it is missing, and kept there
    freeze: true              # don't go on learning
  rehearsal:
    url: recordings/lobby.mp4 # a file is played at its own rate
    loop: true

outputs:
  keep:                       # clips and snapshots of events
    days: 14
    gigabytes: 5
"""

CameraName = Annotated[str, Field(pattern=NAME)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Turns the section `outputs` into what it configures; raises ValidationError.
OutputsCheck = Callable[[Mapping[str, Any]], Any]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
        motion_only: leave the network out, which takes more than half of the time.
        outputs: what carries alarms out, and how long clips and snapshots are kept.
    """

    cameras: Annotated[dict[CameraName, CameraConfig], Field(min_length=1)]
    model: str | None = None
    out: Path = Path("runs/watch")
    learning_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 2.0
    false_alarms_per_hour: Positive = 1.0
    freeze: bool = False
    motion_only: bool = False
    outputs: Any = Field(default_factory=dict)

    @field_validator("cameras", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        # YAML makes numbers of names such as 12.
        return {str(key): one for key, one in value.items()} if isinstance(value, dict) else value


class _Loader(yaml.SafeLoader):
    """Loads plain values, as `yaml.safe_load`; a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                mark = key.start_mark
                raise yaml.MarkedYAMLError(problem=f"{key.value} comes twice", problem_mark=mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_config(path: Path, check_outputs: OutputsCheck | None = None) -> WatchConfig:
    """Read a config, and check all of it that can be checked without opening a camera.

    Paths in it are taken from the file's folder.

    Args:
        path: of the YAML file.
        check_outputs: turns the section `outputs` into what it configures.

    Raises:
        DataError: it cannot be read, or has mistakes: a line "file: where: what, what to do" each.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(f"{path}: is larger than {MOST_BYTES:,} bytes, which no config is")
        values = yaml.load(data, _Loader)  # noqa: S506 (a SafeLoader that knows of duplicates)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); mpn watch --example prints one"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f"line {mark.line + 1}" if mark else "file"
        reason = getattr(error, "problem", None) or " ".join(str(error).split())[:120]
        raise DataError(f"{path}: {at}: is no YAML ({reason}); see mpn watch --example") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: file: holds no settings; mpn watch --example prints some")
    mistakes: list[str] = []
    filled = _substituted(values, mistakes)
    config = _checked(filled, mistakes, path.parent)
    outputs = filled.get("outputs", {})
    if check_outputs is not None:
        try:
            outputs = check_outputs(outputs)
        except ValidationError as error:
            mistakes += _lines(error, ("outputs",))
    if mistakes or config is None:
        raise DataError("\n".join(f"{path}: {line}" for line in mistakes))
    return config.model_copy(update={"outputs": outputs})


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


def missing_films(config: WatchConfig) -> list[str]:
    """List cameras that are films, where there is no such film, a line each.

    Args:
        config: as it was read.
    """
    lines = []
    for name, camera in config.cameras.items():
        path = Path(camera.url)
        if is_file(camera.url) and not path.is_file():
            what = "is a folder: mpn score takes one" if path.is_dir() else "is not there"
            lines.append(f"cameras.{name}.url: {path} {what}; give an address, or a video file")
    return lines


def _checked(values: dict[str, Any], mistakes: list[str], base: Path) -> WatchConfig | None:
    """Check values against the model and each other; None where they make no config."""
    try:
        config = WatchConfig.model_validate(values)
    except ValidationError as error:
        mistakes += _lines(error)
        return None
    config = _in_folder(config, base)
    if config.model is not None:
        try:
            if not find_model(config.model).is_file():
                mistakes.append(f"model: there is no {config.model}, give a model file or a name")
        except MpnError as error:
            mistakes.append(f"model: {error}")
    files: dict[Path, str] = {}
    for name, camera in config.cameras.items():
        if camera.camera_file is None:
            continue
        first = files.setdefault(camera.camera_file.resolve(), name)
        if first != name:
            mistakes.append(
                f"cameras.{name}.camera_file: is that of {first}, too; give each camera its own"
            )
    return config


def _in_folder(config: WatchConfig, base: Path) -> WatchConfig:
    """Take the paths of a config from a folder."""
    cameras = {}
    for name, camera in config.cameras.items():
        paths: dict[str, Any] = {}
        if camera.camera_file:
            paths["camera_file"] = base / camera.camera_file
        if is_file(camera.url):
            paths["url"] = str(base / camera.url)
        cameras[name] = camera.model_copy(update=paths)
    model = config.model
    if model is not None and (base / model).is_file():
        model = str(base / model)
    return config.model_copy(update={"cameras": cameras, "model": model, "out": base / config.out})


def _substituted(value: Any, mistakes: list[str], where: str = "") -> Any:
    """Put environment variables into texts: ${NAME}; those that are not set are mistakes."""
    if isinstance(value, dict):
        return {
            key: _substituted(item, mistakes, f"{where}.{key}".lstrip("."))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_substituted(item, mistakes, f"{where}.{n}") for n, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in VARIABLE.findall(value):
        if name not in os.environ:
            mistakes.append(f"{where}: the environment has no {name}, set it (export {name}=...)")
    return VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), value)


def _lines(error: ValidationError, where: tuple[str, ...] = ()) -> list[str]:
    """Write pydantic's findings as "where: what, what to do"; never with the value: secrets."""
    lines = []
    for one in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in (*where, *one["loc"])) or "file"
        what = one["msg"].removeprefix("Value error, ")
        advice = {
            "string_pattern_mismatch": "names have letters, digits, - and _, up to 64; rename it",
            "extra_forbidden": "is not known here; take it out, or see mpn watch --example",
            "missing": "is missing; add it, see mpn watch --example",
            "model_type": "has entries of its own, a line each, such as `url: ...`; see mpn watch "
            "--example",
        }.get(one["type"], f"{what[:1].lower()}{what[1:]}; see mpn watch --example")
        lines.append(f"{place}: {advice}")
    return lines
