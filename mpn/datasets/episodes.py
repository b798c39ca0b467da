"""Episodes for meta-learning: items to adapt on (support) and items to be judged on (query).

`EpisodeSampler` samples them, N ways and K shots, from anything labelled. For footage a class is a
scene and an item a window with the frames before it: support and query lie apart in time
(`SceneEpisodes`), and windows become `Shots`, which make batches with pseudo-anomalies of nothing
but their own frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from mpn.datasets.shots import Shots, reach, shots_of
from mpn.datasets.windows import Clip, windows_of
from mpn.errors import DataError
from mpn.io.text import plural

# Orders of a class's clips that are looked through for one that can be cut in two: all of five
# clips, else this many.
ORDERS_TRIED = 120


class Item(NamedTuple):
    """Something that shows the frames `first` to `last` (inclusive) of clip number `clip`."""

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


class _TooFewItemsError(DataError):
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
            name: known if isinstance(known, int) else len(known) for name, known in items.items()
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
            raise _TooFewItemsError(self._too_small(short), short)

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


class SceneTask(NamedTuple):
    """A scene with windows to adapt on and windows from another time to be judged on."""

    scene: str
    support: Shots
    query: Shots


class SceneEpisodes:
    """Tasks for meta-learning over scenes, every scene equally often.

    The same number gives the same task.

    Frames that support and query show, those that speed-ups look back on included, are more than
    `gap` frames apart wherever they are of the same clip.

    Args:
        clips: normal footage of one scene or more. A scene's clips may be any number; one is cut in
            two.
        window: T.
        shots: support windows of a task, or several numbers, of which each task takes one at
            random.
        queries: query windows of a task.
        pseudo: stacks bring the frames before a window, for speed-ups.
        seed: with a task's number it fixes which windows it has.
        gap: frames; None for the window's length.

    Raises:
        DataError: scenes are too short, with how many frames they have and would need; or there are
            no clips.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        window: int,
        *,
        shots: int | Sequence[int],
        queries: int,
        pseudo: bool = True,
        seed: int = 0,
        gap: int | None = None,
    ) -> None:
        self.clips, self.window, self.pseudo = list(clips), window, pseudo
        if not self.clips:
            raise DataError(
                "no clips to draw tasks from: expected normal footage of a scene or more"
            )
        self.scenes = tuple(dict.fromkeys(clip.scene for clip in self.clips))
        self.items: dict[str, list[Item]] = {scene: [] for scene in self.scenes}
        for number, clip in enumerate(self.clips):
            self.items[clip.scene] += [
                Item(number, max(first, target - reach(window, pseudo)), target)
                for _, target, first in windows_of(number, clip, window)
            ]
        gap = window if gap is None else gap
        try:
            self.sampler = EpisodeSampler(
                self.items, shots=shots, queries=queries, gap=gap, seed=seed
            )
        except _TooFewItemsError as error:
            raise DataError(self._too_short(error.classes, shots, queries, gap)) from error

    def _too_short(
        self, scenes: Sequence[str], shots: int | Sequence[int], queries: int, gap: int
    ) -> str:
        max_shots = shots if isinstance(shots, int) else max(shots)
        # Two runs of windows: the frames of the first, the gap, and what the first window of the
        # second looks back on.
        need = self.window + max_shots + gap + reach(self.window, self.pseudo) + queries
        have = []
        for scene in scenes:
            clips = [clip for clip in self.clips if clip.scene == scene]
            bad = sum(len(clip.bad) for clip in clips)
            have.append(
                f"{scene} has {sum(len(clip.frames) for clip in clips)} frames in "
                f"{plural(len(clips), 'clip', 'd')}" + f" ({bad} unreadable)" * bool(bad)
            )
        return (
            f"too short to adapt on {max_shots} windows and be judged on {queries} from another "
            f"time: {', '.join(have)}; it takes {need} frames in a row; leave these scenes out, "
            "or take fewer shots or queries"
        )

    def task(self, number: int) -> SceneTask:
        """Sample task number `number`, from 0 up."""
        episode = self.sampler.episode(number)
        scene, items = episode.ways[0], self.items[episode.ways[0]]
        support, query = (
            shots_of(
                self.clips,
                [(items[i].clip, items[i].last) for i in chosen],
                self.window,
                history=self.pseudo,
            )
            for chosen in (episode.support[0], episode.query[0])
        )
        return SceneTask(scene, support, query)
