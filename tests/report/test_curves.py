"""What the pictures show, read back from the pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from mpn.errors import DataError
from mpn.report import curves

N = 100
LABELS = np.zeros(N, bool)
LABELS[40:60] = True
LABELS[90:] = True


def near(picture: np.ndarray, colour: str, tolerance: int = 12) -> np.ndarray:
    """Pixels (H, W) of a colour "#RRGGBB" in a BGR picture."""
    wanted = np.array([int(colour[k : k + 2], 16) for k in (5, 3, 1)])
    return (np.abs(picture.astype(int) - wanted) <= tolerance).all(axis=2)


def shaded(picture: np.ndarray) -> np.ndarray:
    """Pixels of the label colour, laid thinly on white."""
    full = np.array([int(curves.LABEL_COLOUR[k : k + 2], 16) for k in (5, 3, 1)])
    thin = np.round(255 + (full - 255) * 0.28).astype(int)
    return near(picture, "#" + "".join(f"{x:02X}" for x in thin[::-1]), 4)


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture


def panel_columns(picture: np.ndarray) -> tuple[int, int]:
    """First and last column of the panels: the long dark line of the frame at the bottom."""
    dark = (picture < 60).all(axis=2)
    row = int(dark.sum(axis=1).argmax())
    columns = np.flatnonzero(dark[row])
    return int(columns[0]), int(columns[-1])


def test_labelled_intervals_are_shaded_at_their_frames(tmp_path: Path) -> None:
    curves.plot_scores(tmp_path / "a.png", np.zeros(N), LABELS, title="a")
    picture = read(tmp_path / "a.png")
    left, right = panel_columns(picture)
    columns = shaded(picture).sum(axis=0) > 50
    # the middle of each frame
    at = (np.arange(0.5, N) / N * (right - left) + left).round().astype(int)
    # A line of the grid hides the shade below it: the pixels beside it count too.
    np.testing.assert_array_equal(columns[at - 2] | columns[at + 2], LABELS)


def test_no_shading_without_labels_and_a_gap_without_scores(tmp_path: Path) -> None:
    scores = np.zeros(N)
    scores[:20] = np.nan
    curves.plot_scores(tmp_path / "a.png", scores, title="a")
    picture = read(tmp_path / "a.png")
    assert shaded(picture).sum() == 0
    left, right = panel_columns(picture)
    line = np.flatnonzero(near(picture, curves.SCORE_COLOUR).any(axis=0))
    inside = line[(line > left) & (line < right)]
    assert (inside[0] - left) / (right - left) * N == pytest.approx(20.5, abs=0.6)


def test_threshold_stands_above_lower_scores(tmp_path: Path) -> None:
    for name, threshold in (("with", 2.0), ("without", None)):
        curves.plot_scores(tmp_path / f"{name}.png", np.zeros(N), title="a", threshold=threshold)
    picture = read(tmp_path / "with.png")
    left, right = panel_columns(picture)
    dark = (picture[:, left + 5 : right - 5] < 60).all(axis=2).mean(axis=1)
    dashed = np.flatnonzero((dark > 0.4) & (dark < 0.9))
    score = np.flatnonzero(
        near(picture, curves.SCORE_COLOUR)[:, left + 5 : right - 5].mean(axis=1) > 0.9
    )
    assert len(dashed)
    assert dashed.max() < score.min()
    plain = read(tmp_path / "without.png")
    dark = (plain[:, left + 5 : right - 5] < 60).all(axis=2).mean(axis=1)
    assert not ((dark > 0.4) & (dark < 0.9)).any()


def test_parts_make_a_second_panel_and_seconds_an_axis(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, N)
    curves.plot_scores(tmp_path / "plain.png", ramp, title="a")
    curves.plot_scores(
        tmp_path / "full.png",
        ramp,
        LABELS,
        title="a",
        fps=25,
        parts={"error": ramp, "pseudo": -ramp},
    )
    plain, full = read(tmp_path / "plain.png"), read(tmp_path / "full.png")
    assert full.shape[0] == pytest.approx(1.5 * plain.shape[0], abs=2)
    for colour, _ in curves.PART_STYLES[:2]:
        assert near(full, colour).sum() > 50
        assert near(plain, colour).sum() == 0


def test_all_videos_by_name_and_parts_in_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}
    original = curves.plot_scores

    def spy(path, scores, labels=None, **options):
        drawn[path.name] = options
        original(path, scores, labels, **options)

    monkeypatch.setattr(curves, "plot_scores", spy)
    series = {
        "01": {"score": np.zeros(N), "error": np.full(N, 5.0)},
        "02": {"score": np.ones(N), "error": np.full(N, 3.0), "pseudo": np.ones(N)},
    }
    labels = {"01": LABELS, "02": ~LABELS}
    written = curves.plot_all(
        tmp_path, series, labels, fps={"01": 10}, units={"error": (1.0, 2.0), "pseudo": (1.0, 1.0)}
    )
    assert [path.name for path in written] == ["01.png", "02.png"]
    assert all(read(path).size for path in written)
    assert drawn["01.png"]["parts"]["error"].tolist() == [2.0] * N
    assert drawn["02.png"]["parts"]["pseudo"].tolist() == [0.0] * N
    assert (drawn["01.png"]["fps"], drawn["02.png"]["fps"]) == (10, None)
    assert "pseudo" not in drawn["01.png"]["parts"]


def test_global_state_of_matplotlib_is_left_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    curves.plot_scores(tmp_path / "a.png", np.zeros(3), title="a")
    assert dict(matplotlib.rcParams) == before
    assert "plt" not in vars(curves)


def test_lengths_must_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lobby: 3 scores but 4 of labels"):
        curves.plot_scores(tmp_path / "a.png", np.zeros(3), np.zeros(4, bool), title="lobby")
    with pytest.raises(DataError, match="3 scores but 2 of error"):
        curves.plot_scores(
            tmp_path / "a.png", np.zeros(3), title="lobby", parts={"error": np.zeros(2)}
        )
    assert not list(tmp_path.iterdir())
