"""Modules as the paper's authors save them: classes of their names, there only while saving.

The packages that they come from exist no longer than that.
Written from the paper (Lv et al., CVPR 2021) and the reference's list of parameters; the forward is
plain and takes its prototypes from `tests.helpers.published`.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.published import Written, prototype_unit


def pair(inputs: int, outputs: int, last: bool = False) -> nn.Sequential:
    """Two convolutions; no ReLU behind the last block's second."""
    layers = [
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
    ]
    return nn.Sequential(*layers, *([] if last else [nn.ReLU()]))


def upsample(inputs: int, outputs: int) -> nn.Sequential:
    """A transposed convolution that doubles height and width."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1), nn.ReLU()
    )


class Encoder(nn.Module):
    """Four blocks with pooling between."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        sizes = [inputs, width, 2 * width, 4 * width, 8 * width]
        for n in (1, 2, 3, 4):
            setattr(self, f"moduleConv{n}", pair(sizes[n - 1], sizes[n], last=n == 4))
            if n < 4:
                setattr(self, f"modulePool{n}", nn.MaxPool2d(2))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the features of all four blocks."""
        features = []
        for n in (1, 2, 3, 4):
            x = getattr(self, f"moduleConv{n}")(x)
            features.append(x)
            x = F.max_pool2d(x, 2)
        return features


class Decoder_new(nn.Module):  # noqa: N801 (their name)
    """Back up to the first block's size, skips in front."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.moduleConv = pair(8 * width, 8 * width)
        self.moduleUpsample4 = upsample(8 * width, 4 * width)
        self.moduleDeconv3 = pair(8 * width, 4 * width)
        self.moduleUpsample3 = upsample(4 * width, 2 * width)
        self.moduleDeconv2 = pair(4 * width, 2 * width)
        self.moduleUpsample2 = upsample(2 * width, width)

    def forward(self, first: Tensor, second: Tensor, third: Tensor, encoding: Tensor) -> Tensor:
        """The features that queries are made of."""
        x = self.moduleUpsample4(self.moduleConv(encoding))
        x = self.moduleUpsample3(self.moduleDeconv3(torch.cat((third, x), 1)))
        return torch.cat(
            (first, self.moduleUpsample2(self.moduleDeconv2(torch.cat((second, x), 1)))), 1
        )


class Meta_Prototype(nn.Module):  # noqa: N801 (their name)
    """The prototype unit, with the plain attributes that theirs keeps."""

    def __init__(self, prototypes: int, features: int) -> None:
        super().__init__()
        self.proto_size, self.feature_dim, self.key_dim = prototypes, features, features
        self.temp_update, self.temp_gather, self.shrink_thres = 0.1, 0.1, 0
        self.Mheads = nn.Linear(features, prototypes, bias=False)

    def forward(self, features: Tensor) -> Written:
        """All that the unit makes of the decoder's features."""
        return prototype_unit(features, self.Mheads.weight)


class Meta_Memory(Meta_Prototype):  # noqa: N801 (their name, in the first version)
    """The same under its earlier name."""


class convAE(nn.Module):  # noqa: N801 (their name)
    """The whole network. unit: the name of the prototype unit in it, "memory" in their first
    version."""

    def __init__(
        self,
        colours: int = 3,
        frames: int = 4,
        prototypes: int = 10,
        width: int = 64,
        unit: str = "prototype",
    ) -> None:
        super().__init__()
        self.encoder = Encoder(colours * frames, width)
        self.decoder = Decoder_new(width)
        kind = Meta_Prototype if unit == "prototype" else Meta_Memory
        setattr(self, unit, kind(prototypes, 2 * width))
        self.ohead = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, colours, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, window: Tensor) -> tuple[Tensor, Written]:
        """The predicted frame, and what the unit made."""
        read = (self.prototype if hasattr(self, "prototype") else self.memory)(
            self.decoder(*self.encoder(window))
        )
        return self.ohead(read.aggregation), read


class THNNFunctionBackend:
    """What every layer held under `_backend` up to torch 1.2, which the authors used; it pickles as
    a call."""

    def __reduce__(self) -> tuple:
        return _get_thnn_function_backend, ()


def _get_thnn_function_backend() -> THNNFunctionBackend:
    return THNNFunctionBackend()


PLACES = {
    "torch.nn.backends.thnn": (THNNFunctionBackend, _get_thnn_function_backend),
    "model.base_model": (Encoder, Decoder_new, convAE),
    "model.meta_prototype": (Meta_Prototype,),
    "model.meta_memory": (Meta_Memory,),
}
for _place, _classes in PLACES.items():
    for _one in _classes:
        _one.__module__ = _place


@contextmanager
def authors_packages() -> Iterator[None]:
    """Their packages can be imported from inside, as where their code runs; from outside they are
    not there."""
    modules = {name: types.ModuleType(name) for name in ("model", "torch.nn.backends")}
    for place, classes in PLACES.items():
        modules[place] = types.ModuleType(place)
        # Where torch finds the source that its older format keeps.
        modules[place].__file__ = __file__
        vars(modules[place]).update(
            {loaded_class.__name__: loaded_class for loaded_class in classes}
        )
    assert not set(modules) & set(sys.modules)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for place in modules:
            del sys.modules[place]


def save(path: Path, value: object, *, old: bool) -> Path:
    """torch.save where their packages are, in the format from before 1.6 or the one since."""
    with authors_packages():
        torch.save(value, path, _use_new_zipfile_serialization=not old)
    return path


def adam_state(parameters: list[Tensor], rate: float) -> dict[str, object]:
    """Adam's state dict as torch 1.2 made it: parameters are known by where they lay in memory."""
    group = {"lr": rate, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}
    state = {
        id(p): {
            "step": 7,
            "exp_avg": torch.full_like(p, 0.5).detach(),
            "exp_avg_sq": torch.zeros_like(p).detach(),
        }
        for p in parameters
    }
    return {"state": state, "param_groups": [group | {"params": list(state)}]}


def trained(module: nn.Module, *, epoch: int = 60) -> dict[str, object]:
    """What Train.py saves: the module, and an optimizer's state after a step (of the head alone, to
    keep it small)."""
    for layer in module.modules():
        layer._backend = THNNFunctionBackend()
    return {
        "epoch": epoch,
        "state_dict": module,
        "optimizer_D": adam_state(list(module.ohead.parameters()), 1e-4),
    }


def meta_trained(module: nn.Module, *, seed: int = 3, epoch: int = 900) -> dict[str, object]:
    """What Train_meta.py saves: targets moved a little from the module's, a step size for each of
    their numbers."""
    generator = torch.Generator().manual_seed(seed)
    targets = {
        n: p
        for n, p in module.named_parameters()
        if n.split(".")[0] in ("prototype", "memory", "ohead")
    }
    start, sizes = OrderedDict(), OrderedDict()
    for name, parameter in targets.items():
        start[name] = (
            parameter.detach() + 0.01 * torch.randn(parameter.shape, generator=generator)
        ).requires_grad_()
        sizes[name] = (
            1e-6 * (1 + torch.rand(parameter.shape, generator=generator))
        ).requires_grad_()
    return {
        "epoch": epoch,
        "meta_init": start,
        "meta_alpha": sizes,
        "meta_init_optimizer": adam_state(list(start.values()), 1e-6),
        "meta_alpha_optimizer": adam_state(list(sizes.values()), 1e-6),
    }
