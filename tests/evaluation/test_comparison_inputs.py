"""What stands for a system, and which labels belong to its scores."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mpn.errors import DataError, LabelError
from mpn.evaluation.comparison_inputs import Truth, read_systems, systems_of

LABELS = "video,start,end\n01,2,4\n02,,\n10,0,1\n10,3,5\n"
LENGTHS = {"01": 6, "02": 4, "10": 5}


def write_run(
    folder: Path, labels: str | None = LABELS, lengths: dict[str, int] = LENGTHS, below: bool = True
) -> Path:
    """A folder as evaluate writes it, or of score files alone."""
    place = folder / "scores" if below else folder
    place.mkdir(parents=True)
    for name, length in lengths.items():
        (place / f"{name}.csv").write_text("score\n" + "".join(f"{k}\n" for k in range(length)))
    if labels is not None:
        (folder / "labels.csv").write_text(labels)
    return folder


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_patterns_and_names() -> None:
    for name in ("mine-10", "mine-2", "other", "deep/other", "a=b"):
        write_run(Path(name))
    Path("mine-3").write_text("no folder")
    assert systems_of(["other", "mine-*", "deep/other"]) == {
        "other": [Path("other")],
        "mine-*": [Path("mine-2"), Path("mine-10")],
        "deep/other": [Path("deep/other")],
    }
    assert systems_of(["x=other,mine-*", "y=deep/other"]) == {
        "x": [Path("other"), Path("mine-2"), Path("mine-10")],
        "y": [Path("deep/other")],
    }
    assert systems_of(["a=b", "other/scores"]) == {
        "a=b": [Path("a=b")],
        "other": [Path("other/scores")],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing: does not exist"),
        (["none-*"], "none-[*]: matches no folder"),
        (["x=here,"], "'' is not a folder"),
        (["x=here,gone"], "gone: does not exist"),
        (["file.txt"], "'file.txt' is not a folder"),
        (["x=here,./here"], "here is given twice"),
        (["x=here", "x=there"], "two systems are called 'x'"),
        (["here", "here"], "two systems are called 'here'"),
    ],
)
def test_what_is_no_system(arguments: list[str], message: str) -> None:
    write_run(Path("here"))
    write_run(Path("there"))
    Path("file.txt").write_text("x")
    with pytest.raises(DataError, match=message):
        systems_of(arguments)


def test_labels_come_from_beside_the_scores() -> None:
    write_run(Path("a"))
    write_run(Path("b"), labels=None, below=False)
    for first, second in (("a", "b"), ("b", "a"), ("a/scores", "b")):
        truth, runs, notes = read_systems({"x": [Path(first)], "y": [Path(second)]})
        assert {video: y.tolist() for video, y in truth.frames.items()} == {
            "01": [False, False, True, True, False, False],
            "02": [False] * 4,
            "10": [True, False, False, True, True],
        }
        assert truth.facts["frames"] == 15 and truth.facts["anomalous"] == 5
        assert truth.facts["sha256"] == hashlib.sha256(LABELS.encode()).hexdigest()
        assert notes == []
        assert [list(run) for system in runs.values() for run in system.values()] == [
            ["01", "02", "10"]
        ] * 2
        np.testing.assert_array_equal(runs["y"][second]["10"]["score"], np.arange(5))


def test_the_original_label_file_is_named() -> None:
    write_run(Path("a"))
    Path("a/metrics.json").write_text(
        json.dumps({"labels": {"source": "set/gt.mat", "sha256": "ab" * 32}})
    )
    write_run(Path("b"), LABELS.replace("01,2,4", "01,2,3\n01,3,4"))
    truth, _, notes = read_systems({"x": [Path("a")], "y": [Path("b")]})
    assert truth.facts["made_from"] == {"source": "set/gt.mat", "sha256": "ab" * 32}
    assert notes == ["2 label files, different as files, that label every frame alike"]
    for damaged in ("{", "[1]", '{"labels": 3}', '{"labels": {}}'):
        Path("a/metrics.json").write_text(damaged)
        assert "made_from" not in read_systems({"x": [Path("a")]})[0].facts


def test_scores_that_evaluate_took_from_elsewhere() -> None:
    write_run(Path("theirs"), labels=None, below=False)
    Path("out").mkdir()
    Path("out/labels.csv").write_text(LABELS)
    Path("out/metrics.json").write_text(json.dumps({"scores_from": "theirs"}))
    truth, runs, _ = read_systems({"x": [Path("out")]})
    assert truth.facts["frames"] == 15 and list(runs["x"]["out"]) == ["01", "02", "10"]


def test_labels_that_differ_are_refused_with_their_counts() -> None:
    write_run(Path("a"))
    write_run(Path("b"), LABELS.replace("01,2,4", "01,2,5"))
    with pytest.raises(
        LabelError,
        match=r"5 of 15 frames .* a/labels\.csv .* but 6 of 15 .* "
        r"b/labels\.csv",
    ) as caught:
        read_systems({"x": [Path("a")], "y": [Path("b")]})
    assert "1 frames of 1 videos differ, the first of them '01'" in str(caught.value)
    assert hashlib.sha256(LABELS.encode()).hexdigest()[:12] in str(caught.value)
    truth = Truth({name: np.zeros(length, bool) for name, length in LENGTHS.items()}, {}, "set")
    # the data set's stand above both
    assert read_systems({"x": [Path("a")], "y": [Path("b")]}, truth)[0] is truth
    write_run(Path("c"), LABELS.replace("02,,\n", ""), {"01": 6, "10": 5})
    with pytest.raises(LabelError, match="only one has video '02'"):
        read_systems({"x": [Path("a")], "y": [Path("c")]})
    write_run(Path("d"), LABELS, {**LENGTHS, "02": 7})
    with pytest.raises(LabelError, match="video '02' has 4 frames in one and 7 in the other"):
        read_systems({"x": [Path("a")], "y": [Path("d")]})


def test_a_label_file_that_contradicts_itself() -> None:
    write_run(Path("a"), LABELS + "02,0,1\n")
    with pytest.raises(LabelError, match="lines 3 and 6 say that video '02' is normal, and that"):
        read_systems({"x": [Path("a")]})


def test_a_label_file_of_its_own() -> None:
    write_run(Path("a"), labels=None, below=False)
    Path("mine.csv").write_text(LABELS)
    truth, _, _ = read_systems({"x": [Path("a")]}, labels=Path("mine.csv"))
    assert truth.facts["anomalous"] == 5 and truth.facts["source"] == "mine.csv"


def test_scores_of_videos_that_are_not_labelled_are_left_out_and_said() -> None:
    write_run(Path("a"), lengths={**LENGTHS, "11": 3})
    truth, runs, notes = read_systems({"x": [Path("a")]})
    assert list(truth.frames) == list(runs["x"]["a"]) == ["01", "02", "10"]
    assert any("1 videos that have scores are not in it" in note for note in notes)
    assert any("11.csv: of no test video" in note for note in notes)


def test_no_labels_or_scores_that_do_not_fit() -> None:
    write_run(Path("plain"), labels=None, below=False)
    with pytest.raises(LabelError, match="no labels.csv beside the scores.*--data"):
        read_systems({"x": [Path("plain")]})
    write_run(Path("a"))
    write_run(Path("short"), None, {**LENGTHS, "10": 4}, below=False)
    with pytest.raises(
        DataError,
        match=r"10\.csv: 4 scores, but the video has 5 frames .* are "
        r"those of a\)",
    ):
        read_systems({"x": [Path("a")], "y": [Path("short")]})
    write_run(Path("few"), None, {"01": 6}, below=False)
    with pytest.raises(
        DataError,
        match=r"'02': found no file .*2 of 3 test videos have none "
        r"\('02', '10'\)",
    ):
        read_systems({"x": [Path("a")], "y": [Path("few")]})
    write_run(Path("fewer"), LABELS, {"01": 6})
    with pytest.raises(
        DataError,
        match=r"no scores of 2 of 3 videos that fewer/labels\.csv labels "
        r"\(02, 10\)",
    ):
        read_systems({"x": [Path("fewer")]})
    write_run(Path("late"), LABELS.replace("10,3,5", "10,3,6"))
    with pytest.raises(
        LabelError, match="'10' is labelled to frame 6, but late/scores has 5 scores"
    ):
        read_systems({"x": [Path("late")]})
    write_run(Path("none"), "video,start,end\n")
    with pytest.raises(DataError, match="no scores of 0 of 0 videos"):
        read_systems({"x": [Path("none")]})
