"""The verb `mpn bench`."""

from __future__ import annotations

import json

import pytest

from mpn import bench
from mpn.cli import bench as verb
from mpn.model.engines import installed_engines


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """As little as can be measured."""
    monkeypatch.setattr(bench, "PRODUCT_SIDE", 64)
    short = {"rounds": 2, "frames": 8}
    monkeypatch.setattr(verb, "bench_film", lambda *given: bench.bench_film(*given, **short))


def test_a_row_a_setting_and_the_one_to_use_at_the_end(cli, still):
    outcome = cli("bench", still)
    assert outcome.code == 0
    rows = [line for line in outcome.out.splitlines() if line.startswith(installed_engines())]
    assert [tuple(row.split()[:2]) for row in rows] == bench.settings_here()
    assert outcome.out.splitlines()[-1].startswith("use: mpn score")
    assert max(map(len, outcome.out.splitlines())) < 80


def test_no_share_of_the_peak_is_above_all_of_it(cli, still, monkeypatch):
    monkeypatch.setattr(bench.NetworkBench, "share", lambda self, rate: 0.42)
    assert " 42%" in cli("bench", still).out
    # Winograd's convolutions do fewer multiplications than are counted.
    monkeypatch.setattr(bench.NetworkBench, "share", lambda self, rate: 1.08)
    outcome = cli("bench", still)
    assert "108%" not in outcome.out and "about all" in outcome.out
    assert "fewer multiplications than are counted" in " ".join(outcome.out.split())
    assert max(map(len, outcome.out.splitlines())) < 80
    figures = json.loads(cli("bench", still, "--json").out)["network"]
    assert all(row["share_of_peak"] == 1.08 for row in figures)  # as it was measured


def test_json_has_every_figure(cli, still):
    document = json.loads(cli("bench", still, "--json").out)
    settings = [list(setting) for setting in bench.settings_here()]
    assert [[row["engine"], row["precision"]] for row in document["all"]] == settings
    assert {row["batch"] for row in document["network"]} == set(bench.BATCHES)
    assert [document["use"]["engine"], document["use"]["precision"]] in settings
