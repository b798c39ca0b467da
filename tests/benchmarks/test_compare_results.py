"""Two folders of results: what counts as the same, and what does not."""

from __future__ import annotations

import json

import pytest

from benchmarks import compare_results

METRICS = {
    "frames": 2736,
    "scores": {"score": {"causal": {"micro_auc": 0.7541672881008237, "interval": None}}},
    "recipe": {"patch": 16, "smoothing": 0.3, "note": "words"},
    "cells": [{"live": True, "value": 0.1 + 0.2}, {"live": False, "value": float("nan")}],
    "versions": {"mpn": "0.1.0"},
    "threads": 2,
}
EVALUATED = "frame,time,score,error\n0,0.0,nan,nan\n1,0.1,1.5,2.25\n"
SCORED = "frame,time,score,raw,top\n0,0.000,nan,nan,\n1,0.100,1.5,2.25,4\n"


def folder(path, metrics=METRICS, **tables):
    (path / "scores").mkdir(parents=True)
    (path / "metrics.json").write_text(json.dumps(metrics))
    for name, text in {"evaluated": EVALUATED, "scores": SCORED, **tables}.items():
        (path / "scores" / f"{name}.csv").write_text(text)
    (path / "heat.bin").write_bytes(b"\x00\x01")
    return path


def compared(tmp_path, metrics=METRICS, **tables):
    before = folder(tmp_path / "before")
    return compare_results.compare_folders(before, folder(tmp_path / "after", metrics, **tables))


def test_a_folder_is_the_same_as_its_copy(tmp_path, capsys):
    before, after = folder(tmp_path / "before"), folder(tmp_path / "after")
    assert compare_results.main([str(before), str(after)]) == 0
    # 2 bytes; 8 + 10 cells; frames, micro_auc, interval, patch, smoothing, 4 in cells
    assert capsys.readouterr().out == "29 values compared, 0 differences\n"


def changed(**parts):
    return {**METRICS, **parts}


@pytest.mark.parametrize(
    ("metrics", "difference"),
    [
        (changed(frames=2737), "metrics.json.frames: 2736 is 2737 after"),
        (changed(frames=None), "metrics.json.frames: 2736 is None after"),
        (
            changed(scores={"score": {"causal": {"micro_auc": 0.7541672881008238, "interval": 0}}}),
            "metrics.json.scores.score.causal.micro_auc: 0.7541672881008237 is 0.7541672881008238",
        ),
        (changed(cells=METRICS["cells"][:1]), "metrics.json.cells: 2 entries, 1 after"),
        (
            changed(cells=[{"live": 1, "value": 0.1 + 0.2}, METRICS["cells"][1]]),
            "metrics.json.cells[0].live: True is 1 after",
        ),
        (
            changed(cells=[{"live": True, "value": 0.3}, METRICS["cells"][1]]),
            "metrics.json.cells[0].value: 0.30000000000000004 is 0.3 after",
        ),
        (
            {key: value for key, value in METRICS.items() if key != "recipe"}
            | {"score_config": {"patch": 16, "smoothing": 0.25, "note": "words"}},
            "metrics.json.recipe: is not there after",
        ),
    ],
)
def test_a_number_that_differs_is_named(tmp_path, metrics, difference):
    assert compared(tmp_path, metrics).differences[0].startswith(difference)


def test_renamed_keys_words_and_how_it_was_made_are_no_differences(tmp_path):
    metrics = {key: value for key, value in METRICS.items() if key != "recipe"}
    metrics["score_config"] = {"patch_size": 16, "smoothing": 0.3, "note": "other words"}
    metrics |= {"versions": {"mpn": "0.2.0"}, "threads": 1, "fresh": 5}
    result = compared(tmp_path, metrics)
    assert result.differences == [] and result.numbers == 29
    assert result.notes == [
        "metrics.json.recipe.note: 'words' is 'other words' after",
        "metrics.json.recipe.patch: is called 'patch_size' after",
        "metrics.json.recipe: is called 'score_config' after",
        "metrics.json.fresh: is new",
    ]


def test_the_raw_score_is_compared_under_all_its_names(tmp_path):
    evaluated = "frame,time,score,score_raw,error\n0,0.0,nan,nan,nan\n1,0.1,9,1.5,2.25\n"
    result = compared(tmp_path, evaluated=evaluated, scores=SCORED.replace("raw", "score_raw"))
    assert result.differences == []
    assert result.notes == ["scores/evaluated.csv: column 'score' is new"]


@pytest.mark.parametrize(
    ("tables", "difference"),
    [
        (
            {"scores": SCORED.replace("2.25", "2.26")},
            "scores/scores.csv, score_raw, row 1: '2.25' is '2.26' after",
        ),
        (
            {"scores": SCORED.replace("1.5", "1.6")},
            "scores/scores.csv, score, row 1: '1.5' is '1.6' after",
        ),
        (
            {"evaluated": EVALUATED.replace("1.5", "nan")},
            "scores/evaluated.csv, score_raw, row 1: '1.5' is 'nan' after",
        ),
        (
            {"evaluated": EVALUATED.replace("error", "pseudo")},
            "scores/evaluated.csv: there is no column 'error' after",
        ),
        (
            {"evaluated": "frame,time,score,error\n0,0.0,nan,nan\n"},
            "scores/evaluated.csv, frame: 2 rows, 1 after",
        ),
    ],
)
def test_a_cell_that_differs_is_named(tmp_path, tables, difference):
    assert compared(tmp_path, **tables).differences[0] == difference


def test_the_same_number_written_differently_is_the_same(tmp_path):
    assert compared(tmp_path, scores=SCORED.replace("2.25", "2.250")).differences == []


def test_the_score_of_a_region_is_no_raw_score(tmp_path):
    path = tmp_path / "01_regions.csv"
    path.write_text("frame,time,track,score\n1,0.1,1,2.5\n")
    assert list(compare_results.read_table(path)) == ["frame", "time", "track", "score"]


def test_missing_files_other_bytes_and_empty_folders_are_differences(tmp_path):
    before, after = folder(tmp_path / "before"), folder(tmp_path / "after")
    (after / "scores" / "scores.csv").unlink()
    (after / "heat.bin").write_bytes(b"\x00\x02")
    result = compare_results.compare_folders(before, after)
    assert result.differences == [
        "heat.bin: other bytes after",
        "scores/scores.csv: is not there after",
    ]
    (tmp_path / "empty").mkdir()
    assert compare_results.main([str(tmp_path / "empty"), str(after)]) == 1
