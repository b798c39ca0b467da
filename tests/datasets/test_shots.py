"""Windows to adapt on: `Shots`, and which windows they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from mpn.datasets.pseudo_anomalies import PseudoOptions
from mpn.datasets.shots import Shots, shots_of, spread
from mpn.datasets.windows import Clip, WindowDataset
from mpn.errors import DataError
from tests.helpers.numbered_clips import T, numbered, shown

ALWAYS = PseudoOptions(
    speed_probability=1, object_probability=1, rectangle_size=(4, 12), object_size=(4, 10)
)


def grey_clip(count, low, high, seed, size=(24, 32)):
    frames = np.random.default_rng(seed).integers(low, high, (count, *size, 1), np.uint8)
    return Clip("noise", "yard", frames)


def which(sample, shots):
    """The number of the stack of every sample, by its target."""
    targets = [stack[-1].transpose(2, 0, 1) for stack in shots.stacks]
    matches = [
        [i for i, target in enumerate(targets) if np.array_equal(frames[-1], target)]
        for frames in sample.frames
    ]
    assert all(len(match) == 1 for match in matches)
    return [match[0] for match in matches]


@pytest.fixture
def shots():
    return shots_of([grey_clip(40, 0, 256, 0)], [(0, 5), (0, 17), (0, 20), (0, 21), (0, 39)], T)


def test_a_batch_is_one_of_windows(shots):
    sample = shots.sample(7, np.random.default_rng(0))
    assert sample.frames.shape == (7, T + 1, 1, 24, 32) and sample.frames.dtype == torch.uint8
    assert sample.tampered.shape == (7, 24, 32) and sample.tampered.dtype == torch.bool
    assert sample.frames.is_contiguous() and len(shots) == 5
    which(sample, shots)


@pytest.mark.parametrize("pseudo", [True, False, ALWAYS])
def test_every_window_comes_equally_often_over_draws_with_one_generator(shots, pseudo):
    generator = np.random.default_rng(3)
    drawn = [
        i
        for count in (2, 4, 1, 5, 3, 10)
        for i in which(shots.sample(count, generator, pseudo=pseudo), shots)
    ]
    assert all(sorted(drawn[i : i + 5]) == [0, 1, 2, 3, 4] for i in range(0, 25, 5))
    assert len({tuple(drawn[i : i + 5]) for i in range(0, 25, 5)}) > 1


def test_what_is_drawn_depends_on_the_generator_alone(shots):
    def draws(seed):
        return [
            shots.sample(3, generator)
            for generator in [np.random.default_rng(seed)]
            for _ in range(2)
        ]  # noqa: E731

    first, other, again = draws(1), draws(2), draws(1)
    assert all(
        torch.equal(a, b)
        for sample, repeated in zip(first, again)
        for a, b in zip(sample, repeated)
    )
    assert not all(torch.equal(a.frames, b.frames) for a, b in zip(first, other))


def test_without_pseudo_anomalies_frames_are_those_of_the_clip(shots):
    sample = shots.sample(10, np.random.default_rng(0), pseudo=False)
    assert not sample.tampered.any()
    for frames, number in zip(sample.frames.numpy(), which(sample, shots)):
        assert np.array_equal(frames, shots.stacks[number][-5:].transpose(0, 3, 1, 2))


def test_targets_are_true_and_the_rest_is_changed_where_it_says():
    shots = shots_of([grey_clip(60, 100, 106, 1)], [(0, 20), (0, 40), (0, 55)], T)
    before = [stack.copy() for stack in shots.stacks]
    sample = shots.sample(60, np.random.default_rng(0), pseudo=ALWAYS)
    assert sample.tampered.any((1, 2)).float().mean() > 0.8
    for frames, tampered, number in zip(
        sample.frames.numpy(), sample.tampered.numpy(), which(sample, shots)
    ):
        change = np.abs(frames[:-1, 0].astype(int) - shots.stacks[number][-5:-1, ..., 0]).max(0)
        assert not (change[~tampered] > 20).any()
    assert all(np.array_equal(a, b) for a, b in zip(before, shots.stacks))


def test_usual_options_leave_some_windows_and_change_others():
    shots = shots_of([grey_clip(60, 0, 256, 1)], [(0, 20)], T)
    share = (
        shots.sample(200, np.random.default_rng(0), pseudo=True).tampered.any((1, 2)).float().mean()
    )
    # probabilities 0.4 and 0.3: 58 % are tried, a few without a visible change
    assert 0.3 < share < 0.9


def test_pseudo_anomalies_are_made_of_the_own_stacks_alone():
    # The window that is drawn is dark and grey levels of the rest of its clip are bright: a pixel
    # of those, up to 12 levels brighter or darker as options say, would show.
    options = PseudoOptions(
        speed_probability=1, object_probability=1, brightness=(0, 12), object_size=(8, 20)
    )
    frames = np.full((60, 24, 32, 1), 250, np.uint8)
    frames[20:34] = grey_clip(14, 90, 110, 2).frames
    frames[40:54] = grey_clip(14, 60, 80, 3).frames
    clip = Clip("c", "s", frames)
    shots = shots_of([clip], [(0, 33), (0, 53)], T)
    sample = shots.sample(200, np.random.default_rng(0), pseudo=options).frames[:, :-1].numpy()
    assert sample.min() >= 60 - 12 and sample.max() <= 110 + 12
    # Each is given to the other: donors are not only a window's own stack.
    dark = np.array(
        [i == 1 for i in which(shots.sample(200, np.random.default_rng(0), pseudo=options), shots)]
    )
    assert sample[dark].max() > 80 + 12 and sample[~dark].min() < 90 - 12
    alone = (
        shots_of([clip], [(0, 33)], T)
        .sample(200, np.random.default_rng(0), pseudo=options)
        .frames[:, :-1]
        .numpy()
    )
    assert alone.min() >= 90 - 12 and alone.max() <= 110 + 12


def test_without_history_there_are_no_speed_ups_and_with_it_there_are():
    options = PseudoOptions(speed_probability=1, whole_frame_probability=1, object_probability=0)
    clips = numbered(40)
    steps = {}
    for history in (True, False):
        frames = (
            shots_of(clips, [(0, 30)], T, history=history)
            .sample(40, np.random.default_rng(0), pseudo=options)
            .frames
        )
        steps[history] = set(np.diff(frames[:, :-1, 0, 0, 0].numpy()).ravel().tolist())
    assert steps == {True: {2, 3, 4}, False: {1}}


@pytest.mark.parametrize(
    ("target", "stack"),
    [(4, (0, 4)), (13, (0, 13)), (14, (1, 14)), (24, (20, 24)), (40, (27, 40)), (59, (46, 59))],
)
def test_stacks_are_views_of_the_frames_up_to_the_target(target, stack):
    clips = numbered(60, bad=(19,))
    shots = shots_of(clips, [(0, target)], T)
    assert [frame for _, frame in shown(shots)[0]] == list(range(stack[0], stack[1] + 1))
    assert np.shares_memory(shots.stacks[0], clips[0].frames)


@pytest.mark.parametrize(
    ("target", "readable"), [(3, "0 to 3"), (19, "20 to 19"), (22, "20 to 22"), (60, "20 to 59")]
)
def test_a_window_that_is_not_there_is_an_error(target, readable):
    with pytest.raises(
        DataError, match=f"yard0: no window with target {target}: .*readable are {readable}"
    ):
        shots_of(numbered(60, bad=(19,)), [(0, target)], T)


def test_no_windows_or_too_short_ones_are_an_error():
    with pytest.raises(DataError, match="0 windows"):
        shots_of(numbered(60), [], T)
    with pytest.raises(DataError, match="shortest of 4 frames; expected .* 5 frames"):
        Shots([np.zeros((8, 2, 2, 1), np.uint8), np.zeros((4, 2, 2, 1), np.uint8)], T)


# --- Spread


@pytest.mark.parametrize("count", [1, 2, 5, 10, 100])
def test_windows_are_spread_evenly_and_repeats_differ(count):
    clips = numbered(154, 304, 79, bad=(50,))
    row = [(number, target) for number, target, _ in WindowDataset(clips, T).index]
    place = {window: i for i, window in enumerate(row)}
    choices = [spread(clips, count, T, repeat=repeat, repeats=5) for repeat in range(5)]
    for chosen in choices:
        places = [place[window] for window in chosen]
        assert len(places) == count and places == sorted(set(places))
        spacing = len(row) / count
        assert all(abs(b - a - spacing) <= 1 for a, b in pairwise(places))
        # As far to the ends as the repeat's shift has it, never more than a spacing.
        assert places[0] < spacing and len(row) - places[-1] <= spacing + 1
    assert len({window for chosen in choices for window in chosen}) == 5 * count
    for current, following in pairwise(choices):
        shift = [place[b] - place[a] for a, b in zip(current, following)]
        assert all(abs(s - len(row) / count / 5) <= 1 for s in shift)


def test_all_windows_where_there_are_just_enough():
    clips = numbered(12, 9)
    every = [(0, t) for t in range(4, 12)] + [(1, t) for t in range(4, 9)]
    assert spread(clips, 13, T) == every == spread(clips, 13, T, repeat=2, repeats=3)
    assert spread(numbered(14), 1, T) == [(0, 9)]  # the middle of targets 4 to 13
    assert len(shots_of(clips, spread(clips, 13, T), T)) == 13


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (14, {}, r"14 windows to adapt on, but there are 13 in 21 frames of 2 clip\(s\)"),
        (0, {}, "0 windows"),
        (1, {"repeat": 3, "repeats": 3}, "repeat 3 of 3"),
        (1, {"repeat": -1}, "repeat -1 of 1"),
    ],
)
def test_what_cannot_be_spread_says_so_with_numbers(count, options, message):
    with pytest.raises(DataError, match=message):
        spread(numbered(12, 9), count, T, **options)
