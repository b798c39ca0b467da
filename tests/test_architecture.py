"""The architecture: what the imports of mpn must keep to, and the script that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import draw_architecture as architecture


def checkout(root: Path, files: dict[str, str]) -> architecture.Code:
    """Write a checkout whose mpn/ holds these files, by path without .py, and read it."""
    for name, text in {"__init__": "", **files}.items():
        path = root / "mpn" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return architecture.read_code(root)


def test_no_circle_and_nothing_imports_upward_or_sideways():
    assert architecture.problems(architecture.read_code()) == []


def test_the_drawing_in_the_docs_is_up_to_date():
    page = (architecture.ROOT / architecture.PAGE).read_text(encoding="utf-8")
    drawn = architecture.section(architecture.read_code())
    assert drawn in page, "run python docs/draw_architecture.py"


@pytest.mark.parametrize(
    "text",
    [
        "import mpn.video.paths",
        "import mpn.video.paths as p",
        "from mpn.video import paths",
        "from mpn.video.paths import natural_key",
        "def f():\n    from mpn.video import paths",
        "if TYPE_CHECKING:\n    from mpn.video.paths import x",
        "try:\n    import numpy, mpn.video.paths\nexcept ImportError:\n    pass",
    ],
)
def test_every_form_of_import_counts(tmp_path, text):
    code = checkout(tmp_path, {"video/paths": "", "datasets/windows": text})
    assert code.imports == {("mpn.datasets.windows", "mpn.video.paths")}


def test_relative_imports_and_names_of_a_package_lead_to_the_right_module(tmp_path):
    code = checkout(
        tmp_path,
        {
            "metrics/__init__": "from .frames import auc",
            "metrics/frames": "from . import inputs\nfrom ..errors import MpnError",
            "metrics/inputs": "",
            "errors": "",
            "report/view": "from mpn.metrics import auc",
        },
    )
    assert code.imports == {
        ("mpn.metrics", "mpn.metrics.frames"),
        ("mpn.metrics.frames", "mpn.metrics.inputs"),
        ("mpn.metrics.frames", "mpn.errors"),
        ("mpn.report.view", "mpn.metrics"),
    }
    assert code.between_places() == {("metrics", "errors"): 1, ("report", "metrics"): 1}
    assert architecture.problems(code) == []


def test_upward_and_sideways_imports_are_named(tmp_path):
    code = checkout(
        tmp_path,
        {
            "jobs/job": "from mpn.report import page\nfrom mpn.doctor import diagnose",
            "doctor/diagnose": "import mpn.io.runs",
            "io/runs": "",
            "report/page": "",
        },
    )
    assert architecture.problems(code) == [
        "mpn.jobs.job imports mpn.doctor.diagnose: sideways, jobs -> doctor",
        "mpn.jobs.job imports mpn.report.page: upward, jobs -> report",
    ]


def test_circles_of_modules_and_of_places_are_found(tmp_path):
    code = checkout(
        tmp_path,
        {
            "video/a": "import mpn.video.b",
            "video/b": "import mpn.video.c\nimport mpn.video.d",
            "video/c": "import mpn.video.a",
            "video/d": "",
            "datasets/x": "import mpn.datasets.demo.y",
            "datasets/demo/y": "",
            "datasets/demo/z": "import mpn.datasets.w",
            "datasets/w": "",
        },
    )
    assert architecture.problems(code) == [
        "circle of modules: mpn.video.a, mpn.video.b, mpn.video.c",
        "circle of places: datasets, datasets/demo",
    ]


def test_a_place_that_stands_on_no_floor_is_named(tmp_path):
    (line,) = architecture.problems(checkout(tmp_path, {"cellar/wine": ""}))
    assert line.startswith("cellar: stands on no floor")


def test_figures_count_by_hand(tmp_path):
    code = checkout(
        tmp_path,
        {
            "errors": "",
            "__main__": "from mpn.cli import main",
            "cli/__init__": "import mpn.errors",
            "cli/train": "import mpn.cli\nimport mpn.errors",
        },
    )
    assert architecture.figures(code) == {
        "modules": 5,
        "modules on the top level": 1,
        "places": 4,  # the package's own file, __main__, cli, errors
        "imports between modules": 4,
        "imports between modules of different places": 3,
        "imports between places (pairs)": 2,
        "circles of modules": 0,
        "circles of places": 0,
    }


def test_the_text_around_the_drawing_stays():
    start, end = architecture.START, architecture.END
    text = f"{start}\nnew\n{end}"
    page = f"# Title\n\nbefore\n\n{start}\nold\n{end}\n\nafter\n"
    once = architecture.with_section(page, text)
    assert once == f"# Title\n\nbefore\n\n{text}\n\nafter\n"
    assert architecture.with_section(once, text) == once
    assert architecture.with_section("# Title\n", text) == f"# Title\n\n{text}\n"


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a checkout"):
        architecture.read_code(tmp_path)
