"""Models and what is known of them: written to model files, read from these and camera files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpn.errors import CheckpointError, MpnError
from mpn.io.atomic import write_atomically
from mpn.model.camera_checkpoint import find_base
from mpn.model.config import ModelConfig
from mpn.model.file_format import brief, digest, pack_normal, read_file, to_bytes, unpack_normal
from mpn.model.network import Network, build_model
from mpn.model.parameters import target_names
from mpn.model.place_file import pack_places, unpack_places
from mpn.model.released import find_model
from mpn.model.taught import Taught
from mpn.model.taught_file import pack_taught, unpack_taught
from mpn.motion.place import PlaceModel
from mpn.video.depth import Levels, levels_from

STEP_SIZE_PREFIX = "step_sizes."


@dataclass(frozen=True)
class MetaInfo:
    """What meta-training has learned beside the weights.

    Attributes:
        targets: the parameters that are adapted, as `mpn.model.parameters.target_names` takes them.
        step_sizes: of each of these parameters, float32: a scalar, or one number an element.
        steps: gradient steps of an adaptation.
        batch: support windows of a step, None for all of them.
        clip_norm: what longer gradients are shortened to, see `mpn.meta.maml.adapt`; None for
            no limit.
    """

    targets: tuple[str, ...]
    step_sizes: dict[str, Tensor]
    steps: int
    batch: int | None
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
        training: summary of the training: data, steps, seed, metrics; plain JSON values.
        versions: library versions that wrote the file.
        sha256: of the file it was read from ("" for one that wasn't).
        meta: what meta-training left, or None.
        places: place models of the cameras that it knows, by name, see `mpn.motion.place`.
        camera: of a model that was adapted to a camera: `base` (its `path` and `sha256`), `tensors`
            (names of those that were adapted) and `adapted_on` (footage, windows and options; plain
            JSON values); else None.
        path: the file it was read from, or None.
        taught: what its camera was taught, see `mpn.model.taught`.
    """

    network: Network
    fps: float | None = None
    score_config: dict[str, Any] = field(default_factory=dict)
    normal: dict[str, list[np.ndarray]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    meta: MetaInfo | None = None
    places: dict[str, PlaceModel] = field(default_factory=dict)
    camera: dict[str, Any] | None = None
    path: Path | None = None
    taught: tuple[Taught, ...] = ()

    @property
    def levels(self) -> Levels | None:
        """Return the range of its footage, where that had deep grey pictures, else None."""
        footage = self.training if self.camera is None else self.camera.get("adapted_on") or {}
        return levels_from(footage.get("levels"))

    @property
    def config(self) -> ModelConfig:
        """Return the configuration that the network was built from."""
        return self.network.config


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Write a model file, whole or not at all.

    Args:
        path: of the file.
        checkpoint: the model and what is known of it; its `versions` are those of now.
        half: weights as float16: half the size; every number keeps 11 significant bits. Step sizes
            and normal scores are float32 all the same.

    Raises:
        MpnError: the file cannot be written; an earlier one is untouched.
        CheckpointError: `meta` doesn't fit the network.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in checkpoint.network.state_dict().items()
    }
    document: dict[str, Any] = {
        "preset": checkpoint.config.to_dict(),
        "training": checkpoint.training,
        **pack_normal(tensors, checkpoint.normal, torch.float32),
        **pack_places(tensors, checkpoint.places),
        **pack_taught(tensors, checkpoint.taught),
    }
    meta = checkpoint.meta
    if meta is not None:
        _check_meta(path, checkpoint.network, meta)
        for name, size in meta.step_sizes.items():
            tensors[STEP_SIZE_PREFIX + name] = size.detach().to("cpu", torch.float32).contiguous()
        counts = {"steps": meta.steps, "batch": meta.batch, "clip_norm": meta.clip_norm}
        document["meta"] = {"targets": list(meta.targets), **counts}
    document |= {"fps": checkpoint.fps, "recipe": checkpoint.score_config}
    write_atomically(path, to_bytes(tensors, document))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a model file, or a camera file with its base; on the CPU, in float32.

    Args:
        path: of the file, or the name of a released model (`mpn.model.released.find_model`).

    Raises:
        CheckpointError: missing, cut short, not a file of ours, or tensors that don't fit; for a
            camera file also a base that is missing, another one, or a camera file itself.
    """
    path = find_model(path)
    document, tensors = read_file(path)
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
            network = build_model(ModelConfig.from_dict(_preset_of(document)))
    except (KeyError, TypeError, AttributeError, MpnError) as error:
        raise CheckpointError(f"{path} does not describe its network: {error}") from error
    normal = unpack_normal(path, tensors, document.get("normal_lengths"))
    places = unpack_places(path, tensors, document.get("places"))
    taught = unpack_taught(path, tensors, document.get("taught"))
    meta = _meta_info(path, network, document.get("meta"), tensors)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != expected:
        wrong = sorted(set(expected.items()) ^ set(shapes.items()))
        raise CheckpointError(
            f"{path} does not fit preset {network.config.name!r}: "
            f"{len({name for name, _ in wrong})} tensors are missing, unknown or of another shape, "
            f"the first is {wrong[0][0]}"
        )
    weights = {name: tensor.float() for name, tensor in tensors.items()}
    odd = [name for name, values in weights.items() if not torch.isfinite(values).all()]
    if odd:
        raise CheckpointError(
            f"{path}: {len(odd)} of its tensors have values that are not finite, the first is "
            f"{sorted(odd)[0]}: every score would be none; train it again, or take another copy"
        )
    network.load_state_dict(weights, assign=True)
    return Checkpoint(
        network.eval(),
        fps=document.get("fps"),
        score_config=document.get("recipe") or {},
        normal=normal,
        training=document.get("training") or {},
        versions=document.get("versions") or {},
        sha256=digest(path),
        meta=meta,
        places=places,
        path=path,
        taught=taught,
    )


def _camera(path: Path, document: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    base_path = find_base(path, document.get("base"))
    base_document, base_tensors = read_file(base_path)
    if base_document["kind"] == "camera":
        raise CheckpointError(
            f"{path}: its base {base_path} is a camera file itself; adapt a whole model instead"
        )
    base = _model(base_path, base_document, base_tensors)
    normal = unpack_normal(path, tensors, document.get("normal_lengths"))
    places = unpack_places(path, tensors, document.get("places"))
    taught = unpack_taught(path, tensors, document.get("taught"))
    parameters = dict(base.network.named_parameters())
    for name, tensor in tensors.items():
        if (
            name not in parameters
            or parameters[name].shape != tensor.shape
            or not torch.isfinite(tensor.float()).all()
        ):
            wrong = f"{name} is unknown, of another shape, or not finite"
            raise CheckpointError(f"{path} does not fit its base {base_path}: {wrong}")
        parameters[name].data.copy_(tensor.float())
    return replace(
        base,
        fps=document.get("fps"),
        score_config=document.get("recipe") or {},
        normal=normal,
        versions=document.get("versions") or {},
        sha256=digest(path),
        places=places,
        camera={"base": {"path": str(base_path), "sha256": base.sha256}, "tensors": sorted(tensors)}
        | {"adapted_on": document.get("adapted_on") or {}},
        path=path,
        taught=taught,
    )


def _preset_of(document: dict[str, Any]) -> Any:
    """Return the preset's options; earlier imports of the authors' weights lack how they resize."""
    options, training = document["preset"], document.get("training")
    if isinstance(options, dict) and isinstance(training, dict) and "imported" in training:
        return {"interpolation": "linear"} | options
    return options


def _meta_info(
    path: Path, network: Network, described: Any, tensors: dict[str, Tensor]
) -> MetaInfo | None:
    """Take the step sizes out of `tensors`; None where there are none."""
    names = [name for name in tensors if name.startswith(STEP_SIZE_PREFIX)]
    sizes = {name.removeprefix(STEP_SIZE_PREFIX): tensors.pop(name).float() for name in names}
    if described is None and not sizes:
        return None
    try:
        if not isinstance(described, dict):
            raise TypeError
        counts = (described["steps"], described["batch"], described.get("clip_norm"))
        meta = MetaInfo(tuple(described["targets"]), sizes, *counts)
    except (TypeError, KeyError):
        raise CheckpointError(
            f"{path} does not describe its meta-training: {brief(described)}"
        ) from None
    _check_meta(path, network, meta)
    return meta


def _check_meta(path: str | Path, network: Network, meta: MetaInfo) -> None:
    """Raise CheckpointError unless the step sizes are those of the network's target parameters."""
    counts = (meta.steps, 1 if meta.batch is None else meta.batch)
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
    parameters = dict(network.named_parameters())
    for name, size in meta.step_sizes.items():
        if size.ndim and size.shape != parameters[name].shape or not torch.isfinite(size).all():
            raise CheckpointError(
                f"{path}: step size {name} of shape {tuple(size.shape)} is not finite, or not of "
                f"its parameter's shape {tuple(parameters[name].shape)}"
            )
