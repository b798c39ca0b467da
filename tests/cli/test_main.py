"""Exit codes, what goes where, and help."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import save_file

import mpn
import mpn.cli
from mpn.cli import VERBS, fit, main
from mpn.errors import DataError
from tests.cli.conftest import Cli

ROOT = Path(__file__).resolve().parents[2]


def raising(error: BaseException):
    def action(options: object) -> None:
        raise error

    return action


HUGE = 10**400  # no float


def verb_that(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """`score` parses as ever, then raises."""
    monkeypatch.setattr("mpn.cli.score.main", raising(error))


def test_without_a_verb_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in VERBS)


@pytest.mark.parametrize("asked", ["-h", "--help", "help"])
def test_asked_for_the_help_is_shown(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([asked]) == 0
    shown = capsys.readouterr().out
    assert main([]) == 0
    assert capsys.readouterr().out == shown
    assert max(map(len, shown.splitlines())) < 80


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mpn {mpn.__version__}\n"


def test_a_misspelt_verb_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'trian'; did you mean train?" in line
    assert main(["xyz"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mpn: no command is called 'xyz'; there are ")
    assert all(verb in line for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(cli: Cli, verb: str) -> None:
    shown = cli(verb, "--help")
    assert shown.code == 0
    examples = shown.out.partition("examples:\n")[2].splitlines()
    assert examples and all("mpn " in line for line in examples)
    assert f"usage: mpn {verb}" in shown.out


def test_main_hands_the_rest_to_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr("mpn.cli.score.main", lambda options: given.append(options.source))
    assert main(["score", "a.mp4", "b.mp4"]) == 0
    assert given == [[Path("a.mp4"), Path("b.mp4")]]


def test_options_may_stand_before_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr("mpn.cli.train.main", given.append)
    assert main(["train", "--epochs", "2", "--skip-bad", "data/x"]) == 0
    assert given[0].data == ["data/x"] and given[0].epochs == 2


def test_an_error_of_ours_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    verb_that(monkeypatch, DataError("a.mp4: is no video\nat all"))
    result = cli("score", "a.mp4")
    assert result.error() == "mpn score: a.mp4: is no video at all"
    assert result.out == ""


def test_debug_adds_a_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    verb_that(monkeypatch, DataError("a.mp4: is no video"))
    result = cli("score", "a.mp4", "--debug")
    assert result.code == 1
    assert "Traceback" in result.err and "in action" in result.err
    assert result.err.strip().endswith("a.mp4: is no video")


def test_an_error_of_the_system_is_one_line_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    verb_that(monkeypatch, PermissionError(13, "Permission denied", "a.mp4"))
    assert "a.mp4: Permission denied" in cli("score", "a.mp4").error()
    verb_that(monkeypatch, MemoryError())
    assert "MemoryError" in cli("score", "a.mp4").error()


def test_a_fault_of_the_program_is_not_hidden(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    verb_that(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        cli("score", "a.mp4")


def test_an_interrupt_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    verb_that(monkeypatch, KeyboardInterrupt())
    result = cli("score", "a.mp4")
    assert result.code == 130
    assert "Traceback" not in result.err
    assert "interrupted; what was written so far, if anything, is kept" in result.err


@pytest.mark.parametrize("verb, given", [("bench", ()), ("export", ("demo", "demo.onnx"))])
def test_of_a_verb_that_writes_at_its_end_nothing_is_kept(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, verb: str, given: tuple[str, ...]
) -> None:
    monkeypatch.setattr(f"mpn.cli.{verb}.main", raising(KeyboardInterrupt()))
    assert cli(verb, *given).err == "\ninterrupted\n"


def test_a_reader_that_left_is_no_error(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = []
    monkeypatch.setattr(mpn.cli.os, "dup2", lambda *pair: replaced.append(pair))
    monkeypatch.setattr(
        sys,
        "stdout",
        SimpleNamespace(fileno=lambda: 1, flush=lambda: None, write=lambda text: None),
    )
    verb_that(monkeypatch, BrokenPipeError())
    assert cli("score", "a.mp4").code == 0
    assert replaced[0][1] == 1


@pytest.mark.parametrize(
    "error, code", [(KeyboardInterrupt(), 130), (DataError("a.mp4: is no video"), 1)]
)
def test_nobody_reads_what_went_wrong(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    verb_that(monkeypatch, error)
    with os.fdopen(writer, "w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(["score", "a.mp4"]) == code
        stream.flush()  # as the interpreter does at its end; a failure would be the exit code
        monkeypatch.undo()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_is_closed_is_no_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def action(options: object) -> None:
        print("a result", file=getattr(sys, name), flush=True)

    monkeypatch.setattr("mpn.cli.score.main", action)
    monkeypatch.setattr(sys, name, None)  # as Python has it behind `2>&-`
    assert main(["score", "a.mp4"]) == 0


def test_threads_are_set(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", counts.append)
    monkeypatch.setattr("cv2.setNumThreads", counts.append)
    monkeypatch.setattr("mpn.cli.score.main", lambda options: None)
    assert cli("score", "a.mp4", "--threads", 3).code == 0
    assert counts == [3, 3]


@pytest.mark.parametrize(
    "arguments",
    [
        "train --epoch 3",  # no abbreviations: --epoch could mean anything
        "train --epochs 3 --minutes 2",
        "train --epochs 0",
        "train --epochs three",
        "train --minutes nan",
        "train --seed -1",
        "train --seed 9223372036854775808",
        "train --workers -1",
        "train --size 128",
        "train --size 128x-192",
        "train --preset smal",
        "train --fps 0",
        "train --layout ucsd demo",
        "evaluate a b",
        "evaluate --scores a --checkpoint b",
        "evaluate --scores a --smoothing 0.5",
        "evaluate --labels",
        "score",
        "score a.mp4 --threshold inf",
        "score a.mp4 --threshold 1 --false-alarms-per-hour 2",
        "score a.mp4 --false-alarms-per-hour 0",
        "score a.mp4 --error-weight nan",
        "score a.mp4 --preset bigger",
        "demo --minutes -1",
        "demo data/ped2",
        f"export m out.onnx --threads {HUGE}",
    ],
)
def test_wrong_use_is_2_and_writes_nothing(cli: Cli, tmp_path: Path, arguments: str) -> None:
    verb, *rest = arguments.split()
    result = cli(verb, *rest)
    assert result.code == 2
    assert f"mpn {verb}: " in result.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script, verb", [("train.py", "train"), ("evaluate.py", "evaluate")])
def test_the_scripts_are_the_verbs(
    monkeypatch: pytest.MonkeyPatch,
    cli: Cli,
    capfd: pytest.CaptureFixture[str],
    script: str,
    verb: str,
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert stopped.value.code == 0
    assert capfd.readouterr().out == cli(verb, "--help").out


@pytest.mark.parametrize(
    "arguments, most",
    [
        ("score a.mp4 --batch-size", 10**9),
        ("score a.mp4 --network-every", 10**9),
        ("score a.mp4 --every", 10**9),
        ("score a.mp4 --threads", 1024),
        ("adapt a.mp4 --shots", 10**9),
        ("train --epochs", 10**9),
        ("train --seed", 2**63 - 1),
    ],
)
def test_whole_numbers_have_a_highest_which_is_said(cli: Cli, arguments: str, most: int) -> None:
    verb, *rest = arguments.split()
    for number in (most + 1, HUGE):
        result = cli(verb, *rest, number)
        assert result.code == 2 and f"at most {most:,}, was expected" in result.err.splitlines()[-1]


def test_the_module_is_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mpn"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("mpn", run_name="__main__")
    assert stopped.value.code == 0
    assert "usage: mpn COMMAND" in capsys.readouterr().out


def test_what_a_file_says_is_shown_so_that_no_terminal_obeys_it(cli: Cli, tmp_path: Path) -> None:
    """A camera file names its base, and may come from anybody."""
    base = {"path": "\x1b[2J\rok\x07\n" + "/a" * 1500, "sha256": "0" * 64}
    document = {"format": 1, "kind": "camera", "base": base}
    save_file({}, tmp_path / "a.camera.safetensors", metadata={"mpn": json.dumps(document)})
    line = cli("export", "a.camera.safetensors", "a.onnx").error()
    assert line.isprintable() and r"\x1b[2J\rok\x07 /a/a" in line and len(line) < 2100
    (tmp_path / "\x1b[2J").mkdir()
    assert r"\x1b[2J" in cli("score", "\x1b[2J").error()


def test_long_lines_are_broken_for_a_terminal() -> None:
    short, long = "a table   with   gaps", "  " + "words " * 30 + "x" * 90
    lines = fit(f"{short}\n{long}").splitlines()
    assert lines[0] == short and lines[1].startswith("  words")
    assert all(line.startswith("    ") for line in lines[2:])
    assert all(len(line) < 80 for line in lines[:-1]) and lines[-1] == "    " + "x" * 90
    assert " ".join(lines[1:]).split() == long.split()


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, mpn.cli.SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_are_told_to_sleep_before_torch_is_loaded(monkeypatch, given, spins):
    """A runtime of threads reads it as it is loaded; what the user says counts."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # is put back behind the test
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    seen = []

    def loaded(name):
        seen.append(os.environ.get("GOMP_SPINCOUNT"))
        raise KeyboardInterrupt

    monkeypatch.setattr("mpn.cli.importlib.import_module", loaded)
    assert mpn.cli.run("score", []) == 130
    assert seen == [spins]


def test_ctrl_c_while_libraries_are_loaded(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("mpn.cli.importlib.import_module", interrupted)
    assert mpn.cli.main(["score", "video.mp4"]) == 130
    assert capsys.readouterr().err == "\ninterrupted; nothing was begun\n"
