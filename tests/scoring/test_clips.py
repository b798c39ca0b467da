"""Scores of clips, and of frames that could not be read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mpn
from mpn.datasets.windows import Clip
from mpn.model.checkpoint import Checkpoint
from mpn.model.network import Network
from mpn.scoring import clips as module
from mpn.scoring.clips import columns_of, normal_parts, readable_runs, score_clips
from mpn.scoring.parts import column_names, parts_of
from mpn.scoring.scores import score_frames
from mpn.video.frame_source import BadFrame
from tests.helpers.numbered_clips import clip as numbered_clip
from tests.helpers.training_runs import walkers


def with_bad(clip: Clip, *bad: int) -> Clip:
    """The clip with frames that could not be read and hold the one before."""
    frames = clip.frames.copy()
    for index in bad:
        frames[index] = frames[index - 1]
    return replace(
        clip, frames=frames, bad=[BadFrame(index, f"{index}.png", "is empty") for index in bad]
    )


@pytest.mark.parametrize(
    ("bad", "without", "expected"),
    [
        ((), (), [(0, 12)]),
        ((0, 5, 6, 11), (), [(1, 5), (7, 11)]),
        ((5,), [(2, 4), (9, 12)], [(0, 2), (4, 5), (6, 9)]),
        (range(12), (), []),
        ((40,), (), [(0, 12)]),  # beyond the end: a video that is shorter than it says
    ],
)
def test_readable_runs_by_hand(
    bad: tuple[int, ...], without: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    assert readable_runs(numbered_clip(12, bad=bad), without) == expected


def test_rows_as_columns() -> None:
    columns = columns_of([{}, {"a": 1.0}, {"a": 2.0, "b": 3.0}], ["b", "a"])
    assert list(columns) == ["b", "a"]
    np.testing.assert_array_equal(columns["a"], [np.nan, 1, 2])
    np.testing.assert_array_equal(columns["b"], [np.nan, np.nan, 3])
    assert columns_of([], ["a"])["a"].shape == (0,)


def test_a_clip_scores_as_its_frames(tiny: Network) -> None:
    (clip,) = walkers(1)
    detector = mpn.Detector(Checkpoint(tiny), precision="float32")
    (columns,) = score_clips(detector, [clip], "scoring")
    assert list(columns) == column_names(parts_of(tiny))
    expected = [scored.parts for scored in score_frames(tiny, clip.frames)]
    for name, values in columns.items():
        assert values.shape == (14,) and values.dtype == np.float32
        assert np.isnan(values[:4]).all()
        np.testing.assert_allclose(values[4:], [parts[name] for parts in expected], rtol=1e-5)


def test_frames_that_were_not_seen_have_no_score(tiny: Network) -> None:
    (clip,) = walkers(1)
    broken = with_bad(clip, 5)
    detector = mpn.Detector(Checkpoint(tiny), precision="float32")
    whole, columns = (score_clips(detector, [shown], "scoring")[0] for shown in (clip, broken))
    for name, values in columns.items():
        # frame 5 itself, and 6 to 9, whose windows show it
        assert np.flatnonzero(np.isfinite(values)).tolist() == [4, 10, 11, 12, 13]
        np.testing.assert_allclose(values[[4, 10, 13]], whole[name][[4, 10, 13]], rtol=1e-5)


def test_normal_parts_are_those_of_the_scorer(
    tiny: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = walkers(3)
    parts = normal_parts(tiny, clips)
    scored = [list(score_frames(tiny, clip.frames)) for clip in clips]
    for name in ("error", "pseudo"):
        assert [part.dtype for part in parts[name]] == [np.float32] * 3
        for values, frames in zip(parts[name], scored, strict=True):
            assert np.allclose(values, [frame.parts[name] for frame in frames])
    # Of very long footage only so much is kept.
    monkeypatch.setattr(module, "NORMAL_FRAMES", 15)
    assert sum(map(len, normal_parts(tiny, clips)["error"])) <= 15


def test_what_could_not_be_read_is_not_normal(tiny: Network) -> None:
    clip, other = walkers(2)
    whole = normal_parts(tiny, [clip])["error"][0]
    parts = normal_parts(tiny, [with_bad(clip, 6), other])["error"]
    # Stretches of their own, so that nothing is smoothed over the gap: frames 4 and 5, then 11 on.
    assert [len(part) for part in parts] == [2, 3, 10]
    np.testing.assert_allclose(np.concatenate(parts[:2]), whole[[0, 1, 7, 8, 9]], rtol=1e-5)


def test_clips_without_a_window_are_normal_for_nothing(tiny: Network) -> None:
    (clip,) = walkers(1)
    short, unread = replace(clip, frames=clip.frames[:4]), with_bad(clip, *range(14))
    parts = normal_parts(tiny, [short, unread])
    assert list(parts) == [part.name for part in parts_of(tiny)]
    assert all([len(values) for values in stretches] == [0, 0] for stretches in parts.values())
