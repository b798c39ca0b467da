"""`mpn score` without a model of the camera."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mpn.jobs.summary import strangeness
from tests.cli.conftest import Cli
from tests.helpers.recordings import recording
from tests.helpers.small_model import write_film, write_footage
from tests.helpers.verbs import Outcome, outcome_in

FAST = (120, 140)
PLAIN = ("--precision", "float32", "--fps", "10", "--no-report")


KEPT = "hall.camera.safetensors"


@pytest.fixture(scope="module", autouse=True)
def base(still: Path) -> Iterator[None]:
    """The model to begin with is a tiny one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpn.cli.model.base_model", lambda say=True: str(still))
        yield


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording; its folder is not to be changed."""
    return write_footage(tmp_path_factory.mktemp("hall") / "hall", recording(240, FAST))


@pytest.fixture(scope="module")
def judged(hall: Path) -> Outcome:
    """What came of it, below runs/score beside it; its camera is kept there too."""
    return outcome_in(hall.parent, "score", "hall", *PLAIN, "--save", KEPT)


def events(folder: Path) -> list[dict]:
    return json.loads((folder / "events.json").read_text())["events"]


def test_the_strangest_moment_comes_first(hall: Path, judged: Outcome) -> None:
    assert judged.code == 0, judged.err
    found = sorted(events(hall.parent / "runs/score/hall"), key=lambda event: -event["peak_score"])
    assert FAST[0] <= found[0]["peak_frame"] < FAST[1] + 3
    lines = judged.out.splitlines()
    first = next(line for line in lines if line.startswith("   1. "))
    assert f"score {found[0]['peak_score']:.2f}" in first and "0:1" in first
    assert any("strangest moment" in line for line in lines)
    assert "judged by itself" in judged.out and "false alarm" not in judged.out
    assert "24 s of this camera to judge by" in judged.err
    assert all(len(line) < 80 for line in lines)


def test_the_results_name_the_camera_file_that_is_kept(hall: Path, judged: Outcome) -> None:
    summary = json.loads((hall.parent / "runs/score/hall" / "events.json").read_text())
    assert summary["camera"] == str((hall.parent / KEPT).resolve())


def test_a_camera_that_is_made_anew_keeps_what_it_was_taught(
    cli: Cli, hall: Path, tmp_path: Path
) -> None:
    camera, out = tmp_path / KEPT, tmp_path / "out"
    again = ("score", hall, *PLAIN, "--save", camera, "--out", out)
    cli(*again)
    taught = cli("teach", camera, f"{out / 'hall/events.json'}#1", "--name", "race")
    assert taught.code == 0, taught.err
    assert "1 event it was taught kept" in cli(*again).err
    assert "race" in cli("teach", camera, "--list").out


def test_so_many_moments_are_listed(cli: Cli, tmp_path: Path) -> None:
    frames = recording(200, (40, 52))
    frames[140:152] = recording(152, (140, 152))[140:152]
    long = write_footage(tmp_path / "long", frames)
    listed = [
        sum(
            line.strip()[:2] in ("1.", "2.")
            for line in cli("score", long, *PLAIN, *more).out.splitlines()
        )
        for more in ((), ("--moments", "1"))
    ]
    assert listed == [2, 1]


def test_the_same_again_scores_nothing(hall: Path, judged: Outcome) -> None:
    table = (hall.parent / "runs/score/hall/scores.csv").read_bytes()
    again = outcome_in(hall.parent, "score", "hall", *PLAIN, "--save", KEPT)
    assert again.code == 0 and "scored before" in again.out
    assert (hall.parent / "runs/score/hall/scores.csv").read_bytes() == table
    moments = [one.out[one.out.index("strangest moment") :] for one in (judged, again)]
    assert moments[0] == moments[1]


def test_cameras_are_judged_each_by_itself(cli: Cli, tmp_path: Path) -> None:
    for name, wall, fast in (("a", 1, (60, 80)), ("b", 2, (0, 0)), ("c", 1, (0, 0))):
        write_film(tmp_path / "disk" / f"{name}.avi", recording(90, fast, wall))
    result = cli("score", "disk", *PLAIN)
    assert result.code == 0, result.err
    assert "2 cameras, told apart by their pictures" in result.err
    assert "1. a.avi, c.avi\n" in result.err and "2. b.avi\n" in result.err
    moments = [line for line in result.out.splitlines() if line.startswith("   1. ")]
    assert moments and all(".avi, 0:" in line for line in moments)  # also of a camera's only one
    assert result.out.count("strangest moment") + result.out.count("nothing stands out") == 2
    heads = [line[:9] for line in result.out.splitlines() if line.startswith("camera ")]
    assert heads == ["camera 1:", "camera 2:"]  # as they were numbered before
    assert "3 of 3 sources scored" in result.out and "index.html" not in result.out
    models = {
        name: json.loads(Path(f"runs/score/{name}/events.json").read_text())["checkpoint_sha256"]
        for name in "abc"
    }
    assert models["a"] == models["c"] != models["b"]


def test_what_was_learned_judges_tomorrow(
    cli: Cli, hall: Path, judged: Outcome, tmp_path: Path
) -> None:
    kept = hall.parent / KEPT
    day = write_footage(tmp_path / "tomorrow", recording(130, (90, 110)))
    result = cli("score", day, *PLAIN, "--checkpoint", kept, "--threshold", "2")
    assert result.code == 0, result.err
    with Path("runs/score/tomorrow/scores.csv").open() as table:
        rows = list(csv.DictReader(table))
    highest = max(rows[4:], key=lambda row: float(row["score"]))
    assert 90 <= int(highest["frame"]) < 113


def test_no_more_frames_a_second_than_are_needed(cli: Cli, tmp_path: Path) -> None:
    """Ten by default; a camera file made so takes frames as far apart, unless --every says it."""
    fast = write_footage(tmp_path / "fast", np.repeat(recording(70, (30, 45)), 2, 0))

    def frames(*more: str) -> list[int]:
        result = cli("score", fast, "--precision", "float32", "--no-report", *more)
        assert result.code == 0, result.err
        with Path("runs/score/fast/scores.csv").open() as table:
            return [int(row["frame"]) for row in csv.DictReader(table)]

    whole, half = list(range(140)), list(range(0, 140, 2))
    assert frames("--fps", "20", "--save", KEPT) == half
    assert frames("--fps", "20", "--every", "1") == whole
    assert frames("--fps", "20", "--fps-limit", "20") == whole
    assert frames("--fps", "10") == whole
    assert frames("--fps", "20", "--checkpoint", KEPT) == half
    assert frames("--fps", "20", "--checkpoint", KEPT, "--every", "1") == whole
    assert frames("--fps", "10", "--checkpoint", KEPT) == whole


def test_a_bad_recording_is_named_and_the_others_are_judged(cli: Cli, tmp_path: Path) -> None:
    write_film(tmp_path / "disk" / "a.avi", recording(70))
    (tmp_path / "disk" / "b.avi").write_bytes(b"\0" * 5000)
    result = cli("score", "disk", *PLAIN)
    assert result.code == 0
    assert "b.avi" in result.err and "1 of 2 sources scored" in result.out
    strict = cli("score", "disk", *PLAIN, "--strict", "--out", "other")
    assert "b.avi" in strict.error()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--false-alarms-per-hour", "1"), "without --checkpoint"),
        (("--no-motion",), "without --checkpoint"),
        (("--error-weight", "0"), "without --checkpoint"),
        (("--save", "hall.safetensors"), "ends in .camera.safetensors"),
        (("--checkpoint", "demo", "--moments", "3"), "judged by the model"),
        (("--checkpoint", "demo", "--fps-limit", "9"), "judged by the model"),
        (("--checkpoint", "demo", "--save", "x.camera.safetensors"), "judged by the model"),
    ],
)
def test_options_without_effect_are_refused(cli: Cli, hall: Path, options, words) -> None:
    result = cli("score", hall, *options)
    assert result.code in (1, 2) and words in result.err
    assert "Traceback" not in result.err and not Path("runs").exists()


def test_too_short_a_recording_says_what_to_do(cli: Cli, tmp_path: Path) -> None:
    write_footage(tmp_path / "short", recording(30))
    result = cli("score", "short", *PLAIN)
    assert "29 frames with motion are too few to judge a recording by itself" in result.error()
    assert "--checkpoint" in result.error()


def test_one_camera_file_is_of_one_camera(cli: Cli, tmp_path: Path) -> None:
    for name, wall in (("a", 1), ("b", 2)):
        write_film(tmp_path / "disk" / f"{name}.avi", recording(60, wall=wall))
    result = cli("score", "disk", *PLAIN, "--save", "x.camera.safetensors")
    assert result.code == 2 and "recordings of 2 cameras" in result.err


def test_a_flicker_is_less_strange_than_what_lasts() -> None:
    flicker = {"peak_score": 8.0, "start_seconds": 10.0, "end_seconds": 10.2}
    race = {"peak_score": 4.0, "start_seconds": 60.0, "end_seconds": 63.0}
    assert strangeness(race, 2.0) == 4.0 > strangeness(flicker, 2.0) == pytest.approx(1.2)
    stroll = {"peak_score": 3.0, "start_seconds": 0.0, "end_seconds": 60.0}
    assert strangeness(stroll, 2.0) == 2.0  # what is no more than a little strange stays so


VERY = "learned from this very recording"


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Path, Path]:
    """A recording that may be changed, and the camera file that was learned from it."""
    own = write_footage(tmp_path / "own", recording(90, (30, 40)))
    camera = tmp_path / "own.camera.safetensors"
    kept = outcome_in(tmp_path, "score", own, *PLAIN, "--save", camera)
    assert kept.code == 0 and VERY not in kept.err
    return own, camera


def notes(folder: Path) -> str:
    return " ".join(json.loads((folder / "events.json").read_text())["notes"])


def test_a_recording_scored_by_what_was_learned_from_it_says_so(
    cli: Cli, copied: tuple[Path, Path], hall: Path
) -> None:
    own, camera = copied
    score = ("score", *PLAIN, "--checkpoint", camera, "--out", "by")
    for more in ((), ("--start", "3"), ("--every", "2")):
        result = cli(*score, own, *more)
        assert result.code == 0 and VERY in " ".join(result.err.split()), more
        assert VERY in notes(Path("by/own"))
    assert VERY not in cli(*score, hall).err and VERY not in notes(Path("by/hall"))


def test_it_is_said_only_where_it_is_certain(cli: Cli, copied: tuple[Path, Path]) -> None:
    own, camera = copied
    again = ("score", own, *PLAIN, "--checkpoint", camera, "--out", "by")
    picture = sorted(own.iterdir())[-1]
    picture.write_bytes(picture.read_bytes())  # who knows what was written there
    cli(*again)
    assert VERY not in notes(Path("by/own"))


def test_what_was_not_passed_over_was_not_learned(cli: Cli, copied: tuple[Path, Path]) -> None:
    own, camera = copied
    cli("score", own, *PLAIN, "--save", camera, "--end", "7")
    for end, said in (("8", False), ("7", True), ("6", True)):
        cli("score", own, *PLAIN, "--checkpoint", camera, "--end", end, "--out", "by")
        assert (VERY in notes(Path("by/own"))) == said
