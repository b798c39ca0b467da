"""The weights that the authors' code saved (github.com/ktr-hubrt/MPN), as models of mpn.

`Train.py` saves a dict with the whole module under `state_dict` (its classes are
`model.base_model.convAE` and the like); `Train_meta.py` a dict with `meta_init`, the seven tensors
that are adapted, and `meta_alpha`, their step sizes. The files are read by
`mpn.published_weights.torch_file`, which runs nothing in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mpn.errors import CheckpointError
from mpn.model.checkpoint import Checkpoint, MetaInfo, load_checkpoint
from mpn.model.config import ModelConfig, get_config
from mpn.model.network import Network, build_model
from mpn.model.parameters import target_names
from mpn.published_weights.pickle_reader import StandIn, StoredTensor, shown
from mpn.published_weights.torch_file import TorchFile, read_torch_file

MODEL, META = "model", "meta-training"
META_TARGETS = ("prototype.heads.", "head.")
# Test_meta.py: one step, on the mean loss of all K windows.
META_STEPS, META_BATCH = 1, None
# Ours by theirs, beginnings of names. The prototypes were called "memory" in the code's first
# version.
NAMES = {
    **{f"encoder.moduleConv{n}.": f"encoder.block{n}." for n in (1, 2, 3, 4)},
    "decoder.moduleConv.": "decoder.block4.",
    **{f"decoder.moduleDeconv{n}.": f"decoder.block{n}." for n in (2, 3)},
    **{f"decoder.moduleUpsample{n}.": f"decoder.up{n}." for n in (2, 3, 4)},
    "prototype.Mheads.": "prototype.heads.",
    "memory.Mheads.": "prototype.heads.",
    "ohead.": "head.",
}
WRAPPER = "module."  # what nn.DataParallel puts before every name
# members (modules or tensors) of a module, characters of a tensor's whole name
MAX_MEMBERS, MAX_NAME_LENGTH = 1000, 200
MAX_FRAMES, MAX_PROTOTYPES = 16, 1000
MAX_LISTED = 3  # names that a message gives


@dataclass(frozen=True)
class Imported:
    """What was found in a file of the authors.

    Attributes:
        path: the file.
        sha256: of its bytes.
        layout: torch.save's format, in words.
        kind: `MODEL`, or `META` (targets and step sizes, which need a base).
        described: the class of the module in it, or what it is instead.
        epoch: that it was saved in, or None.
        tensors: how many (for `META` without step sizes).
        numbers: how many in these tensors.
        base: the file that the other weights are from, or None.
        base_sha256: of its bytes, or "".
    """

    path: Path
    sha256: str
    layout: str
    kind: str
    described: str
    epoch: int | None
    tensors: int
    numbers: int
    base: Path | None = None
    base_sha256: str = ""


def import_weights(path: str | Path, base: str | Path | None = None) -> tuple[Checkpoint, Imported]:
    """Make a model of the preset `base` with the weights of a file of the authors.

    Nothing in the file is executed. The model has no normal scores, so scoring knows no threshold
    until it is adapted to a camera.

    Args:
        path: what their `Train.py` or `Train_meta.py` saved, in either of torch.save's formats; or
            a plain state dict of their network.
        base: where `path` is of meta-training, the model that it began with: another file of
            theirs, or a model of mpn.

    Raises:
        CheckpointError: a file that cannot be read or asks for more than weights (refused, by
            name); tensors that are missing, unknown, of another shape or not finite; a base that is
            missing, or of no use.
    """
    file = read_torch_file(path)
    kind, described, tensors = _weights(file)
    if kind == MODEL:
        if base is not None:
            raise CheckpointError(f"{path} is a whole model and needs no base: leave {base} out")
        imported = _imported(file, kind, described, tensors)
        return Checkpoint(_network(file, tensors), training=_summary(imported)), imported
    if base is None:
        raise CheckpointError(
            f"{path} is of meta-training and holds {len(tensors)} tensors only: give the model "
            "that it began with as its base (--base FILE)"
        )
    start = _base(Path(base))
    imported = replace(
        _imported(file, kind, described, tensors), base=Path(base), base_sha256=start.sha256
    )
    parameters = dict(start.network.named_parameters())
    targets = {name: parameters[name] for name in target_names(start.network, META_TARGETS)}
    values = _fitting(file, tensors, targets, f"meta_init, with the base {base}")
    sizes = _fitting(file, _under(file, "meta_alpha"), targets, f"meta_alpha, with the base {base}")
    for name, parameter in targets.items():
        parameter.data = _read(file, name, values[name])
    meta = MetaInfo(
        META_TARGETS,
        {name: _read(file, name, sizes[name]) for name in sizes},
        META_STEPS,
        META_BATCH,
    )
    training = start.training | {"meta": _summary(imported)}
    # Without the base's normal scores, if it had any: they were made with other weights.
    return Checkpoint(
        start.network, start.fps, start.score_config, training=training, meta=meta
    ), imported


def _imported(
    file: TorchFile, kind: str, described: str, tensors: Mapping[str, StoredTensor]
) -> Imported:
    epoch = file.root.get("epoch") if type(file.root) is dict else None
    checked_epoch = epoch if type(epoch) is int and 0 <= epoch < 10**9 else None
    numbers = sum(math.prod(tensor.shape) for tensor in tensors.values())
    return Imported(
        file.path, file.sha256, file.layout, kind, described, checked_epoch, len(tensors), numbers
    )


def _base(path: Path) -> Checkpoint:
    """Load the model that a meta-training began with, with the SHA-256 of its file."""
    if path.suffix == ".safetensors":
        checkpoint = load_checkpoint(path)
        if checkpoint.camera:
            raise CheckpointError(
                f"{path} is adapted to a camera: give the model {checkpoint.camera['base']['path']}"
                " instead"
            )
        config = checkpoint.config
        if config.residual or config.projection or config.learned_scales or config.unshuffle > 1:
            raise CheckpointError(
                f"{path} is of preset {config.name!r}, not the published network: "
                "it cannot be the base"
            )
        return checkpoint
    file = read_torch_file(path)
    kind, described, tensors = _weights(file)
    if kind != MODEL:
        raise CheckpointError(
            f"{path} is of meta-training itself and no base: give a whole model, as Train.py saves "
            "it"
        )
    training = _summary(_imported(file, kind, described, tensors))
    return Checkpoint(_network(file, tensors), training=training, sha256=file.sha256)


def _weights(file: TorchFile) -> tuple[str, str, dict[str, StoredTensor]]:
    """Tell the kind of file, the class saved, and its weights by the authors' names."""
    root = file.root
    if type(root) is dict and "meta_init" in root:
        return META, "meta-training", _under(file, "meta_init")
    saved = root.get("state_dict", root) if type(root) is dict else root
    if type(saved) is StandIn:
        return MODEL, f"module {shown(saved.kind)}", _plain(_flattened(file.path, saved))
    if type(saved) is dict and any(type(value) is StoredTensor for value in saved.values()):
        return MODEL, "state dict", _plain(_only_tensors(saved))
    raise CheckpointError(
        f"{file.path} holds no weights where the authors' code puts them: a module or its tensors "
        "under state_dict, or meta_init and meta_alpha, were expected"
    )


