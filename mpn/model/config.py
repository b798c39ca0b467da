"""Presets: what a network is, as data. A checkpoint keeps every field."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from mpn.errors import CheckpointError, MpnError


@dataclass(frozen=True)
class ModelConfig:
    """Every option of a network and of what it is trained for.

    Attributes:
        name: the preset that this one was made from.
        height, width: frame size in pixels that frames are resized to.
        grey: one channel instead of three (BGR).
        window: T, frames that go in; the next one is the target.
        channels: width of the first encoder block; blocks 2-4 have 2, 4 and 8 times as many.
        unshuffle: the network runs at 1/unshuffle of the frame size (pixel-unshuffle in front,
            pixel-shuffle at the end); 1 leaves both out.
        prototypes: M, prototypes made from each window.
        residual: the head's output is added to the last frame of the window, instead of being the
            frame.
        projection: a 1x1 convolution of the decoder's features before they are normalised to
            queries.
        learned_scales: heads are L2-normalised, and attention and assignment have a learned scale
            (DESIGN "Collapse"); without it, as published.
        pseudo_head: the head that finds where a window was tampered with.
        compactness_weight, diversity_weight, usage_weight, pseudo_weight: weights of the loss terms
        beside the
            frame loss.

    Raises:
        MpnError: a count below 1 (2 of prototypes), or a weight below 0.
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
    compactness_weight: float = 1.0
    diversity_weight: float = 1e-4
    usage_weight: float = 0.0
    pseudo_weight: float = 0.01

    def __post_init__(self) -> None:
        least = {
            "height": 1,
            "width": 1,
            "window": 1,
            "channels": 1,
            "unshuffle": 1,
            "prototypes": 2,
        }
        for name, low in least.items():
            if getattr(self, name) < low:
                raise MpnError(
                    f"preset option {name} is {getattr(self, name)}: a number from "
                    f"{low} up was expected"
                )
        for name in ("compactness_weight", "diversity_weight", "usage_weight", "pseudo_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise MpnError(
                    f"preset option {name} is {getattr(self, name)}: a weight from 0 up "
                    "was expected"
                )

    @property
    def size(self) -> tuple[int, int]:
        """Frame size (height, width) in pixels."""
        return self.height, self.width

    @property
    def colours(self) -> int:
        """Channels of one frame: 1 (grey) or 3 (BGR)."""
        return 1 if self.grey else 3

    @property
    def stride(self) -> int:
        """Height and width of a frame must be multiples of this: three poolings by 2, and the
        unshuffle."""
        return 8 * self.unshuffle

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's JSON document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> ModelConfig:
        """The preset that `to_dict` wrote. Raises CheckpointError for unknown, missing or mistyped
        options."""
        known = {field.name: field.type for field in fields(cls)}
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise CheckpointError(
                f"unknown preset options {unknown}: was it written by a newer mpn?"
            )
        types = {"str": str, "int": int, "bool": bool, "float": (int, float)}
        for name, value in options.items():
            wanted = types[known[name]]
            if not isinstance(value, wanted) or (known[name] != "bool" and isinstance(value, bool)):
                raise CheckpointError(
                    f"preset option {name} is {value!r}, a {known[name]} was expected"
                )
        try:
            return cls(**options)
        except TypeError as error:
            raise CheckpointError(f"preset options are incomplete: {error}") from None


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
        diversity_weight=0.01,
        usage_weight=0.01,
    ),
}


def get_config(name: str, **options: Any) -> ModelConfig:
    """The preset of that name with some options changed. Raises MpnError for unknown names and
    options."""
    if name not in CONFIGS:
        raise MpnError(f"there is no preset {name!r}; there are {', '.join(CONFIGS)}")
    try:
        return replace(CONFIGS[name], **options)
    except TypeError:
        known = ", ".join(field.name for field in fields(ModelConfig))
        raise MpnError(
            f"unknown option for preset {name!r} among {sorted(options)}; there are: {known}"
        ) from None
