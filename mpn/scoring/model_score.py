"""What a model says of its score: how its parts make it, and what normal footage gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from mpn.errors import CheckpointError, MpnError
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.scores import ScoreConfig


def score_config_of(checkpoint: Checkpoint) -> ScoreConfig:
    """Read how a checkpoint's parts are to make the score.

    Args:
        checkpoint: its recipe is read.

    Raises:
        CheckpointError: the recipe has unknown entries or cannot be used.
    """
    whose = f"{checkpoint.path}: its recipe" if checkpoint.path else "the checkpoint's recipe"
    try:
        return ScoreConfig.from_dict(checkpoint.score_config)
    except KeyError as error:
        raise CheckpointError(f"{whose} has unknown entries {list(error.args)}") from error
    except (TypeError, MpnError) as error:
        raise CheckpointError(f"{whose} cannot be used: {error}") from error


def judged_by_itself(checkpoint: Checkpoint) -> bool:
    """Say whether a camera's model was made of its recordings as they are, anomalies and all.

    Args:
        checkpoint: the model.
    """
    adapted_on = (checkpoint.camera or {}).get("adapted_on")
    return isinstance(adapted_on, dict) and adapted_on.get("by_itself") is True


def normal_by_clip(
    normal: Mapping[str, list[np.ndarray]], names: Iterable[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Turn part -> clips into clip -> parts, float64, without clips that have no score.

    Args:
        normal: see `Checkpoint.normal`.
        names: of the parts that are wanted.

    Raises:
        CheckpointError: a part is missing.
    """
    missing = sorted(set(names) - set(normal))
    if missing:
        raise CheckpointError(f"the checkpoint has no normal scores of {missing}; train it again")
    count = len(next(iter(normal.values())))
    clips = {
        str(i): {name: normal[name][i].astype(np.float64) for name in names} for i in range(count)
    }
    return {clip: parts for clip, parts in clips.items() if len(next(iter(parts.values())))}
