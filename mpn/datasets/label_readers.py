"""The published label files, one reader each; `labels` finds them and fits them to the videos.

Nothing is unpickled and nothing is evaluated: `.npy` with objects is refused, `.m` scripts are read
by regular expressions. Every reader raises LabelError naming the file.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy.io

from mpn.datasets.mat_check import check_variable
from mpn.errors import DataError, LabelError
from mpn.io.atomic import read_npy


def mat_variables(path: Path) -> set[str] | None:
    """List the variables in a .mat file without reading them; None where it cannot be read."""
    try:
        return {name for name, _, _ in scipy.io.whosmat(str(path))}
    except Exception:  # scipy raises a dozen kinds for damaged files
        return None


def _load_mat(path: Path, variable: str) -> np.ndarray:
    try:
        with path.open("rb") as file:
            header = file.read(128)
        if header[124:126] in (b"\x00\x02", b"\x02\x00") or header.startswith(b"\x89HDF"):
            raise LabelError(
                f"{path}: is a MATLAB v7.3 (HDF5) file; expected v7 or older, save it "
                "again in MATLAB with '-v7'"
            )
        check_variable(path, variable)
        value = scipy.io.loadmat(str(path), variable_names=[variable]).get(variable)
    except LabelError:
        raise
    except Exception as error:  # scipy raises a dozen kinds for damaged files
        raise LabelError(
            f"{path}: cannot be read as a .mat file ({type(error).__name__}: "
            f"{_line(error)}); expected a whole MATLAB v5-v7 file"
        ) from error
    if value is None:
        names = ", ".join(sorted(mat_variables(path) or ())) or "nothing"
        raise LabelError(f"{path}: holds {names}; expected the variable '{variable}'")
    return value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _cells(value: np.ndarray) -> list[np.ndarray]:
    """List the elements of a MATLAB cell array, which SciPy gives as objects, nested or not."""
    cells = []
    for cell in value.ravel():
        while isinstance(cell, np.ndarray) and cell.dtype == object and cell.size == 1:
            cell = cell.item()
        cells.append(np.asarray(cell))
    return cells


def mat_intervals(path: Path) -> list[np.ndarray]:
    """Read anomalous intervals per test video from `gt` of a .mat file, as the field passes it on.

    `gt` is a cell of one array per video, 2xK (first row first frames, second row last ones) or
    Kx2, or one 2xN array with an interval per video.

    Args:
        path: of the file.

    Returns:
        int64 (K, 2) per video, frames counted from 1, last frame included.
    """
    gt = _load_mat(path, "gt")
    if gt.dtype == object:
        return [_as_pairs(cell, path, number) for number, cell in enumerate(_cells(gt), 1)]
    if gt.ndim == 2 and 2 in gt.shape and np.issubdtype(gt.dtype, np.number):
        pairs = gt if gt.shape[0] != 2 else gt.T
        return [_as_pairs(pair[:, None], path, number) for number, pair in enumerate(pairs, 1)]
    raise LabelError(
        f"{path}: 'gt' is {gt.dtype} {gt.shape}; expected a cell of 2xK intervals, "
        "one per test video"
    )


def _as_pairs(cell: np.ndarray, path: Path, number: int) -> np.ndarray:
    """Return one video's intervals as int64 (K, 2), whichever way they lie."""
    where = f"{path}: test video {number} of 'gt'"
    if cell.size == 0:
        return np.zeros((0, 2), np.int64)
    if (
        not np.issubdtype(cell.dtype, np.number)
        or not np.all(np.isfinite(cell))
        or np.any(cell != np.floor(cell))
    ):
        raise LabelError(
            f"{where} holds {cell.dtype} values that are no frame numbers; expected 2xK integers"
        )
    cell = cell.astype(np.int64)  # published ones are uint8: 200 + 100 would wrap
    if cell.ndim == 1 and cell.size == 2:
        cell = cell[:, None]
    if cell.ndim != 2 or 2 not in cell.shape:
        raise LabelError(f"{where} has shape {cell.shape}; expected 2xK or Kx2 [first; last]")
    pairs = cell.T if cell.shape[0] == 2 else cell
    if cell.shape == (2, 2) and not _ascending(pairs) and _ascending(cell):
        pairs = cell  # two intervals written as rows: only so they follow each other
    if np.any(pairs[:, 1] < pairs[:, 0]):
        raise LabelError(
            f"{where} has an interval that ends before it starts ({pairs.tolist()}); "
            "expected [first; last] from 1"
        )
    return pairs


def _ascending(pairs: np.ndarray) -> bool:
    """Say whether intervals are in order and don't touch one another."""
    flat = pairs.ravel()
    return bool(np.all(np.diff(flat) >= 0) and np.all(flat[2::2] > flat[1:-1:2]))


ENTRY = re.compile(r"gt_frame\s*=\s*(?:\[(?P<list>[^\]]*)\]|(?P<bare>[\d:\s,]+))")
RANGE = re.compile(r"(\d+)(?:\s*:\s*(\d+))?")


