"""What all cameras that are watched have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from mpn.live.batch import SharedNetworks
from mpn.live.config import WatchConfig
from mpn.live.rates import Pace
from mpn.live.status import Alarm
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.detector import Detector
from mpn.scoring.model_score import score_config_of
from mpn.scoring.scores import ScoreConfig


@dataclass(frozen=True)
class Shared:
    """What all cameras have in common.

    Attributes:
        config: of the watch.
        base: the model that new cameras begin with.
        networks: each kept once.
        make: makes a detector of a checkpoint.
        tell: called with each alarm, in any thread.
        films: writes snapshots and clips, one thread.
        learners: learns cameras, one thread.
        wake: set whenever a frame came.
        pace: what there is time for.
    """

    config: WatchConfig
    base: Checkpoint
    networks: SharedNetworks
    make: Callable[[Checkpoint], Detector]
    tell: Callable[[Alarm], None]
    films: Executor
    learners: Executor
    wake: threading.Event
    pace: Pace = field(default_factory=Pace)


def score_config_for(checkpoint: Checkpoint, network: bool | None) -> ScoreConfig:
    """Choose how a checkpoint's parts make the score.

    Args:
        checkpoint: of a camera, or of the base.
        network: see `WatchConfig.network`.
    """
    config = score_config_of(checkpoint)
    return config.of_place_alone() if network is False and checkpoint.places else config
