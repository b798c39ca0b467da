"""What model files and camera files have in common.

Both are safetensors files: tensors, and in the metadata one JSON document (DESIGN section 4).
Nothing in them is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from mpn.errors import CheckpointError
from mpn.version import __version__

FORMAT_VERSION = 1
METADATA_KEY = "mpn"
NORMAL_PREFIX = "normal."
# What a file may say: more is no rate of frames, and no weight or patch.
MAX_FPS, MAX_IN_RECIPE = 1e6, 1e9
MAX_SHOWN = 60  # letters of a wrong value in an error


def library_versions() -> dict[str, str]:
    """Give the versions of what decides the metrics, for checkpoints and results."""
    import cv2

    return {
        "mpn": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def to_bytes(tensors: dict[str, Tensor], document: Mapping[str, Any]) -> bytes:
    """Make a file's content of its tensors and its document.

    Args:
        tensors: by name, contiguous.
        document: plain values, to which format and library versions are added.
    """
    text = json.dumps({"format": FORMAT_VERSION, **document, "versions": library_versions()})
    return to_safetensors(tensors, metadata={METADATA_KEY: text})


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file, whatever its name is.

    Args:
        path: of the file.

    Yields:
        What `safetensors.safe_open` gives.
    """
    with path.open("rb") as file:
        try:
            str(path).encode()
            name: Path | str = path
        except UnicodeEncodeError:  # of such a name the library opens nothing
            name = f"/proc/self/fd/{file.fileno()}"
        with safe_open(name, framework="pt") as tensors:
            yield tensors


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a model file or camera file.

    Args:
        path: of the file.

    Returns:
        The document, with its `kind` ("model" or "camera"), and the tensors by name.

    Raises:
        CheckpointError: missing, cut short, or not a file of ours.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; a checkpoint is a .safetensors file in it")
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        with open_tensors(path) as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}); pickled files are never opened: "
            "give a .safetensors checkpoint written by mpn (mpn import makes one of the "
            "authors' weights)"
        ) from error
    if text is None:
        raise CheckpointError(
            f"{path} is a safetensors file, but not one of mpn: its description is missing"
        )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its description is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: its description is not a JSON object")
    if document.get("format") != FORMAT_VERSION or document.setdefault("kind", "model") not in (
        "model",
        "camera",
    ):
        kind = f" of kind {document['kind']!r}" if "kind" in document else ""
        raise CheckpointError(
            f"{path} has format {document.get('format')!r}{kind}, this mpn reads {FORMAT_VERSION}: "
            "update mpn"
        )
    _check_described(path, document)
    return document, tensors


def _check_described(path: Path, document: Mapping[str, Any]) -> None:
    """Raise CheckpointError unless the document's entries are of the kinds that are read later."""
    fps = document.get("fps")
    if fps is not None and not (type(fps) in (int, float) and 0 < fps <= MAX_FPS):
        raise CheckpointError(
            f"{path}: its frame rate is {brief(fps)}, frames per second above 0 were expected"
        )
    for name in ("training", "recipe", "adapted_on", "versions"):
        if not isinstance(document.get(name) or {}, dict):
            raise CheckpointError(
                f"{path}: its entry {name!r} is {brief(document[name])}, values by name were "
                "expected: train, import or adapt again"
            )
    for name, value in (document.get("recipe") or {}).items():
        if type(value) not in (int, float) or not abs(value) <= MAX_IN_RECIPE:
            raise CheckpointError(
                f"{path}: {name!r} of its recipe is {brief(value)}, a number was expected: "
                "train, import or adapt again"
            )


def brief(value: object) -> str:
    """Write a value that is not to be trusted, of any length, in a few words.

    Args:
        value: of a file's document.
    """
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def digest(path: Path) -> str:
    """Compute the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pack_normal(
    tensors: dict[str, Tensor], normal: Mapping[str, list[np.ndarray]], dtype: torch.dtype
) -> dict[str, list[int]]:
    """Put the normal footage's scores into `tensors`.

    Args:
        tensors: of the file.
        normal: score part -> one array a clip.
        dtype: that they are kept in.

    Returns:
        What the document says of them.
    """
    lengths: list[int] = []
    for name, clips in normal.items():
        lengths = [len(clip) for clip in clips]
        tensors[NORMAL_PREFIX + name] = torch.from_numpy(
            np.concatenate(clips).astype(np.float32)
        ).to(dtype)
    return {"normal_lengths": lengths}


def unpack_normal(
    path: Path, tensors: dict[str, Tensor], lengths: Any
) -> dict[str, list[np.ndarray]]:
    """Take the normal footage's scores out of `tensors`.

    Args:
        path: named in errors.
        tensors: of the file.
        lengths: the document's `normal_lengths`, not to be trusted; None if it has none.

    Returns:
        Score part -> one float32 array a clip.

    Raises:
        CheckpointError: lengths and tensors don't fit each other.
    """
    lengths = lengths or []
    parts = {}
    if not isinstance(lengths, list) or not all(
        type(length) is int and length >= 0 for length in lengths
    ):
        raise CheckpointError(
            f"{path}: its normal_lengths are {brief(lengths)}, a list of counts was expected"
        )
    for name in [name for name in tensors if name.startswith(NORMAL_PREFIX)]:
        values = tensors.pop(name).float()
        if values.ndim != 1 or sum(lengths) != len(values):
            raise CheckpointError(
                f"{path}: {name} has shape {tuple(values.shape)}, {sum(lengths)} numbers expected"
            )
        # A frame without a score is NaN; a part without any, or endless, leaves no threshold.
        scored = values[~values.isnan()]
        if values.isinf().any() or (len(values) and not len(scored)):
            raise CheckpointError(
                f"{path}: {name} has values that are not finite: there is no threshold by them; "
                "train, import or adapt again"
            )
        parts[name.removeprefix(NORMAL_PREFIX)] = [part.numpy() for part in values.split(lengths)]
    return parts
