"""Names that are not UTF-8, too long, or not the terminal's; two runs and one --out."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from mpn.cli import main
from mpn.io.locking import folder_lock
from mpn.scoring.region_table import regions_name
from mpn.video.paths import result_name
from tests.cli.conftest import PLAIN, Cli
from tests.helpers.small_model import footage, write_film, write_footage

NAMES = {
    "latin-1": b"Eingang S\xfcd",
    "gbk": "摄像头".encode("gbk"),
    "long": b"x" * 255,
    "many bytes": "ü".encode() * 127,
    "japanese": "日本".encode(),
    "newline": b"a\nb",
}

CAMERA = "clip.camera.safetensors"


def put(folder: Path, name: bytes, seed: int) -> Path:
    """Write a clip; OpenCV writes no picture to a folder of such a name, so it is renamed."""
    clip = write_footage(folder / "new", footage(14, seed=seed))
    return clip.rename(os.fsdecode(os.fsencode(folder) + b"/" + name))


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    folder = tmp_path / "batch"
    for number, name in enumerate(NAMES.values()):
        put(folder, name, number)
    return folder


def test_a_batch_goes_on_whatever_the_names_are(cli: Cli, still: Path, batch: Path) -> None:
    film = write_film(batch / "y.avi", footage(14))
    film.rename(batch / f"{'y' * 251}.avi")
    result = cli("score", batch, "--checkpoint", still, "--out", "out", "--overlay", *PLAIN)
    assert result.code == 0, result.err
    lines = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert len(lines) == 7 and all(line["scored"] for line in lines)
    assert len({line["folder"] for line in lines}) == 7
    for line in lines:
        folder = Path(line["folder"])
        os.fsencode(folder).decode("utf-8")  # whatever reads the results can read their names
        assert {"scores.csv", "events.json", "report.html"} <= set(os.listdir(folder))
        (folder / "report.html").read_text(encoding="utf-8")
    again = cli("score", batch, "--checkpoint", still, "--out", "out", "--overlay", *PLAIN)
    assert again.code == 0 and again.out.count("scored before") == 7


def test_models_and_results_are_read_where_a_folder_has_such_a_name(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/S\xfcd\n"))
    place.mkdir()
    (place / "still.safetensors").write_bytes(still.read_bytes())
    write_footage(tmp_path / "clip", footage(120))
    adapted = cli("adapt", "clip", "--checkpoint", place / still.name, "--out", place / CAMERA)
    assert adapted.code == 0, adapted.err
    result = cli("score", "clip", "--checkpoint", place / CAMERA, "--out", place / "out", *PLAIN)
    assert result.code == 0, result.err
    assert (place / "out" / "clip" / "scores.csv").is_file()


def test_a_terminal_that_has_no_such_letters_shows_them_escaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", narrow)
    main(["no\udcfcverb", "日本"])
    print(os.fsdecode(NAMES["gbk"]), "日本", "März")
    narrow.flush()
    shown = narrow.buffer.getvalue()  # type: ignore[attr-defined]
    assert shown.splitlines()[-1].endswith(rb"\u65e5\u672c M" + "ä".encode("latin-1") + b"rz")


def test_an_evaluation_reads_and_names_such_clips(cli: Cli, still: Path, tmp_path: Path) -> None:
    names = [b"Eingang S\xfcd", b"a $1_$2 b", b"b $\\frac$"]  # the last two are no formulas
    for number, name in enumerate(names):
        put(tmp_path / "set", name, number)
    rows = b"".join(b"%s,3,9\n" % name for name in names)
    (tmp_path / "set" / "labels.csv").write_bytes(b"video,start,end\n" + rows)
    result = cli("evaluate", tmp_path / "set", "--checkpoint", still, "--out", "out", *PLAIN)
    assert result.code == 0, result.err
    assert "18 of 42 frames" in result.out
    assert len(list(Path("out/curves").iterdir())) == len(names)


def test_training_and_the_doctor_read_such_clips(cli: Cli, batch: Path) -> None:
    told = cli("doctor", batch, "--fps", 10, "--json")
    assert told.code == 0 and len(json.loads(told.out)["videos"]) == len(NAMES)
    size = ("--size", "32x48", "--channels", 4, "--precision", "float32")
    result = cli("train", batch, "--epochs", 1, *size, "--fps", 10, "--out", "run")
    assert result.code == 0 and Path("run/model.safetensors").is_file(), result.err


@pytest.mark.parametrize("name", NAMES)
def test_results_have_names_that_every_program_takes(tmp_path: Path, name: str) -> None:
    source = tmp_path / os.fsdecode(NAMES[name])
    for given in (regions_name(source), result_name(source.name, 8) + "-1000000"):
        assert len(given.encode("utf-8")) <= 255
    others = [result_name(f"{source.name[:-1]}{letter}", 30) for letter in "ab"]
    assert others[0] != others[1]


def test_a_second_run_into_the_same_results_is_refused(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_footage(tmp_path / "batch" / name, footage(14))
    options = ("--checkpoint", still, "--out", "out", "--no-report", *PLAIN)
    assert cli("score", "batch", *options).code == 0
    before = Path("out/a/scores.csv").read_bytes()
    with folder_lock("out/a"):
        error = cli("score", "batch/a", *options, "--threshold", 5).error()
        assert "a: another mpn is writing there" in error
    with folder_lock("out", shared=True):  # one source of another run
        assert "out: another mpn" in cli("score", "batch", *options, "--every", 2).error()
        assert cli("score", "batch/b", *options, "--every", 2).code == 0
    assert Path("out/a/scores.csv").read_bytes() == before
    assert cli("score", "batch/a", *options, "--every", 2).code == 0


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_training_and_evaluation_have_their_folder_for_themselves(
    cli: Cli, still: Path, tree: Path, verb: str
) -> None:
    with folder_lock("out"):
        model = ("--checkpoint", still) if verb == "evaluate" else ()
        assert "another mpn is writing" in cli(verb, tree, "--out", "out", *model).error()


def test_adapting_says_before_the_work_that_the_result_cannot_be_written(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    clip = write_footage(tmp_path / "clip", footage(14))  # too little: an error of the work
    Path("file").touch()
    for out in ("file/a.camera.safetensors", "clip/000.png/b/a.camera.safetensors"):
        error = cli("adapt", clip, "--checkpoint", still, "--out", out).error()
        assert "cannot write" in error and "is no folder" in error
    Path("a.camera.safetensors").mkdir()
    error = cli("adapt", clip, "--checkpoint", still, "--out", "a.camera.safetensors").error()
    assert "is a folder; give another --out" in error


def test_what_is_logged_of_a_name_is_no_command_to_the_terminal(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    """A camera is called as its footage; other pictures than its own are told with both names."""
    folder = tmp_path / "gate\x1b[2J\x9bm"
    write_footage(folder, footage(120))
    adapted = cli("adapt", folder, "--checkpoint", still, "--out", CAMERA)
    assert adapted.code == 0, adapted.err
    write_footage(tmp_path / "no\x1bcturnal", 255 - footage(14))
    result = cli("score", "no\x1bcturnal", "--checkpoint", CAMERA, "--out", "out", *PLAIN)
    assert result.code == 0, result.err
    assert r"no\x1bcturnal: not camera gate\x1b[2J\x9bm of the model" in result.err
    assert not {"\x1b", "\x9b"} & set(result.out + result.err)
