"""mpn score: tables, events and overlays of files, folders and folders of both."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpn.scoring.detector import Detector
from mpn.scoring.parts import ERROR, PSEUDO, column_names
from mpn.scoring.result import Result
from tests.cli.conftest import PLAIN, Cli
from tests.helpers.small_model import footage, write_film, write_footage, write_model
from tests.helpers.verbs import Outcome, outcome_in

COLUMNS = ["frame", "time", "score", "score_raw", *column_names((ERROR, PSEUDO))]
BARE = (*PLAIN, "--no-report")
PLACE = ["top", "left", "height", "width"]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open() as file:
        return list(csv.DictReader(file))


def events(folder: Path) -> dict:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    return json.loads((folder / "events.json").read_text(), parse_constant=refuse)


def write_clip(folder: Path) -> Path:
    """60 frames, an intruder in frames 20-31 and 50-53."""
    frames = footage(60, intruder=(20, 32))
    frames[50:54] = footage(54, intruder=(50, 54))[50:54]
    return write_footage(folder, frames)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip")


@dataclass(frozen=True)
class Scored:
    """A run, and the folder with its results; nothing of it is to be changed."""

    outcome: Outcome
    folder: Path


@pytest.fixture(scope="module")
def scored(still: Path, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """The clip scored."""
    folder = tmp_path_factory.mktemp("scored")
    write_clip(folder / "clip")
    options = ("--checkpoint", still, "--out", "out", "--pseudo-weight", 0, *PLAIN)
    result = outcome_in(folder, "score", "clip", *options)
    assert result.code == 0, result.err
    assert (folder / "out" / "clip" / "report.html").is_file()
    return Scored(result, folder / "out" / "clip")


def test_the_table_has_a_row_a_frame(scored: Scored) -> None:
    rows = table(scored.folder)
    assert list(rows[0]) == COLUMNS + PLACE
    assert [int(row["frame"]) for row in rows] == list(range(60))
    assert [float(row["time"]) for row in rows] == [frame / 10 for frame in range(60)]
    for row in rows[:4]:
        assert all(row[name] == "nan" for name in COLUMNS[2:]) and all(
            row[name] == "" for name in PLACE
        )
    for row in rows[4:]:
        assert np.isfinite([float(row[name]) for name in COLUMNS + PLACE]).all()
        assert (
            int(row["top"]) + int(row["height"]) <= 64
            and int(row["left"]) + int(row["width"]) <= 96
        )


def test_the_intruder_is_found_where_and_when_it_is(
    cli: Cli, still: Path, clip: Path, tmp_path: Path
) -> None:
    alone = ("--pseudo-weight", 0, "--smoothing", 1, "--threshold", 100)
    assert cli("score", clip, "--checkpoint", still, "--out", "out", *alone, *BARE).code == 0
    found = events(tmp_path / "out" / "clip")
    assert found["complete"] is True and found["frames"] == 60 and found["fps"] == 10
    assert found["source"].endswith("clip") and found["bad_frames"] == []
    # It jumps into frames 20 and 50, and out of frames 32 and 54.
    assert [(event["start"], event["end"]) for event in found["events"]] == [(20, 33), (50, 55)]
    for event in found["events"]:
        assert (
            event["start_seconds"] == event["start"] / 10
            and event["end_seconds"] == event["end"] / 10
        )
        top, left, height, width = event["region"]
        assert top < 48 and top + height > 32 and left < 80 and left + width > 56
        assert event["beyond_normal_footage"] is True


def test_every_place_above_the_threshold_has_a_row_and_a_track(scored: Scored) -> None:
    found = events(scored.folder)
    with (scored.folder / found["regions"]).open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["frame", "time", "track", "score", *PLACE]
    scores = {row["frame"]: row for row in table(scored.folder)}
    above = [
        frame for frame, row in scores.items() if float(row["score"]) > found["threshold"]["value"]
    ]
    assert above and set(above) <= {row["frame"] for row in rows}
    assert all(row["time"] == scores[row["frame"]]["time"] for row in rows)
    assert all(event["tracks"] for event in found["events"])


def test_events_are_the_stretches_of_the_table_above_the_threshold(scored: Scored) -> None:
    found = events(scored.folder)
    scores, raw = (
        [float(row[name]) for row in table(scored.folder)] for name in ("score", "score_raw")
    )
    above = [frame for frame, score in enumerate(scores) if score > found["threshold"]["value"]]
    stretches: list[list[int]] = []
    for frame in above:
        if stretches and frame - stretches[-1][-1] <= 10:  # gaps of less than a second are closed
            stretches[-1].append(frame)
        else:
            stretches.append([frame])
    stretches = [stretch for stretch in stretches if stretch[-1] - stretch[0] >= 2]
    assert [(event["start"], event["end"]) for event in found["events"]] == [
        (s[0], s[-1] + 1) for s in stretches
    ]
    for event, stretch in zip(found["events"], stretches):
        assert event["peak_frame"] == max(stretch, key=lambda frame: raw[frame])
        highest = max(scores[frame] for frame in stretch)
        assert event["peak_score"] == pytest.approx(highest, rel=1e-5)


def test_the_summary_says_when_and_how_sure(scored: Scored) -> None:
    threshold = events(scored.folder)["threshold"]
    assert f"threshold {threshold['value']:.2f}" in scored.outcome.out
    count = len(events(scored.folder)["events"])
    words = "1 event" if count == 1 else f"{count} events"
    assert f"; {words}\n" in scored.outcome.out and count > 0
    assert (
        threshold["extrapolated"] is True
        and "extrapolated from 0.2 minutes of normal footage" in scored.outcome.out
    )
    assert "event 1: 0:02.0 - 0:" in scored.outcome.out and ", at x " in scored.outcome.out
    assert "\n    looks or moves unlike what is expected here (" in scored.outcome.out
    # 116 normal frames were scored: the claim can be no stronger, and is weaker, since they came in
    # episodes.
    claim = re.search(
        r"rarer than 1 in (\d+) normal frames \(higher than any of "
        r"them\)",
        scored.outcome.out,
    )
    assert claim and 2 <= int(claim[1]) <= 117


def test_a_threshold_of_ones_own(cli: Cli, still: Path, clip: Path, tmp_path: Path) -> None:
    result = cli("score", clip, "--checkpoint", still, "--threshold", 1e9, *BARE)
    assert result.code == 0 and "0 events" in result.out
    found = events(tmp_path / "runs" / "score" / "clip")
    assert found["threshold"]["value"] == 1e9 and found["events"] == []
    assert found["threshold"]["false_alarms_per_hour"] is None


@pytest.mark.slow
def test_fewer_false_alarms_mean_a_higher_threshold(
    cli: Cli, still: Path, clip: Path, tmp_path: Path
) -> None:
    for rate in (100, 1, 0.01):
        arguments = ("--out", f"at{rate}", "--false-alarms-per-hour", rate)
        assert cli("score", clip, "--checkpoint", still, *arguments, *BARE).code == 0
    values = [
        events(tmp_path / f"at{rate}" / "clip")["threshold"]["value"] for rate in (100, 1, 0.01)
    ]
    assert values == sorted(values) and values[0] < values[2]


def test_a_video_file_with_an_overlay(cli: Cli, still: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "day.mp4", footage(30, intruder=(15, 25)))
    result = cli(
        "score", film, "--checkpoint", still, "--overlay", "--out", "out", "--precision", "float32"
    )
    assert result.code == 0, result.err
    assert (
        len(table(tmp_path / "out" / "day")) == 30 and events(tmp_path / "out" / "day")["fps"] == 10
    )
    overlay = cv2.VideoCapture(str(tmp_path / "out" / "day" / "overlay.webm"))
    frames = 0
    while overlay.read()[0]:
        frames += 1
    assert frames == 30 and overlay.get(cv2.CAP_PROP_FPS) == 10


def test_a_folder_of_both(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_film(tmp_path / "all" / "b.avi", footage(12))
    write_footage(tmp_path / "all" / "a", footage(9))
    result = cli("score", "all", "--checkpoint", still, "--out", "out", "--json", *BARE)
    assert result.code == 0, result.err
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [(line["source"], line["frames"]) for line in lines] == [("all/a", 9), ("all/b.avi", 12)]
    assert len(table(tmp_path / "out" / "a")) == 9 and len(table(tmp_path / "out" / "b")) == 12


def test_sources_of_one_name_do_not_overwrite_each_other(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    for number, place in enumerate(("x/a", "y/a", "y/a-2")):
        write_footage(tmp_path / place, footage(6 + number))
    assert (
        cli("score", "x/a", "y/a-2", "y/a", "--checkpoint", still, "--out", "out", *BARE).code == 0
    )
    lengths = {
        folder.name: len(table(folder))
        for folder in (tmp_path / "out").iterdir()
        if folder.is_dir()
    }
    assert lengths == {"a": 6, "a-2": 8, "a-3": 7}


def test_a_frame_rate_that_nobody_knows_is_said(
    cli: Cli, clip: Path, still: Path, tmp_path: Path
) -> None:
    options = ("--precision", "float32", "--no-report")
    result = cli("score", clip, "--checkpoint", still, *options)
    assert "10 frames/s assumed (as the model's training footage)" in result.err
    assert events(tmp_path / "runs" / "score" / "clip")["fps"] == 10


def test_a_model_without_normal_scores_has_no_events(cli: Cli, clip: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors", normal=False, pseudo_head=False)
    result = cli("score", clip, "--checkpoint", model, *BARE)
    assert result.code == 0 and "no events" in result.err
    found = events(tmp_path / "runs" / "score" / "clip")
    assert found["threshold"] is None and found["events"] == []
    assert (
        list(table(tmp_path / "runs" / "score" / "clip")[0])
        == [c for c in COLUMNS if c != "pseudo"] + PLACE
    )


def test_a_clip_shorter_than_a_window_says_so(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "short", footage(3))
    result = cli("score", "short", "--checkpoint", still, *BARE)
    assert result.code == 0 and "3 frames are too few" in result.err
    assert len(table(tmp_path / "runs" / "score" / "short")) == 3


def test_interrupted_it_keeps_what_it_has(
    cli: Cli, still: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Detector.score

    def interrupted(self: Detector, source, **options) -> Iterator[Result]:
        for result in score(self, source, **options):
            if result.frame == 30:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(Detector, "score", interrupted)
    out = cli("score", clip, "--checkpoint", still, "--overlay", "--pseudo-weight", 0, *BARE)
    assert out.code == 130 and "Traceback" not in out.err
    folder = tmp_path / "runs" / "score" / "clip"
    assert [int(row["frame"]) for row in table(folder)] == list(range(30))
    found = events(folder)
    assert found["complete"] is False and found["frames"] == 30
    assert [(event["start"], event["end"]) for event in found["events"]] == [(20, 30)]
    assert cv2.VideoCapture(str(folder / "overlay.webm")).get(cv2.CAP_PROP_FRAME_COUNT) == 30

    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert cli("score", clip, "--checkpoint", still, *BARE).code == 0  # again, to the same place
    assert len(table(folder)) == 60 and events(folder)["complete"] is True


def test_again_it_scores_nothing_twice(cli: Cli, still: Path, clip: Path, tmp_path: Path) -> None:
    first = cli("score", clip, "--checkpoint", still, "--pseudo-weight", 0, *BARE)
    again = cli("score", clip, "--checkpoint", still, "--pseudo-weight", 0, *BARE)
    assert "scored before" in again.out and "scored before" not in first.out
    assert again.out.replace(", scored before", "") == first.out


def test_results_of_a_folder_of_folders_keep_their_places(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    for number, place in enumerate(("recordings/monday/0800.avi", "recordings/tuesday/0800.avi")):
        write_film(tmp_path / place, footage(6 + number))
    result = cli("score", "recordings", "--checkpoint", still, "--out", "out", *BARE)
    assert result.code == 0, result.err
    assert [len(table(tmp_path / "out" / day / "0800")) for day in ("monday", "tuesday")] == [6, 7]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [entry["frames"] for entry in summary] == [
        6,
        7,
    ] and "2 of 2 sources scored" in result.out


def test_there_is_a_page_over_several_recordings(cli: Cli, still: Path, tmp_path: Path) -> None:
    for name in "ab":
        write_film(tmp_path / f"days/{name}.avi", footage(8))
    (tmp_path / "days/broken.avi").write_bytes(b"no film")
    result = cli("score", "days", "--checkpoint", still, "--out", "out", "--precision", "float32")
    assert result.code == 0 and "look at: out/index.html" in result.out, result.err
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert all(f'href="{name}/report.html"' in page for name in "ab")
    assert "days/broken.avi" in page and "not scored" in page
    assert all((tmp_path / f"out/{name}/report.html").is_file() for name in "ab")


def test_another_source_of_the_same_name_does_not_take_the_results_place(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    for number, place in enumerate(("x/day.avi", "y/day.avi")):
        write_film(tmp_path / place, footage(6 + number))
    for place in ("x/day.avi", "y/day.avi", "x/day.avi"):
        assert cli("score", place, "--checkpoint", still, "--out", "out", *BARE).code == 0
    assert {folder.name: len(table(folder)) for folder in (tmp_path / "out").iterdir()} == {
        "day": 6,
        "day-2": 7,
    }


def test_a_stretch_of_a_video_and_only_some_of_its_frames(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "day.avi", footage(60))
    result = cli(
        "score",
        film,
        "--no-report",
        "--checkpoint",
        still,
        "--start",
        1,
        "--end",
        5,
        "--every",
        2,
        "--out",
        "out",
    )
    assert result.code == 0, result.err
    assert [int(row["frame"]) for row in table(tmp_path / "out" / "day")] == list(range(10, 50, 2))
    assert cli("score", film, "--checkpoint", still, "--start", 5, "--end", 4).code == 2
    for option, value in (
        ("--every", 0),
        ("--start", -1),
        ("--end", 0),
        ("--overlay", "sometimes"),
    ):
        assert cli("score", film, "--checkpoint", still, option, value).code == 2


def test_a_way_to_compile_that_does_not_work_changes_nothing(
    cli: Cli, clip: Path, still: Path, tmp_path: Path
) -> None:
    ways: list[tuple[str, ...]] = [(), ("--compile", "graph", "--batch-size", "7")]
    scores = []
    for number, words in enumerate(ways):
        result = cli("score", clip, "--checkpoint", still, *BARE, "--out", f"out{number}", *words)
        assert result.code == 0, result.err
        assert ("--compile graph does not work here" in result.err) == bool(words)
        scores.append([row["score"] for row in table(tmp_path / f"out{number}" / "clip")])
    plain, other = (np.array([float(score or "nan") for score in one]) for one in scores)
    np.testing.assert_allclose(other, plain, atol=1e-4)
    # Numbers are rounded otherwise: what is there is not gone on with.
    again = cli("score", clip, "--checkpoint", still, *BARE, "--out", "out0", *ways[1])
    assert again.code == 0 and "begun anew" in again.err
