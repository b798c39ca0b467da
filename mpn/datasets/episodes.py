"""Episodes of footage for meta-learning: windows to adapt on and windows to be judged on.

A class of `mpn.meta.episodes` is here a scene, and an item a window with the frames before it:
support and query lie apart in time (`SceneEpisodes`), and windows become `Shots`, which make
batches with pseudo-anomalies of nothing but their own frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mpn.datasets.shots import Shots, reach, shots_of
from mpn.datasets.windows import Clip, windows_of
from mpn.errors import DataError
from mpn.io.text import plural
from mpn.meta.episodes import EpisodeSampler, Item, TooFewItemsError


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
        except TooFewItemsError as error:
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
