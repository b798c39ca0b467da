"""N-way K-shot episodes: items to adapt on (support) and items to be judged on (query).

`EpisodeSampler` draws the numbers of items from anything labelled, and knows nothing of what they
are. Items with a place in time are kept apart by a gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from mpn.errors import DataError

# Orders of a class's clips that are looked through for one that can be cut in two: all of five
# clips, else this many.
ORDERS_TRIED = 120


class Item(NamedTuple):
    """Something that spans the frames `first` to `last` (inclusive) of clip number `clip`.

    A clip is anything in which there is a before and after, its frames are counted in any unit.
    """

    clip: int
    first: int
    last: int


class Episode(NamedTuple):
    """An N-way K-shot task.

    Attributes:
        ways: names of N classes.
        support: for every way the numbers of its K support items.
        query: for every way the numbers of its query items, none of them support.
    """

    ways: tuple[str, ...]
    support: list[list[int]]
    query: list[list[int]]


class TooFewItemsError(DataError):
    """Classes, named in `classes`, have too few items for an episode."""

    def __init__(self, message: str, classes: Sequence[str]) -> None:
        super().__init__(message)
        self.classes = tuple(classes)


class EpisodeSampler:
    """Samples episodes; the same number gives the same episode, in any order of asking.

    Args:
        items: by class, its items; without `gap` their number is enough.
        shots: support items of a way, or several numbers, of which each episode takes one at
            random.
        queries: query items of a way.
        ways: classes of an episode. Over the episodes every class comes equally often, in a new
            order each time around (where `ways` does not divide their number, some are left out of
            each time around).
        gap: None for items that are exchangeable, such as images; else no support and query item of
            the same clip are so near that gap frames or fewer lie from the last frame of one to the
            first of the other (first - last > gap). Different clips are always apart.
        seed: with an episode's number it fixes everything that is random.

    Raises:
        DataError: fewer classes than ways, or classes with too few items (or, with `gap`, items too
            near to each other), with their numbers.
    """

    def __init__(
        self,
        items: Mapping[str, Sequence[Item]] | Mapping[str, int],
        *,
        shots: int | Sequence[int],
        queries: int,
        ways: int = 1,
        gap: int | None = None,
        seed: int = 0,
    ) -> None:
        self.shots = (shots,) if isinstance(shots, int) else tuple(shots)
        self.queries, self.ways, self.gap, self.seed = queries, ways, gap, seed
        if min((*self.shots, queries, ways), default=0) < 1 or not self.shots or (gap or 0) < 0:
            raise DataError(
                f"shots {shots}, queries {queries}, ways {ways}, gap {gap}: expected "
                "from 1 up, gap from 0"
            )
        self.classes = tuple(items)
        if len(self.classes) < ways:
            raise DataError(f"{ways} ways need as many classes, there are {len(self.classes)}")
        self.counts = {
            name: entry if isinstance(entry, int) else len(entry) for name, entry in items.items()
        }
        self._times: dict[str, _Timeline] = {}
        if gap is not None:
            for name, in_time in items.items():
                if isinstance(in_time, int):
                    raise DataError(
                        f"a gap of {gap} frames needs items with their place in time, counts were "
                        "given"
                    )
                self._times[name] = _Timeline(in_time, gap, max(self.shots), queries)
        if short := self._short():
            raise TooFewItemsError(self._too_small(short), short)

    def _short(self) -> list[str]:
        """List the classes that have too few items for an episode."""
        if self.gap is None:
            return [
                name
                for name, count in self.counts.items()
                if count < max(self.shots) + self.queries
            ]
        return [name for name, timeline in self._times.items() if timeline.sure_cut is None]

    def _too_small(self, short: Sequence[str]) -> str:
        need = f"{max(self.shots)} for support and {self.queries} for query"
        apart = "" if self.gap is None else f" with more than {self.gap} frames between them"
        have = ", ".join(f"{name} has {self.counts[name]}" for name in short)
        return (
            f"too few items for an episode: {have}; it takes {need}{apart}; take fewer, or leave "
            "these classes out"
        )

    def episode(self, number: int) -> Episode:
        """Sample episode number `number`, from 0 up."""
        generator = np.random.default_rng((self.seed, 1, number))
        shots = self.shots[generator.integers(len(self.shots))]
        ways = self._ways(number)
        sides = [self._sides(name, shots, generator) for name in ways]
        return Episode(
            ways, [support.tolist() for support, _ in sides], [query.tolist() for _, query in sides]
        )

    def _ways(self, number: int) -> tuple[str, ...]:
        around, position = divmod(number, len(self.classes) // self.ways)
        order = np.random.default_rng((self.seed, 0, around)).permutation(len(self.classes))
        first = position * self.ways
        return tuple(self.classes[i] for i in order[first : first + self.ways])

    def _sides(
        self, name: str, shots: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample the numbers of support and query items: the one place where they are sampled."""
        if self.gap is None:
            chosen = generator.permutation(self.counts[name])[: shots + self.queries]
            return chosen[:shots], chosen[shots:]
        support, query = self._times[name].cut(shots, self.queries, generator)
        return (
            generator.choice(support, shots, replace=False),
            generator.choice(query, self.queries, replace=False),
        )