def _under(file: TorchFile, key: str) -> dict[str, StoredTensor]:
    values = file.root.get(key)
    if type(values) is not dict:
        raise CheckpointError(f"{file.path} is of meta-training but has no tensors called {key}")
    return _plain(_only_tensors(values))


def _only_tensors(values: Mapping[Any, Any]) -> dict[str, StoredTensor]:
    return {
        name: value
        for name, value in values.items()
        if type(name) is str and type(value) is StoredTensor
    }


def _flattened(path: Path, module: StandIn) -> dict[str, StoredTensor]:
    """Collect a module's parameters and buffers, by their names in its state dict."""
    tensors: dict[str, StoredTensor] = {}
    waiting, members = [("", module)], 0
    while waiting:
        prefix, part = waiting.pop()
        groups = [part.state.get(group) for group in ("_parameters", "_buffers", "_modules")]
        for name, value in (
            member for group in groups if type(group) is dict for member in group.items()
        ):
            members += 1
            # A module may hold itself, without end.
            if (
                members > MAX_MEMBERS
                or type(name) is not str
                or len(prefix + name) > MAX_NAME_LENGTH
            ):
                raise CheckpointError(
                    f"{path} holds more modules within modules, or other names, than the authors' "
                    "network has"
                )
            if type(value) is StoredTensor:
                tensors[f"{prefix}{name}"] = value
            elif type(value) is StandIn:
                waiting.append((f"{prefix}{name}.", value))
    return tensors


