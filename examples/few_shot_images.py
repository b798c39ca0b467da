"""Few-shot classification of images by seven methods of `mpn.meta`, from training to test.

A network learns from episodes of training characters, and is judged on episodes of characters that
it has never seen, with a 95 % interval over these. All methods have the same network, episodes and
outer optimiser. From the root of a checkout:

    python -m examples.few_shot_images --method maml --ways 5 --shots 1
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from examples.characters import Batch, Tasks, draw_characters
from mpn.meta import maml
from mpn.meta.metric_based import matching, prototypical

METRIC_BASED = {"prototypical": prototypical, "matching": matching}
METHODS = ("maml", "fomaml", "meta-sgd", "anil", "reptile", *METRIC_BASED)
INNER_STEPS = {"anil": 5, "reptile": 5}  # the others take one
TRAINING_CLASSES, TEST_CLASSES = 100, 40
CHANNELS, STEP_SIZE, LEARNING_RATE, TASKS = 16, 0.4, 3e-3, 4


def conv_net(ways: int) -> nn.Sequential:
    """Build four strided convolutions, as Finn et al. 2017 have for Omniglot, and a linear layer.

    Groups of channels are normalised, not batches, so that a query is judged by itself.
    """
    layers: list[nn.Module] = []
    for inputs in (1, CHANNELS, CHANNELS, CHANNELS):
        convolution = nn.Conv2d(inputs, CHANNELS, 3, stride=2, padding=1)
        layers += [convolution, nn.GroupNorm(4, CHANNELS), nn.ReLU()]
    return nn.Sequential(nn.Sequential(*layers, nn.Flatten()), nn.Linear(4 * CHANNELS, ways))


class Learner:
    """A network that learns, by one of `METHODS`, to classify from a few examples."""

    def __init__(self, method: str, ways: int, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.method, self.network = method, conv_net(ways)
        self.embed, head = self.network
        # What is adapted to a task: all, by ANIL the last layer. Its loss is a function of that.
        self.part = head if method == "anil" else self.network
        self.params = dict(self.part.named_parameters())
        self.loss = maml.functional_loss(self.part, F.cross_entropy)
        self.how = {"step_sizes": STEP_SIZE, "steps": INNER_STEPS.get(method, 1)}
        self.how["second_order"] = method not in ("fomaml", "reptile")
        learned = [*self.network.parameters()]
        if method == "meta-sgd":  # a step size for every number, learned too
            sizes = {name: torch.full_like(p, STEP_SIZE) for name, p in self.params.items()}
            self.how["step_sizes"] = sizes
            learned += [size.requires_grad_() for size in sizes.values()]
        self.optimizer = torch.optim.Adam(learned, lr=LEARNING_RATE)

    def embedded(self, batch: Batch) -> Batch:
        return self.embed(batch[0]), batch[1]

    def train(self, tasks: list[tuple[Batch, Batch]]) -> float:
        """Take an outer step; return the mean query loss after adaptation (of Reptile: NaN)."""
        self.optimizer.zero_grad()
        if self.method == "reptile":  # has no query: it adapts to all of a task
            joined = [tuple(torch.cat(pair) for pair in zip(*task)) for task in tasks]
            adapted = [maml.adapt(self.loss, self.params, all_, **self.how) for all_ in joined]
            maml.reptile_gradients(self.params, adapted)
            losses = [float("nan")]
        elif self.method in METRIC_BASED:
            of_tasks = [F.nll_loss(self.classify(s, q[0]), q[1]) for s, q in tasks]
            torch.stack(of_tasks).mean().backward()
            losses = [loss.item() for loss in of_tasks]
        else:
            if self.method == "anil":  # embeds once, and learns to embed through the batches
                tasks = [(self.embedded(s), self.embedded(q)) for s, q in tasks]
            losses = [
                one.after for one in maml.accumulate(self.loss, self.params, tasks, **self.how)
            ]
        self.optimizer.step()
        return sum(losses) / len(losses)

    def classify(self, support: Batch, query: Tensor) -> Tensor:
        """Compute log-probabilities (queries, ways) of query images from a task's support."""
        if self.method in METRIC_BASED:
            return METRIC_BASED[self.method](*self.embedded(support), self.embed(query))
        if self.method == "anil":
            support, query = self.embedded(support), self.embed(query)
        adapted = maml.adapt(self.loss, self.params, support, **self.how)
        return functional_call(self.part, adapted, (query,)).log_softmax(dim=1)

    @torch.no_grad()
    def accuracies(self, tasks: Tasks, count: int) -> np.ndarray:
        """Measure the share of a task's queries that are classified right, of each task."""
        judged = [(tasks[k][0], *tasks[k][1]) for k in range(count)]
        right = [self.classify(s, images).argmax(1) == labels for s, images, labels in judged]
        return torch.stack(right).double().mean(dim=1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0] + " A few minutes a method.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--method", choices=METHODS, default="maml")
    parser.add_argument("--ways", type=int, default=5, help="classes of a task")
    parser.add_argument("--shots", type=int, default=1, help="examples of each")
    parser.add_argument("--steps", type=int, default=1000, help="outer steps")
    parser.add_argument("--episodes", type=int, default=300, help="test tasks")
    args = parser.parse_args()
    if not 2 <= args.ways <= TEST_CLASSES:
        parser.error(f"--ways {args.ways}: 2 to {TEST_CLASSES}, the test characters, were expected")
    torch.set_flush_denormal(True)  # slow on processors, and worth nothing here
    images = draw_characters(TRAINING_CLASSES + TEST_CLASSES)
    training, test = images[:TRAINING_CLASSES], images[TRAINING_CLASSES:]
    tasks = Tasks(training, args.ways, args.shots, seed=0)
    learner = Learner(args.method, args.ways)
    for step in range(args.steps):
        loss = learner.train([tasks[TASKS * step + k] for k in range(TASKS)])
        if step % 100 == 0:
            print(f"step {step}: query loss {loss:.3f}", flush=True)
    found = learner.accuracies(Tasks(test, args.ways, args.shots, seed=1), args.episodes)
    half = 1.96 * found.std(ddof=1) / len(found) ** 0.5
    print(
        f"{args.method}, {args.ways}-way {args.shots}-shot: accuracy on new characters "
        f"{100 * found.mean():.1f} % +- {100 * half:.1f}"
    )


if __name__ == "__main__":
    main()
