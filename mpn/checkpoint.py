"""Model files and training state.

A model is a safetensors file: tensors, and one JSON document in its metadata (DESIGN section 4). Training
state is a `.pt` file beside it, read with `weights_only=True`. Nothing in either is ever executed.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from mpn.errors import CheckpointError, MpnError
from mpn.files import write_atomically
from mpn.network import Network, build_model
from mpn.presets import Preset

FORMAT_VERSION = 1
METADATA_KEY = "mpn"
NORMAL_PREFIX = "normal."


@dataclass
class Checkpoint:
    """A model and what is known of it.

    Attributes:
        network: in float32, in evaluation mode.
        fps: frames per second of what it was trained on, or None.
        recipe: how its parts make the score, by default (fields of `mpn.scoring.Recipe`).
        normal: raw score parts on held-out normal footage, part -> one float32 array a clip. Thresholds are
            made of them when a score is asked for, so that weights, smoothing and rate remain options.
        training: summary of the training: data, steps, seed, figures; plain JSON values.
        versions: library versions that wrote the file.
        sha256: of the file it was read from ("" for one that wasn't).
    """

    network: Network
    fps: float | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    normal: dict[str, list[np.ndarray]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""

    @property
    def preset(self) -> Preset:
        """The preset that the network was built from."""
        return self.network.preset


def library_versions() -> dict[str, str]:
    """Versions of what decides the figures, for checkpoints and results."""
    import cv2

    import mpn

    return {
        "mpn": mpn.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Writes a model file, whole or not at all.

    Args:
        half: weights as float16: half the size; every number keeps 11 significant bits.

    Raises:
        MpnError: the file cannot be written; an earlier one is untouched.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: tensor.detach().to(dtype).contiguous() for name, tensor in checkpoint.network.state_dict().items()
    }
    lengths: list[int] = []
    for name, clips in checkpoint.normal.items():
        lengths = [len(clip) for clip in clips]
        tensors[NORMAL_PREFIX + name] = torch.from_numpy(np.concatenate(clips).astype(np.float32))
    document = {
        "format": FORMAT_VERSION,
        "preset": checkpoint.preset.to_dict(),
        "fps": checkpoint.fps,
        "recipe": checkpoint.recipe,
        "normal_lengths": lengths,
        "training": checkpoint.training,
        "versions": library_versions(),
    }
    write_atomically(path, to_safetensors(tensors, metadata={METADATA_KEY: json.dumps(document)}))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a model file that `save_checkpoint` wrote, on the CPU, in float32.

    Raises:
        CheckpointError: missing, cut short, not a model file of ours, or tensors that don't fit its preset.
    """
    path = Path(path)
    document, tensors = _read(path)
    if document.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {document.get('format')!r}, this mpn reads {FORMAT_VERSION}: update mpn"
        )
    try:
        # Without memory until the tensors are known to fit: the file is not to be trusted with sizes.
        with torch.device("meta"):
            network = build_model(Preset.from_dict(document["preset"]))
    except (KeyError, TypeError, AttributeError, MpnError) as error:
        raise CheckpointError(f"{path} does not describe its network: {error}") from error
    normal = _normal_parts(path, tensors, document.get("normal_lengths") or [])
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        wrong = sorted(set(wanted.items()) ^ set(found.items()))
        raise CheckpointError(
            f"{path} does not fit preset {network.preset.name!r}: {len({name for name, _ in wrong})} tensors are "
            f"missing, unknown or of another shape, the first is {wrong[0][0]}"
        )
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Checkpoint(
        network.eval(),
        fps=document.get("fps"),
        recipe=document.get("recipe") or {},
        normal=normal,
        training=document.get("training") or {},
        versions=document.get("versions") or {},
        sha256=digest,
    )


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
            "give a .safetensors checkpoint written by mpn"
        ) from error
    if text is None:
        raise CheckpointError(f"{path} is a safetensors file, but not one of mpn: its description is missing")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: its description is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: its description is not a JSON object")
    return document, tensors


def _normal_parts(path: Path, tensors: dict[str, Tensor], lengths: list[int]) -> dict[str, list[np.ndarray]]:
    """Takes the normal footage's scores out of `tensors`."""
    parts = {}
    if not isinstance(lengths, list) or not all(isinstance(one, int) and one >= 0 for one in lengths):
        raise CheckpointError(f"{path}: its normal_lengths are {lengths!r}, a list of counts was expected")
    for name in [name for name in tensors if name.startswith(NORMAL_PREFIX)]:
        values = tensors.pop(name).float()
        if values.ndim != 1 or sum(lengths) != len(values):
            raise CheckpointError(f"{path}: {name} has shape {tuple(values.shape)}, {sum(lengths)} numbers expected")
        parts[name.removeprefix(NORMAL_PREFIX)] = [part.numpy() for part in values.split(lengths)]
    return parts


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Writes training state (tensors and plain values), whole or not at all. Raises MpnError."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def load_state(path: str | Path) -> dict[str, Any]:
    """Reads training state on the CPU, tensors and plain values only.

    Raises:
        CheckpointError: missing, cut short, or holding anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"nothing to resume: there is no {path}; start without --resume")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it then refuses
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file; all mean the same here
        raise CheckpointError(f"{path} is not a whole training state of mpn ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a training state of mpn")
    return state
