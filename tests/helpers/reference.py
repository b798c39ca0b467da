"""Values of the published network that ours must agree with: a reduced set in the repository.

    python -m tests.helpers.reference FOLDER     make the reduced set from the full files again

`tests/reference/README.md` says how the values were computed. Of each array with more than 4,096
numbers the reduced set holds about that many, spread evenly, with the sum of all of them.
"""

from __future__ import annotations

import csv
import hashlib
import math
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "reference"
PARAMETERS, REDUCED = "parameters.csv", "published_network.npz"
FILES = ("forward_64", "forward_sharp_64", "meta_step_64", "meta_step_sharp_64")
SHA256 = {
    PARAMETERS: "213b6280db65eccb836163011a82de7ca938a2b8ebb9658604a65cb7ad53b167",
    REDUCED: "04a197409d0ec91b1426df4752dc19c6b6db7497da4ecdb49ec400afb4697333",
}
MAX_NUMBERS = 4096  # of an array that is kept whole


@dataclass(frozen=True)
class Expected:
    """An array to agree with, whole or every `stride`-th number of it.

    Attributes:
        shape: of the whole array.
        stride: between the numbers that are known, of the flattened array; 1: all are.
        numbers: float64 (known numbers,).
        total: sum of the whole array.
        largest: largest magnitude in the whole array, the unit of the tolerance.
    """

    shape: tuple[int, ...]
    stride: int
    numbers: np.ndarray
    total: float
    largest: float

    @classmethod
    def of(cls, array: np.ndarray) -> Expected:
        """Take all of an array."""
        flat = array.ravel()
        return cls(array.shape, 1, flat, float(flat.sum()), float(np.abs(flat).max()))

    @property
    def array(self) -> np.ndarray:
        """The whole array; only where all of it is known."""
        assert self.stride == 1
        return self.numbers.reshape(self.shape)

    def assert_agrees(self, value: np.ndarray, tolerance: float, name: object) -> None:
        """Assert that no number is further off than `tolerance` times the largest magnitude."""
        assert value.shape == self.shape, name
        flat = value.astype(np.float64).ravel()
        allowed = tolerance * self.largest
        assert np.abs(flat[:: self.stride] - self.numbers).max() <= allowed, name
        assert abs(flat.sum() - self.total) <= allowed * flat.size, name


class Reference:
    """The published network's parameters and the arrays of each of `FILES`.

    Attributes:
        rows: of parameters.csv, in the network's order: name and shape.
    """

    def __init__(
        self, rows: list[dict[str, str]], files: Mapping[str, Mapping[str, Expected]]
    ) -> None:
        self.rows, self._files = rows, files

    def shapes(self) -> list[tuple[int, ...]]:
        """List the shapes of the network's tensors in their order."""
        return [tuple(map(int, row["shape"].split("x"))) for row in self.rows]

    def arrays(self, file: str) -> Mapping[str, Expected]:
        """Give the arrays of one of `FILES` by their names."""
        return self._files[file]

    def weights(self, seed: int, sharp: bool) -> Iterator[np.ndarray]:
        """Make the weights that the values were computed with, tensor by tensor.

        Args:
            seed: 11, or 12 for the sharp files.
            sharp: prototypes that differ.
        """
        generator = np.random.Generator(np.random.PCG64(seed))
        for row, shape in zip(self.rows, self.shapes()):
            z = generator.standard_normal(shape)
            if row["name"].endswith("bias"):
                yield 0.05 * z
            elif row["name"] == "prototype.Mheads.weight":
                yield (40 if sharp else 1) * z
            elif row["name"].startswith("decoder.moduleUpsample"):
                yield z * np.sqrt(2 / (shape[0] * 9 / 4))
            else:
                yield z * np.sqrt(2 / np.prod(shape[1:]))


def load_reduced(folder: Path = FOLDER) -> Reference:
    """Read the reduced set of the repository.

    Raises:
        ValueError: a file is not the one whose SHA-256 stands here.
    """
    for name, expected in SHA256.items():
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if digest != expected:
            raise ValueError(f"{folder / name}: its SHA-256 is {digest}; expected {expected}")
    files: dict[str, dict[str, Expected]] = {file: {} for file in FILES}
    with np.load(folder / REDUCED) as stored:
        for key in stored.files:
            name, _, extra = key.partition("|")
            file, _, array = name.partition("/")
            if extra:
                continue
            if f"{name}|shape" not in stored.files:
                files[file][array] = Expected.of(stored[name])
                continue
            shape = tuple(stored[f"{name}|shape"].tolist())
            total, largest = stored[f"{name}|total_largest"].tolist()
            stride = stride_of(math.prod(shape))
            files[file][array] = Expected(shape, stride, stored[name], total, largest)
    return Reference(_rows(folder), files)


def load_full(folder: Path) -> Reference:
    """Read the full files, which are not part of the repository."""
    files: dict[str, dict[str, Expected]] = {}
    for file in FILES:
        with np.load(folder / f"{file}.npz") as stored:
            files[file] = {name: Expected.of(stored[name]) for name in stored.files}
    return Reference(_rows(folder), files)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / PARAMETERS).open() as text:
        return list(csv.DictReader(text))


def stride_of(size: int) -> int:
    """Choose the step that leaves at most `MAX_NUMBERS` of `size` numbers.

    It has no divisor in common with `size`, so that every row, column and channel is met.
    """
    stride = -(-size // MAX_NUMBERS)
    while math.gcd(stride, size) > 1:
        stride += 1
    return stride


def write_reduced(full: Path, folder: Path = FOLDER) -> None:
    """Make the reduced set from the full files, and print the SHA-256 of its files."""
    arrays: dict[str, np.ndarray] = {}
    for file in FILES:
        for array, expected in load_full(full).arrays(file).items():
            name = f"{file}/{array}"
            if expected.numbers.size <= MAX_NUMBERS:
                arrays[name] = expected.array
                continue
            arrays[name] = expected.numbers[:: stride_of(expected.numbers.size)]
            arrays[f"{name}|shape"] = np.array(expected.shape)
            arrays[f"{name}|total_largest"] = np.array([expected.total, expected.largest])
    folder.mkdir(exist_ok=True)
    np.savez(folder / REDUCED, **arrays)  # type: ignore[arg-type]
    shutil.copyfile(full / PARAMETERS, folder / PARAMETERS)
    for name in SHA256:
        print(name, hashlib.sha256((folder / name).read_bytes()).hexdigest())


if __name__ == "__main__":
    write_reduced(Path(sys.argv[1]))
