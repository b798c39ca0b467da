"""What one forward of the network gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class ScoringOutput(Protocol):
    """What scoring needs of a forward, whatever ran it; see `Output` for shapes and ranges."""

    @property
    def prediction(self) -> Tensor:
        """Return the predicted next frame."""
        ...

    @property
    def compactness(self) -> Tensor:
        """Return how far the queries are from their prototypes."""
        ...

    @property
    def pseudo_logits(self) -> Tensor | None:
        """Return where the window looks tampered with; None without that head."""
        ...


@dataclass
class Output:
    """What one forward gives. B samples, N = h * w positions, D features, M prototypes.

    Attributes:
        prediction: the predicted next frame, (B, C, H, W), about [-1, 1].
        encoding: the encoder's last features, (B, 8 * channels, h/8, w/8).
        features: the (projected) decoder features before normalisation, (B, D, h, w); h = H /
            unshuffle.
        inverse_norm: 1 / |features| at every position, float (B, N, 1).
        prototypes: attention-weighted sums of the queries, before their normalisation, (B, M, D);
            of attention the keys before they are projected; without a unit M is 0.
        assignment: softmax over the prototypes at every position, (B, N, M); of attention its
            weights over the keys, mean of its subspaces.
        aggregation: query + normalcy encoding, (B, D, h, w); without a unit the query.
        distance: squared distance of every query to its most-assigned prototype, (B, h, w), in [0,
            4]; of attention to its normalcy encoding; without a unit 0.
        pseudo_logits: where the window looks tampered with, (B, h, w) logits, or None without that
            head.
    """

    prediction: Tensor
    encoding: Tensor
    features: Tensor
    inverse_norm: Tensor
    prototypes: Tensor
    assignment: Tensor
    aggregation: Tensor
    distance: Tensor
    pseudo_logits: Tensor | None

    @property
    def query(self) -> Tensor:
        """Return the query encoding, (B, D, h, w), unit length at every position.

        It is computed on demand.
        """
        b, d, h, w = self.features.shape
        return self.features * self.inverse_norm.reshape(b, 1, h, w).to(self.features.dtype)

    @property
    def compactness(self) -> Tensor:
        """Return squared distance of query to most-assigned prototype, divided by D: (B, h, w)."""
        return self.distance / self.features.shape[1]
