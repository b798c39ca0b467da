"""The wheel holds all that the program needs, and works where the repository is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mpn
from tests.helpers.small_model import footage, write_film

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network from a copy of what it is built from."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "mpn", source / "mpn", ignore=shutil.ignore_patterns("__pycache__"))
    build = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, *build, "-w", str(out), str(source)], check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in `folder`, with the unpacked wheel in place of the repository."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        commands = archive.read(f"mpn-{mpn.__version__}.dist-info/entry_points.txt").decode()
    packed = {name for name in names if ".dist-info/" not in name}
    package = (path for path in (ROOT / "mpn").rglob("*") if path.is_file())
    expected = {
        path.relative_to(ROOT).as_posix() for path in package if "__pycache__" not in path.parts
    }
    assert packed == expected
    assert {"mpn/py.typed", "mpn/models/demo.safetensors"} <= packed
    assert wheel.stat().st_size < 8_000_000  # one model, once
    assert commands.split() == ["[console_scripts]", "mpn", "=", "mpn.cli:main"]


def test_from_the_wheel_in_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    code = "import mpn; d = mpn.load('demo'); print(mpn.__file__, d.config.name)"
    loaded = python(unpacked, tmp_path, "-c", code)
    assert loaded.stdout == f"{unpacked / 'mpn' / '__init__.py'} small\n", loaded.stderr
    helped = python(unpacked, tmp_path, "-m", "mpn", "--help")
    assert "mpn score VIDEO" in helped.stdout, helped.stderr
    assert list(tmp_path.iterdir()) == []

    write_film(tmp_path / "v.mp4", footage(20))
    scored = python(unpacked, tmp_path, "-m", "mpn", "score", "v.mp4", "--checkpoint", "demo")
    assert scored.returncode == 0, scored.stderr
    results = tmp_path / "runs" / "score" / "v"
    assert (results / "report.html").is_file() and (results / "scores.csv").is_file()


def test_a_model_of_the_repository_is_named_where_it_is_not(unpacked: Path, tmp_path: Path) -> None:
    evaluated = python(unpacked, tmp_path, "-m", "mpn", "evaluate", "--checkpoint", "ped2")
    assert evaluated.returncode == 1
    assert "the released model 'ped2'" in evaluated.stderr.splitlines()[-1]