def _plain(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Take the wrapper off the names of a module that is in one."""
    if tensors and all(name.startswith(WRAPPER) for name in tensors):
        return {name.removeprefix(WRAPPER): tensor for name, tensor in tensors.items()}
    return tensors


def _network(file: TorchFile, tensors: dict[str, StoredTensor]) -> Network:
    """Make the network of these weights, whose options are read off their shapes."""
    with torch.device("meta"):  # without memory until the tensors are known to fit
        network = build_model(_preset(tensors))
    fitting = _fitting(
        file, tensors, dict(network.named_parameters()), f"preset {network.config.name!r}"
    )
    network.load_state_dict(
        {name: _read(file, name, stored) for name, stored in fitting.items()}, assign=True
    )
    return network.eval()


def _preset(tensors: Mapping[str, StoredTensor]) -> ModelConfig:
    """Choose the options of the preset `base` by the shapes; where these tell none, the default."""
    shapes = {_ours(name): tensor.shape for name, tensor in tensors.items()}
    options: dict[str, Any] = {}
    colours = sum(shapes.get("head.4.bias", ())[:1])
    channels = sum(shapes.get("encoder.block1.0.weight", ())[1:2])
    if colours in (1, 3):
        options["grey"] = colours == 1
        if channels % colours == 0 and 1 <= channels // colours <= MAX_FRAMES:
            options["window"] = channels // colours
    prototypes = sum(shapes.get("prototype.heads.weight", ())[:1])
    if 2 <= prototypes <= MAX_PROTOTYPES:
        options["prototypes"] = prototypes
    return get_config("base", **options, interpolation="linear")  # as np_load_frame of theirs


def _ours(name: str) -> str:
    """Name a tensor of theirs as ours is; an unknown one gets a mark before its name."""
    prefix = next((prefix for prefix in NAMES if name.startswith(prefix)), None)
    return f"?{name}" if prefix is None else NAMES[prefix] + name.removeprefix(prefix)


def _published_name(name: str) -> str:
    """Name a parameter of ours as theirs is today."""
    prefix, ours = next((prefix, ours) for prefix, ours in NAMES.items() if name.startswith(ours))
    return prefix + name.removeprefix(ours)


def _fitting(
    file: TorchFile,
    tensors: Mapping[str, StoredTensor],
    parameters: Mapping[str, Tensor],
    where: str,
) -> dict[str, StoredTensor]:
    """Put the tensors under our names and in our order; CheckpointError unless all of them fit."""
    stored = {_ours(name): name for name in tensors}
    wrong = {
        "missing": [_published_name(name) for name in parameters if name not in stored],
        "unknown": [
            shown(name)
            for name in tensors
            if _ours(name) not in parameters or stored[_ours(name)] != name
        ],
        "of another shape": [
            f"{stored[name]} of {_by(tensors[stored[name]].shape)} "
            f"instead of {_by(parameter.shape)}"
            for name, parameter in parameters.items()
            if name in stored and tensors[stored[name]].shape != tuple(parameter.shape)
        ],
    }
    complaints = [f"{len(names)} {word} ({_list(names)})" for word, names in wrong.items() if names]
    if complaints:
        raise CheckpointError(
            f"{file.path} does not fit the published network ({where}); tensors: "
            f"{'; '.join(complaints)}"
        )
    return {name: tensors[stored[name]] for name in parameters}


def _list(names: list[str]) -> str:
    """List the first of some names."""
    return ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _read(file: TorchFile, name: str, stored: StoredTensor) -> Tensor:
    """Read a tensor as float32; CheckpointError for whole numbers and what is not finite then."""
    if not stored.storage.dtype.is_floating_point:
        raise CheckpointError(
            f"{file.path}: {name} is of {stored.storage.dtype}, weights are floating-point numbers"
        )
    values = file.tensor(stored).float()
    if not torch.isfinite(values).all():
        raise CheckpointError(
            f"{file.path}: {name} has numbers that are not finite: the training had failed"
        )
    return values


def _summary(imported: Imported) -> dict[str, Any]:
    """Compose what the checkpoint says of its training."""
    text = (
        f"imported from {imported.path.name}, sha256 {imported.sha256}, authors' weights, not "
        "trained here"
    )
    summary: dict[str, Any] = {"imported": text}
    if imported.base is not None:
        summary["base"] = f"{imported.base.name}, sha256 {imported.base_sha256}"
    return summary | ({} if imported.epoch is None else {"epoch": imported.epoch})
