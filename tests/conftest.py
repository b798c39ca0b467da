"""What several test modules share: a network of a few thousand numbers, and reference values."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mpn.model.network import Network, build_model
from mpn.motion.flow import MotionReader
from mpn.training import pretraining
from tests.helpers import shared_files, taught_cameras, training_runs
from tests.helpers.reference import Reference, load_full, load_reduced
from tests.helpers.small_model import write_model, write_tree

# Networks of these tests are too small for two threads, and the suite runs in two processes.
torch.set_num_threads(1)


# Markers that follow from what a test asks for.
MARKERS = {"browser": "browser", "full_reference": "reference", "gpu": "cuda"}
# Names another device for the tests that need a GPU: to see on any machine that they run.
CUDA_TESTS_ON = "MPN_CUDA_TESTS_ON"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need Chromium, a GPU, or the published network's full reference values.

    Those that need a GPU are skipped where there is none.
    """
    for item in items:
        if "gpu" in getattr(item, "fixturenames", ()) and not (
            torch.cuda.is_available() or CUDA_TESTS_ON in os.environ
        ):
            item.add_marker(pytest.mark.skip(reason="PyTorch finds no GPU here"))
        for fixture, marker in MARKERS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


@pytest.fixture(autouse=True)
def floats_as_they_are() -> Iterator[None]:
    """Trainings flush denormal numbers to zero for the whole process: other tests want theirs."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def known_flow() -> Iterator[None]:
    """Compute the motion from one picture to another once: tests show the same footage often."""
    computed: dict[tuple, np.ndarray] = {}
    compute = MotionReader._motion

    def motion(reader: MotionReader, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        key = reader.grid, now.shape, hash(before.tobytes()), hash(now.tobytes())
        if key not in computed:
            computed[key] = compute(reader, before, now)
        return computed[key].copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MotionReader, "_motion", motion)
        yield


@pytest.fixture(scope="module")
def coarse_flow(known_flow: None) -> Iterator[None]:
    """Compute flow at the size of the made-up footage, which shows no more when it is enlarged: for
    tests of what is done with motion."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpn.motion.flow.WORKING_PIXELS", 96 * 64)
        yield


@pytest.fixture(scope="module")
def small_pictures() -> Iterator[None]:
    """Draw pages and films at the size of the made-up footage, not enlarged for people's eyes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpn.report.pictures.WIDTH", 48)
        patch.setattr("mpn.report.film.SMALLEST_WIDTH", 96)
        patch.setattr("mpn.video.overlay.MIN_WIDTH", 96)
        yield


@pytest.fixture(scope="module")
def few_tasks_for_sizes() -> Iterator[None]:
    """Begin meta-training with step sizes of few tasks, for tests that do not ask how good they
    are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpn.training.meta_training.TASKS_FOR_SIZES", 4)
        yield


@pytest.fixture
def shared_tmp() -> Iterator[Path]:
    """A temporary folder that other users may look into, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for path in folder.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)


@pytest.fixture
def as_nobody() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Be a user who may not do everything, in a `with` block: root is asked no permission."""

    @contextlib.contextmanager
    def nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return nobody


@pytest.fixture
def tiny() -> Network:
    """The small preset at 32x48 with 4 channels, in evaluation mode, its weights seeded."""
    torch.manual_seed(5)
    return build_model("small", channels=4, height=32, width=48).eval()


@pytest.fixture
def gpu() -> Iterator[str]:
    """The GPU, for `device`; tests that ask for it are skipped where there is none."""
    flags = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    yield os.environ.get(CUDA_TESTS_ON, "cuda")
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = flags


@pytest.fixture(scope="session")
def reference() -> Reference:
    """The published network's values, the reduced set of `tests/reference`: never skipped."""
    return load_reduced()


@pytest.fixture(scope="session")
def full_reference() -> Reference:
    """All of the published network's values, which are not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "reference"
    folder = Path(os.environ.get("MPN_REFERENCE", beside))
    if not (folder / "parameters.csv").is_file():
        pytest.skip(f"the full reference values are not there: no {folder} ($MPN_REFERENCE)")
    return load_full(folder)


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of `tests.helpers.small_model`; not to be changed."""
    return write_model(tmp_path_factory.mktemp("model") / "still.safetensors")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of `tests.helpers.small_model`; not to be changed."""
    return write_tree(tmp_path_factory.mktemp("data") / "street")


@pytest.fixture(scope="session")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `tests.helpers.taught_cameras`; not to be changed.

    Only where the flow is the product's (`known_flow`): one process makes it for all tests.
    """
    return shared_files.made_once(tmp_path_factory, "hall", taught_cameras.write_hall)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder of a training left alone, every step logged; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining.Training, "log_every", 1)
        pretraining.train(
            training_runs.walkers(), training_runs.PRESET, training_runs.OPTIONS, folder
        )
    return folder
