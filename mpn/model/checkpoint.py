"""Model files, camera files and training state.

A model is a safetensors file: tensors, and one JSON document in its metadata (DESIGN section 4). A
camera file is one too, with the few tensors that a camera changes in a model, its base. Training
state is a `.pt` file, read with `weights_only=True`. Nothing in any of them is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from mpn.errors import CheckpointError, MpnError
from mpn.io.atomic import write_atomically
from mpn.model.config import ModelConfig
from mpn.model.network import Network, build_model
from mpn.model.parameters import target_names
from mpn.model.released import find_model, released_files
from mpn.version import __version__

FORMAT_VERSION = 1
METADATA_KEY = "mpn"
NORMAL_PREFIX, STEP_SIZE_PREFIX = "normal.", "step_sizes."
CAMERA_SUFFIX = ".camera.safetensors"
CAMERA_BYTES = 1_000_000  # a camera file is smaller than this


@dataclass(frozen=True)
class MetaInfo:
    """What meta-training has learned beside the weights.

    Attributes:
        targets: the parameters that are adapted, as `mpn.model.parameters.target_names` takes them.
        step_sizes: of each of these parameters, float32: a scalar, or one number an element.
        steps: gradient steps of an adaptation. batch: support windows of a step.
        clip_norm: what longer gradients are shortened to, see `mpn.adaptation.maml.adapt`; None for
            no limit.
    """

    targets: tuple[str, ...]
    step_sizes: dict[str, Tensor]
    steps: int
    batch: int
    clip_norm: float | None = None


@dataclass
class Checkpoint:
    """A model and what is known of it.

    Attributes:
        network: in float32, in evaluation mode.
        fps: frames per second of what it was trained on, or None.
        score_config: how its parts make the score, by default (fields of
            `mpn.scoring.scores.ScoreConfig`).
        normal: raw score parts on held-out normal footage, part -> one float32 array a clip.
            Thresholds are made of them when a score is asked for, so that weights, smoothing and
            rate remain options.
        training: summary of the training: data, steps, seed, figures; plain JSON values.
        versions: library versions that wrote the file.
        sha256: of the file it was read from ("" for one that wasn't).
        meta: what meta-training left, or None.
        camera: of a model that was adapted to a camera: `base` (its `path` and `sha256`), `tensors`
            (names of those that were adapted) and `adapted_on` (footage, windows and options; plain
            JSON values); else None.
        path: the file it was read from, or None.
    """

    network: Network
    fps: float | None = None
    score_config: dict[str, Any] = field(default_factory=dict)
    normal: dict[str, list[np.ndarray]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    meta: MetaInfo | None = None
    camera: dict[str, Any] | None = None
    path: Path | None = None

    @property
    def config(self) -> ModelConfig:
        """The preset that the network was built from."""
        return self.network.config


def library_versions() -> dict[str, str]:
    """Versions of what decides the figures, for checkpoints and results."""
    import cv2

    return {
        "mpn": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Writes a model file, whole or not at all.

    Args:
        half: weights as float16: half the size; every number keeps 11 significant bits. Step sizes
            and normal scores are float32 all the same.

    Raises:
        MpnError: the file cannot be written; an earlier one is untouched. CheckpointError: `meta`
            doesn't fit the network.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: tensor.detach().to(dtype).contiguous()
        for name, tensor in checkpoint.network.state_dict().items()
    }
    document = {
        "format": FORMAT_VERSION,
        "preset": checkpoint.config.to_dict(),
        "training": checkpoint.training,
    }
    document |= _pack_normal(tensors, checkpoint.normal, torch.float32)
    if checkpoint.meta is not None:
        _check_meta(path, checkpoint.network, checkpoint.meta)
        for name, size in checkpoint.meta.step_sizes.items():
            tensors[STEP_SIZE_PREFIX + name] = size.detach().float().contiguous()
        own = checkpoint.meta
        counts = {"steps": own.steps, "batch": own.batch, "clip_norm": own.clip_norm}
        document["meta"] = {"targets": list(own.targets), **counts}
    document |= {
        "fps": checkpoint.fps,
        "recipe": checkpoint.score_config,
        "versions": library_versions(),
    }
    write_atomically(path, to_safetensors(tensors, metadata={METADATA_KEY: json.dumps(document)}))


def save_camera(
    path: str | Path,
    base_path: str | Path,
    base_sha256: str,
    tensors: Mapping[str, Tensor],
    normal: Mapping[str, list[np.ndarray]],
    fps: float | None,
    score_config: Mapping[str, Any],
    adapted_on: Mapping[str, Any],
) -> None:
    """Writes a camera file, whole or not at all: what one camera changes in the model `base_path`.

    The base is noted by its path from the camera file's folder, so that both can be moved together,
    and SHA-256.

    Args:
        tensors: the adapted parameters by name; kept in float32.
        normal: raw score parts of this camera's normal footage, as `Checkpoint.normal`; kept in
            float16, which rounds by 0.05 % at the most.
        fps, recipe: as `Checkpoint` has them. adapted_on: footage, windows, options; plain JSON
            values.

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
    kept = {name: tensor.detach().cpu().float().contiguous() for name, tensor in tensors.items()}
    adapted = sum(tensor.numel() for tensor in kept.values())
    try:
        relative = Path(os.path.relpath(base_path.resolve(), path.parent.resolve())).as_posix()
    except ValueError:  # on another drive
        relative = base_path.name
    document = {
        "format": FORMAT_VERSION,
        "kind": "camera",
        "base": {"path": relative, "sha256": base_sha256},
    }
    document |= _pack_normal(kept, normal, torch.float16)
    document |= {
        "fps": fps,
        "recipe": dict(score_config),
        "adapted_on": dict(adapted_on),
        "versions": library_versions(),
    }
    data = to_safetensors(kept, metadata={METADATA_KEY: json.dumps(document)})
    if len(data) >= CAMERA_BYTES:
        raise MpnError(
            f"{path} would have {len(data) / 1e6:.2f} MB and a camera file has less than "
            f"{CAMERA_BYTES / 1e6:g}: {adapted:,} adapted numbers take {4 * adapted / 1e6:.2f} MB "
            "of it; adapt fewer parameters (such as encoder.block1. and pseudo_head.), or write a "
            "whole model (--standalone)"
        )
    write_atomically(path, data)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a model file that `save_checkpoint` wrote, or a camera file with its base; on the CPU,
    in float32.

    Args:
        path: of the file, or the name of a released model (`mpn.model.released.find_model`).

    Raises:
        CheckpointError: missing, cut short, not a file of ours, or tensors that don't fit; for a
            camera file also a base that is missing, another one, or a camera file itself.
    """
    path = find_model(path)
    document, tensors = _read(path)
    return (
        _camera(path, document, tensors)
        if document["kind"] == "camera"
        else _model(path, document, tensors)
    )


def _model(path: Path, document: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    try:
        # Without memory until the tensors are known to fit: the file is not to be trusted with
        # sizes.
        with torch.device("meta"):
            network = build_model(ModelConfig.from_dict(document["preset"]))
    except (KeyError, TypeError, AttributeError, MpnError) as error:
        raise CheckpointError(f"{path} does not describe its network: {error}") from error
    normal = _normal_parts(path, tensors, document.get("normal_lengths") or [])
    meta = _meta_info(path, network, document.get("meta"), tensors)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        wrong = sorted(set(wanted.items()) ^ set(found.items()))
        raise CheckpointError(
            f"{path} does not fit preset {network.config.name!r}: "
            f"{len({name for name, _ in wrong})} tensors are missing, unknown or of another shape, "
            f"the first is {wrong[0][0]}"
        )
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return Checkpoint(
        network.eval(),
        fps=document.get("fps"),
        score_config=document.get("recipe") or {},
        normal=normal,
        training=document.get("training") or {},
        versions=document.get("versions") or {},
        sha256=_digest(path),
        meta=meta,
        path=path,
    )


def _camera(path: Path, document: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    base_path = _find_base(path, document.get("base"))
    base_document, base_tensors = _read(base_path)
    if base_document["kind"] == "camera":
        raise CheckpointError(
            f"{path}: its base {base_path} is a camera file itself; adapt a whole model instead"
        )
    base = _model(base_path, base_document, base_tensors)
    normal = _normal_parts(path, tensors, document.get("normal_lengths") or [])
    own = dict(base.network.named_parameters())
    for name, tensor in tensors.items():
        if (
            name not in own
            or own[name].shape != tensor.shape
            or not torch.isfinite(tensor.float()).all()
        ):
            wrong = f"{name} is unknown, of another shape, or not finite"
            raise CheckpointError(f"{path} does not fit its base {base_path}: {wrong}")
        own[name].data.copy_(tensor.float())
    return replace(
        base,
        fps=document.get("fps"),
        score_config=document.get("recipe") or {},
        normal=normal,
        versions=document.get("versions") or {},
        sha256=_digest(path),
        camera={"base": {"path": str(base_path), "sha256": base.sha256}, "tensors": sorted(tensors)}
        | {"adapted_on": document.get("adapted_on") or {}},
        path=path,
    )


def _find_base(path: Path, described: object) -> Path:
    """The base of a camera file: where the file says, else beside it by its name, else a released
    model."""
    try:
        relative, sha256 = Path(described["path"]), described["sha256"]  # type: ignore[index]
        places = list(dict.fromkeys([path.parent / relative, path.parent / relative.name]))
        there = [place for place in places if place.is_file()]
    except (TypeError, KeyError, ValueError):
        raise CheckpointError(
            f"{path} does not say which model it belongs to ({described!r}): adapt again"
        ) from None
    for candidate in [*there, *released_files()]:
        if _digest(candidate) == sha256:
            return candidate
    if not there:
        raise CheckpointError(
            f"{path}: its base is gone, there is no {' and no '.join(map(str, places))}; put the "
            f"model with SHA-256 {str(sha256)[:16]}... at one of these places, or adapt again"
        )
    raise CheckpointError(
        f"{path}: its base {there[0]} is another model, with SHA-256 {_digest(there[0])[:16]}... "
        f"where {str(sha256)[:16]}... was adapted; put that one there, or adapt again"
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; a checkpoint is a .safetensors file in it")
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
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
    fps = document.get("fps")
    if fps is not None and not (type(fps) in (int, float) and 0 < fps < math.inf):
        raise CheckpointError(
            f"{path}: its frame rate is {fps!r}, frames per second above 0 were expected"
        )
    return document, tensors


def _meta_info(
    path: Path, network: Network, described: object, tensors: dict[str, Tensor]
) -> MetaInfo | None:
    """Takes the step sizes out of `tensors`; None where there are none."""
    names = [name for name in tensors if name.startswith(STEP_SIZE_PREFIX)]
    sizes = {name.removeprefix(STEP_SIZE_PREFIX): tensors.pop(name).float() for name in names}
    if described is None and not sizes:
        return None
    try:
        counts = (described["steps"], described["batch"], described.get("clip_norm"))  # type: ignore
        meta = MetaInfo(tuple(described["targets"]), sizes, *counts)  # type: ignore
    except (TypeError, KeyError, AttributeError):
        raise CheckpointError(
            f"{path} does not describe its meta-training: {described!r}"
        ) from None
    _check_meta(path, network, meta)
    return meta


def _check_meta(path: str | Path, network: Network, meta: MetaInfo) -> None:
    """Raises CheckpointError unless the step sizes are those of the network's target parameters."""
    counts = (meta.steps, meta.batch)
    if not all(type(count) is int and count > 0 for count in counts):
        raise CheckpointError(
            f"{path}: its meta-training has {counts} steps and batch, counts "
            "from 1 up were expected"
        )
    if meta.clip_norm is not None and not (
        type(meta.clip_norm) in (int, float) and 0 < meta.clip_norm < math.inf
    ):
        raise CheckpointError(
            f"{path}: its meta-training clips at {meta.clip_norm!r}, a number above 0 was expected"
        )
    try:
        names = target_names(network, meta.targets)
    except (MpnError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: the targets of its meta-training do not fit: {error}"
        ) from error
    odd = sorted(set(names) ^ set(meta.step_sizes))
    if odd:
        raise CheckpointError(
            f"{path}: step sizes and targets differ in {len(odd)} names, the first is {odd[0]}"
        )
    own = dict(network.named_parameters())
    for name, size in meta.step_sizes.items():
        if size.ndim and size.shape != own[name].shape or not torch.isfinite(size).all():
            raise CheckpointError(
                f"{path}: step size {name} of shape {tuple(size.shape)} is not finite, or not of "
                f"its parameter's shape {tuple(own[name].shape)}"
            )


def _pack_normal(
    tensors: dict[str, Tensor], normal: Mapping[str, list[np.ndarray]], dtype: torch.dtype
) -> dict[str, list[int]]:
    """Puts the normal footage's scores into `tensors`; what the document says of them."""
    lengths: list[int] = []
    for name, clips in normal.items():
        lengths = [len(clip) for clip in clips]
        tensors[NORMAL_PREFIX + name] = torch.from_numpy(
            np.concatenate(clips).astype(np.float32)
        ).to(dtype)
    return {"normal_lengths": lengths}


def _normal_parts(
    path: Path, tensors: dict[str, Tensor], lengths: list[int]
) -> dict[str, list[np.ndarray]]:
    """Takes the normal footage's scores out of `tensors`."""
    parts = {}
    if not isinstance(lengths, list) or not all(
        isinstance(one, int) and one >= 0 for one in lengths
    ):
        raise CheckpointError(
            f"{path}: its normal_lengths are {lengths!r}, a list of counts was expected"
        )
    for name in [name for name in tensors if name.startswith(NORMAL_PREFIX)]:
        values = tensors.pop(name).float()
        if values.ndim != 1 or sum(lengths) != len(values):
            raise CheckpointError(
                f"{path}: {name} has shape {tuple(values.shape)}, {sum(lengths)} numbers expected"
            )
        parts[name.removeprefix(NORMAL_PREFIX)] = [part.numpy() for part in values.split(lengths)]
    return parts
