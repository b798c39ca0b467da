"""The Meta Prototype Network: encoder, decoder, prototype unit, heads (Lv et al., CVPR 2021).

One forward serves training, scoring and adaptation. Tensors are (batch, channels, height, width).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpn.errors import SizeError
from mpn.model.config import ModelConfig
from mpn.model.config import get_config as find_preset
from mpn.model.output import Output
from mpn.model.units import make_unit


def _two_convolutions(inputs: int, outputs: int, last_relu: bool = True) -> nn.Sequential:
    first, second = (
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.Conv2d(outputs, outputs, 3, padding=1),
    )
    return nn.Sequential(
        first, nn.ReLU(inplace=True), second, *([nn.ReLU(inplace=True)] if last_relu else [])
    )


def _upsample(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    extra = kernel % 2  # of the output, for twice the input's size
    up = nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=1, output_padding=extra)
    return nn.Sequential(up, nn.ReLU(inplace=True))


def _three_convolutions(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, hidden, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, outputs, 3, padding=1),
    )


class Encoder(nn.Module):
    """Four blocks of two 3x3 convolutions, 2x2 max-pool between; no ReLU after the last."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        c = channels
        self.block1 = _two_convolutions(inputs, c)
        self.block2 = _two_convolutions(c, 2 * c)
        self.block3 = _two_convolutions(2 * c, 4 * c)
        self.block4 = _two_convolutions(4 * c, 8 * c, last_relu=False)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the features of blocks 1-4, the last of them (B, 8c, h/8, w/8)."""
        first = self.block1(window)
        second = self.block2(F.max_pool2d(first, 2))
        third = self.block3(F.max_pool2d(second, 2))
        return first, second, third, self.block4(F.max_pool2d(third, 2))


class Decoder(nn.Module):
    """From the encoding up to the first block's size; skips are concatenated in front."""

    def __init__(self, channels: int, up_kernel: int) -> None:
        super().__init__()
        c = channels
        self.block4 = _two_convolutions(8 * c, 8 * c)
        self.up4 = _upsample(8 * c, 4 * c, up_kernel)
        self.block3 = _two_convolutions(8 * c, 4 * c)
        self.up3 = _upsample(4 * c, 2 * c, up_kernel)
        self.block2 = _two_convolutions(4 * c, 2 * c)
        self.up2 = _upsample(2 * c, c, up_kernel)

    def forward(self, first: Tensor, second: Tensor, third: Tensor, encoding: Tensor) -> Tensor:
        """Compute from the encoder's features those of the queries.

        Args:
            first: features of block 1.
            second: of block 2.
            third: of block 3.
            encoding: of block 4, (B, 8c, h/8, w/8).

        Returns:
            (B, 2c, h, w).
        """
        x = self.block3(torch.cat([third, self.up4(self.block4(encoding))], dim=1))
        x = self.block2(torch.cat([second, self.up3(x)], dim=1))
        return torch.cat([first, self.up2(x)], dim=1)


class Network(nn.Module):
    """The whole network of a preset.

    Args:
        config: every option; see `mpn.model.config.ModelConfig`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c, r = config.channels, config.unshuffle
        self.encoder = Encoder(config.window * config.colours * r * r, c)
        self.decoder = Decoder(c, config.up_kernel)
        self.prototype = make_unit(config, 2 * c)
        self.head = _three_convolutions(2 * c, c, config.colours * r * r)
        self.pseudo_head = _three_convolutions(2 * c, c, 1) if config.pseudo_head else None

    def decode(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what comes before the prototype unit.

        Args:
            window: as `forward` takes it.

        Returns:
            The encoding (B, 8c, h/8, w/8), and the decoder's features (B, 2c, h, w).

        Raises:
            SizeError: as `forward`.
        """
        check_window(self.config, window)
        r = self.config.unshuffle
        first, second, third, encoding = self.encoder(
            F.pixel_unshuffle(window, r) if r > 1 else window
        )
        return encoding, self.decoder(first, second, third, encoding)

    def forward(self, window: Tensor, decoded: tuple[Tensor, Tensor] | None = None) -> Output:
        """Predict the next frame of a window, and all that scores and losses are made of.

        Args:
            window: (B, T * C, H, W) float in [-1, 1], oldest frame first; H and W multiples of the
                preset's stride.
            decoded: `decode(window)`, where it is known already: encoder and decoder are then not
                run (where neither is adapted, once is enough for all steps of an adaptation).

        Raises:
            SizeError: a wrong number of channels, or a size that the strides don't divide.
        """
        check_window(self.config, window)
        colours, r = self.config.colours, self.config.unshuffle
        encoding, decoder_features = self.decode(window) if decoded is None else decoded
        features, inverse_norm, prototypes, assignment, aggregation, distance = self.prototype(
            decoder_features
        )
        out = self.head(aggregation)
        out = F.pixel_shuffle(out, r) if r > 1 else out
        if self.config.residual:
            prediction = window[:, -colours:] + out.to(window.dtype)
        else:
            prediction = torch.tanh(out)
        logits = None if self.pseudo_head is None else self.pseudo_head(decoder_features).squeeze(1)
        return Output(
            prediction,
            encoding,
            features,
            inverse_norm,
            prototypes,
            assignment,
            aggregation,
            distance,
            logits,
        )


def check_window(config: ModelConfig, window: Tensor) -> None:
    """Check that a window fits.

    Args:
        config: of the network.
        window: (B, T * C, H, W), of a size that the strides divide.

    Raises:
        SizeError: it does not fit.
    """
    channels = config.window * config.colours
    if window.ndim != 4 or window.shape[1] != channels:
        raise SizeError(
            f"a window of shape {tuple(window.shape)}: preset {config.name!r} takes (B, "
            f"{channels}, H, W), {config.window} frames of {config.colours} channel(s), oldest "
            "first"
        )
    check_size(config, window.shape[2], window.shape[3])


def check_size(config: ModelConfig, height: int, width: int) -> None:
    """Check that the strides divide a frame size.

    Args:
        config: of the network.
        height: pixels.
        width: pixels.

    Raises:
        SizeError: they do not, naming the nearest sizes that fit, or the size is too small.
    """
    stride = config.stride
    if height < stride or width < stride:
        raise SizeError(
            f"frames of {height}x{width} are smaller than the network needs: "
            f"height and width of preset {config.name!r} are multiples of {stride}, "
            f"{stride}x{stride} the least"
        )
    if height % stride or width % stride:
        low = (height // stride * stride, width // stride * stride)
        high = (-(-height // stride) * stride, -(-width // stride) * stride)
        raise SizeError(
            f"frames of {height}x{width}: height and width of preset {config.name!r} must be "
            f"multiples of {stride}; the nearest sizes are {low[0]}x{low[1]} and "
            f"{high[0]}x{high[1]}"
        )


def build_model(config: str | ModelConfig = "small", **options: Any) -> Network:
    """Build an untrained network in float32 on the CPU.

    Weights come from torch's global generator.

    Args:
        config: a name ("base", "small") or a `ModelConfig`.
        **options: fields of the preset to change, e.g. `height=256, width=384, grey=False`.

    Raises:
        MpnError: an unknown preset or option.
        SizeError: a frame size that the strides don't divide.
    """
    chosen = find_preset(config, **options) if isinstance(config, str) else config
    check_size(chosen, *chosen.size)
    return Network(chosen)
