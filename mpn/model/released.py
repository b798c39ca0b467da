"""The released models: one comes with the package, the others with the repository."""

from __future__ import annotations

import logging
from pathlib import Path

from mpn.errors import CheckpointError

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
# name: what it is, in a few words of a message
RELEASED = {
    "demo": "trained on the embedded demo set",
    "ped2": "trained on UCSD Ped2, research use only",
    "meta": "meta-trained on fixed cameras, to be adapted to a new one, research use only",
}
# The model to begin with, and the one in its place where only the package is there: it has seen
# generated cameras alone, so less may come of it.
BASE, PACKAGED_BASE = "meta", "demo"
PACKAGED_FOLDER = Path(__file__).resolve().parent.parent / "models"
# Beside the package, where the repository is there.
REPOSITORY_FOLDER = PACKAGED_FOLDER.parent.parent / "checkpoints"


def released_folders() -> list[Path]:
    """List where released models are looked for, in order, the current folder's last."""
    return [PACKAGED_FOLDER, REPOSITORY_FOLDER, Path("checkpoints")]


def released_path(name: str) -> Path | None:
    """Return the file of a released model, or None where it is not on this machine.

    Args:
        name: one of `RELEASED`.
    """
    candidates = (folder / f"{name}{SUFFIX}" for folder in released_folders())
    return next((path for path in candidates if path.is_file()), None)


def find_model(name_or_path: str | Path) -> Path:
    """Resolve what a user gives as a model: the name of a released one, or a path.

    A file of that name in the current folder goes before a released model.

    Args:
        name_or_path: "demo", "ped2", "meta", or the path of a model or camera file.

    Returns:
        The file's path. A path that is no released model's name is returned as it is, there or
        not: reading it says what is wrong with it.

    Raises:
        CheckpointError: a released model that is not on this machine, or a path of one that is
            elsewhere.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    name = str(name_or_path)
    if name in RELEASED:
        released = released_path(name)
        if released is None:
            raise CheckpointError(_missing(name))
        return released
    if not path.exists() and path.stem in RELEASED and released_path(path.stem):
        raise CheckpointError(
            f"there is no checkpoint {path}; the released model is given by its name alone: "
            f"{path.stem}"
        )
    if not path.exists() and not path.suffix:
        raise CheckpointError(
            f"{name} is neither a file nor a released model (those are {', '.join(RELEASED)})"
        )
    return path


def base_model(say: bool = True) -> str:
    """Name the released model that a new camera begins with.

    Args:
        say: where it is not the best.
    """
    if released_path(BASE) is not None:
        return BASE
    if not say:
        return PACKAGED_BASE
    log.warning(
        "the released model %s is not here, so %s is taken, which knows generated cameras only: "
        "%s is in the checkpoints folder of a clone of the repository; copy it to ./checkpoints, "
        "or give another model",
        BASE,
        PACKAGED_BASE,
        BASE,
    )
    return PACKAGED_BASE


def released_files() -> list[Path]:
    """List the files of the released models that are on this machine."""
    paths = (released_path(name) for name in RELEASED)
    return [path for path in paths if path is not None]


def _missing(name: str) -> str:
    return (
        f"the released model {name!r} ({RELEASED[name]}) does not come with the package, it is in "
        f"the checkpoints folder of a clone of the repository: copy {name}{SUFFIX} from there to "
        f"{Path('checkpoints').absolute()}, give its path, or take demo, which is always there"
    )
