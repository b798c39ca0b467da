"""Few-shot classification by distance: a query's class is that of the support it lies near.

Pure functions of embeddings. Nothing is adapted: what is learned is the network that embeds, by
`torch.nn.functional.nll_loss` of the log-probabilities over episodes.

    Prototypical Networks    Snell et al., NeurIPS 2017, eq. 1 and 2
    Matching Networks        Vinyals et al., NeurIPS 2016, eq. 1 and section 2.1.1
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mpn.errors import MpnError


def class_means(support: Tensor, labels: Tensor) -> Tensor:
    """Average the support of each class (Snell et al. 2017, eq. 1): the prototypes.

    Args:
        support: embeddings, float (S, D).
        labels: int64 (S,): classes, numbered from 0 without a gap; in any order, and a class may
            have more items than another.

    Returns:
        (N, D), N the number of classes.

    Raises:
        MpnError: shapes or labels that are none of these.
    """
    _check(support, labels, support)
    members = F.one_hot(labels).T.to(support.dtype)
    return members @ support / members.sum(dim=1, keepdim=True)


def prototypical(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
    """Classify by squared Euclidean distance to class means (Snell et al. 2017, eq. 2).

    log p(k | q) = -|q - c_k|^2 - log sum_j exp(-|q - c_j|^2), c the class means.

    Args:
        support: as in `class_means`.
        labels: as in `class_means`.
        query: embeddings, float (Q, D).

    Returns:
        Log-probabilities (Q, N).

    Raises:
        MpnError: shapes or labels that don't fit.
    """
    _check(support, labels, query)
    apart = query[:, None] - class_means(support, labels)
    return (-apart.square().sum(dim=-1)).log_softmax(dim=-1)


def matching(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
    """Classify by cosine attention over the support (Vinyals et al. 2016, eq. 1, section 2.1.1).

    p(k | q) = sum of a(q, s_i) over the i of class k, a the softmax over all i of the cosine of q
    and s_i. Without the paper's full context embeddings (section 2.1.2, LSTMs that embed an item by
    the whole support): each item is embedded by itself. As cosines lie in [-1, 1], no probability
    can come near 1: with one shot of five classes the highest is 0.65.

    Args:
        support: as in `class_means`; its items are not averaged.
        labels: as in `class_means`.
        query: embeddings, float (Q, D).

    Returns:
        Log-probabilities (Q, N).

    Raises:
        MpnError: shapes or labels that don't fit.
    """
    _check(support, labels, query)
    cosines = F.cosine_similarity(query[:, None], support[None], dim=-1)
    attention = cosines.log_softmax(dim=-1)[:, None]  # logarithm of a, (Q, 1, S)
    members = F.one_hot(labels).T.bool()
    return attention.masked_fill(~members, -torch.inf).logsumexp(dim=-1)


def _check(support: Tensor, labels: Tensor, query: Tensor) -> None:
    if support.ndim != 2 or query.ndim != 2 or support.shape[1] != query.shape[1]:
        raise MpnError(
            f"support {tuple(support.shape)}, query {tuple(query.shape)}: expected embeddings "
            "(S, D) and (Q, D); flatten what a network gives"
        )
    if labels.dtype != torch.int64 or labels.shape != support.shape[:1] or not len(labels):
        raise MpnError(
            f"labels {labels.dtype} {tuple(labels.shape)} for {len(support)} support items: "
            "expected int64, one for each, and at least one"
        )
    classes = labels.unique()
    if not torch.equal(classes, torch.arange(len(classes), device=labels.device)):
        raise MpnError(
            f"classes {classes.tolist()[:10]}: expected numbers from 0 without a gap, so that each "
            "class has support; number an episode's classes anew"
        )
