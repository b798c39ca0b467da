"""Files that nobody thought of: every reader gives a value or one of our own errors.

    python -m benchmarks.fuzz             (18,000 inputs, about 10 minutes on one core)
    python -m benchmarks.fuzz --quick     (50 inputs a reader)

Hypothesis draws random bytes, and valid files with bytes changed, cut out, doubled or put in, for:
labels.csv, .mat, .m and .npy labels, pixel masks, the layout finder (trees of names that data sets
use, with empty and wrong files in them), `--scores` files, checkpoints, camera files, training
states and the authors' weights. A failure stops the run and is printed with the smallest input that
shows it.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import scipy.io
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.common import parser, write_result
from mpn.datasets import label_readers
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import LAYOUTS, recognise
from mpn.datasets.mask_pictures import read_masks
from mpn.errors import MpnError
from mpn.evaluation.score_files import read_scores
from mpn.model.camera_checkpoint import save_camera
from mpn.model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from mpn.model.network import build_model
from mpn.model.state import load_state
from mpn.published_weights.convert import import_weights
from mpn.scoring.parts import PART_NAMES

INPUTS = 1_500
FRAMES = 12
LENGTHS = {"01": FRAMES, "02": FRAMES}


def edits() -> st.SearchStrategy[list[tuple]]:
    """Changes to a file: (what, where as a share of its length, bytes)."""
    edit = st.tuples(
        st.sampled_from(("set", "cut", "insert", "double", "end")),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=8),
    )
    return st.lists(edit, min_size=0, max_size=6)


def edited(data: bytes, changes: list[tuple]) -> bytes:
    """`data` after the changes."""
    result = bytearray(data)
    for kind, share, new in changes:
        at = int(share * len(result))
        if kind == "set":
            result[at : at + len(new)] = new
        elif kind == "cut":
            del result[at : at + 16 * len(new)]
        elif kind == "insert":
            result[at:at] = new
        elif kind == "double":
            result[at:at] = result[at : at + 64]
        else:
            del result[at:]
    return bytes(result)


def contents(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Valid files with changes; now and then nothing but random bytes."""
    changed = st.builds(edited, st.sampled_from(seeds), edits())
    return st.one_of(changed, changed, changed, st.binary(max_size=400))


# --- Readers of a file: (what, name of the file, how it is read, valid contents)


def of_mat(**variables: object) -> bytes:
    """A .mat file."""
    file = io.BytesIO()
    scipy.io.savemat(file, variables)
    return file.getvalue()


