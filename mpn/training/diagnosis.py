"""What a training looks at on held-out windows: do prototypes collapse, does it predict?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mpn.datasets.windows import Clip, WindowDataset, to_float
from mpn.errors import MpnError
from mpn.model.collapse import collapse
from mpn.model.network import Network

GAIN = "gain_over_copy_db"
HARDLY = 0.3  # dB; with less a network as good as repeats the last frame


@torch.inference_mode()
def diagnose(network: Network, clips: Sequence[Clip], windows: int = 16) -> dict[str, Any]:
    """Compute the diagnostics of a network on windows of clips, evenly spread, in float32.

    Args:
        network: is in evaluation mode afterwards.
        clips: that nothing is trained on.
        windows: how many.

    Returns:
        "collapse": means by name, as `mpn.model.collapse.collapse` has them, none where there is no
        window; `GAIN`: by how much the prediction is nearer to the true frame than the last frame
        of the window is, in dB of the squared errors' sums: 0 of a network that repeats the last
        frame. Left out where nothing moves.
    """
    try:
        dataset = WindowDataset(clips, network.config.window)
    except MpnError:  # footage shorter than a window
        return {"collapse": {}}
    device = next(network.parameters()).device
    chosen = np.linspace(0, len(dataset) - 1, min(windows, len(dataset))).astype(int)
    network.eval()
    diagnostics, predicted, copied = [], 0.0, 0.0
    for number in chosen:
        window, target = to_float(dataset[int(number)].frames.unsqueeze(0).to(device))
        output = network(window)
        diagnostics.append(collapse(output))
        predicted += float((output.prediction - target).square().sum())
        copied += float((window[:, -target.shape[1] :] - target).square().sum())
    means = {
        name: float(np.mean([values[name] for values in diagnostics])) for name in diagnostics[0]
    }
    diagnosis: dict[str, Any] = {"collapse": means}
    if predicted > 0 and copied > 0:
        diagnosis[GAIN] = 10 * float(np.log10(copied / predicted))
    return diagnosis


def in_words(found: Mapping[str, Any]) -> str:
    """Say what the diagnostics show of the prediction; "" where they show nothing.

    Args:
        found: as `diagnose` gives it.
    """
    if GAIN not in found:
        return ""
    gain = found[GAIN]
    if gain < -HARDLY:
        return (
            f"held-out footage: the prediction is {-gain:.1f} dB further from the true frame than "
            "the last frame of its window is: train longer (--minutes, --epochs)"
        )
    if gain < HARDLY:
        return (
            "held-out footage: the prediction hardly does more than repeat the last frame of its "
            f"window ({gain:+.1f} dB): train longer (--minutes, --epochs)"
        )
    return (
        f"held-out footage: the prediction is {gain:.1f} dB nearer to the true frame than the last "
        "frame of its window is"
    )
