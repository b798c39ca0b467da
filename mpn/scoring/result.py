"""What scoring gives for one frame. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpn.scoring.memory import Likeness
from mpn.scoring.reasons import Evidence, Reason, reason_of


@dataclass
class Result:
    """What scoring gives for one frame.

    Attributes:
        frame: index in the video, from 0.
        time: seconds since its beginning, NaN where the frame rate is unknown.
        score: the smoothed score, higher = more anomalous, in units of normal frames; NaN for the
            first T.
        raw: the same before smoothing.
        parts: the parts that it is made of and the diagnostics, by column name, in their own
            units; see `mpn.scoring.parts`. Empty for the first T.
        map: (h, w) float32, the weighted sum of the parts' maps in units of normal frames; None for
            the first T.
        region: (top, left, height, width) of the map's largest patch, in pixels of the source; None
            likewise.
        image: the source's frame, uint8 (H, W, C), where it was asked for.
        evidence: what `reason` is made of; None for the first T.
        recall: finds what `like` is; None where nothing has a name.
    """

    frame: int
    time: float
    score: float
    raw: float
    parts: dict[str, float]
    map: np.ndarray | None = None
    region: tuple[int, int, int, int] | None = None
    image: np.ndarray | None = None
    evidence: Evidence | None = None
    recall: Callable[[], Likeness | None] | None = None

    @property
    def reason(self) -> Reason | None:
        """Return why the frame stands out, at its region; None for the first T."""
        return None if self.evidence is None else reason_of(self.evidence)

    @property
    def like(self) -> Likeness | None:
        """Return the taught name that the frame's highest region is most like, if it is near."""
        return None if self.recall is None else self.recall()
