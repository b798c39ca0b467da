"""A model with its calibration: scores frames and gives thresholds."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mpn.errors import MpnError
from mpn.model.checkpoint import Checkpoint
from mpn.model.config import ModelConfig
from mpn.model.device import checked_device
from mpn.model.engines import engine_precision, open_engine
from mpn.model.taught import Taught
from mpn.motion.cameras import OwnPlaces, PlaceStream
from mpn.motion.place import REACH, PlaceModel
from mpn.scoring.calibration import Calibration, calibrate, part_statistics
from mpn.scoring.frame_batches import FrameScores
from mpn.scoring.judge import Judge, SeenFrame
from mpn.scoring.memory import Memory
from mpn.scoring.model_score import judged_by_itself, normal_by_clip, score_config_of
from mpn.scoring.parts import asks_network, column_names, given_parts, used_parts
from mpn.scoring.protocols import Exponential, exponential
from mpn.scoring.reasons import SeenMotion
from mpn.scoring.recognition import Recogniser
from mpn.scoring.result import Result
from mpn.scoring.scores import (
    ScoreConfig,
    combine,
    score_frames,
    usual_batch,
)
from mpn.video.ahead import AHEAD, compute_ahead, read_ahead
from mpn.video.frame_source import FrameSource
from mpn.video.images import check_side, fit_frame
from mpn.video.sources import open_source
from mpn.video.timing import USUAL_RATE, frame_rate

if TYPE_CHECKING:
    from typing_extensions import Self


class Detector:
    """A model with its calibration.

    Args:
        checkpoint: from `mpn.model.checkpoint.load_checkpoint`.
        score_config: how parts make the score; default: the checkpoint's.
        device: "cpu" or "cuda".
        precision: "float32", "bfloat16" or "auto" (bfloat16 where the processor has it).
        engine: what runs the network, one of `mpn.model.engines.ENGINES`.
        network_every: the network is asked about every so many-th frame, see `score_frames`.
        batch_size: windows that go through the network at a time; default: as `usual_batch` says.
        compiled: how PyTorch's network is made quicker, see `mpn.model.compiled`; None: not at all.

    Attributes:
        places: place models of the cameras that the model knows, by name.
        parts: the score's parts that are computed.
        weights: part -> its weight in the score.
        columns: names of all numbers in `Result.parts`.
        normal: part -> its mean and deviation on normal frames.
        recogniser: of what the camera was taught.
        judge: makes results of frames' scores.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        score_config: ScoreConfig | None = None,
        device: str = "cpu",
        precision: str = "auto",
        engine: str = "torch",
        network_every: int = 1,
        batch_size: int | None = None,
        compiled: str | None = None,
    ) -> None:
        if min(network_every, batch_size or 1) < 1:
            raise MpnError(
                f"the network every {network_every} frames, in batches of {batch_size}: from 1 up "
                "was expected"
            )
        self.checkpoint, self.network_every = checkpoint, network_every
        self.config, self.places = checkpoint.config, checkpoint.places
        self.network = checkpoint.network.to(
            checked_device(device),
            memory_format=torch.channels_last,  # type: ignore[call-overload] (not in torch's stubs)
        )
        self.bfloat16 = engine_precision(engine, precision, device)
        self.device, self.compiled = torch.device(device), compiled
        self.batch_size = batch_size or usual_batch(self.device)
        self.engine_name = engine
        self.engine = open_engine(engine, self.network, self.bfloat16, compiled=compiled)
        self.score_config = score_config or score_config_of(checkpoint)
        self.parts = used_parts(
            self.network, self.places, self.score_config.weights, checkpoint.normal
        )
        self.weights = self.score_config.weights_of(self.parts)
        if not any(self.weights.values()):
            possible = given_parts(self.network, self.places)
            names = ", ".join(part.name for part in possible)
            raise MpnError(f"nothing to score: all parts of this model ({names}) have weight 0")
        self.columns = column_names(self.parts)
        # Without normal footage the parts stay in their own units, and there is no threshold; so
        # they do with another patch than that footage was scored with.
        valid = checkpoint.normal and self.score_config.patch == score_config_of(checkpoint).patch
        self._normal_clips = normal_by_clip(checkpoint.normal, self.weights) if valid else {}
        mixed = judged_by_itself(checkpoint)
        statistics = part_statistics(self._normal_clips, mixed=mixed)
        self.normal = statistics or dict.fromkeys(self.weights, (0.0, 1.0))
        self.recogniser = Recogniser(
            Memory(checkpoint.taught),
            self.weights,
            self.normal,
            self.score_config.patch,
            self.config.size,
        )
        self.judge = Judge(self.recogniser, calibrated=bool(self._normal_clips))

    def calibration(self, fps: float | Fraction) -> Calibration | None:
        """Make thresholds of the model's normal footage, at its own frame rate.

        Args:
            fps: frames per second of what is scored, taken where the model knows no rate.

        Returns:
            None for a model without normal footage, or with another patch than it was scored with.
        """
        rate = frame_rate(self.checkpoint.fps) or Fraction(fps)
        return self._calibration(rate) if self._normal_clips else None

    @lru_cache(maxsize=8)  # noqa: B019 (a detector lives as long as its program)
    def _calibration(self, fps: Fraction) -> Calibration:
        return calibrate(self.normal_scores(), fps)

    def normal_scores(self) -> dict[str, np.ndarray]:
        """Combine and smooth what the model's normal footage was scored with, float64 by clip."""
        smoothing = self.score_config.smoothing
        return {
            clip: exponential(combine(parts, self.weights, self.normal), smoothing)
            for clip, parts in self._normal_clips.items()
        }

    def score(
        self,
        source: str | Path | FrameSource,
        *,
        fps: float | Fraction | None = None,
        skip_bad: bool = False,
        images: bool = False,
        batch_size: int | None = None,
        first: int = 0,
        smoothed: float | None = None,
        own_places: OwnPlaces | None = None,
    ) -> Generator[Result, None, None]:
        """Score a video file or a folder of frames in a stream: memory does not grow.

        Args:
            source: a path, or an opened source.
            fps: frame rate where the source has none of its own, for `time`.
            skip_bad: go on past frames that cannot be read.
            images: give the source's frames back in the results.
            batch_size: windows that go through the network at a time; default: the detector's.
            first: how many results an earlier scoring gave before it stopped. Going on gives the
                same to the bit where a batch ended there (`ends_a_batch`).
            smoothed: the score of the last of them.
            own_places: judge the recording by itself, by what this says; default: by the camera's
                place model, of those that the model knows.

        Returns:
            One result a frame, in order.

        Raises:
            FrameError: naming what cannot be read; of the whole source at the call, of a frame when
                its turn comes.
            DataError: likewise.
            SizeError: at the call: frames too small for the network.
        """
        if not isinstance(source, FrameSource):
            source = open_source(source, skip_bad=skip_bad, fps=fps)
        source.use_levels(self.checkpoint.levels, "as in the model's footage")
        check_size_of(source, self.config)
        batch_size = batch_size or self.batch_size
        return self._results(source, images, batch_size, first, smoothed, own_places)

    def ends_a_batch(self, count: int, batch_size: int | None = None) -> bool:
        """Say whether after `count` results the network's next batch begins.

        Args:
            count: results given so far.
            batch_size: windows that go through the network at a time; default: the detector's.
        """
        frames = (batch_size or self.batch_size) * self.network_every
        return count >= self.config.window and (count - self.config.window) % frames == 0

    def sibling(
        self, checkpoint: Checkpoint, score_config: Mapping[str, Any] | None = None
    ) -> Self:
        """Make a detector of another checkpoint with this one's config, device and engine.

        Args:
            checkpoint: the other one.
            score_config: how its parts make the score, instead, as `ScoreConfig.to_dict` gives it.
        """
        precision = "bfloat16" if self.bfloat16 else "float32"
        return type(self)(
            checkpoint,
            score_config=ScoreConfig.from_dict(score_config) if score_config else self.score_config,
            device=str(self.device),
            precision=precision,
            engine=self.engine_name,
            network_every=self.network_every,
            batch_size=self.batch_size,
            compiled=self.compiled,
        )

    def remember(self, taught: Sequence[Taught]) -> None:
        """Know something else by teaching from the next frame on; all else goes on as it was.

        It can be called in another thread than the one that scores.

        Args:
            taught: all that the camera was taught.
        """
        self.checkpoint = replace(self.checkpoint, taught=tuple(taught))
        self.recogniser = replace(self.recogniser, memory=Memory(taught))
        # A frame's result asks one judge, which never changes: it is the earlier one or this.
        self.judge = Judge(self.recogniser, calibrated=bool(self._normal_clips))

    def _results(
        self,
        source: FrameSource,
        images: bool,
        batch_size: int,
        first: int,
        smoothed: float | None,
        own_places: OwnPlaces | None,
    ) -> Generator[Result, None, None]:
        smoother = Exponential(self.score_config.smoothing)
        smoother.state = smoothed
        # The first result that is wanted needs the window before it; frames before that are only
        # decoded, and asked for what stays.
        skipped = max(0, first - self.config.window)
        taught = bool(self.checkpoint.taught)  # what is taught is recognised in the pictures
        for number, (frame, scores) in enumerate(
            self._scored_frames(source, images or taught, batch_size, skipped, own_places), skipped
        ):
            if scores is not None:
                result = self.judge.result(frame, scores, source.size)
                result.score = smoother.update(result.raw)
                if not images:
                    result.image = None
                yield result
            elif number >= first:
                image = frame.image if images else None
                yield Result(frame.number, frame.time, math.nan, math.nan, {}, image=image)

    def _scored_frames(
        self,
        source: FrameSource,
        images: bool,
        batch_size: int,
        skipped: int,
        own_places: OwnPlaces | None,
    ) -> Iterator[tuple[SeenFrame, FrameScores | None]]:
        """Pair every frame but the first `skipped` with its scores, None where it has no window."""
        waiting: deque[SeenFrame] = deque()  # frames that the network has not answered yet
        # Motion of frames that were not asked for yet, by their number among those not skipped.
        quotients: dict[int, np.ndarray] = {}
        stream = self.place_stream(
            source.size, source.fps, own_places=own_places, name=source.path.name
        )

        def begun() -> Generator[tuple[_Decoded, Callable[[], np.ndarray | None]], None, None]:
            for count, image in source.pick(self._looked_at(source.length, skipped)):
                needs_motion = stream is not None and count >= skipped - REACH
                motion = stream.begin(image, count) if stream and needs_motion else lambda: None
                yield _Decoded(count, image, _position(source, count)), motion

        def fitted() -> Generator[np.ndarray, None, None]:
            asks, shown = asks_network(self.parts), None
            with closing(compute_ahead(begun())) as frames:
                for (count, image, position), motion in frames:
                    if stream is not None and motion is not None:
                        quotients[count - skipped] = stream.read(image, count, motion)
                    elif stream is not None:
                        stream.skip(image, count)
                    if count >= skipped:
                        picture, seen = image if images else None, None
                        if stream is not None and stream.place is not None:
                            seen = SeenMotion(stream.speeds, stream.place, source.size, source.fps)
                        waiting.append(SeenFrame(*position, picture, seen))
                        if shown is None or asks:
                            shown = self.fitted(image)
                        yield shown  # motion alone asks for its size

        # While the network has a batch the next one is read: it takes all of it at once.
        with closing(read_ahead(fitted(), max(AHEAD, batch_size))) as pictures:
            scored = score_frames(
                self.network,
                pictures,
                parts=self.parts,
                quotients=quotients.pop if stream is not None else None,
                patch=self.score_config.patch,
                batch_size=batch_size,
                engine=self.engine,
                network_every=self.network_every,
            )
            number = 0
            for scores in scored:
                while number < scores.frame:  # the first T
                    yield waiting.popleft(), None
                    number += 1
                yield waiting.popleft(), scores
                number += 1
        while waiting:  # a source shorter than a window
            yield waiting.popleft(), None

    def _looked_at(self, length: int, skipped: int) -> np.ndarray:
        """Say which frames are read, bool (length,), where so many are skipped.

        The first tells the camera; what stays is seen from the beginning on.
        """
        chosen = np.ones(length, bool)
        if not any(part.needs_static for part in self.parts):
            chosen[1 : max(1, skipped - REACH)] = False
        return chosen

    def place_stream(
        self,
        size: tuple[int, int],
        fps: float | Fraction | None,
        *,
        own_places: OwnPlaces | None = None,
        place: PlaceModel | None = None,
        name: str = "",
    ) -> PlaceStream | None:
        """Make what judges one stream of frames by place; None where no part does.

        Args:
            size: (height, width) of the frames.
            fps: of them, None where unknown.
            own_places: see `score`.
            place: the camera's, where it need not be chosen by the first frame.
            name: of the stream, for what is logged.
        """
        if not any(part.needs_place for part in self.parts):
            return None
        rate = float(fps or self.checkpoint.fps or USUAL_RATE)
        static = any(part.needs_static for part in self.parts)
        fitted = self.fitted if static else None
        usual = None if own_places else self.checkpoint.fps
        return PlaceStream(self.places, size, rate, fitted, own_places, usual, place, name)

    def fitted(self, image: np.ndarray) -> np.ndarray:
        """Fit a frame (H, W, C) to the network, uint8."""
        return fit_frame(image, self.config.size, self.config.grey, self.config.interpolation)


class _Decoded(NamedTuple):
    """A frame of the source: its number among those given, the picture, index and seconds."""

    number: int
    image: np.ndarray
    position: tuple[int, float]


def check_size_of(source: FrameSource, config: ModelConfig) -> None:
    """Check that frames are as large as the network needs.

    Args:
        source: of the frames.
        config: of the network.

    Raises:
        SizeError: they are smaller.
    """
    check_side(source.path, source.size, config.stride)


def _position(source: FrameSource, count: int) -> tuple[int, float]:
    """Return index in the video and seconds of the frame that the source gave last.

    `count`: its number among those given, from 0.
    """
    frame, time = source.position
    if math.isnan(time) and source.fps:
        time = float(count / source.fps)
    return frame, time
