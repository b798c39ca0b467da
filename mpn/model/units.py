"""What stands between decoder and head: the prototype unit, and what can stand in its place.

All of them take the decoder's features and give the same; inside, positions are a list: N = height
* width queries of D numbers.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from mpn.model.config import ModelConfig

# As F.normalize: keeps the inverse norm of a zero vector finite.
EPSILON = 1e-12
INITIAL_SCALE = 10.0
# Of attention: so many products side by side, each of a share of the D numbers, as far as they
# divide.
SUBSPACES = 4

# Features, inverse_norm, prototypes, assignment, aggregation, distance, as in `Output`.
UnitOutput = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class InverseNorm(torch.autograd.Function):
    """The function 1 / |y| over the last dimension, (..., D) to (..., 1), in float32 at least.

    By hand because autograd's own rules copy all of a bfloat16 `y` to float32 on the way there and
    back, a fifth of a training step. Made of differentiable operations, so that it can be
    differentiated twice.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(y: Tensor) -> Tensor:
        wide = torch.promote_types(y.dtype, torch.float32)
        return (
            torch.linalg.vector_norm(y, dim=-1, keepdim=True, dtype=wide)
            .clamp_min(EPSILON)
            .reciprocal()
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (gradient,), (y, inverse) = grad_outputs, ctx.saved_tensors
        return y * (-gradient * inverse**3).to(y.dtype)


def _listed(features: Tensor, projection: nn.Module | None) -> tuple[Tensor, Tensor, Tensor]:
    """Project features (B, D, h, w), list them by position (B, N, D), and give 1 / |y| of each."""
    if projection is not None:
        features = projection(features)
    y = features.permute(0, 2, 3, 1).flatten(1, 2)
    return features, y, InverseNorm.apply(y)


class PrototypeUnit(nn.Module):
    """Prototypes of the window's own queries, and the queries as the prototypes would have them.

    Everything is a matrix product with M = 10 on one side; the published (B, N, M, D) product is
    never built, nor need the normalised query be (DESIGN "Never build (B, N, M, C)"). Norms and
    softmaxes are float32 at least, whatever autocast makes of the products.
    """

    def __init__(
        self, features: int, prototypes: int, *, projection: bool, learned_scales: bool
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(features, features, 1) if projection else None
        self.heads = nn.Linear(features, prototypes, bias=False)
        self.learned_scales = learned_scales
        if learned_scales:
            # Logarithms: as plain numbers the scales hardly moved from where they started.
            start = torch.tensor(math.log(INITIAL_SCALE))
            self.log_attention_scale = nn.Parameter(start.clone())
            self.log_assignment_scale = nn.Parameter(start.clone())
            # Orthogonal heads attend to different features from the first step on.
            nn.init.orthogonal_(self.heads.weight)

    def forward(self, features: Tensor) -> UnitOutput:
        """Compute all that the unit gives of decoder features.

        Args:
            features: (B, D, h, w).

        Returns:
            As in `Output`: features, inverse_norm, prototypes, assignment, aggregation, distance.
        """
        features, y, inverse_norm = _listed(features, self.projection)
        b, d, h, w = features.shape
        wide = torch.promote_types(features.dtype, torch.float32)

        # All with the positions last: a softmax over ten numbers that lie side by side takes twenty
        # times as long as over ten rows.
        inverse = inverse_norm.transpose(1, 2)
        attention = self.attention(y, inverse_norm).transpose(1, 2)
        prototypes = (attention * inverse).to(y.dtype) @ y
        unit_prototypes = F.normalize(prototypes.to(wide), dim=2)

        cosine = (unit_prototypes.to(y.dtype) @ y.transpose(1, 2)).to(wide) * inverse
        scaled = cosine * self.log_assignment_scale.exp() if self.learned_scales else cosine
        assignment = scaled.softmax(dim=1)
        distance = (2 - 2 * cosine.amax(dim=1)).clamp_min(0)

        # |s P|^2 = s G s^T with G = P P^T: the norm of the normalcy encoding without building it
        # first.
        gram = unit_prototypes @ unit_prototypes.transpose(1, 2)
        squared = ((gram.to(assignment.dtype) @ assignment).to(wide) * assignment).sum(
            dim=1, keepdim=True
        )
        weights = assignment * squared.clamp_min(EPSILON**2).rsqrt()
        aggregation = torch.baddbmm(
            y * inverse_norm.to(y.dtype),
            weights.to(y.dtype).transpose(1, 2),
            unit_prototypes.to(y.dtype),
        )
        aggregation = aggregation.reshape(b, h, w, d).permute(0, 3, 1, 2)
        return (
            features,
            inverse_norm,
            prototypes,
            assignment.transpose(1, 2),
            aggregation,
            distance.reshape(b, h, w),
        )

    def attention(self, y: Tensor, inverse_norm: Tensor) -> Tensor:
        """Compute which positions each prototype is made from.

        Args:
            y: features (B, N, D) before normalisation.
            inverse_norm: 1 / |y|, (B, N, 1).

        Returns:
            (B, N, M), a softmax over the N positions.
        """
        heads = self.heads.weight
        if self.learned_scales:
            heads = F.normalize(heads, dim=1) * self.log_attention_scale.exp()
        logits = (heads.to(y.dtype) @ y.transpose(1, 2)).to(inverse_norm.dtype)
        return (logits * inverse_norm.transpose(1, 2)).softmax(dim=2).transpose(1, 2)


class AttentionUnit(nn.Module):
    """The queries as multi-head attention to M keys would have them (Vaswani et al. 2017).

    The keys are learned heads, the same for all windows; or made from this very window: to each
    head is added what it finds by attention to the queries (the induced points of Lee et al. 2019).
    Either way query, keys and values are projected, which the prototype unit does not do. What
    comes out is brought to the length of a query and added to it, as the normalcy encoding is.

    Args:
        features: D.
        prototypes: M, how many keys.
        projection: a 1x1 convolution before the queries are normalised, as in `PrototypeUnit`.
        learned_scales: compare directions alone, by a learned scale that begins as that of
            `PrototypeUnit` (Henry et al., Query-Key Normalization, 2020): products of maps that
            have learned nothing are small, and weights even.
        window_keys: make the keys from the window.
    """

    def __init__(
        self,
        features: int,
        prototypes: int,
        *,
        projection: bool,
        learned_scales: bool,
        window_keys: bool,
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(features, features, 1) if projection else None
        self.subspaces = math.gcd(SUBSPACES, features)
        self.window_keys = window_keys
        start = torch.tensor(math.log(INITIAL_SCALE))
        self.log_scale = nn.Parameter(start.clone()) if learned_scales else None
        self.log_key_scale = nn.Parameter(start) if learned_scales and window_keys else None
        # Numbers of about 1, as those of the queries, which are brought to length sqrt(D).
        self.heads = nn.Linear(features, prototypes, bias=False)
        nn.init.orthogonal_(self.heads.weight, gain=math.sqrt(features))
        self.query_map = nn.Linear(features, features)
        # A number added to all keys would change no weight.
        self.key_map = nn.Linear(features, features, bias=False)
        self.value_map = nn.Linear(features, features)
        self.output_map = nn.Linear(features, features)

    def forward(self, features: Tensor) -> UnitOutput:
        """Compute all that the unit gives of decoder features.

        Args:
            features: (B, D, h, w).

        Returns:
            As in `Output`: features, inverse_norm, prototypes, assignment, aggregation, distance.
        """
        features, y, inverse_norm = _listed(features, self.projection)
        b, d, h, w = features.shape
        wide = torch.promote_types(features.dtype, torch.float32)
        query = y * inverse_norm.to(y.dtype)
        x = query * math.sqrt(d)

        # A copy: PyTorch's counter of operations takes no parameter where there are no gradients.
        keys = self.heads.weight.to(y.dtype).repeat(b, 1, 1)
        if self.window_keys:
            parts = self._split(x)
            scaled_queries, scaled_keys = _compared(self._split(keys), parts, self.log_key_scale)
            # Added to the heads: queries are much alike at first, and keys would all be their mean.
            keys = keys + self._joined(_attend(scaled_queries, scaled_keys, parts))
        scaled_queries, scaled_keys = _compared(
            self._split(self.query_map(x)), self._split(self.key_map(keys)), self.log_scale
        )
        attended = _attend(scaled_queries, scaled_keys, self._split(self.value_map(keys)))
        normalcy = F.normalize(self.output_map(self._joined(attended)).to(wide), dim=2)

        cosine = (normalcy * query).sum(dim=2)
        aggregation = query + normalcy.to(query.dtype)
        return (
            features,
            inverse_norm,
            keys,
            _weights(scaled_keys, scaled_queries, wide).softmax(dim=2).mean(dim=1).transpose(1, 2),
            aggregation.reshape(b, h, w, d).permute(0, 3, 1, 2),
            (2 - 2 * cosine).clamp_min(0).reshape(b, h, w),
        )

    def attention(self, y: Tensor, inverse_norm: Tensor) -> Tensor | None:
        """Compute which positions each key is made from, as a mean over the subspaces.

        Args:
            y: features (B, N, D) before normalisation.
            inverse_norm: 1 / |y|, (B, N, 1).

        Returns:
            (B, N, M), of sum 1 over the N positions; None where keys are learned.
        """
        if not self.window_keys:
            return None
        x = y * inverse_norm.to(y.dtype) * math.sqrt(y.shape[2])
        heads = self._split(self.heads.weight.to(y.dtype).expand(len(y), -1, -1))
        scaled_queries, scaled_keys = _compared(heads, self._split(x), self.log_key_scale)
        logits = _weights(scaled_queries, scaled_keys, inverse_norm.dtype)
        return logits.softmax(dim=3).mean(dim=1).transpose(1, 2)

    def _split(self, vectors: Tensor) -> Tensor:
        """Cut vectors, (B, K, D) to (B, subspaces, K, D / subspaces)."""
        b, count, d = vectors.shape
        return vectors.reshape(b, count, self.subspaces, d // self.subspaces).transpose(1, 2)

    def _joined(self, parts: Tensor) -> Tensor:
        """Undo `_split`."""
        return parts.transpose(1, 2).flatten(2)


def _compared(queries: Tensor, keys: Tensor, log_scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """Prepare queries and keys, (..., D), so that their products over sqrt(D) are scaled cosines.

    Without a scale they are left as they are.
    """
    if log_scale is None:
        return queries, keys
    scale = (log_scale.exp() * math.sqrt(queries.shape[-1])).to(queries.dtype)
    return F.normalize(queries, dim=-1) * scale, F.normalize(keys, dim=-1)


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Compute attention; where it may be differentiated, so that it may be twice.

    The gradient of the quicker kernels cannot be differentiated again (second-order
    meta-training), and on processors it is slower in bfloat16.
    """
    plain = sdpa_kernel(SDPBackend.MATH) if torch.is_grad_enabled() else nullcontext()
    with plain:
        return F.scaled_dot_product_attention(queries, keys, values)


def _weights(keys: Tensor, queries: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute the logits of `_attend`, which does not give them back: (B, subspaces, M, N)."""
    return (keys @ queries.transpose(2, 3)).to(dtype) / math.sqrt(keys.shape[3])


class NoUnit(nn.Module):
    """The query as it is goes to the head: what the other units are to be compared with.

    There are no prototypes (M = 0), and the distance to them is 0 everywhere.

    Args:
        features: D.
        projection: as in `PrototypeUnit`.
    """

    def __init__(self, features: int, *, projection: bool) -> None:
        super().__init__()
        self.projection = nn.Conv2d(features, features, 1) if projection else None

    def forward(self, features: Tensor) -> UnitOutput:
        """Compute all that the unit gives of decoder features (B, D, h, w); as in `Output`."""
        features, y, inverse_norm = _listed(features, self.projection)
        b, d, h, w = features.shape
        wide = torch.promote_types(features.dtype, torch.float32)
        aggregation = (y * inverse_norm.to(y.dtype)).reshape(b, h, w, d).permute(0, 3, 1, 2)
        prototypes = features.new_zeros(b, 0, d)
        assignment = features.new_zeros((b, h * w, 0), dtype=wide)
        distance = features.new_zeros((b, h, w), dtype=wide)
        return features, inverse_norm, prototypes, assignment, aggregation, distance

    def attention(self, y: Tensor, inverse_norm: Tensor) -> None:
        """Give nothing: there are no prototypes that are made from positions."""


def make_unit(config: ModelConfig, features: int) -> PrototypeUnit | AttentionUnit | NoUnit:
    """Make the unit that a preset asks for, with weights from torch's global generator.

    Args:
        config: the preset.
        features: D, of the decoder's features.
    """
    if config.unit == "none":
        return NoUnit(features, projection=config.projection)
    if config.unit == "attention":
        return AttentionUnit(
            features,
            config.prototypes,
            projection=config.projection,
            learned_scales=config.learned_scales,
            window_keys=config.keys == "window",
        )
    return PrototypeUnit(
        features,
        config.prototypes,
        projection=config.projection,
        learned_scales=config.learned_scales,
    )