class _Timeline:
    """Items of one class in time, to be cut in two, support on one side and query on the other.

    The clips are laid end to end in a random order and cut at a random time:

        clip 2       clip 0               clip 1
        |----------| |-----------------| |---------|
        first side ...............| gap |... second side

    With several clips some come on one side and some on the other, and one may be cut; a single one
    is cut. An item belongs to a side if all frames that it shows do.
    """

    def __init__(self, items: Sequence[Item], gap: int, shots: int, queries: int) -> None:
        table = np.array(items, np.int64).reshape(-1, 3)
        numbers, self.clip = np.unique(table[:, 0], return_inverse=True)
        self.clips, self.first, self.last, self.gap = len(numbers), table[:, 1], table[:, 2], gap
        # With so much room for a clip, the items of the next one are always apart.
        self.room = int(self.last.max(initial=0)) + gap + 1
        # An order and which side comes first that can be cut; for fewer shots all the more so.
        self.sure_cut = next(
            (
                (order, query_first)
                for order in self._orders()
                for query_first in (False, True)
                if self._parts(order, query_first, shots, queries)
            ),
            None,
        )

    def _orders(self) -> Iterator[np.ndarray]:
        if self.clips <= 5:
            yield from (np.array(order, np.int64) for order in permutations(range(self.clips)))
        else:
            generator = np.random.default_rng(0)
            yield from (generator.permutation(self.clips) for _ in range(ORDERS_TRIED))

    def cut(
        self, shots: int, queries: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample a cut.

        Args:
            shots: support items that are needed.
            queries: query items that are needed.
            generator: of the order and the time.

        Returns:
            The numbers of all items that may be support, at least `shots`, and of all that may be
            query, at least `queries`.
        """
        order, query_first = generator.permutation(self.clips), bool(generator.integers(2))
        attempts = [(order, query_first), (order, not query_first)]
        attempts += [self.sure_cut] if self.sure_cut else []
        for attempt in attempts:
            if parts := self._parts(*attempt, shots, queries, generator):
                return parts
        raise AssertionError("what was found to fit at construction fits")  # pragma: no cover

    def _parts(
        self,
        order: np.ndarray,
        query_first: bool,
        shots: int,
        queries: int,
        generator: np.random.Generator | None = None,
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Part the items at a random time, the earliest possible without a generator.

        Returns:
            (support, query), or None where no time leaves enough items on both sides.
        """
        earlier, later = (queries, shots) if query_first else (shots, queries)
        if len(self.clip) < earlier + later:
            return None
        start = order[self.clip] * self.room
        first, last = self.first + start, self.last + start
        # A cut after frame c: enough items end by then, and enough begin more than the gap after
        # it.
        cuts = np.sort(last)[earlier - 1 :]
        cuts = cuts[cuts < np.sort(first)[len(first) - later] - self.gap]
        if not len(cuts):
            return None
        chosen = cuts[generator.integers(len(cuts)) if generator else 0]
        before, after = np.flatnonzero(last <= chosen), np.flatnonzero(first > chosen + self.gap)
        return (after, before) if query_first else (before, after)
