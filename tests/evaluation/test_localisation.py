"""Where: true places from masks, what was found of them, on judged frames only."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mpn.datasets.labels import Labels
from mpn.errors import DataError, LabelError
from mpn.evaluation.localisation import (
    FROM_MASKS,
    Places,
    Truth,
    add_theirs,
    format_places,
    place_rows,
)
from mpn.metrics.regions import TrueRegion

SIZE = (20, 40)  # of the masks
LENGTH = 12


def masks() -> np.ndarray:
    """A block of 6x8 pixels in frames 6 to 9, moving right by 2 a frame."""
    stack = np.zeros((LENGTH, *SIZE), bool)
    for k in range(4):
        stack[6 + k, 4:10, 10 + 2 * k : 18 + 2 * k] = True
    return stack


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    folder = tmp_path / "masks" / "a"
    folder.mkdir(parents=True)
    for k, mask in enumerate(masks()):
        assert cv2.imwrite(str(folder / f"{k:03}.png"), mask.astype(np.uint8) * 255)
    return Labels({"a": masks().any(axis=(1, 2))}, tmp_path, "masks", "0" * 64, {"a": folder})


def test_true_regions_are_in_pixels_of_the_frames(labels: Labels) -> None:
    truth = Truth(labels, {"a": (40, 40)})  # twice as high as the masks
    assert truth.known and truth.source == FROM_MASKS
    assert [(region.frame, region.track, region.box) for region in truth.regions("a")] == [
        (6, truth.regions("a")[0].track, (8, 10, 12, 8)),
        (7, truth.regions("a")[0].track, (8, 12, 12, 8)),
        (8, truth.regions("a")[0].track, (8, 14, 12, 8)),
        (9, truth.regions("a")[0].track, (8, 16, 12, 8)),
    ]
    np.testing.assert_array_equal(truth.mask("a"), masks())


def test_published_tracks_replace_those_of_the_masks(labels: Labels) -> None:
    tracks = [TrueRegion("a", 7, 0, (1, 2, 3, 4))]
    truth = Truth(labels, {"a": SIZE}, tracks, "tracks/")
    assert truth.regions("a") == tracks and truth.source == "tracks/"
    with pytest.raises(LabelError, match="'b', which is not a test video"):
        Truth(labels, {"a": SIZE}, [tracks[0]._replace(video="b")], "tracks/")


def judged(labels: Labels, sign: float = 1.0, first: int = 4) -> Places:
    """Places of a detector whose map is the mask itself, times `sign`, and whose regions are the
    true ones."""
    places = Places(Truth(labels, {"a": SIZE}))
    for row in range(first, LENGTH):
        regions = [(1.0, region.box) for region in places.truth.regions("a") if region.frame == row]
        places.add("a", row, sign * masks()[row].astype(np.float32), regions)
    return places


def test_who_finds_all_of_it_has_one(labels: Labels) -> None:
    figures = judged(labels).compute(draws=20, region_draws=20)
    assert figures.pixel.pixel_auc == 1.0 and figures.pixel.pixel_level_auc == 1.0
    assert figures.pixel.frames == LENGTH - 4 and figures.pixel.masked_frames == 4
    for criteria in figures.regions.values():
        assert (criteria.rbdc, criteria.tbdc, criteria.regions, criteria.tracks) == (1.0, 1.0, 4, 1)
        assert criteria.frames == LENGTH - 4
    assert judged(labels, sign=-1.0).compute(draws=20).pixel.pixel_auc == 0.0


def test_only_judged_frames_count(labels: Labels) -> None:
    # Frames 6 and 7 have no score: two of the four true regions are left.
    figures = judged(labels, first=8).compute(draws=20, region_draws=20)
    assert figures.regions["paper"].regions == 2 and figures.regions["paper"].frames == 4
    assert figures.regions["paper"].rbdc == 1.0
    assert figures.pixel.masked_frames == 2


def test_a_false_alarm_in_half_of_the_frames(labels: Labels) -> None:
    places = Places(Truth(labels, {"a": SIZE}))
    for row in range(4, LENGTH):  # in every frame the same wrong corner, higher than what is right
        right = [(1.0, region.box) for region in places.truth.regions("a") if region.frame == row]
        places.add("a", row, None, [(2.0, (14, 0, 4, 4))][: row % 2] + right)
    figures = places.compute(region_draws=20)
    assert figures.pixel is None
    # By hand: 4 of 8 frames have the false alarm, then all is found: 0 up to FPR 0.5, then 1.
    assert figures.regions["paper"].rbdc == pytest.approx(0.5)
    assert figures.regions["paper"].tbdc == pytest.approx(0.5)


def test_anyones_maps_and_regions(labels: Labels, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "regions").mkdir()
    np.save(tmp_path / "maps" / "a.npy", masks().astype(np.float32)[:, ::2, ::2])
    rows = [f"{6 + k},{10 + 2 * k},4,{17 + 2 * k},9,0.5" for k in range(4)]
    (tmp_path / "regions" / "a.txt").write_text("\n".join(rows) + "\n")
    series = {"a": {"score": np.where(np.arange(LENGTH) < 4, np.nan, 1.0)}}
    truth = Truth(labels, {"a": SIZE})
    places = add_theirs(Places(truth), series, tmp_path / "maps", tmp_path / "regions")
    figures = places.compute(draws=20, region_draws=20)
    assert figures.pixel.pixel_auc > 0.99 and figures.pixel.frames == LENGTH - 4
    assert figures.regions["paper"].rbdc == figures.regions["script"].rbdc == 1.0
    assert add_theirs(Places(truth), series, None, None) is None
    only_maps = add_theirs(Places(truth), series, tmp_path / "maps", None).compute(draws=20)
    assert not only_maps.regions


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (np.zeros((LENGTH - 1, 4, 4)), "all 12 frames"),
        (np.zeros((LENGTH, 4)), r"expected maps \(T, h, w\)"),
        (np.full((LENGTH, 4, 4), np.nan), "map of frame 0 is not finite"),
        (None, "is missing"),
    ],
)
def test_maps_that_do_not_fit(
    labels: Labels, tmp_path: Path, maps: np.ndarray | None, words: str
) -> None:
    (tmp_path / "maps").mkdir()
    if maps is not None:
        np.save(tmp_path / "maps" / "a.npy", maps)
    with pytest.raises(DataError, match=words):
        add_theirs(
            Places(Truth(labels, {"a": SIZE})),
            {"a": {"score": np.zeros(LENGTH)}},
            tmp_path / "maps",
            None,
        )


def test_the_table_says_what_is_undefined_and_what_is_not_there(labels: Labels) -> None:
    where = {"score": judged(labels).compute(draws=20, region_draws=20)}
    without = Places(Truth(labels, {"a": SIZE}))
    for row in (4, 5):  # no anomaly in them
        without.add("a", row, None, [])
    where["flow_speed"] = without.compute(region_draws=20)
    head, rows = place_rows(where)
    assert head[1:] == ["this", "speed alone"]
    by_title = {row[0]: row[1:] for row in rows}
    assert by_title["pixel AUC"] == ["100.0", ""]
    assert by_title["RBDC (the paper's)"] == ["100.0", "-"]
    assert "true regions: 4 in 1 tracks" in format_places(where)
