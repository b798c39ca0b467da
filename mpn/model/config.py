"""Presets: what a network is, as data. A checkpoint keeps every field."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from mpn.errors import CheckpointError, MpnError
from mpn.model.losses import LOSS_TERMS, TrainingConfig
from mpn.video.images import INTERPOLATIONS

UP_KERNELS = (3, 4)
# What stands between decoder and head, and where attention takes its keys from (`mpn.model.units`).
UNITS, KEYS = ("prototype", "attention", "none"), ("window", "learned")
# Before there was a list of loss weights, each was a field of its own, NAME_weight.
FORMER_WEIGHTS = ("compactness", "diversity", "usage", "pseudo")
# Files name sizes too, and are not to be trusted: more pixels take gigabytes inside the network,
# and larger counts make layers whose size is beyond 64 bits.
MAX_COUNT, MAX_PIXELS = 2**16, 2**22


@dataclass(frozen=True)
class ModelConfig:
    """Every option of a network and of what it is trained for.

    Attributes:
        name: the preset that this one was made from.
        height: in pixels, of the frame size that frames are resized to.
        width: the same.
        grey: one channel instead of three (BGR).
        window: T, frames that go in; the next one is the target.
        channels: width of the first encoder block; blocks 2-4 have 2, 4 and 8 times as many.
        unshuffle: the network runs at 1/unshuffle of the frame size (pixel-unshuffle in front,
            pixel-shuffle at the end); 1 leaves both out.
        up_kernel: side of the decoder's transposed convolutions: 3, as published, which reach some
            positions more often than others and so leave a grid in the features; or 4, which reach
            all alike (Odena et al., Deconvolution and Checkerboard Artifacts, 2016).
        unit: what stands between decoder and head: "prototype", as in the paper; "attention",
            multi-head attention to M keys; or "none" of them.
        keys: of attention: "window", made from this very window, or "learned", the same for all.
        prototypes: M, prototypes made from each window, or keys of attention.
        residual: the head's output is added to the last frame of the window, instead of being the
            frame.
        projection: a 1x1 convolution of the decoder's features before they are normalised to
            queries.
        learned_scales: heads are L2-normalised, and attention and assignment have a learned scale
            (DESIGN "Collapse"); without it, as published. Of the attention unit: its products are
            cosines with a learned scale.
        pseudo_head: the head that finds where a window was tampered with.
        interpolation: how frames are resized: "area", or "linear" as the paper's authors do.
        training: what it is trained for, see `mpn.model.losses.TrainingConfig`.

    Raises:
        MpnError: a count below 1 (2 of prototypes) or above `MAX_COUNT`, a frame of more than
            `MAX_PIXELS`, or an unknown interpolation, unit or origin of keys.
    """

    name: str
    height: int
    width: int
    grey: bool = False
    window: int = 4
    channels: int = 64
    unshuffle: int = 1
    prototypes: int = 10
    residual: bool = False
    projection: bool = False
    learned_scales: bool = False
    pseudo_head: bool = False
    interpolation: str = "area"
    up_kernel: int = 3
    unit: str = "prototype"
    keys: str = "window"
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        counts = ("height", "width", "window", "channels", "unshuffle", "prototypes")
        for name in counts:
            lowest = 2 if name == "prototypes" else 1
            if not lowest <= getattr(self, name) <= MAX_COUNT:
                raise MpnError(
                    f"preset option {name} is {getattr(self, name)}: a number from "
                    f"{lowest} up to {MAX_COUNT} was expected"
                )
        if self.height * self.width > MAX_PIXELS:
            raise MpnError(
                f"frames of {self.height}x{self.width} are too large: at most {MAX_PIXELS:,} "
                "pixels were expected, such as 2048x2048; larger footage is resized to that"
            )
        if self.up_kernel not in UP_KERNELS:
            raise MpnError(f"up_kernel {self.up_kernel}: 3 or 4 was expected")
        for name, choices in (("interpolation", INTERPOLATIONS), ("unit", UNITS), ("keys", KEYS)):
            if getattr(self, name) not in choices:
                raise MpnError(
                    f"{name} {getattr(self, name)!r}: {' or '.join(choices)} was expected"
                )

    @property
    def size(self) -> tuple[int, int]:
        """Return the frame size (height, width) in pixels."""
        return self.height, self.width

    @property
    def colours(self) -> int:
        """Return the channels of one frame: 1 (grey) or 3 (BGR)."""
        return 1 if self.grey else 3

    @property
    def stride(self) -> int:
        """Return what height and width are multiples of: three poolings by 2, and the unshuffle."""
        return 8 * self.unshuffle

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint's JSON document."""
        options = asdict(self)
        training = options.pop("training")
        return options | training

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> ModelConfig:
        """Make the preset that `to_dict` wrote, in this version or an earlier one.

        Args:
            options: by name.

        Raises:
            CheckpointError: unknown, missing or mistyped options.
        """
        if not isinstance(options, dict):
            raise CheckpointError(f"preset options are {options!r}: options by name were expected")
        options = dict(options)
        training = _training_config(options)
        types = {option.name: option.type for option in fields(cls) if option.name != "training"}
        unknown = sorted(set(options) - set(types))
        if unknown:
            raise CheckpointError(
                f"unknown preset options {unknown}: was it written by a newer mpn?"
            )
        for name, value in options.items():
            if type(value).__name__ != types[name]:
                raise CheckpointError(
                    f"preset option {name} is {value!r}, a {types[name]} was expected"
                )
        try:
            return cls(**options, training=training)
        except TypeError as error:
            raise CheckpointError(f"preset options are incomplete: {error}") from None


