"""The prototype unit written out plainly, as an oracle: every product (B, N, M, D), full tensors
normalised.

From the description of the method (Lv et al., CVPR 2021, section 3.2) and nothing of `mpn`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass
class Written:
    """What the unit makes of decoder features; B samples, N = h * w positions, D features, M
    prototypes."""

    query: Tensor  # (B, D, h, w)
    prototypes: Tensor  # (B, M, D), before normalisation
    assignment: Tensor  # (B, N, M)
    aggregation: Tensor  # (B, D, h, w)
    distance: Tensor  # (B, h, w), squared, to the most-assigned prototype


def prototype_unit(
    features: Tensor,
    heads: Tensor,
    *,
    projection: tuple[Tensor, Tensor] | None = None,
    log_attention_scale: Tensor | None = None,
    log_assignment_scale: Tensor | None = None,
) -> Written:
    """Decoder features (B, D, h, w) and heads (M, D); projection: weight (D, D, 1, 1) and bias
    (D,)."""
    if projection is not None:
        features = F.conv2d(features, *projection)
    b, d, h, w = features.shape
    query = F.normalize(features, dim=1)
    q = query.permute(0, 2, 3, 1).reshape(b, h * w, d)
    if log_attention_scale is not None:
        heads = F.normalize(heads, dim=1) * torch.exp(log_attention_scale)
    attention = torch.softmax((q[:, :, None, :] * heads[None, None]).sum(dim=3), dim=1)
    prototypes = (attention[:, :, :, None] * q[:, :, None, :]).sum(dim=1)
    unit = F.normalize(prototypes, dim=2)

    cosines = (q[:, :, None, :] * unit[:, None, :, :]).sum(dim=3)
    if log_assignment_scale is not None:
        cosines = cosines * torch.exp(log_assignment_scale)
    assignment = torch.softmax(cosines, dim=2)
    normalcy = F.normalize((assignment[:, :, :, None] * unit[:, None, :, :]).sum(dim=2), dim=2)
    aggregation = (q + normalcy).reshape(b, h, w, d).permute(0, 3, 1, 2)

    most = assignment.argmax(dim=2)
    nearest = torch.stack([unit[i, most[i]] for i in range(b)])
    distance = (q - nearest).square().sum(dim=2).reshape(b, h, w)
    return Written(query, prototypes, assignment, aggregation, distance)
