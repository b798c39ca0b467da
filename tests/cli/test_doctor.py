"""mpn doctor: what is printed, as text and as JSON, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mpn.doctor import diagnose
from tests.cli.conftest import Cli
from tests.helpers.small_model import footage, write_film, write_footage
from tests.helpers.trees import write_csv


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two videos, a.avi with five black frames; both for training and testing."""
    film = footage(30)
    film[10:15] = 0
    write_film(tmp_path / "set" / "a.avi", film)
    write_film(tmp_path / "set" / "b.avi", footage(20, seed=1))
    write_csv(tmp_path / "set" / "labels.csv", ["a,10,15"])
    return tmp_path / "set"


def test_a_header_a_table_and_findings(cli: Cli, recordings: Path) -> None:
    result = cli("doctor", "set")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "set: plain layout, 2 training and 2 test videos, 1 scene"
    assert lines[1].startswith("50 frames, ")
    assert lines[2] == "labels: intervals of labels.csv, 5 of 50 frames anomalous"
    table = [line.split() for line in lines[4:7]]
    assert table[0] == ["video", "frames", "size", "frames/s", "length", "on", "disk"]
    assert table[1][:5] == ["a", "30", "96x64", "10", "0:03.0"] and table[2][:5] == [
        "b",
        "20",
        "96x64",
        "10",
        "0:02.0",
    ]
    findings = lines[8:-2]
    assert findings[0].startswith("warning: set: labels.csv makes test videos of all 2")
    assert findings[2].startswith(
        "warning: a: 5 frames of 30 are black, the first: frame 10 (1.0 s)"
    )
    assert all(line.startswith(("error: ", "warning: ", "note: ")) for line in findings[::2])
    assert all(line.startswith("  remedy: ") for line in findings[1::2])
    assert lines[-1] == "2 warnings, 2 notes"


def test_the_same_as_json(cli: Cli, recordings: Path) -> None:
    result = cli("doctor", "set", "--json")
    assert result.code == 0
    printed = json.loads(result.out)
    assert printed == json.loads(json.dumps(diagnose.diagnose("set", progress=False).to_dict()))
    assert [row["frames"] for row in printed["videos"]] == [30, 20]
    assert [finding["kind"] for finding in printed["findings"]][:2] == ["same-videos", "black"]
    assert set(printed["findings"][0]) == {"kind", "severity", "where", "what", "remedy"}


def test_nothing_found_is_said(cli: Cli, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 6, (1220, 16, 24, 3), dtype=np.uint8)
    write_film(tmp_path / "a.avi", footage(1)[0, ::4, ::4] + noise, fps=2)
    result = cli("doctor", "a.avi")
    assert result.code == 0
    assert result.out.startswith("a.avi: a video\n1,220 frames")
    assert result.out.endswith("\nnothing found that would go wrong\n")


def test_options_reach_the_library(cli: Cli, tmp_path: Path) -> None:
    write_footage(tmp_path / "clip", footage(20))
    assert [one["kind"] for one in json.loads(cli("doctor", "clip", "--json").out)["findings"]][
        0
    ] == "no-rate"
    printed = json.loads(cli("doctor", "clip", "--json", "--fps", 5).out)
    assert (
        printed["videos"][0]["seconds"] == 4 and printed["findings"][0]["kind"] == "little-footage"
    )
    assert "no data set found" in cli("doctor", "clip", "--layout", "ucsd").error()
    assert "no test videos" in cli("doctor", "clip", "--labels", "clip").out


def test_many_videos_make_a_short_table_and_many_findings_of_a_kind_few_lines(
    cli: Cli, tmp_path: Path
) -> None:
    film = footage(6)
    film[3] = 0
    for scene in ("01", "02"):
        for number in range(20):
            folder = tmp_path / "set" / "training" / "frames" / f"{scene}_{number:03d}"
            write_footage(folder, np.roll(film, 3 * number, axis=2))
    result = cli("doctor", "set")
    table = result.out.split("\n\n")[1].splitlines()
    assert len(table) == 3
    assert table[1].split()[:6] == ["training", "scene", "01", "(20", "videos)", "120"]
    black = [
        line for line in result.out.splitlines() if line.startswith("warning: ") and "black" in line
    ]
    assert len(black) == 4 and black[3].startswith(
        "warning: 37 more of that (black; --json has all): training/01_003"
    )
    kinds = [one["kind"] for one in json.loads(cli("doctor", "set", "--json").out)["findings"]]
    assert kinds.count("black") == 40


def test_what_cannot_be_read_fails(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(b"no video at all")
    assert "a.avi: is no video that FFmpeg can decode" in cli("doctor", "a.avi").error()
    assert "does not exist" in cli("doctor", "absent").error()
    assert cli("doctor").code == 2


def test_interrupted_it_prints_what_it_saw(
    cli: Cli, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = diagnose.read_clip

    def read(clip, **options) -> None:
        inside(clip, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(diagnose, "read_clip", read)
    result = cli("doctor", "set")
    assert result.code == 130
    assert "interrupted: 1 of 2 videos read to the end; what follows is of 30 frames" in result.out
    assert "a: 5 frames of 30 are black" in result.out and "interrupted" in result.err
