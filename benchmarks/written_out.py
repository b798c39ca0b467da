"""The prototype unit written out as it was published: the yardstick of `unit_speed`.

The query is normalised as a full tensor, and prototypes and normalcy encoding are sums over
products of shape (batch, positions, prototypes, features) - 335 MB a frame at 256x256 - where
`mpn.model.units.PrototypeUnit` has matrix products (Lv et al., CVPR 2021; DESIGN section 2). Run
by itself it checks that both agree:

    python -m benchmarks.written_out
"""

from __future__ import annotations

import argparse
import json

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpn.model.network import Network, build_model
from mpn.model.units import PrototypeUnit

# Largest difference allowed, relative to the largest magnitude of each array (as for the parity
# tests).
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
# Heads as they are initialised make all prototypes alike, and a mistake in attention or assignment
# would not show.
SHARPENED = 40.0


class WrittenOutUnit(nn.Module):
    """Takes the place of a `base` network's `prototype`: same heads, same outputs.

    Args:
        unit: the unit to stand in for; its heads are shared. It must have the published form.
        frame_by_frame: treat the samples of a batch one after the other.
    """

    def __init__(self, unit: PrototypeUnit, *, frame_by_frame: bool = False) -> None:
        super().__init__()
        if unit.projection is not None or unit.learned_scales:
            raise ValueError("only the published form (preset base) is written out here")
        self.heads = unit.heads
        self.frame_by_frame = frame_by_frame

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Make of decoder features (B, D, h, w) what `PrototypeUnit.forward` gives, but for two.

        The first two are the query itself in place of the features, and ones for its inverse norm.
        """
        if not self.frame_by_frame:
            return self._forward(features)
        return tuple(
            torch.cat(parts) for parts in zip(*(self._forward(sample[None]) for sample in features))
        )

    def _forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        b, d, h, w = features.shape
        normalised = F.normalize(features, dim=1)
        query = normalised.permute(0, 2, 3, 1).reshape(b, h * w, d)
        attention = self.heads(query).softmax(dim=1)
        prototypes = (attention.unsqueeze(3) * query.unsqueeze(2)).sum(dim=1)
        unit_prototypes = F.normalize(prototypes, dim=2)
        assignment = torch.bmm(query, unit_prototypes.transpose(1, 2)).softmax(dim=2)
        normalcy = (assignment.unsqueeze(3) * unit_prototypes.unsqueeze(1)).sum(dim=2)
        aggregation = F.normalize(normalcy, dim=2) + query
        nearest = assignment.argmax(dim=2, keepdim=True).expand(b, h * w, d)
        distance = (query - unit_prototypes.gather(1, nearest)).square().sum(dim=2)
        aggregation = aggregation.transpose(1, 2).reshape(b, d, h, w)
        inverse_norm = torch.ones((), device=query.device).expand(b, h * w, 1)
        return (
            normalised,
            inverse_norm,
            prototypes,
            assignment,
            aggregation,
            distance.reshape(b, h, w),
        )


def write_out(network: Network, *, frame_by_frame: bool = False) -> Network:
    """Puts the written-out unit in the place of the network's own; gives the network."""
    network.prototype = WrittenOutUnit(network.prototype, frame_by_frame=frame_by_frame)
    return network


@torch.inference_mode()
def differences(
    dtype: torch.dtype, size: int = 64, *, frame_by_frame: bool = False
) -> dict[str, float]:
    """Compute the largest difference of every output of `base` with either unit.

    It is relative to the output's largest magnitude.
    """
    torch.manual_seed(0)
    network = build_model("base", height=size, width=size).to(dtype).eval()
    network.prototype.heads.weight.mul_(SHARPENED)
    window = torch.rand(2, 12, size, size, dtype=dtype) * 2 - 1
    ours = network(window)
    written = write_out(network, frame_by_frame=frame_by_frame)(window)
    names = ("prediction", "query", "prototypes", "assignment", "aggregation", "distance")
    pairs = {name: (getattr(ours, name), getattr(written, name)) for name in names}
    return {name: float((a - b).abs().max() / a.abs().max()) for name, (a, b) in pairs.items()}


def check_agreement(size: int = 64) -> dict[str, float]:
    """Compute the largest relative difference per precision.

    Raises:
        SystemExit: the two forms disagree.
    """
    largest = {}
    for dtype, allowed in TOLERANCE.items():
        both = [differences(dtype, size), differences(dtype, size, frame_by_frame=True)]
        name, worst = max(
            (item for each in both for item in each.items()), key=lambda item: item[1]
        )
        if not worst <= allowed:
            raise SystemExit(
                f"the two forms disagree in {dtype}: {name} by {worst:.1e}, {allowed:.0e} allowed"
            )
        largest[str(dtype).removeprefix("torch.")] = worst
    return largest


def main() -> None:
    """Prints how far the two forms differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--case", help='{"size": 64}: another size; prints JSON (used by unit_speed)'
    )
    case = json.loads(parser.parse_args().case or "null")
    if case:
        print(json.dumps(check_agreement(case["size"])))
        return
    for precision, worst in check_agreement().items():
        print(f"{precision}: largest relative difference {worst:.1e}")


if __name__ == "__main__":
    main()
