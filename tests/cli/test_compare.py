"""mpn compare: what it prints, what it takes, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.cli.conftest import Cli

LENGTH = 30
TRUTH = {f"{k:02d}": np.arange(LENGTH) // (5 + k) % 2 == 1 for k in range(6)}


def write_run(
    folder: Path, quality: float, seed: int, labels: bool = True
) -> dict[str, np.ndarray]:
    """Scores as evaluate writes them, with its labels.csv."""
    rng = np.random.default_rng(seed)
    scores = {video: rng.normal(size=LENGTH) + quality * y for video, y in TRUTH.items()}
    (folder / "scores").mkdir(parents=True)
    for video, values in scores.items():
        rows = [f"{k},nan,{value!r}" for k, value in enumerate(values.tolist())]
        (folder / "scores" / f"{video}.csv").write_text(
            "\n".join(["frame,time,score", *rows]) + "\n"
        )
    rows = [f"{video},{k},{k + 1}" for video, y in TRUTH.items() for k in np.flatnonzero(y)]
    if labels:
        (folder / "labels.csv").write_text("\n".join(["video,start,end", *rows]) + "\n")
    return scores


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Two seeds of a good system, one of a poor."""
    return {
        "mine-0": write_run(tmp_path / "mine-0", 3, 0),
        "mine-1": write_run(tmp_path / "mine-1", 3, 1),
        "poor": write_run(tmp_path / "poor", 0.3, 2, labels=False),
    }


def auc(scores: dict[str, np.ndarray]) -> float:
    return roc_auc_score(
        np.concatenate(list(TRUTH.values())), np.concatenate(list(scores.values()))
    )


def test_which_is_better(cli: Cli, runs: dict) -> None:
    result = cli("compare", "mine-0", "poor")
    assert result.code == 0, result.err
    assert "mine-0 is better than poor: mine-0 minus poor +" in result.out
    assert "labels: mine-0/labels.csv, " in result.out and "  sha256 " in result.out
    again = cli("compare", "mine-0", "mine-1")
    assert "mine-0 and mine-1 are not told apart" in again.out


def test_several_seeds_as_json_and_as_a_file(cli: Cli, runs: dict, tmp_path: Path) -> None:
    result = cli(
        "compare", "mine-*", "poor", "--protocol", "absolute", "--json", "--out", "found/c.json"
    )
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found == json.loads((tmp_path / "found" / "c.json").read_text())
    each = [auc(runs["mine-0"]), auc(runs["mine-1"])]
    assert found["systems"][0]["each"] == pytest.approx(each)
    assert found["systems"][0]["micro_auc"] == pytest.approx(np.mean(each))
    assert found["folders"] == {
        "mine-*": ["mine-0/scores", "mine-1/scores"],
        "poor": ["poor/scores"],
    }
    assert found["labels"]["anomalous"] == sum(int(y.sum()) for y in TRUTH.values())
    assert found["differences"][0]["better"] == "mine-*" and found["versions"]["mpn"]


def test_the_data_set_s_own_labels(cli: Cli, tree: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {"01": (10, 18), "02": (0, 0), "03": (14, 20)}
    scores = {}
    for system, quality in (("a", 4.0), ("b", 0.0)):
        (tmp_path / system).mkdir()
        for video, (start, end) in labels.items():
            values = rng.normal(size=24)
            values[start:end] += quality
            scores[system, video] = values
            np.save(tmp_path / system / f"{video}.npy", values)
    result = cli("compare", "a", "b", "--data", tree, "--protocol", "absolute", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    y = np.concatenate(
        [(np.arange(24) >= start) & (np.arange(24) < end) for start, end in labels.values()]
    )
    for entry in found["systems"]:
        expected = roc_auc_score(
            y, np.concatenate([scores[entry["name"], video] for video in labels])
        )
        assert entry["micro_auc"] == pytest.approx(expected)
    assert found["labels"]["anomalous"] == 14 and found["labels"]["source"].endswith("labels.csv")
    assert "give the data set that was scored with --data" in cli("compare", "a", "b").error()
    np.save(tmp_path / "b" / "02.npy", np.zeros(23))
    assert (
        "b/02.npy: 23 scores, but the video has 24 frames"
        in cli("compare", "a", "b", "--data", tree).error()
    )


def test_what_it_refuses(cli: Cli, runs: dict, tmp_path: Path) -> None:
    assert cli("compare", "mine-0").code == 2
    assert "one system only" in cli("compare", "mine-*").err
    assert cli("compare", "mine-0", "poor", "--layout", "ucsd").code == 2
    assert cli("compare", "mine-0", "poor", "--protocol", "live").code == 2
    assert "missing: does not exist" in cli("compare", "mine-0", "missing").error()
    assert (
        "column error; all have: score"
        in cli("compare", "mine-0", "poor", "--score", "error").error()
    )
    labels = tmp_path / "mine-1" / "labels.csv"
    labels.write_text(labels.read_text() + "05,0,1\n")
    assert "the labels differ: " in cli("compare", "mine-0", "mine-1").error()
    result = cli("compare", "mine-0", "mine-1", "--labels", "mine-0/labels.csv")
    assert result.code == 0 and "mine-0/labels.csv" in result.out
    (tmp_path / "poor" / "scores" / "03.csv").unlink()
    assert "video '03': found no file in poor/scores" in cli("compare", "mine-0", "poor").error()
