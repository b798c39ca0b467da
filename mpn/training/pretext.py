"""Self-supervised pre-training: a network learns footage before it learns to predict.

Two pretext tasks on windows that are partly hidden, whole patches in every frame and now and then a
frame: what is hidden is reconstructed (He et al., CVPR 2022), by a head that is thrown away; and of
each sample two windows, a frame apart, are to be told from all others of the batch, those of other
scenes and of other times (Chen et al., ICML 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpn.datasets.windows import Clip, Sample, to_float
from mpn.errors import TrainingError
from mpn.model.checkpoint import Checkpoint, save_checkpoint
from mpn.model.config import ModelConfig
from mpn.training.distributed import current
from mpn.training.pretraining import Training, TrainingOptions
from mpn.training.run import OnLog
from mpn.training.run_folder import MODEL

# Side of a hidden patch in pixels, the share of patches that are hidden, and of windows of which a
# whole frame is.
PATCH, HIDDEN, HIDDEN_FRAME = 16, 0.5, 0.5
# Of the contrastive term: its weight beside the reconstruction, and how sharp it is.
CONTRAST_WEIGHT, TEMPERATURE = 0.05, 0.2
EMBEDDED = 64  # numbers of a window's embedding


class PretextHeads(nn.Module):
    """What the pretext tasks need beside the network, and nobody after them.

    Args:
        config: of the network.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c, self.unshuffle = config.channels, config.unshuffle
        frames = config.window * config.colours * self.unshuffle**2
        self.reconstruct = nn.Sequential(
            nn.Conv2d(2 * c, 2 * c, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * c, frames, 3, padding=1),
        )
        self.embed = nn.Linear(8 * c, EMBEDDED)

    def forward(self, encoding: Tensor, aggregation: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the window as it is thought to be, and its embedding.

        Args:
            encoding: (B, 8c, h/8, w/8).
            aggregation: (B, 2c, h, w).

        Returns:
            (B, T * C, H, W), about [-1, 1]; (B, EMBEDDED), of unit length.
        """
        window = F.pixel_shuffle(self.reconstruct(aggregation), self.unshuffle)
        embedding = self.embed(encoding.mean(dim=(2, 3)))
        return window, F.normalize(embedding.float(), dim=1)


def hidden_places(windows: Tensor, colours: int, generator: torch.Generator) -> Tensor:
    """Choose what is hidden of windows.

    Args:
        windows: (B, T * C, H, W).
        colours: C.
        generator: of the choice, on the processor.

    Returns:
        bool of the windows' shape, on their device: the same patches of all frames, and a whole
        frame of some windows.
    """
    b, channels, height, width = windows.shape
    frames = channels // colours
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    patches = torch.rand((b, 1, rows, columns), generator=generator) < HIDDEN
    patches = patches.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
    whole = torch.randint(frames, (b, 1), generator=generator) == torch.arange(frames)
    whole &= torch.rand((b, 1), generator=generator) < HIDDEN_FRAME
    hidden = patches[:, :, :height, :width] | whole.repeat_interleave(colours, 1)[:, :, None, None]
    return hidden.to(windows.device)


def contrast_loss(first: Tensor, second: Tensor) -> Tensor:
    """Compute how badly pairs of windows are told from the others (NT-Xent; Chen et al. 2020).

    Args:
        first: embeddings of unit length, (B, K).
        second: of the other window of each pair, (B, K).
    """
    count, both = len(first), torch.cat([first, second])
    logits = both @ both.T / TEMPERATURE
    logits = logits.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=both.device), -1e9)
    partner = torch.arange(2 * count, device=both.device).roll(count)
    return F.cross_entropy(logits, partner)


class PretextTraining(Training):
    """A run of the pretext tasks; its arguments are those of `Training`.

    Its model has no scores of normal footage: it is what another training begins with.
    """

    title, tampers = "pretext", False

    def _learned(self) -> list[nn.Parameter]:
        self.heads = PretextHeads(self.config).to(self.device)
        return [*self.network.parameters(), *self.heads.parameters()]

    def fingerprint(self) -> dict[str, Any]:
        """Give what must agree for a resumed run to be the same run, plain values."""
        fingerprint = super().fingerprint()
        tasks = {"patch": PATCH, "hidden": HIDDEN, "hidden_frame": HIDDEN_FRAME}
        tasks |= {"contrast_weight": CONTRAST_WEIGHT, "temperature": TEMPERATURE}
        return fingerprint | {"pretext": tasks}

    def _state(self) -> dict[str, Any]:
        return super()._state() | {"heads": self.heads.state_dict()}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self.heads.load_state_dict(state["heads"])

    def _loss(self, sample: Sample) -> tuple[dict[str, Tensor], Tensor]:
        window, target = to_float(sample.frames.to(self.device))
        colours = self.config.colours
        # The window, and the one a frame later.
        windows = torch.cat([window, torch.cat([window[:, colours:], target], dim=1)])
        generator = torch.Generator().manual_seed((self.options.seed << 32) + self.step)
        hidden = hidden_places(windows, colours, generator)
        shown = windows.masked_fill(hidden, 0.0).contiguous(memory_format=torch.channels_last)
        with self._precision():
            encoding, features = self.network.decode(shown)
            made, embedding = self.heads(encoding, self.network.prototype(features)[4])
        difference = (made.float() - windows).square()
        terms = {
            "reconstruction": (difference * hidden).sum() / hidden.sum().clamp_min(1),
            "contrast": contrast_loss(*embedding.chunk(2)),
        }
        return terms, terms["reconstruction"] + CONTRAST_WEIGHT * terms["contrast"]

    def finish(self) -> Path:
        """Write the model, and return its path."""
        rates = [clip.fps for clip in self.calibration_clips if clip.fps]
        training = self.fingerprint() | {"steps": self.step, "seconds": round(self.seconds, 1)}
        training.pop("preset")
        fps = float(np.median(rates)) if rates else None
        path = self.folder / MODEL
        save_checkpoint(path, Checkpoint(self.network.eval(), fps=fps, training=training))
        return path


def pretext(
    clips: Sequence[Clip],
    config: ModelConfig,
    options: TrainingOptions,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    on_log: OnLog | None = None,
) -> Path:
    """Train a network by the pretext tasks, and return the path of its model.

    A finished run that is resumed is left alone. See `Training` for what it raises.

    Args:
        clips: all normal footage; what the next training holds out is held out here too.
        config: of the network.
        options: see `TrainingOptions`.
        folder: the run folder.
        resume: go on from the folder's state.
        device: "cpu" or "cuda".
        on_log: called with every line of the log.

    Raises:
        TrainingError: in several processes, whose windows would not be told from each other.
    """
    if current().count > 1:
        raise TrainingError(
            "the pretext tasks are learned in one process: start without torchrun, and when they "
            "are done go on with it (--resume)"
        )
    run = PretextTraining(clips, config, options, folder, resume=resume, device=device)
    return run.run(on_log)
