"""Camera files in their places: read, written, kept as versions, and taken back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mpn.errors import CheckpointError, MpnError
from mpn.io.atomic import write_atomically
from mpn.io.locking import file_lock
from mpn.model.camera_checkpoint import CAMERA_SUFFIX, save_camera
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.model.taught import MAX_TAUGHT, Taught

PATIENCE = 30.0  # seconds that others who change a camera file are given


def read_camera(path: str | Path) -> Checkpoint:
    """Read a camera file.

    Args:
        path: of the file.

    Raises:
        CheckpointError: it cannot be read.
        MpnError: it is another model, of no camera.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.camera is None:
        raise MpnError(
            f"{path} is no camera file, and only one camera is taught at a time: mpn adapt "
            f"NORMAL_FOOTAGE --out NAME{CAMERA_SUFFIX} makes one, and mpn score RECORDING --save "
            f"NAME{CAMERA_SUFFIX}"
        )
    return checkpoint


def write_camera(
    path: str | Path, checkpoint: Checkpoint, *, standalone: bool = False, keep: bool = True
) -> Path | None:
    """Write an adapted model, or a camera file that was read; an earlier file stays as a version.

    Args:
        path: NAME.camera.safetensors; its versions are NAME.v1.camera.safetensors and on, the
            highest the newest.
        checkpoint: what `mpn.adaptation.camera.adapt_camera` gave, or a camera file that was read.
        standalone: a whole model instead, which needs no base; any name ending in .safetensors.
        keep: an earlier file as a version.

    Returns:
        Where the earlier file is kept, or None if there was none.

    Raises:
        MpnError: it cannot be written, has another name, is too large, or would take the base's
            place; what was there is then there still.
    """
    path = Path(path)
    camera = checkpoint.camera
    if camera is None:
        raise MpnError(f"{path} is not written: this model was not adapted to a camera")
    suffix = ".safetensors" if standalone else CAMERA_SUFFIX
    if not path.name.endswith(suffix) or path.name == suffix:
        raise MpnError(
            f"{path}: the name of a {'model' if standalone else 'camera file'} ends in {suffix}"
        )
    base = camera["base"]["path"]
    if not standalone and not base:
        raise MpnError(
            f"{path} is not written: its model was not read from a file, which a camera "
            "file refers to"
        )
    if base and path.resolve() == Path(base).resolve():
        raise MpnError(f"{path} is the model that was adapted: give the result another name")
    version = _keep(path, "v") if keep and path.is_file() else None
    try:
        if standalone:
            described = {name: camera[name] for name in ("base", "adapted_on")}
            training = checkpoint.training | described
            # The step sizes were learned for the base's weights, not for these.
            save_checkpoint(path, replace(checkpoint, training=training, meta=None))
        else:
            _write_beside_base(path, checkpoint, camera)
    except BaseException:
        if version:  # a copy of what is there still
            version.unlink(missing_ok=True)
        raise
    return version


def changing(path: str | Path) -> AbstractContextManager[None]:
    """Hold a camera file while it is read, changed and written again.

    Two who teach a camera at the same time would else lose what one of them taught.

    Args:
        path: of the camera file; there need not be one yet.

    Raises:
        BusyError: others go on changing it.
    """
    return file_lock(path, patience=PATIENCE)


def with_earlier_lessons(path: str | Path, checkpoint: Checkpoint) -> Checkpoint:
    """Give a camera that is made anew what the file in its place was taught.

    Args:
        path: where it will be written.
        checkpoint: of the camera.

    Returns:
        The checkpoint; with what the camera file at `path` was taught, where there is one that can
        be read. Of an event that both know, the checkpoint's counts.
    """
    try:
        earlier = load_checkpoint(path).taught if Path(path).is_file() else ()
    except MpnError:
        return checkpoint
    events = {(lesson.source, lesson.frame): lesson for lesson in (*earlier, *checkpoint.taught)}
    return replace(checkpoint, taught=tuple(events.values()))


def write_taught(
    path: str | Path, checkpoint: Checkpoint, taught: Iterable[Taught], *, keep: bool = True
) -> Checkpoint:
    """Write a camera file with what it is taught; of an event that comes twice the later counts.

    Args:
        path: of the camera file.
        checkpoint: as it was read.
        taught: all that it knows from now on, in the order that it was taught in.
        keep: an earlier file as a version.

    Returns:
        What was written.

    Raises:
        MpnError: too much was taught, or as `write_camera`.
    """
    events = {(lesson.source, lesson.frame): lesson for lesson in taught}
    check_room(path, events)
    written = replace(checkpoint, taught=tuple(events.values()))
    write_camera(path, written, keep=keep)
    return written


def check_room(path: str | Path, events: Collection[tuple[str, int]]) -> None:
    """Check that a camera keeps so many events.

    Args:
        path: of the camera file.
        events: by source and frame.

    Raises:
        MpnError: these are too many.
    """
    if len(events) > MAX_TAUGHT:
        raise MpnError(
            f"{path}: {len(events)} events were taught, a camera keeps {MAX_TAUGHT}: make it "
            "forget some (mpn teach CAMERA --forget NUMBER)"
        )


def _write_beside_base(path: Path, checkpoint: Checkpoint, camera: Mapping[str, Any]) -> None:
    """Write what was adapted, for a reader that has the base."""
    tensors = checkpoint.network.state_dict()
    save_camera(
        path,
        camera["base"]["path"],
        camera["base"]["sha256"],
        {name: tensors[name] for name in camera["tensors"]},
        checkpoint.normal,
        checkpoint.fps,
        checkpoint.score_config,
        camera["adapted_on"],
        checkpoint.places,
        checkpoint.taught,
    )


def rollback(path: str | Path) -> tuple[Path, Path | None]:
    """Put the newest version of a camera file (or model) back in its place.

    What was there is kept beside it, as NAME.replaced1.camera.safetensors and on.

    Args:
        path: of the camera file or model.

    Returns:
        The version that was restored (its file is `path` now), and where the replaced file is kept
        (None if `path` was missing).

    Raises:
        MpnError: there is no version, or the newest is not whole; nothing is changed then.
    """
    path = Path(path)
    versions = _numbered(path, "v")
    if not versions:
        raise MpnError(
            f"{path} has no earlier version to go back to (it would be {_name(path, 'v', 1)})"
        )
    newest = versions[max(versions)]
    try:
        load_checkpoint(newest)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} is left as it is, its version {newest.name} cannot be used: {error}"
        ) from error
    replaced = _keep(path, "replaced") if path.is_file() else None
    try:
        newest.replace(path)
    except OSError as error:
        raise MpnError(f"cannot move {newest} to {path}: {error.strerror}") from error
    return newest, replaced


def _name(path: Path, word: str, number: int) -> str:
    suffix = CAMERA_SUFFIX if path.name.endswith(CAMERA_SUFFIX) else path.suffix
    return f"{path.name.removesuffix(suffix)}.{word}{number}{suffix}"


def _numbered(path: Path, word: str) -> dict[int, Path]:
    """Find the files beside `path` that are called NAME.WORD1 and on, by number."""
    start, end = _name(path, word, 0).rsplit(f".{word}0", 1)
    numbered = {}
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        number = other.name.removeprefix(f"{start}.{word}").removesuffix(end)
        if number.isascii() and number.isdigit() and other.name == _name(path, word, int(number)):
            numbered[int(number)] = other
    return numbered


def _keep(path: Path, word: str) -> Path:
    """Copy a file to its next number."""
    copy = path.parent / _name(path, word, max(_numbered(path, word), default=0) + 1)
    write_atomically(copy, path.read_bytes())
    return copy