def of_npy(array: np.ndarray) -> bytes:
    """A .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def label_tree(folder: Path) -> Path:
    """A data set of two test videos of twelve frames."""
    picture = cv2.imencode(".png", np.zeros((16, 16), np.uint8))[1].tobytes()
    for clip in LENGTHS:
        place = folder / "testing" / "frames" / clip
        place.mkdir(parents=True)
        for number in range(FRAMES):
            (place / f"{number:03}.png").write_bytes(picture)
    return folder


def labels_at(tree: Path) -> Callable[[Path], object]:
    """Reads a file as the labels of the tree."""
    recognised = recognise(tree)
    return lambda path: load_labels(recognised, LENGTHS, path)


def models(folder: Path) -> tuple[bytes, bytes, bytes, bytes]:
    """Make a tiny model, a camera file of it, a training state and a file of the authors."""
    torch.manual_seed(0)
    network = build_model("small", height=16, width=16, channels=1)
    parameters = {
        name: p.detach() for name, p in network.named_parameters() if name.startswith("pseudo_head")
    }
    save_checkpoint(folder / "model.safetensors", Checkpoint(network))
    base = load_checkpoint(folder / "model.safetensors")
    normal = {name: [np.linspace(1, 2, 9)] for name in PART_NAMES}
    camera = folder / "a.camera.safetensors"
    save_camera(
        camera,
        folder / "model.safetensors",
        base.sha256,
        parameters,
        normal,
        10.0,
        {},
        {"frames": 9},
    )
    state, authors = io.BytesIO(), io.BytesIO()
    torch.save({"network": parameters, "step": 3, "fingerprint": "{}"}, state)
    torch.save(
        {"state_dict": parameters, "model": dict(parameters)},
        authors,
        _use_new_zipfile_serialization=False,
    )
    files = [(folder / name).read_bytes() for name in ("model.safetensors", camera.name)]
    return *files, state.getvalue(), authors.getvalue()


def readers(folder: Path) -> Iterator[tuple[str, str, Callable[[Path], object], list[bytes]]]:
    """Everything that reads a file."""
    tree = label_tree(folder / "set")
    labels = labels_at(tree)
    vector = np.zeros(FRAMES, np.uint8)
    vector[3:7] = 1
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.array([[3], [5]]), np.array([[2, 8], [4, 9]])
    volume = np.empty((1, 3), object)
    volume[0, :] = [np.zeros((4, 4), np.uint8)] * 3
    table = "video,start,end\n01,2,5\n02,0,12\n"
    yield "labels.csv", "labels.csv", labels, [table.encode(), table.encode("utf-16")]
    yield (
        "intervals .mat",
        "set.mat",
        labels,
        [of_mat(gt=cells), of_mat(gt=np.array([[1, 2], [3, 4]]))],
    )
    text = (
        b"TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [2:4, 6];\n"
        b"TestVideoFile{end+1}.gt_frame = [1:12];\n"
    )
    yield "intervals .m", "set.m", labels, [text]
    yield (
        "vector .npy",
        "frame_labels_set.npy",
        labels,
        [of_npy(np.tile(vector, 2)), of_npy(np.zeros((1, 24)))],
    )
    yield "mask .npy", "01.npy", label_readers.npy_mask, [of_npy(np.zeros((3, 4, 5), np.uint8))]
    yield "mask .mat", "1_label.mat", label_readers.mat_mask, [of_mat(volLabel=volume)]
    picture = cv2.imencode(".png", np.eye(8, dtype=np.uint8) * 255)[1].tobytes()
    yield (
        "mask picture",
        "001.png",
        lambda path: list(read_masks(path.parent)),
        [picture, cv2.imencode(".bmp", np.eye(8))[1].tobytes()],
    )
    scores = b"frame,score\n" + b"".join(b"%d,0.5\n" % k for k in range(FRAMES))
    yield "scores .csv", "01.csv", lambda path: read_scores(path.parent, {"01": FRAMES}), [scores]
    yield (
        "scores .txt",
        "01.txt",
        lambda path: read_scores(path.parent, {"01": FRAMES}),
        [b"0.5\n" * FRAMES],
    )
    yield (
        "scores .npy",
        "01.npy",
        lambda path: read_scores(path.parent, {"01": FRAMES}),
        [of_npy(vector / 2)],
    )
    place = folder / "models"
    place.mkdir()
    model, camera, state, authors = models(place)
    yield "checkpoint", "checkpoint.safetensors", load_checkpoint, [model]
    yield "camera file", "models/fuzzed.camera.safetensors", load_checkpoint, [camera]
    yield "training state", "state.pt", load_state, [state]
    yield "authors' weights", "authors.pth", import_weights, [authors, state]


def check(
    read: Callable[[Path], object], path: Path, seeds: list[bytes], inputs: int
) -> dict[str, int]:
    """Reads `inputs` files; how many were refused and how many gave a value."""
    count = {"read": 0, "refused": 0}

    @settings(
        max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(contents(seeds))
    def reads(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read(path)
            count["read"] += 1
        except MpnError as error:
            assert str(error).strip() and "\n" not in str(error).strip(), "an error is one line"
            count["refused"] += 1

    reads()
    path.unlink()
    return count


# --- The layout finder

NAMES = (
    "Train",
    "Test",
    "training",
    "testing",
    "frames",
    "videos",
    "training_videos",
    "testing_videos",
    "01",
    "02_gt",
    "02",
    "Test001",
    "Test001_gt",
    "a b",
    "\u00fc",
    ".hidden",
    "masks",
    "validation",
    "01_001",
)
FILES = (
    "001.jpg",
    "1.tif",
    "2.tif",
    "10.tif",
    "01.avi",
    "video.mp4",
    "labels.csv",
    "x.mat",
    "notes.txt",
    "01_001.avi",
    "001.png",
    ".DS_Store",
    "frame_labels_x.npy",
)


def check_layouts(folder: Path, inputs: int) -> dict[str, int]:
    """Trees of files and folders with names that data sets use."""
    count = {"read": 0, "refused": 0}
    paths = st.tuples(st.lists(st.sampled_from(NAMES), max_size=3), st.sampled_from((*FILES, None)))

    @settings(
        max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(
        st.lists(paths, max_size=12),
        st.sampled_from((None, *LAYOUTS)),
    )
    def finds(entries: list, layout: str | None) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as root:
            for folders, file in entries:
                place = Path(root, *folders)
                place.mkdir(parents=True, exist_ok=True)
                if file:
                    (place / file).write_bytes(b"")
            try:
                recognise(root, layout).describe()
                count["read"] += 1
            except MpnError:
                count["refused"] += 1

    finds()
    return count


@contextmanager
def _work() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mpn-fuzz-") as folder:
        yield Path(folder)


def main() -> None:
    """Every reader in turn."""
    args = parser(__doc__).parse_args()
    inputs = 50 if args.quick else INPUTS
    counts = {}
    with _work() as folder:
        for reader, name, read, seeds in readers(folder):
            counts[reader] = check(read, folder / name, seeds, inputs)
            print(f"{reader:18} {counts[reader]}", flush=True)
        counts["layouts"] = check_layouts(folder, inputs)
        print(f"{'layouts':18} {counts['layouts']}")
    total = sum(sum(count.values()) for count in counts.values())
    print(f"{total} inputs, no exception but ours")
    write_result("fuzz", args, {"inputs": total, "readers": counts})


if __name__ == "__main__":
    main()
