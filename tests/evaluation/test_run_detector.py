"""A test set through a detector: the same scores as one by one, and what is found beside them."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import mpn
from mpn.datasets.layouts import recognise
from mpn.evaluation.run_detector import WITH_PLACE, score_baselines, score_set
from mpn.evaluation.test_set import LabelledSet, open_set, write_labels
from mpn.scoring.regions import track_gap
from tests.helpers.small_model import BLOCK, FOOTAGE, write_model, write_tree

NAMES = ["01", "02", "03"]


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> LabelledSet:
    return open_set(recognise(write_tree(tmp_path_factory.mktemp("set"))), fps=10)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> mpn.scoring.detector.Detector:
    return mpn.load(
        write_model(tmp_path_factory.mktemp("model") / "m.safetensors"), precision="float32"
    )


def test_columns_are_those_of_the_detector(test_set: LabelledSet, detector, tmp_path: Path) -> None:
    scored = dict(score_set(detector, test_set.sources, None, tmp_path / "regions"))
    assert list(scored) == NAMES
    for name, video in scored.items():
        alone = list(detector.score(test_set.sources[name].path))
        np.testing.assert_array_equal(video.columns["score"], [result.raw for result in alone])
        np.testing.assert_array_equal(video.smoothed, [result.score for result in alone])
        for part in ("error", "pseudo", "psnr_db", "compactness"):
            assert np.isnan(video.columns[part][:4]).all()
            np.testing.assert_array_equal(
                video.columns[part][4:], [result.parts[part] for result in alone[4:]]
            )
        assert video.maps.shape[0] == 24 and not video.maps[:4].any() and video.maps[4:].any()


def test_the_intruder_is_in_the_highest_region(
    test_set: LabelledSet, detector, tmp_path: Path
) -> None:
    video = dict(score_set(detector, test_set.sources, None, tmp_path / "regions"))["01"]
    row, _, score, (top, left, height, width) = max(video.regions, key=lambda region: region[2])
    assert 10 <= row < 19
    assert top < 32 + BLOCK and top + height > 32 and left < 72 and left + width > 56
    assert top >= 0 and top + height <= FOOTAGE[0] and left + width <= FOOTAGE[1]
    with (tmp_path / "regions" / "01_regions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(video.regions)
    best = max(rows, key=lambda entry: float(entry["score"]))
    assert int(best["frame"]) == row and float(best["score"]) == pytest.approx(score, rel=1e-5)
    # The film's heat is highest there, too.
    heat = video.maps[row]
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    assert top - 8 <= (y + 0.5) * FOOTAGE[0] / heat.shape[0] <= top + height + 8
    assert left - 8 <= (x + 0.5) * FOOTAGE[1] / heat.shape[1] <= left + width + 8


def test_baselines_are_judged_on_the_same_frames(test_set: LabelledSet) -> None:
    class Gatherer:
        def __init__(self) -> None:
            self.rows: list[tuple[str, int]] = []

        def empty(self) -> Gatherer:
            return Gatherer()

        def merge(self, other: Gatherer) -> None:
            self.rows += other.rows

        def add(self, video: str, row: int, values: np.ndarray, regions: list) -> None:
            assert values.shape == (24, 36)
            self.rows.append((video, row))

    gatherers = {name: Gatherer() for name in WITH_PLACE}
    judged = {"01": 4, "02": 24, "03": 20}  # of the second nothing is judged
    scores = score_baselines(test_set.sources, test_set.lengths, 0, judged, gatherers)
    expected = [("01", row) for row in range(4, 24)] + [("03", row) for row in range(20, 24)]
    assert all(gatherer.rows == expected for gatherer in gatherers.values())
    assert set(scores) == {"frame_number", "nearness_to_middle", "uniform_noise", *WITH_PLACE}
    assert all(len(scores["flow_speed"][name]) == 24 for name in NAMES)


def test_labels_beside_the_figures_are_read_back(test_set: LabelledSet, tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.csv", test_set.labels)
    assert (tmp_path / "labels.csv").read_text() == "video,start,end\n01,10,18\n02,,\n03,14,20\n"
    again = open_set(test_set.tree, tmp_path / "labels.csv")
    assert all(
        np.array_equal(again.labels.frames[name], test_set.labels.frames[name]) for name in NAMES
    )


@pytest.mark.parametrize("fps", [5, 20])
def test_the_rate_given_reaches_regions_and_tracks(tmp_path: Path, detector, fps: int) -> None:
    test = open_set(recognise(write_tree(tmp_path / "set")), fps=fps)
    assert set(test.rates.values()) == {fps}
    videos = dict(score_set(detector, test.sources, None, tmp_path / "regions"))
    for name in NAMES:
        with (tmp_path / "regions" / f"{name}_regions.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert all(float(row["time"]) == pytest.approx(int(row["frame"]) / fps) for row in rows)
        # A track is one thing: it is lost for no longer than the tracker's gap at this rate.
        tracks: dict[int, list[int]] = {}
        for row, track, _, _ in videos[name].regions:
            tracks.setdefault(track, []).append(row)
        gaps = [b - a for rows in tracks.values() for a, b in zip(rows, rows[1:])]
        assert max(gaps, default=1) <= track_gap(Fraction(fps)) + 1
