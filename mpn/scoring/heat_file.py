"""Heat maps of a whole video as one raw file: uint8, one small map a frame, for the report's page.

No torch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpn.errors import DataError
from mpn.io.appending import AppendOnlyFile

MAX_HEAT_SHAPE = (24, 36)
# The value of a map that is drawn at half of the full heat, where there is no threshold to be it.
# maps in [0, 2] of a model that knows no normal scores: errors and probabilities
UNCALIBRATED_UNIT = 0.25


def heat_shape(size: tuple[int, int]) -> tuple[int, int]:
    """Choose (height, width) of the heat maps of frames of `size`.

    As large as `MAX_HEAT_SHAPE` allows, of the same shape.

    Args:
        size: (height, width) of the frames.
    """
    scale = min(1.0, *(max_side / side for max_side, side in zip(MAX_HEAT_SHAPE, size)))
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def heat_unit(threshold: float | None, *, calibrated: bool = True) -> float:
    """Return the value of a map at half of the full heat.

    That is the threshold; where there is none above 0, one deviation of normal frames, or what
    suits a model that knows none.

    Args:
        threshold: None where there is none.
        calibrated: whether the model knows normal scores.
    """
    if threshold is not None and threshold > 0:
        return threshold
    return 1.0 if calibrated else UNCALIBRATED_UNIT


def heat_levels(
    values: np.ndarray | None, unit: float, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Turn maps into uint8 of the same shape.

    0 for 0 and below, 128 for `unit`, 255 for twice that and above.

    Args:
        values: float (..., h, w), NaN counts as 0; None, of a frame without a map, gives `shape` of
            zeros.
        unit: the value that becomes 128, as the threshold does.
        shape: (height, width) of the map of a frame that has none.
    """
    if values is None:
        return np.zeros(() if shape is None else shape, np.uint8)
    return np.rint(np.clip(np.nan_to_num(values / (2 * unit), nan=0.0), 0, 1) * 255).astype(
        np.uint8
    )


class HeatFile(AppendOnlyFile):
    """Writes heat maps, or goes on with a file of them.

    Args:
        path: see `AppendOnlyFile`.
        shape: (height, width) of each map.
        unit: see `heat_levels`.
        size: see `AppendOnlyFile`.
    """

    def __init__(self, path: Path, shape: tuple[int, int], unit: float, size: int = 0) -> None:
        super().__init__(path, size)
        height, width = shape
        self.shape, self.unit = (height, width), unit

    def write(self, values: np.ndarray | None) -> int:
        """Add a frame's map.

        Args:
            values: float `shape` over the whole frame, or None.

        Returns:
            The file's size in bytes with it.

        Raises:
            DataError: a map of another shape.
        """
        levels = heat_levels(values, self.unit, self.shape)
        if levels.shape != self.shape:
            raise DataError(
                f"{self.path}: a map of {levels.shape} after ones of {self.shape} (height, width)"
            )
        return self.append(levels.tobytes())


def read_heat(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Read the maps of a file.

    Args:
        path: of the file.
        shape: (height, width) of each map.

    Returns:
        uint8 (T, h, w), memory-mapped.

    Raises:
        DataError: it is missing or is not made of whole maps of that shape.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read as heat maps: {error.strerror}") from error
    count, rest = divmod(size, shape[0] * shape[1])
    if rest:
        raise DataError(
            f"{path}: {size} bytes are not whole maps of {shape[0]}x{shape[1]} bytes "
            "(height x width)"
        )
    if not count:
        return np.zeros((0, *shape), np.uint8)
    return np.memmap(path, np.uint8, "r", shape=(count, *shape))
