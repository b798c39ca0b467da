"""What a worker does, without Ray."""

from __future__ import annotations

import logging
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from mpn.api import load
from mpn.io.locking import folder_lock
from mpn.jobs import ScoreJob
from mpn.scale import work
from mpn.scale.work import Item
from tests.helpers import archives
from tests.helpers.archives import common_of, items_of, tables
from tests.helpers.scoring_jobs import stopping


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archives.write_archive(tmp_path_factory.mktemp("archive"), 2)[1]


@pytest.fixture
def common(still: Path) -> work.Common:
    return common_of(still)


def test_a_worker_goes_on_where_another_died(common, recording, still, tmp_path) -> None:
    (item,) = items_of([recording], tmp_path)
    detector = stopping(load(still, precision="float32"), 12, MemoryError)
    with pytest.raises(MemoryError):
        ScoreJob(detector, item.path, item.folder, common.options).run()
    answer = work.attempt(work.score, common, item)
    assert 0 < answer.value.done_before < archives.LENGTH
    events = answer.value.summary["events"]
    assert answer.events == events and len(events) == 1
    again = work.attempt(work.score, common, item)
    assert again.value.done_before == archives.LENGTH and again.events == events
    (whole,) = items_of([recording], tmp_path / "whole")
    work.attempt(work.score, common, whole)
    assert tables(item.folder) == tables(whole.folder)


def test_a_source_that_cannot_be_read_is_of_itself_alone(common, tmp_path) -> None:
    (tmp_path / "text.avi").write_text("nothing")
    answer = work.attempt(work.score, common, Item(tmp_path / "text.avi", tmp_path / "out"))
    assert "text.avi" in answer.reason and not answer.failure and answer.value is None


def test_another_model_on_a_machine_fails_for_all(common, recording, tmp_path) -> None:
    other_model = replace(common, model=replace(common.model, sha256="0" * 64))
    answer = work.attempt(work.score, other_model, Item(recording, tmp_path / "out"))
    assert "another file of that name" in answer.failure and not answer.reason
    assert not (tmp_path / "out").exists()


def test_another_version_on_a_machine_fails_for_all(common, recording, tmp_path) -> None:
    answer = work.attempt(
        work.score, replace(common, version="0.0.1"), Item(recording, tmp_path / "out")
    )
    assert "0.0.1: all machines need the same" in answer.failure
    assert not (tmp_path / "out").exists()


def test_a_full_disk_fails_for_all(common, recording, tmp_path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    answer = work.attempt(full, common, Item(recording, tmp_path))
    assert "No space left" in answer.failure and not answer.reason


def test_a_folder_is_waited_for(common, recording, tmp_path, monkeypatch) -> None:
    (item,) = items_of([recording], tmp_path)
    lock = folder_lock(item.folder)
    lock.__enter__()
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:  # whoever had it lets go
            lock.__exit__(None, None, None)

    monkeypatch.setattr("mpn.scale.work.time.sleep", sleep)
    assert work.attempt(work.score, common, item).value.summary["complete"]
    assert slept == [work.PAUSE_SECONDS] * 2


def test_a_folder_is_not_waited_for_for_ever(common, recording, tmp_path, monkeypatch) -> None:
    (item,) = items_of([recording], tmp_path)
    now = [0.0]
    monkeypatch.setattr("mpn.scale.work.time.monotonic", lambda: now[0])
    monkeypatch.setattr(
        "mpn.scale.work.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    with folder_lock(item.folder):
        answer = work.attempt(work.score, common, item)
    assert "another mpn is writing there" in answer.failure
    assert work.LOCK_SECONDS < now[0] <= work.LOCK_SECONDS + work.PAUSE_SECONDS


def test_a_task_can_be_interrupted_where_that_was_ignored(common, recording, tmp_path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work.attempt(lambda *_: None, common, Item(recording, tmp_path))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_logged_comes_back(common, recording, tmp_path) -> None:
    def step(*_: object) -> None:
        logging.getLogger("mpn.jobs.state").info("begun %s", "anew")

    assert work.attempt(step, common, Item(recording, tmp_path)).said == ["begun anew"]
    assert work.attempt(lambda *_: None, common, Item(recording, tmp_path)).said == []


def test_a_detector_is_made_once_a_worker(common, recording, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(work, "_detectors", {})
    opened = []
    make = work.Model.open
    monkeypatch.setattr(work.Model, "open", lambda model: opened.append(model) or make(model))
    for name in ("a", "b"):
        work.attempt(work.score, common, Item(recording, tmp_path / name))
    assert len(opened) == 1
    copy = Path(shutil.copy(common.model.path, tmp_path / "copy.safetensors"))
    other_model = replace(common, model=replace(common.model, path=copy))
    work.attempt(work.score, other_model, Item(recording, tmp_path / "c"))
    assert len(opened) == 2 and len(work._detectors) == 1
