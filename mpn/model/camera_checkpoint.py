"""Camera files: what one camera changes in a model, its base, which they refer to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpn.errors import CheckpointError, MpnError
from mpn.io.atomic import write_atomically
from mpn.model.file_format import brief, digest, pack_normal, to_bytes
from mpn.model.place_file import pack_places
from mpn.model.released import released_files
from mpn.model.taught import Taught
from mpn.model.taught_file import pack_taught
from mpn.motion.place import PlaceModel

CAMERA_SUFFIX = ".camera.safetensors"
CAMERA_BYTES = 1_000_000  # a camera file is smaller than this


def save_camera(
    path: str | Path,
    base_path: str | Path,
    base_sha256: str,
    tensors: Mapping[str, Tensor],
    normal: Mapping[str, list[np.ndarray]],
    fps: float | None,
    score_config: Mapping[str, Any],
    adapted_on: Mapping[str, Any],
    places: Mapping[str, PlaceModel] | None = None,
    taught: Sequence[Taught] = (),
) -> None:
    """Write a camera file, whole or not at all.

    The base is noted by its path from the camera file's folder, so that both can be moved together,
    and SHA-256.

    Args:
        path: of the camera file.
        base_path: the model that was adapted.
        base_sha256: of its file.
        tensors: the adapted parameters by name; kept in float32.
        normal: raw score parts of this camera's normal footage, as `Checkpoint.normal`; kept in
            float16, which rounds by 0.05 % at the most.
        fps: frames per second, or None.
        score_config: as `Checkpoint` has it.
        adapted_on: footage, windows, options; plain JSON values.
        places: the camera's place model by its name.
        taught: what the camera was taught.

    Raises:
        MpnError: the file cannot be written, or would reach `CAMERA_BYTES`; an earlier one is
            untouched.
    """
    path, base_path = Path(path), Path(base_path)
    if path.resolve() == base_path.resolve():
        raise MpnError(
            f"{path} is the base itself, which the camera file needs: give the camera "
            "file another name"
        )
    stored = {name: tensor.detach().cpu().float().contiguous() for name, tensor in tensors.items()}
    adapted = sum(tensor.numel() for tensor in stored.values())
    try:
        relative = Path(os.path.relpath(base_path.resolve(), path.parent.resolve())).as_posix()
    except ValueError:  # on another drive
        relative = base_path.name
    document = {
        "kind": "camera",
        "base": {"path": relative, "sha256": base_sha256},
        **pack_normal(stored, normal, torch.float16),
        **pack_places(stored, places or {}),
        **pack_taught(stored, taught),
        "fps": fps,
        "recipe": dict(score_config),
        "adapted_on": dict(adapted_on),
    }
    data = to_bytes(stored, document)
    _check_size(path, len(data), adapted)
    write_atomically(path, data)


def _check_size(path: Path, size: int, adapted: int) -> None:
    """Raise MpnError for a file of `size` bytes that is too large; `adapted` numbers are in it."""
    if size >= CAMERA_BYTES:
        raise MpnError(
            f"{path} would have {size / 1e6:.2f} MB and a camera file has less than "
            f"{CAMERA_BYTES / 1e6:g}: {adapted:,} adapted numbers take {4 * adapted / 1e6:.2f} MB "
            "of it; adapt fewer parameters (such as encoder.block1. and pseudo_head.), or write a "
            "whole model (--standalone)"
        )


def find_base(path: Path, described: Any) -> Path:
    """Find the base of a camera file.

    Where the file says, else beside it by its name, else a released model.

    Args:
        path: of the camera file.
        described: the document's `base`, not to be trusted: its path and SHA-256.

    Raises:
        CheckpointError: the base is not described, is missing, or is another model.
    """
    try:
        relative, sha256 = Path(described["path"]), described["sha256"]
        candidates = list(dict.fromkeys([path.parent / relative, path.parent / relative.name]))
        present = [candidate for candidate in candidates if candidate.is_file()]
    except (TypeError, KeyError, ValueError):
        raise CheckpointError(
            f"{path} does not say which model it belongs to ({brief(described)}): adapt again"
        ) from None
    for candidate in [*present, *released_files()]:
        if digest(candidate) == sha256:
            return candidate
    if not present:
        raise CheckpointError(
            f"{path}: its base is gone, there is no {' and no '.join(map(str, candidates))}; put "
            f"the model with SHA-256 {str(sha256)[:16]}... at one of these places, or adapt again"
        )
    raise CheckpointError(
        f"{path}: its base {present[0]} is another model, with SHA-256 "
        f"{digest(present[0])[:16]}... where {str(sha256)[:16]}... was adapted; put that one "
        "there, or adapt again"
    )
