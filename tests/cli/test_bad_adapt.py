"""mpn adapt and camera files with input that cannot be used: one line, and nothing that was there
is lost."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from mpn.adaptation import camera
from mpn.model.checkpoint import Checkpoint, save_checkpoint
from tests.cli.conftest import PLAIN, Cli, contents
from tests.cli.test_bad_input import Bomb
from tests.helpers.small_model import footage, still_network, write_footage, write_model
from tests.helpers.verbs import outcome_in

# One step of Adam, so small that it does no harm.
ADAM = ("--method", "adam", "--steps", 1, "--learning-rate", 1e-6, "--shots", 2, "--force", *PLAIN)


@pytest.fixture(scope="session")
def lobby(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 frames of normal footage; not to be changed."""
    return write_footage(tmp_path_factory.mktemp("footage") / "lobby", footage(90, seed=5))


@pytest.fixture(scope="module")
def camera_beside_base(lobby: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base.safetensors, cameras/a.camera.safetensors and a clip; not to be
    changed."""
    folder = tmp_path_factory.mktemp("made")
    write_model(folder / "base.safetensors")
    write_footage(folder / "clip", footage(9))
    files = ("--checkpoint", "base.safetensors", "--out", "cameras/a.camera.safetensors")
    result = outcome_in(folder, "adapt", lobby, *files, *ADAM)
    assert result.code == 0, result.err
    return folder


@pytest.fixture
def made(cli: Cli, camera_beside_base: Path, tmp_path: Path) -> Path:
    """A camera file in a folder of its own, with its base, base.safetensors, beside that folder; a
    clip to score."""
    shutil.copytree(camera_beside_base, tmp_path, dirs_exist_ok=True)
    return tmp_path / "cameras" / "a.camera.safetensors"


# --- Footage


def test_a_clip_shorter_than_a_window(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "short", footage(4))
    error = cli("adapt", "short", "--checkpoint", still, *ADAM).error()
    assert (
        "short: 2 windows to adapt on, but there are 0 in 4 frames" in error
        and "takes 5 in a row" in error
    )
    assert not list(tmp_path.glob("*.safetensors"))


def test_more_shots_than_windows(cli: Cli, still: Path, lobby: Path, tmp_path: Path) -> None:
    error = cli("adapt", lobby, "--checkpoint", still, *ADAM, "--shots", 87).error()
    assert (
        "87 windows to adapt on, but there are 86 in 90 frames" in error and "take fewer" in error
    )
    assert not list(tmp_path.iterdir())


def test_nothing_left_to_calibrate_on(cli: Cli, still: Path, lobby: Path, tmp_path: Path) -> None:
    error = cli("adapt", lobby, "--checkpoint", still, *ADAM, "--shots", 20).error()
    assert (
        "of its 90 frames 20 shots leave" in error
        and "it takes 50: give a longer clip, or fewer shots" in error
    )
    assert not list(tmp_path.iterdir())


def test_a_single_frame_is_too_little(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "one", footage(1))
    error = cli("adapt", "one", "--checkpoint", still, *PLAIN).error()  # a line, no warning
    assert "of its 1 frame there are 0 to calibrate on" in error and error.endswith("longer clip")


def test_no_footage_at_all(cli: Cli, still: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.mp4").write_text("no video at all\n" * 50)
    assert "it holds nothing" in cli("adapt", "empty", "--checkpoint", still, *ADAM).error()
    assert (
        "nowhere: does not exist" in cli("adapt", "nowhere", "--checkpoint", still, *ADAM).error()
    )
    assert (
        "notes.mp4: is no video" in cli("adapt", "notes.mp4", "--checkpoint", still, *ADAM).error()
    )
    assert not list(tmp_path.glob("*.safetensors"))


def test_frames_that_cannot_be_read(cli: Cli, still: Path, tmp_path: Path) -> None:
    folder = write_footage(tmp_path / "holed", footage(90))
    (folder / "030.png").write_bytes(b"")
    error = cli("adapt", "holed", "--checkpoint", still, *ADAM).error()
    assert "frame 30 (030.png) is empty" in error and "--skip-bad" in error
    assert cli("adapt", "holed", "--checkpoint", still, *ADAM, "--skip-bad").code == 0


def test_frames_smaller_than_the_network_needs(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "speck", footage(90)[:, :8, :12])
    assert "8x12" in cli("adapt", "speck", "--checkpoint", still, *ADAM).error()


# --- Models


def test_a_plain_model_with_the_method_of_a_meta_trained_one(
    cli: Cli, still: Path, lobby: Path
) -> None:
    error = cli("adapt", lobby, "--checkpoint", still, "--method", "meta", *PLAIN).error()
    assert "was not meta-trained" in error and "--method adam" in error


def test_models_that_are_none(cli: Cli, still: Path, lobby: Path, tmp_path: Path) -> None:
    import pickle

    (tmp_path / "half.safetensors").write_bytes(still.read_bytes()[: still.stat().st_size // 2])
    (tmp_path / "bomb.safetensors").write_bytes(pickle.dumps(Bomb()))
    for name, message in (
        ("half", "half.safetensors is not a whole safetensors file"),
        ("bomb", "pickled files are never opened"),
        ("none", "there is no checkpoint none.safetensors"),
    ):
        assert message in cli("adapt", lobby, "--checkpoint", f"{name}.safetensors", *ADAM).error()
    assert not (tmp_path / "boom").exists() and not list(tmp_path.glob("*.camera.safetensors"))


def test_a_camera_file_is_not_adapted_again(cli: Cli, made: Path, lobby: Path) -> None:
    error = cli("adapt", lobby, "--checkpoint", made, *ADAM).error()
    assert "is adapted to a camera already: adapt its base" in error and "base.safetensors" in error


def test_too_many_numbers_for_a_camera_file(
    cli: Cli, still: Path, lobby: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "CAMERA_BYTES", camera.RESERVED_BYTES + 20_000)
    error = cli("adapt", lobby, "--checkpoint", still, *ADAM, "--targets", "all").error()
    assert "numbers, 0." in error and "--targets first" in error and "--standalone" in error
    assert not list(tmp_path.iterdir())
    assert (
        cli("adapt", lobby, "--checkpoint", still, *ADAM, "--targets", "all", "--standalone").code
        == 0
    )


# --- Camera files


def test_a_camera_file_cut_in_half(cli: Cli, made: Path) -> None:
    made.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
    assert (
        "a.camera.safetensors is not a whole safetensors file"
        in cli("score", "clip", "--checkpoint", made).error()
    )


def test_a_base_that_is_gone(cli: Cli, made: Path, tree: Path) -> None:
    Path("base.safetensors").unlink()
    for verb, source in (("score", "clip"), ("evaluate", tree)):
        error = cli(verb, source, "--checkpoint", made).error()
        assert "a.camera.safetensors: its base is gone" in error and "base.safetensors" in error
    Path("cameras/base.safetensors").mkdir()  # a folder of that name is none
    assert "its base is gone" in cli("score", "clip", "--checkpoint", made).error()


def test_a_base_that_is_another_model_or_cut_short(cli: Cli, made: Path) -> None:
    base = Path("base.safetensors")
    whole = base.read_bytes()
    save_checkpoint(base, Checkpoint(still_network(channels=8)))
    error = cli("score", "clip", "--checkpoint", made).error()
    assert "its base" in error and "is another model, with SHA-256" in error
    base.write_bytes(whole[: len(whole) // 2])
    assert "is another model, with SHA-256" in cli("score", "clip", "--checkpoint", made).error()
    base.write_bytes(whole)
    assert cli("score", "clip", "--checkpoint", made, *PLAIN).code == 0


# --- Writing


def test_a_full_disk_keeps_what_was_there(
    cli: Cli, made: Path, lobby: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(tmp_path / "cameras")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mpn.io.atomic.os.fsync", full)
    error = cli("adapt", lobby, "--checkpoint", "base.safetensors", "--out", made, *ADAM).error()
    assert "the disk is full" in error
    assert contents(tmp_path / "cameras") == before


@pytest.mark.parametrize("place", ["adapt_network", "score_clips"])
def test_interrupted_it_writes_nothing(
    cli: Cli, made: Path, lobby: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    before = contents(tmp_path)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(camera, place, interrupted)
    for out in (made, "new.camera.safetensors"):
        result = cli("adapt", lobby, "--checkpoint", "base.safetensors", "--out", out, *ADAM)
        assert result.code == 130 and "interrupted" in result.err and "Traceback" not in result.err
    assert contents(tmp_path) == before


def test_a_folder_in_the_way(cli: Cli, still: Path, lobby: Path, tmp_path: Path) -> None:
    (tmp_path / "lobby.camera.safetensors" / "mine").mkdir(parents=True)
    error = cli("adapt", lobby, "--checkpoint", still, *ADAM).error()
    assert "cannot write lobby.camera.safetensors" in error
    assert [path.name for path in tmp_path.iterdir()] == ["lobby.camera.safetensors"]


def test_the_base_is_not_written_over(cli: Cli, lobby: Path, tmp_path: Path) -> None:
    before = write_model(tmp_path / "a.safetensors").read_bytes()
    arguments = ("--checkpoint", "a.safetensors", "--standalone", "--out", "./a.safetensors")
    assert "is the model that was adapted" in cli("adapt", lobby, *ADAM, *arguments).error()
    assert (tmp_path / "a.safetensors").read_bytes() == before and len(
        list(tmp_path.iterdir())
    ) == 1


def test_a_version_that_is_broken_is_not_put_back(cli: Cli, made: Path, tmp_path: Path) -> None:
    (made.parent / "a.v1.camera.safetensors").write_bytes(made.read_bytes()[:50])
    before = contents(tmp_path)
    error = cli("adapt", "--rollback", "--out", made).error()
    assert "a.camera.safetensors is left as it is" in error and "a.v1.camera.safetensors" in error
    assert contents(tmp_path) == before


# --- Wrong use


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "SOURCE, normal footage to adapt on, is missing"),
        (("--rollback",), "--out FILE, what to put back, is missing"),
        (
            ("lobby", "--out", "a.safetensors"),
            "the name of a camera file ends in .camera.safetensors",
        ),
        (("lobby", "--out", "a.pt", "--standalone"), "the name of a model ends in .safetensors"),
        (("--rollback", "--out", "a.camera.safetensors", "--shots", "3"), "--shots has no effect"),
        (
            ("--rollback", "--out", "a.camera.safetensors", "--fps", "3", "--force"),
            "--fps, --force has no effect",
        ),
        (("lobby", "--shots", "0"), "a whole number above 0"),
        (("lobby", "--steps", "-1"), "a whole number above 0"),
        (("lobby", "--learning-rate", "nan"), "a number above 0"),
        (("lobby", "--method", "sgd"), "invalid choice"),
        (("lobby", "--shotz", "3"), "unrecognized arguments"),
    ],
)
def test_wrong_use(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = cli("adapt", *arguments)
    assert result.code == 2 and message in result.err
    assert not list(tmp_path.iterdir())


def test_adam_s_options_with_learned_step_sizes(cli: Cli, still: Path, lobby: Path) -> None:
    result = cli("adapt", lobby, "--checkpoint", still, "--method", "meta", "--learning-rate", 0.1)
    assert result.code == 2 and "--learning-rate and --targets are of --method adam" in result.err


def test_help_has_an_example(cli: Cli) -> None:
    result = cli("adapt", "--help")
    assert result.code == 0 and "mpn adapt lobby_normal.mp4" in result.out
