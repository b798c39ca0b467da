"""learn2learn's MAML and MetaSGD on the episodes of `benchmarks.few_shot_images`, which starts it.

It runs in an environment of its own that has learn2learn, which is no dependency of the project.
Weights and episodes come from a file; the network's layers are those of the example.

    PYTHON -m benchmarks.few_shot_learn2learn EPISODES.npz FOUND.json SETTINGS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import learn2learn
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from examples.few_shot_images import conv_net

ALGORITHMS = {
    "maml": learn2learn.algorithms.MAML,
    "meta-sgd": learn2learn.algorithms.MetaSGD,
}


class Trained:
    """A learner of learn2learn, and the outer loop that its documentation shows."""

    def __init__(self, method: str, arrays: Any, settings: dict[str, Any]) -> None:
        self.arrays, self.tasks = arrays, settings["tasks"]
        network = conv_net(arrays["training_classes"].shape[1])
        network.load_state_dict(
            {name: torch.from_numpy(arrays[f"weights/{name}"]) for name in network.state_dict()}
        )
        self.learner = ALGORITHMS[method](network, lr=settings["step_size"])
        self.optimizer = torch.optim.Adam(self.learner.parameters(), lr=settings["learning_rate"])

    def batch(self, split: str, side: str, number: int) -> tuple[Tensor, Tensor]:
        """Support or query of an episode."""
        classes = self.arrays[f"{split}_classes"][number]
        items = self.arrays[f"{split}_{side}"][number]
        chosen = torch.from_numpy(self.arrays[f"{split}_images"][classes[:, None], items])
        labels = torch.arange(len(classes)).repeat_interleave(items.shape[1])
        return chosen.flatten(0, 1)[:, None] / 255, labels

    def adapted(self, split: str, number: int) -> Any:
        """A clone after one step on an episode's support."""
        images, labels = self.batch(split, "support", number)
        clone = self.learner.clone()
        clone.adapt(F.cross_entropy(clone(images), labels))
        return clone

    def step(self, number: int) -> tuple[float, float]:
        """Take outer step number `number`; return its loss and milliseconds of processor time."""
        first, losses = number * self.tasks, []
        began = time.process_time()
        self.optimizer.zero_grad()
        for episode in range(first, first + self.tasks):
            images, labels = self.batch("training", "query", episode)
            loss = F.cross_entropy(self.adapted("training", episode)(images), labels)
            (loss / self.tasks).backward()
            losses.append(loss.item())
        self.optimizer.step()
        return sum(losses) / self.tasks, 1000 * (time.process_time() - began)

    def accuracy(self, number: int) -> float:
        """The share of a test episode's queries that are classified right."""
        images, labels = self.batch("test", "query", number)
        return (self.adapted("test", number)(images).argmax(1) == labels).double().mean().item()


def main() -> None:
    """Trains and judges each method, writes what was found."""
    episodes, found_file, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    with np.load(episodes, allow_pickle=False) as file:
        arrays = dict(file)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    results: dict[str, Any] = {"version": learn2learn.__version__, "torch": torch.__version__}
    steps = len(arrays["training_classes"]) // settings["tasks"]
    for method in settings["methods"]:
        torch.set_default_dtype(torch.float64)
        exact = Trained(method, arrays, settings)
        precise = [exact.step(number)[0] for number in range(settings["first"])]
        torch.set_default_dtype(torch.float32)
        trained = Trained(method, arrays, settings)
        losses, milliseconds = zip(*(trained.step(number) for number in range(steps)))
        results[method] = {
            "losses": losses,
            "first_losses_float64": precise,
            "milliseconds": milliseconds,
            "accuracies": [trained.accuracy(k) for k in range(len(arrays["test_classes"]))],
        }
    found_file.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
