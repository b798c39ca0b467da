"""The report at the end of mpn score: made once, and its failure costs nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import mpn
from mpn.errors import DataError
from mpn.jobs import JobOptions, Outcome, ScoreJob
from mpn.report.from_job import run_with_report
from tests.helpers.small_model import footage, write_footage
from tests.report.test_page import data_of

OPTIONS = JobOptions(fps=10.0, report=True)


@pytest.fixture(scope="module")
def detector(still: Path) -> mpn.Detector:
    return mpn.load(still, precision="float32")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_footage(tmp_path / "lobby", footage(60, intruder=(30, 44), seed=5))


def scored(
    detector: mpn.Detector, source: Path, folder: Path, options: JobOptions = OPTIONS
) -> Outcome:
    return run_with_report(ScoreJob(detector, source, folder, options))


def data(folder: Path) -> dict:
    return data_of((folder / "report.html").read_text("utf-8"))


def test_it_is_made_once_and_again_when_it_is_gone(
    detector: mpn.Detector, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    scored(detector, clip, folder)
    written = {
        name: (folder / name).stat().st_mtime_ns
        for name in ("report.html", "scores.csv", "heat.bin")
    }
    scored(detector, clip, folder)
    assert {name: (folder / name).stat().st_mtime_ns for name in written} == written
    first = data(folder)
    (folder / "report.html").unlink()
    scored(detector, clip, folder)
    assert data(folder)["traces"] == first["traces"]
    assert (folder / "scores.csv").stat().st_mtime_ns == written["scores.csv"]  # not scored again


def test_a_report_that_fails_costs_nothing_else(
    detector: mpn.Detector, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise DataError("no room for films")

    monkeypatch.setattr("mpn.report.from_job.report_job", fails)
    outcome = scored(detector, clip, tmp_path / "out")
    assert "report.html could not be made: no room for films" in outcome.notes
    assert json.loads((tmp_path / "out" / "events.json").read_text())["complete"] is True


def test_interrupted_while_it_is_made_the_same_command_makes_it(
    detector: mpn.Detector, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(
            "mpn.report.from_job.look_into", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            scored(detector, clip, tmp_path / "out")
    folder = tmp_path / "out"
    assert not (folder / "report.html").exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".report")]
    scored(detector, clip, folder)
    assert data(folder)["traces"][0]["count"] == 60


def test_a_page_of_other_results_goes(detector: mpn.Detector, clip: Path, tmp_path: Path) -> None:
    scored(detector, clip, tmp_path / "out")
    before = data(tmp_path / "out")["traces"][0]
    other = replace(OPTIONS, every=2)
    scored(detector, clip, tmp_path / "out", other)
    assert data(tmp_path / "out")["traces"][0]["count"] == 30 != before["count"]
    scored(detector, clip, tmp_path / "out", replace(other, every=3, report=False))
    assert not (tmp_path / "out" / "report.html").exists()


def test_frames_to_look_into_make_it_again(
    detector: mpn.Detector, clip: Path, tmp_path: Path
) -> None:
    scored(detector, clip, tmp_path / "out")
    outcome = run_with_report(ScoreJob(detector, clip, tmp_path / "out", OPTIONS), inside=(17,))
    assert outcome.done_before == 60
    assert 17 in [one["row"] for one in data(tmp_path / "out")["insides"]]