def _training_config(options: dict[str, Any]) -> TrainingConfig:
    """Take what it was trained for out of a preset's options.

    A term that the file does not name weighs nothing: the model was not trained with it.
    """
    former = {
        name: options.pop(f"{name}_weight")
        for name in FORMER_WEIGHTS
        if f"{name}_weight" in options
    }
    named = options.pop("loss_weights", None)
    after = options.pop("prototypes_after", 0.0)
    if named is None:
        named = {name: LOSS_TERMS[name].weight for name in ("frame", *FORMER_WEIGHTS)} | former
    elif former or not isinstance(named, dict):
        raise CheckpointError(
            f"loss_weights are {named!r}: weights by name were expected, and none beside them"
        )
    try:
        return TrainingConfig(dict.fromkeys(LOSS_TERMS, 0.0) | named, after)
    except MpnError as error:
        raise CheckpointError(f"preset options: {error}") from None


CONFIGS: dict[str, ModelConfig] = {
    # The network of the paper (Lv et al., CVPR 2021), exactly.
    "base": ModelConfig(name="base", height=256, width=256),
    # For ordinary computers: half the resolution inside, narrower, and what keeps the prototypes
    # apart.
    "small": ModelConfig(
        name="small",
        height=128,
        width=192,
        grey=True,
        channels=32,
        unshuffle=2,
        residual=True,
        projection=True,
        learned_scales=True,
        pseudo_head=True,
        training=TrainingConfig(
            {"frame": 0, "untampered": 1, "diversity": 0.01, "usage": 0.01}, prototypes_after=0.5
        ),
    ),
}
# For many cameras on little: `small` at a quarter of the frame size inside and half as wide, a
# thirteenth of its operations (benchmarks/results/family.md).
CONFIGS["tiny"] = replace(CONFIGS["small"], name="tiny", channels=16, unshuffle=4)


def get_config(name: str, **options: Any) -> ModelConfig:
    """Return the preset of that name, with some options changed.

    Args:
        name: of the preset.
        **options: fields of it to change.

    Raises:
        MpnError: an unknown name or option.
    """
    if name not in CONFIGS:
        raise MpnError(f"there is no preset {name!r}; there are {', '.join(CONFIGS)}")
    try:
        return replace(CONFIGS[name], **options)
    except TypeError:
        choices = ", ".join(option.name for option in fields(ModelConfig))
        raise MpnError(
            f"unknown option for preset {name!r} among {sorted(options)}; there are: {choices}"
        ) from None