def m_intervals(path: Path) -> list[np.ndarray]:
    """Read anomalous intervals per test video from UCSD's `.m` scripts, by regular expression.

    They have lines like `TestVideoFile{end+1}.gt_frame = [61:120, 140, 150:180];`, one per test
    video.

    Args:
        path: of the script.

    Returns:
        int64 (K, 2) per video, frames counted from 1, last frame included.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LabelError(f"{path}: cannot be opened ({error.strerror})") from error
    text = re.sub(r"%.*", "", text)  # comments
    text = re.sub(r"\.\.\.\s*\n", " ", text)  # continued lines
    videos = []
    for entry in ENTRY.finditer(text):
        words = entry["list"] if entry["list"] is not None else entry["bare"]
        if RANGE.sub("", words).replace(",", "").replace(";", "").strip():
            raise LabelError(
                f"{path}: gt_frame of test video {len(videos) + 1} is "
                f"[{' '.join(words.split())}]; expected frame numbers and first:last "
                "ranges"
            )
        pairs = [(int(first), int(last or first)) for first, last in RANGE.findall(words)]
        if any(last < first for first, last in pairs):
            raise LabelError(
                f"{path}: gt_frame of test video {len(videos) + 1} has a range that "
                f"ends before it starts ([{' '.join(words.split())}]); expected "
                "first:last"
            )
        videos.append(np.array(pairs, np.int64).reshape(-1, 2))
    if not videos:
        raise LabelError(
            f"{path}: no 'gt_frame = [...]' found; expected UCSD's script of intervals"
        )
    return videos


def load_npy(path: Path) -> np.ndarray:
    """Read an array of numbers from a .npy file, see `mpn.io.atomic.read_npy`."""
    try:
        return read_npy(path)
    except DataError as error:
        raise LabelError(f"{error}, 0 (normal) and 1 (anomalous)") from error


def npy_vector(path: Path) -> np.ndarray:
    """Read frame labels bool (T,) from a .npy file of shape N, 1xN or Nx1 that holds 0 and 1."""
    array = load_npy(path)
    if array.size != max(array.shape, default=0):
        raise LabelError(f"{path}: has shape {array.shape}; expected frame labels, N or 1xN")
    values = np.asarray(array).ravel()
    odd = values[(values != 0) & (values != 1)]
    if odd.size:
        raise LabelError(f"{path}: holds the value {odd[0]}; expected 0 (normal) and 1 (anomalous)")
    return values != 0


def npy_mask(path: Path) -> np.ndarray:
    """Map pixel masks (T, H, W) from a .npy file; any nonzero value is anomalous."""
    array = load_npy(path)
    if array.ndim != 3:
        raise LabelError(
            f"{path}: has shape {array.shape}; expected pixel masks, frames x height x width"
        )
    if array.dtype.kind == "f" and any(np.isnan(frame).any() for frame in array):
        raise LabelError(f"{path}: holds values that are no numbers; expected 0 for normal")
    return array


def mat_mask(path: Path) -> np.ndarray:
    """Read pixel masks bool (T, H, W) from `volLabel` of Avenue's `N_label.mat`.

    It is a cell of HxW, or HxWxT.
    """
    label = _load_mat(path, "volLabel")
    if label.dtype != object:
        if label.ndim != 3:
            raise LabelError(
                f"{path}: 'volLabel' has shape {label.shape}; expected a cell of masks"
            )
        return np.moveaxis(np.asarray(label != 0), 2, 0)
    masks = _cells(label)
    shapes = {mask.shape for mask in masks}
    if len(shapes) != 1 or len(masks[0].shape) != 2:
        raise LabelError(
            f"{path}: 'volLabel' holds masks of shapes {sorted(shapes)}; expected one "
            "height x width"
        )
    return np.stack([np.asarray(mask != 0) for mask in masks])


def csv_rows(path: Path) -> list[tuple[int, str, int | None, int | None]]:
    """Read a labels.csv.

    Its columns are `video,start,end`, more are ignored; frames from 0, end exclusive. Names are as
    files have them, which need not be UTF-8.

    Args:
        path: of the file.

    Returns:
        (line, video, start, end) of each row; start and end None where it says "normal".
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or []]
            if not {"video", "start", "end"} <= set(columns):
                raise LabelError(
                    f"{path}: its first line is '{','.join(columns)}'; expected the "
                    "columns video,start,end"
                )
            twice = [name for name, count in Counter(columns).items() if count > 1 and name]
            if twice:
                raise LabelError(
                    f"{path}: its first line has the column '{twice[0]}' twice; expected column "
                    "names once each"
                )
            reader.fieldnames = columns
            return [_csv_row(path, reader.line_num, row) for row in reader]
    except (OSError, csv.Error) as error:
        raise LabelError(
            f"{path}: cannot be read as CSV ({_line(error)}); expected UTF-8 text "
            "with the columns video,start,end"
        ) from error


def _csv_row(path: Path, line: int, row: dict) -> tuple[int, str, int | None, int | None]:
    video, start, end = ((row[name] or "").strip() for name in ("video", "start", "end"))
    if video and not start and not end:
        return line, video, None, None
    try:
        # Digits alone: Python itself reads 1_0 as 10, and digits of other scripts.
        first, stop = (int(text) if re.fullmatch("[0-9]+", text) else -1 for text in (start, end))
    except ValueError:  # thousands of digits
        first = stop = -1
    if not video or not 0 <= first < stop:
        raise LabelError(
            f"{path}: line {line} is '{video},{start},{end}'; expected "
            "video,start,end with frames from 0 and start < end (end exclusive), or "
            "both empty for a normal video"
        )
    return line, video, first, stop


def check_normal(path: Path, rows: Iterable[tuple[int, str, int | None, int | None]]) -> None:
    """Check that no video of a labels.csv is said to be normal and anomalous.

    Args:
        path: named in errors.
        rows: as `csv_rows` gives them, each video by one name.

    Raises:
        LabelError: one is; names both lines.
    """
    first: dict[str, tuple[int, bool]] = {}
    for line, video, start, _ in rows:
        other, normal = first.setdefault(video, (line, start is None))
        if normal != (start is None):
            raise LabelError(
                f"{path}: lines {other} and {line} say that video '{video}' is normal, and that it "
                "is not; expected intervals, or one line with both empty for a normal video"
            )
