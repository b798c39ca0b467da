"""Episodes for meta-learning: items to adapt on (support) and items of the same class to be judged
on (query).

`EpisodeSampler` draws them from anything labelled. For footage a class is a scene and an item a
window with the frames before it: support and query lie apart in time (`SceneEpisodes`), and windows
become `Shots`, which make batches with pseudo-anomalies of nothing but their own frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple

import numpy as np
import torch

from mpn.datasets.pseudo_anomalies import PseudoAnomalies, PseudoOptions
from mpn.datasets.windows import Clip, Sample, windows_of
from mpn.errors import DataError
from mpn.io.text import plural

# Orders of a class's clips that are looked through for one that can be cut in two: all of five
# clips, else this many.
ORDERS_TRIED = 120


class Item(NamedTuple):
    """What shows the frames `first` to `last` (inclusive) of clip number `clip`."""

    clip: int
    first: int
    last: int


class Episode(NamedTuple):
    """An N-way K-shot task: for every way (a class) the numbers of its support and of its query
    items."""

    ways: tuple[str, ...]
    support: list[list[int]]
    query: list[list[int]]


class _TooFewItemsError(DataError):
    """Classes, named in `classes`, have too few items for an episode."""

    def __init__(self, message: str, classes: Sequence[str]) -> None:
        super().__init__(message)
        self.classes = tuple(classes)


class EpisodeSampler:
    """Draws episodes; the same number gives the same episode, in any order of asking.

    Args:
        items: by class, its items; without `gap` their number is enough.
        shots: support items of a way, or several numbers, one of which is drawn for each episode.
        queries: query items of a way.
        ways: classes of an episode. Over the episodes every class comes equally often, in a new
            order each time around (where `ways` does not divide their number, some are left out of
            each time around).
        gap: None for items that are exchangeable, such as images; else no support and query item of
            the same clip are so near that gap frames or fewer lie from the last frame of one to the
            first of the other (first - last > gap). Different clips are always apart.
        seed: with an episode's number it fixes everything drawn.

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
            name: own if isinstance(own, int) else len(own) for name, own in items.items()
        }
        self._times: dict[str, _Timeline] = {}
        if gap is not None:
            if any(isinstance(own, int) for own in items.values()):
                raise DataError(
                    f"a gap of {gap} frames needs items with their place in time, counts were given"
                )
            self._times = {
                name: _Timeline(own, gap, max(self.shots), queries) for name, own in items.items()
            }
        if short := self._short():
            raise _TooFewItemsError(self._too_small(short), short)

    def _short(self) -> list[str]:
        """Classes that an episode cannot be drawn from."""
        if self.gap is None:
            return [
                name
                for name, count in self.counts.items()
                if count < max(self.shots) + self.queries
            ]
        return [name for name, time in self._times.items() if time.known is None]

    def _too_small(self, short: Sequence[str]) -> str:
        need = f"{max(self.shots)} for support and {self.queries} for query"
        apart = "" if self.gap is None else f" with more than {self.gap} frames between them"
        have = ", ".join(f"{name} has {self.counts[name]}" for name in short)
        return (
            f"too few items for an episode: {have}; it takes {need}{apart}; take fewer, or leave "
            "these classes out"
        )

    def episode(self, number: int) -> Episode:
        """Episode number `number`, from 0 up."""
        generator = np.random.default_rng((self.seed, 1, number))
        shots = self.shots[generator.integers(len(self.shots))]
        ways = self._ways(number)
        sides = [self._sides(name, shots, generator) for name in ways]
        return Episode(
            ways, [support.tolist() for support, _ in sides], [query.tolist() for _, query in sides]
        )

    def _ways(self, number: int) -> tuple[str, ...]:
        around, place = divmod(number, len(self.classes) // self.ways)
        order = np.random.default_rng((self.seed, 0, around)).permutation(len(self.classes))
        return tuple(self.classes[i] for i in order[place * self.ways : (place + 1) * self.ways])

    def _sides(
        self, name: str, shots: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of support and query items: the one place where they are drawn."""
        if self.gap is None:
            chosen = generator.permutation(self.counts[name])[: shots + self.queries]
            return chosen[:shots], chosen[shots:]
        support, query = self._times[name].cut(shots, self.queries, generator)
        return (
            generator.choice(support, shots, replace=False),
            generator.choice(query, self.queries, replace=False),
        )


class _Timeline:
    """Items of one class, its clips laid end to end in some order, to be cut in two at a random
    time.

    With several clips some come on one side and some on the other, and one may be cut; a single one
    is cut.
    """

    def __init__(self, items: Sequence[Item], gap: int, shots: int, queries: int) -> None:
        table = np.array(items, np.int64).reshape(-1, 3)
        numbers, self.clip = np.unique(table[:, 0], return_inverse=True)
        self.clips, self.first, self.last, self.gap = len(numbers), table[:, 1], table[:, 2], gap
        # With so much room for a clip, the items of the next one are always apart.
        self.room = int(self.last.max(initial=0)) + gap + 1
        # A way to cut it that works whatever is drawn; for fewer shots it works all the more.
        self.known = next(
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
        """All items that may be support, at least `shots`, and all that may be query, at least
        `queries`."""
        order, query_first = generator.permutation(self.clips), bool(generator.integers(2))
        for ways in ((order, query_first), (order, not query_first), self.known):
            if parts := self._parts(*ways, shots, queries, generator):
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
        """(support, query) on either side of a random time (the earliest without a generator), or
        None."""
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


@dataclass
class Shots:
    """K windows of one camera with what stands before them.

    Attributes:
        stacks: a window each, uint8 (n, H, W, C), T + 1 <= n: frames before the window (for
            speed-ups, as many as there are, none unreadable), its T frames and the target.
        window: T.

    Raises:
        DataError: there are no windows, or one has too few frames.
    """

    stacks: list[np.ndarray]
    window: int
    _turn: list[int] = field(default_factory=list, init=False, repr=False, compare=False)
    _drawing: np.random.Generator | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        shortest = min((len(stack) for stack in self.stacks), default=0)
        if shortest < self.window + 1:
            raise DataError(
                f"{len(self.stacks)} windows to adapt on, the shortest of {shortest} "
                f"frames; expected at least one, of {self.window + 1} frames or more"
            )

    def __len__(self) -> int:
        return len(self.stacks)

    def draw(
        self, count: int, generator: np.random.Generator, *, pseudo: PseudoOptions | bool = True
    ) -> Sample:
        """A batch of windows in turn, each with pseudo-anomalies of its own draw.

        Draws with one generator go on where the last one stopped: all windows come once in random
        order before any comes again. Another generator begins anew, so that what is drawn depends
        on the generator alone.

        Args:
            count: of windows in the batch.
            pseudo: how windows are tampered with, True for the usual options, False to leave them
                as they are.

        Returns:
            frames uint8 (count, T + 1, C, H, W), the target last and always the true one; tampered
            bool (count, H, W).
        """
        if generator is not self._drawing:
            self._drawing, self._turn = generator, []
        anomalies = (
            PseudoAnomalies(self._any_frame, None if pseudo is True else pseudo) if pseudo else None
        )
        frames, tampered = [], []
        for _ in range(count):
            if not self._turn:
                self._turn = generator.permutation(len(self.stacks)).tolist()
            stack = self.stacks[self._turn.pop()]
            inputs, changed = stack[-self.window - 1 : -1], np.zeros(stack.shape[1:3], bool)
            if anomalies:
                inputs, changed = anomalies(stack[:-1], self.window, generator)
            frames.append(np.concatenate([inputs, stack[-1:]]))
            tampered.append(changed)
        batch = np.ascontiguousarray(np.stack(frames).transpose(0, 1, 4, 2, 3))
        return Sample(torch.from_numpy(batch), torch.from_numpy(np.stack(tampered)))

    def _any_frame(self, generator: np.random.Generator) -> np.ndarray:
        stack = self.stacks[generator.integers(len(self.stacks))]
        return stack[generator.integers(len(stack))]


def shots_of(
    clips: Sequence[Clip], chosen: Sequence[tuple[int, int]], window: int, *, history: bool = True
) -> Shots:
    """Windows by (clip number, target frame), with up to `PseudoAnomalies.history` frames unless
    `history` is off.

    The stacks are views of the clips' frames.

    Raises:
        DataError: a window would begin before its clip or show a frame that could not be read; or
            none was chosen.
    """
    stacks = []
    for number, target in chosen:
        clip = clips[number]
        first = max((bad.index + 1 for bad in clip.bad if bad.index <= target), default=0)
        if target - first < window or target >= len(clip.frames):
            raise DataError(
                f"{clip.name}: no window with target {target}: it takes frames {target - window} "
                f"to {target}, readable are {first} to {min(target, len(clip.frames) - 1)}"
            )
        stacks.append(clip.frames[max(first, target - _reach(window, history)) : target + 1])
    return Shots(stacks, window)


def _reach(window: int, history: bool) -> int:
    """How far before its target a window's stack begins, where there are frames."""
    return PseudoAnomalies.history(window) if history else window


class SceneTask(NamedTuple):
    """A scene with windows to adapt on and windows from another time to be judged on."""

    scene: str
    support: Shots
    query: Shots


class SceneEpisodes:
    """Tasks for meta-learning over scenes: the same number gives the same task, every scene comes
    equally often.

    Frames that support and query show, those that speed-ups look back on included, are more than
    `gap` frames apart wherever they are of the same clip.

    Args:
        clips: normal footage of one scene or more. A scene's clips may be any number; one is cut in
            two.
        window: T.
        shots: support windows of a task, or several numbers, one of which is drawn for each.
        queries: query windows of a task.
        pseudo: stacks bring the frames before a window, for speed-ups.
        seed: with a task's number it fixes which windows are drawn.
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
                Item(number, max(first, target - _reach(window, pseudo)), target)
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
        most = shots if isinstance(shots, int) else max(shots)
        # Two runs of windows: the frames of the first, the gap, and what the first window of the
        # second looks back on.
        need = self.window + most + gap + _reach(self.window, self.pseudo) + queries
        have = []
        for scene in scenes:
            own = [clip for clip in self.clips if clip.scene == scene]
            bad = sum(len(clip.bad) for clip in own)
            have.append(
                f"{scene} has {sum(len(clip.frames) for clip in own)} frames in "
                f"{plural(len(own), 'clip', 'd')}" + f" ({bad} unreadable)" * bool(bad)
            )
        return (
            f"too short to adapt on {most} windows and be judged on {queries} from another time: "
            f"{', '.join(have)}; it takes {need} frames in a row; leave these scenes out, or take "
            "fewer shots or queries"
        )

    def task(self, number: int) -> SceneTask:
        """Task number `number`, from 0 up."""
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


def spread(
    clips: Sequence[Clip], count: int, window: int, *, draw: int = 0, draws: int = 1
) -> list[tuple[int, int]]:
    """`count` windows spread evenly over all windows of the clips, for `shots_of`.

    The windows' row, clip after clip, is cut into `count` equal pieces, and one is taken from each,
    at the same place: draw 0 of 1 the middle, draw d of n the middle of the piece's d-th n-th.

    Returns:
        (clip number, target frame), distinct and in order; those of different draws are distinct
        too where there are count * draws windows.

    Raises:
        DataError: fewer windows than `count`; or there is no such draw.
    """
    if count < 1 or not 0 <= draw < draws:
        raise DataError(
            f"{count} windows, draw {draw} of {draws}: from 1 window up and a draw "
            "from 0 to draws - 1"
        )
    windows = [
        (number, target)
        for n, clip in enumerate(clips)
        for number, target, _ in windows_of(n, clip, window)
    ]
    if len(windows) < count:
        frames = sum(len(clip.frames) for clip in clips)
        raise DataError(
            f"{count} windows to adapt on, but there are {len(windows)} in {frames} frames of "
            f"{len(clips)} clip(s) (a window takes {window + 1} in a row); take fewer, or give "
            "more footage"
        )
    return [
        windows[(2 * (i * draws + draw) + 1) * len(windows) // (2 * draws * count)]
        for i in range(count)
    ]
