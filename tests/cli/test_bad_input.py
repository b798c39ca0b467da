"""Input that cannot be used: one line, exit code 1, and nothing that was there is lost."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import PLAIN, TINY, Cli, contents
from tests.helpers.small_model import footage, write_film, write_footage, write_model


def write_jpegs(folder: Path, count: int) -> Path:
    """Footage as .jpg."""
    import cv2

    folder.mkdir(parents=True)
    for t, frame in enumerate(footage(count)):
        assert cv2.imwrite(str(folder / f"{t:03d}.jpg"), frame)
    return folder


class Bomb:
    """Unpickled, it makes a folder called `boom`."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("boom",)


# --- Folders and videos


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_an_empty_folder(cli: Cli, still: Path, tmp_path: Path, verb: str) -> None:
    (tmp_path / "empty").mkdir()
    model = ("--checkpoint", still) if verb == "evaluate" else ()
    assert "empty: is empty; expected a data set" in cli(verb, "empty", *model).error()


def test_an_empty_folder_to_score(cli: Cli, still: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "it holds nothing" in cli("score", "empty", "--checkpoint", still).error()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("verb", ["train", "evaluate", "score"])
def test_a_wrong_folder(cli: Cli, still: Path, tmp_path: Path, verb: str) -> None:
    (tmp_path / "wrong" / "papers").mkdir(parents=True)
    (tmp_path / "wrong" / "notes.docx").write_text("notes")
    model = () if verb == "train" else ("--checkpoint", still)
    error = cli(verb, "wrong", *model).error()
    assert "wrong" in error and ".docx" in error and "papers" in error


@pytest.mark.parametrize("verb", ["train", "evaluate", "score"])
def test_a_missing_folder(cli: Cli, still: Path, verb: str) -> None:
    model = () if verb == "train" else ("--checkpoint", still)
    assert "nowhere/at/all: does not exist" in cli(verb, "nowhere/at/all", *model).error()


def test_a_text_file_called_mp4(cli: Cli, still: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "b.mp4").write_text("no video at all\n" * 50)
    write_film(tmp_path / "clips" / "a.avi", footage(30))
    assert "b.mp4: is no video" in cli("score", "clips/b.mp4", "--checkpoint", still).error()
    assert "b.mp4: is no video" in cli("train", "clips", *TINY, "--out", "run").error()
    assert not (tmp_path / "run").exists()


def test_a_text_file_called_mp4_is_left_out_on_request(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "b.mp4").write_text("no video at all\n" * 50)
    write_film(tmp_path / "clips" / "a.avi", footage(30))
    trained = cli("train", "clips", *TINY, "--out", "run", "--skip-bad")
    assert trained.code == 0 and "left out: clips/b.mp4" in trained.err


def test_one_bad_video_does_not_stop_the_scoring_of_others(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "b.mp4").write_text("no video at all\n" * 50)
    (tmp_path / "clips" / "c.mp4").write_bytes(b"")
    write_film(tmp_path / "clips" / "a.avi", footage(30))
    scored = cli("score", "clips", "nowhere", "--checkpoint", still)
    assert scored.code == 0 and "left out: clips/b.mp4" in scored.err
    assert (
        "1 of 4 sources scored" in scored.out
        and "clips/c.mp4 not scored: clips/c.mp4: is empty" in scored.out
    )
    summary = json.loads((tmp_path / "runs" / "score" / "summary.json").read_text())
    assert [entry["scored"] for entry in summary] == [True, False, False, False]
    assert "is no video" in summary[1]["reason"] and "does not exist" in summary[3]["reason"]
    assert "is no video" in cli("score", "clips", "--checkpoint", still, "--strict").error()
    (tmp_path / "clips" / "a.avi").unlink()
    assert (
        "none of the 3 sources could be read"
        in cli("score", "clips", "nowhere", "--checkpoint", still).error()
    )


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """30 .jpg frames, the one in the middle with no byte in it."""
    folder = write_jpegs(tmp_path / "holed", 30)
    (folder / "015.jpg").write_bytes(b"")
    return folder


def test_a_zero_byte_jpg_stops_training(cli: Cli, holed: Path, tmp_path: Path) -> None:
    error = cli("train", "holed", *TINY, "--out", "run").error()
    assert "frame 15 (015.jpg) is empty (0 bytes)" in error and "--skip-bad" in error
    assert not (tmp_path / "run").exists()


def test_a_zero_byte_jpg_is_trained_around_on_request(
    cli: Cli, holed: Path, tmp_path: Path
) -> None:
    result = cli("train", "holed", *TINY, "--out", "run", "--skip-bad")
    assert result.code == 0 and "frame 15 (015.jpg) is left out" in result.err
    # 30 frames, 4 of them held out: targets 4-14 and, after the bad frame 15, 20-25.
    clips = json.loads((tmp_path / "run" / "config.json").read_text())["clips"]
    assert [clip[:2] for clip in clips] == [["holed[0:26]", 26]]
    from mpn.model.checkpoint import load_checkpoint

    assert load_checkpoint(tmp_path / "run" / "model.safetensors").training["windows"] == 11 + 6


def test_a_zero_byte_jpg_stops_strict_scoring_with_the_rows_before_it(
    cli: Cli, holed: Path, still: Path, tmp_path: Path
) -> None:
    assert (
        "frame 15 (015.jpg) is empty"
        in cli("score", "holed", "--checkpoint", still, "--strict", *PLAIN).error()
    )
    folder = tmp_path / "runs" / "score" / "holed"
    found = json.loads((folder / "events.json").read_text())
    rows = (folder / "scores.csv").read_text().splitlines()[1:]
    assert found["complete"] is False and 10 <= found["frames"] == len(rows) <= 15


def test_a_zero_byte_jpg_is_scored_around_and_said(
    cli: Cli, holed: Path, still: Path, tmp_path: Path
) -> None:
    result = cli("score", "holed", "--checkpoint", still, *PLAIN)
    assert result.code == 0
    said = " ".join(result.out.split())
    assert (
        "1 frame could not be used and was replaced by the one before: frame 15 (015.jpg)" in said
    )
    folder = tmp_path / "runs" / "score" / "holed"
    found = json.loads((folder / "events.json").read_text())
    assert found["complete"] is True and found["frames"] == 30
    assert [(bad["index"], bad["name"]) for bad in found["bad_frames"]] == [(15, "015.jpg")]


def test_a_video_cut_short(cli: Cli, still: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "day.avi", footage(40))
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    error = cli("score", film, "--checkpoint", still, "--precision", "float32", "--strict").error()
    assert "day.avi" in error
    assert "truncated" in error or "cut short" in error or "can be decoded" in error
    result = cli("score", film, "--checkpoint", still, "--precision", "float32")
    assert result.code == 0 and "truncated" in result.out + result.err
    found = json.loads((tmp_path / "runs" / "score" / "day" / "events.json").read_text())
    assert 10 <= found["frames"] <= 30 and found["complete"] is True


def test_frames_smaller_than_the_network_needs(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "speck", footage(12)[:, :8, :12])
    error = cli("score", "speck", "--checkpoint", still, *PLAIN).error()
    assert "8x12" in error and "16x16" in error
    assert not (tmp_path / "runs").exists()
    assert "smaller than the network needs" in cli("train", "speck", "--size", "8x8").error()


# --- Labels


def test_labels_one_frame_short(cli: Cli, tree: Path, still: Path, tmp_path: Path) -> None:
    import numpy as np

    for name, count in (("01", 24), ("02", 23), ("03", 24)):
        (tmp_path / "labels").mkdir(exist_ok=True)
        np.save(tmp_path / "labels" / f"{name}.npy", np.zeros(count, np.uint8))
    error = cli("evaluate", tree, "--checkpoint", still, "--labels", "labels", *PLAIN).error()
    assert "02" in error and "23" in error and "24" in error and "labels" in error
    assert not (tmp_path / "runs").exists()  # nothing was scored for nothing


def test_an_unknown_label_file(cli: Cli, tree: Path, still: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.docx").write_text("from 10 to 18")
    arguments = (tree, "--checkpoint", still, "--labels")
    assert "labels.docx" in cli("evaluate", *arguments, "labels.docx").error()
    assert "missing.csv: does not exist" in cli("evaluate", *arguments, "missing.csv").error()


def test_no_labels(cli: Cli, tree: Path, still: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "set")
    (tmp_path / "set" / "testing" / "labels.csv").unlink()
    assert "no labels found" in cli("evaluate", "set", "--checkpoint", still).error()


def test_scores_that_do_not_fit(cli: Cli, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    assert (
        "video '01': found no file in theirs" in cli("evaluate", tree, "--scores", "theirs").error()
    )
    for name, count in (("01", 24), ("02", 25), ("03", 24)):
        (tmp_path / "theirs" / f"{name}.txt").write_text("0.5\n" * count)
    assert (
        "02.txt: 25 scores, but the video has 24 frames"
        in cli("evaluate", tree, "--scores", "theirs").error()
    )
    assert not (tmp_path / "runs").exists()


# --- Checkpoints


def test_a_checkpoint_cut_in_half(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "clip", footage(9))
    half = tmp_path / "half.safetensors"
    half.write_bytes(still.read_bytes()[: still.stat().st_size // 2])
    error = cli("score", "clip", "--checkpoint", half).error()
    assert "half.safetensors is not a whole safetensors file" in error


def test_a_missing_checkpoint(cli: Cli, tmp_path: Path) -> None:
    write_footage(tmp_path / "clip", footage(9))
    assert (
        "there is no checkpoint none.safetensors"
        in cli("score", "clip", "--checkpoint", "none.safetensors").error()
    )
    assert "is a folder" in cli("score", "clip", "--checkpoint", tmp_path).error()


def test_a_checkpoint_of_another_preset(cli: Cli, still: Path, tree: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "clip", footage(9))
    for verb, source in (("score", "clip"), ("evaluate", tree)):
        error = cli(verb, source, "--checkpoint", still, "--preset", "base").error()
        assert "preset 'small', not 'base'" in error and "still.safetensors" in error
    assert not (tmp_path / "runs").exists()


def test_tensors_of_another_preset(cli: Cli, still: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    other = write_model(tmp_path / "other.safetensors", channels=8)
    with safe_open(still, "pt") as mine, safe_open(other, "pt") as theirs:
        tensors = {name: theirs.get_tensor(name) for name in theirs.keys()}  # noqa: SIM118 (not a dict)
        save_file(tensors, tmp_path / "mixed.safetensors", metadata=mine.metadata())
    write_footage(tmp_path / "clip", footage(9))
    assert (
        "mixed.safetensors does not fit preset"
        in cli("score", "clip", "--checkpoint", "mixed.safetensors").error()
    )


def test_a_pickle_as_checkpoint_is_not_opened(cli: Cli, tmp_path: Path) -> None:
    write_footage(tmp_path / "clip", footage(9))
    for name in ("bomb.safetensors", "bomb.pt"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        assert (
            "pickled files are never opened" in cli("score", "clip", "--checkpoint", name).error()
        )
    assert not (tmp_path / "boom").exists()
    pickle.loads((tmp_path / "bomb.pt").read_bytes())
    assert (tmp_path / "boom").exists()  # it would have gone off


def test_a_pickle_as_training_state_is_not_opened(cli: Cli, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.pt").write_bytes(pickle.dumps(Bomb()))
    error = cli("train", tree, *TINY, "--out", "run", "--resume").error()
    assert "state.pt is not a whole training state" in error
    assert not (tmp_path / "boom").exists()


def test_a_run_of_another_preset_is_not_resumed(cli: Cli, tree: Path, tmp_path: Path) -> None:
    assert cli("train", tree, *TINY, "--out", "run").code == 0
    before = contents(tmp_path / "run")
    changed = cli("train", tree, *TINY, "--out", "run", "--resume", "--preset", "base").error()
    assert "state.pt" in changed and "'small'" in changed and "'base'" in changed
    longer = cli(
        "train", tree, *TINY[:-4], "--epochs", 2, *TINY[-2:], "--out", "run", "--resume"
    ).error()
    assert "epochs 1, here 2" in longer
    assert contents(tmp_path / "run") == before


def test_nothing_to_resume(cli: Cli, tree: Path) -> None:
    error = cli("train", tree, *TINY, "--out", "run", "--resume").error()
    assert "nothing to resume: there is no run/state.pt" in error
