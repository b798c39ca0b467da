"""`mpn score --ray` with workers that are this process; on Ray: `tests.scale.test_cluster`."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mpn.errors import MpnError
from mpn.scale import work
from mpn.scale.work import Answer, Common, Item, Step
from tests.cli.conftest import Cli, contents
from tests.helpers.archives import write_archive
from tests.helpers.recordings import recording
from tests.helpers.small_model import write_film

PLAIN = ("--precision", "float32", "--fps", "10", "--no-report")


class Workers:
    """Takes the last item first; what goes to it and comes back is packed as Ray does it."""

    places = 2

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.threads = 0
        self.gpu = False
        self.address = ""

    def each(
        self, step: Step, common: Common, items: Sequence[Item]
    ) -> Iterator[tuple[int, Answer]]:
        for number, item in reversed(list(enumerate(items))):
            self.taken.append((step.__name__, item.path.name))
            answer = work.attempt(*pickle.loads(pickle.dumps((step, common, item))))
            if answer.failure:
                raise MpnError(answer.failure)
            yield number, pickle.loads(pickle.dumps(answer))


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    made = Workers()

    @contextmanager
    def connected(address: str, *, gpu: bool, threads: int) -> Iterator[Workers]:
        made.address, made.gpu, made.threads = address, gpu, threads
        yield made

    monkeypatch.setattr("mpn.cli.score_ray.connected", connected)
    monkeypatch.setattr(work, "_detectors", {})
    return made


def same(out: Path, other: Path) -> bool:
    """Whether two folders hold the same results; the summary names its own folder."""
    ours, theirs = contents(out), contents(other)
    for held, folder in ((ours, out), (theirs, other)):
        held["summary.json"] = held["summary.json"].replace(str(folder).encode(), b"")
    return ours == theirs


def test_the_same_comes_of_it(cli: Cli, still: Path, tmp_path: Path, workers: Workers) -> None:
    archive, one, many = tmp_path / "archive", tmp_path / "one", tmp_path / "many"
    write_archive(archive, 3)
    (archive / "2-text.avi").write_text("nothing")
    words = ["score", archive, "--checkpoint", still, *PLAIN, "--out"]
    alone = cli(*words, one)
    together = cli(*words, many, "--ray")
    assert together.code == 0, together.err
    assert same(one, many)
    assert (workers.address, workers.threads, workers.gpu) == ("local", 1, False)
    assert "2 workers on this machine" in together.err
    table = alone.out[alone.out.index("\nsource ") :]
    assert together.out.endswith(table.replace(str(one), str(many)))
    printed = [line.replace(str(one), str(many)) for line in alone.out.splitlines()]
    assert sorted(together.out.splitlines()) == sorted(printed)
    assert "left out:" in together.err and "2-text.avi" in together.err
    again = cli(*words, many, "--ray", "auto", "--threads", "2")
    assert again.out.count("scored before") == 3 and same(one, many)
    assert (workers.address, workers.threads) == ("auto", 2)


def test_recordings_judged_by_themselves(
    cli: Cli, still: Path, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpn.cli.model.base_model", lambda say=True: str(still))
    archive, one, many = tmp_path / "archive", tmp_path / "one", tmp_path / "many"
    for number in range(2):
        frames = recording(32, (14, 22) if number else (0, 0))
        write_film(archive / f"{number}.avi", frames)
    assert cli("score", archive, *PLAIN, "--out", one).code == 0
    together = cli("score", archive, *PLAIN, "--out", many, "--ray")
    assert together.code == 0, together.err
    assert same(one, many)
    assert together.out.count("strangest moment") == 1
    steps = [step for step, _ in workers.taken]
    assert steps == ["look", "look", "survey", "survey", "judge", "judge", "score", "score"]


def test_strict_stops_at_a_source_that_cannot_be_read(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    write_archive(archive, 1)
    (archive / "text.avi").write_text("nothing")
    words = ("score", archive, "--checkpoint", still, *PLAIN, "--ray", "--strict")
    assert "text.avi" in cli(*words).error()
    assert not (tmp_path / "runs/score/summary.json").exists()


def test_lines_of_json_alone_on_stdout(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "archive", 2)
    out = cli("score", "archive", "--checkpoint", still, *PLAIN, "--ray", "--json").out
    lines = [json.loads(line) for line in out.splitlines()]
    assert [Path(line["source"]).name for line in lines] == ["1.avi", "0.avi"]


def test_a_source_behind_the_option_is_no_address(cli: Cli) -> None:
    outcome = cli("score", "a.avi", "--ray", "b.avi")
    assert outcome.code == 2 and "--ray b.avi: HOST:PORT or auto" in outcome.err
