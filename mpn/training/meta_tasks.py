"""Tasks of meta-training: windows of one scene to adapt on, and later ones to be judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mpn.adaptation.inner_loop import SceneBatch, SceneLoss
from mpn.datasets.augmentation import RandomCamera, temporal_subsample
from mpn.datasets.episodes import SceneEpisodes
from mpn.datasets.windows import Clip, split_calibration
from mpn.errors import TrainingError
from mpn.training.meta_options import MetaOptions


class MetaTasks:
    """The scenes of a meta-training, and tasks of them by their number.

    Args:
        clips: normal footage of all scenes.
        options: see `MetaOptions`.
        loss: what batches are made ready for.

    Attributes:
        clips: learned from: those of the scenes, and what temporal subsampling makes of them.
        calibration_clips: of every clip, the part kept for calibration.
        episodes: of the scenes to learn from.
        validation: of those that are kept out, or None.

    Raises:
        TrainingError: a validation scene that there is not, or no scene left to learn from.
        DataError: scenes too short.
    """

    def __init__(self, clips: Sequence[Clip], options: MetaOptions, loss: SceneLoss) -> None:
        self.options, self.loss = options, loss
        self.config = loss.network.config
        self.pseudo = self.config.pseudo_head and "pseudo" not in options.without
        scenes = {clip.scene for clip in clips}
        unknown = sorted(set(options.validation) - scenes)
        if unknown:
            raise TrainingError(f"no scene is called {unknown[0]}; there are {sorted(scenes)}")
        train, self.calibration_clips = split_calibration(clips, options.calibration_share)
        learned = [clip for clip in train if clip.scene not in options.validation]
        kept_out = [clip for clip in train if clip.scene in options.validation]
        min_frames = max(options.shots) + options.queries + 10 * self.config.window
        self.clips = list(learned)
        for every in options.temporal_subsample:
            self.clips += temporal_subsample(learned, every, min_frames)
        if not self.clips:
            raise TrainingError(
                "every scene is kept out for validation: none is left to learn from"
            )
        self.episodes = self._episodes(self.clips)
        self.validation = self._episodes(kept_out) if kept_out else None

    def _episodes(self, clips: Sequence[Clip]) -> SceneEpisodes:
        options = self.options
        return SceneEpisodes(
            clips,
            self.config.window,
            shots=options.shots,
            queries=options.queries,
            pseudo=self.pseudo,
            seed=options.seed,
        )

    def task(self, number: int) -> tuple[list[SceneBatch], SceneBatch]:
        """Sample a task of the scenes to learn from, by the seed and its number.

        Args:
            number: of the task.

        Returns:
            The support batches, one an inner step, and the query batch.
        """
        return self._task(self.episodes, number, validation=False)

    def validation_task(self, number: int) -> tuple[list[SceneBatch], SceneBatch]:
        """Sample a task of the scenes that are kept out, as `task`; as they are filmed.

        Args:
            number: of the task.

        Raises:
            TrainingError: no scene is kept out.
        """
        if self.validation is None:
            raise TrainingError("no scene is kept out for validation")
        return self._task(self.validation, number, validation=True)

    def _task(
        self, episodes: SceneEpisodes, number: int, *, validation: bool
    ) -> tuple[list[SceneBatch], SceneBatch]:
        options, episode = self.options, episodes.task(number)
        generator = np.random.default_rng((options.seed, number, int(validation)))
        support, query = episode.support, episode.query
        if options.random_cameras and not validation:
            camera = RandomCamera(generator, self.config.size)
            support, query = (
                replace(shots, stacks=[camera(stack) for stack in shots.stacks])
                for shots in (support, query)
            )
        batches = [
            self.loss.prepare(support.sample(options.batch, generator, pseudo=self.pseudo))
            for _ in range(options.inner_steps)
        ]
        query_batch = self.loss.prepare(
            query.sample(options.queries, generator, pseudo=self.pseudo)
        )
        return batches, query_batch._replace(extra_weights=options.query_loss_weights)
