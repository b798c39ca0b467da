"""Whether the prototypes have collapsed: four metrics of one forward (DESIGN "Collapse")."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from mpn.model.output import Output


@torch.no_grad()
def collapse(output: Output) -> dict[str, float]:
    """Measure the prototypes and assignments of a batch, means over its samples.

    Args:
        output: of the batch.

    Returns:
        prototype_cosine: mean cosine between different prototypes of a window (1: they are one
            vector).
        query_to_mean: mean cosine of a query to its window's mean query (1: all queries are one).
        assignment_entropy: entropy of the assignment at a position, of its maximum log M (1:
            undecided).
        usage_entropy: entropy of the assignment averaged over positions, of log M (1: all equally
            used).
        Without prototypes only query_to_mean.
    """
    query = output.query.float().flatten(2)
    mean_query = F.normalize(query.mean(dim=2), dim=1)
    query_to_mean = float((query * mean_query.unsqueeze(2)).sum(dim=1).mean())
    if not output.prototypes.shape[1]:
        return {"query_to_mean": query_to_mean}
    unit = F.normalize(output.prototypes.float(), dim=2)
    count = unit.shape[1]
    gram = unit @ unit.transpose(1, 2)
    off_diagonal = (gram.sum(dim=(1, 2)) - gram.diagonal(dim1=1, dim2=2).sum(dim=1)) / (
        count * (count - 1)
    )
    assignment = output.assignment.float()
    usage = assignment.mean(dim=1)
    return {
        "prototype_cosine": float(off_diagonal.mean()),
        "query_to_mean": query_to_mean,
        "assignment_entropy": float(_entropy(assignment).mean()) / math.log(count),
        "usage_entropy": float(_entropy(usage).mean()) / math.log(count),
    }


def _entropy(probability: torch.Tensor) -> torch.Tensor:
    return -torch.special.xlogy(probability, probability).sum(dim=-1)
