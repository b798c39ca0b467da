"""Which of a network's parameters are meant, by their names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mpn.errors import MpnError


def target_names(module: nn.Module, targets: Sequence[str]) -> list[str]:
    """Find the parameters that are adapted.

    Args:
        module: of any kind.
        targets: beginnings of names, such as "head." or "encoder.block1."; or ends, such as
            "*.bias".

    Returns:
        Their names, in the module's order.

    Raises:
        MpnError: one of `targets` names no parameter, or there is none.
    """
    names = [name for name, _ in module.named_parameters()]
    chosen: set[str] = set()
    for target in targets:
        if target.startswith("*"):
            matches = {name for name in names if name.endswith(target[1:])}
        else:
            matches = {name for name in names if name.startswith(target)}
        if not matches:
            tops = sorted({".".join(name.split(".")[:2]) for name in names})
            raise MpnError(f"no parameter is called {target}...; there are {', '.join(tops)}")
        chosen |= matches
    if not chosen:
        raise MpnError("no parameters to adapt were named")
    return [name for name in names if name in chosen]
