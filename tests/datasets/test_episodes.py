from __future__ import annotations

from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest

from mpn.datasets.augmentation import mirrored
from mpn.datasets.episodes import SceneEpisodes
from mpn.datasets.windows import WindowDataset, split_calibration
from mpn.errors import DataError
from tests.helpers.numbered_clips import T, clip, numbered, shown


def assert_apart(support, query, gap):
    """By brute force over frames: none of one is within the gap of any of the other in the same
    clip."""
    support_frames, query_frames = (
        {frame for stack in side for frame in stack} for side in (support, query)
    )
    near = [
        (a, b)
        for a, b in product(support_frames, query_frames)
        if a[0] == b[0] and abs(a[1] - b[1]) <= gap
    ]
    assert not near, near[:3]


SCENES = {
    "one clip": ((70,), ()),
    "the shortest": ((39,), ()),
    "several": ((60, 45, 80), ()),
    "two short ones": ((14, 12), ()),
    "an Avenue-like folder": ((30, 22, 41, 27, 60, 33, 25, 38), ()),
    "bad frames": ((90, 50), (3, 11, 12, 40)),
}


@pytest.mark.parametrize("kind", SCENES)
@pytest.mark.parametrize("pseudo", [True, False])
def test_support_and_query_show_frames_further_apart_than_the_gap(kind, pseudo):
    lengths, bad = SCENES[kind]
    clips = numbered(*lengths, bad=bad)
    for gap in (None, 0, 9):
        if kind == "the shortest" and gap == 9:
            continue
        few = kind == "two short ones"
        episodes = SceneEpisodes(
            clips, T, shots=3 if few else 10, queries=4 if few else 8, pseudo=pseudo, gap=gap
        )
        for number in range(60):
            task = episodes.task(number)
            support, query = shown(task.support), shown(task.query)
            assert_apart(support, query, T if gap is None else gap)
            for stack in support + query:
                assert T + 1 <= len(stack) <= (14 if pseudo else T + 1)
                assert len({number for number, _ in stack}) == 1
                assert all(b[1] - a[1] == 1 for a, b in pairwise(stack))
                assert not {frame for _, frame in stack} & set(bad)
            assert len({stack[-1] for stack in support}) == len(support) == (3 if few else 10)
            assert len({stack[-1] for stack in query}) == len(query) == (4 if few else 8)


def test_a_scene_of_one_clip_is_cut_anywhere_and_either_side_is_support():
    episodes = SceneEpisodes(numbered(200), T, shots=3, queries=3)
    first, cuts = Counter(), []
    for number in range(300):
        task = episodes.task(number)
        support, query = (
            sorted(stack[-1][1] for stack in shown(side)) for side in (task.support, task.query)
        )
        assert support[-1] < query[0] or query[-1] < support[0]
        first[support[-1] < query[0]] += 1
        cuts.append(max(min(support[-1], query[-1]), T))
    assert min(first[True], first[False]) > 100
    assert min(cuts) < 30 and max(cuts) > 150


def test_every_window_is_drawn_for_support_and_for_query():
    clips = numbered(60, 45, bad=(20,))
    windows = {(c, t) for c, t, _ in WindowDataset(clips, T).index}
    episodes = SceneEpisodes(clips, T, shots=8, queries=8)
    tasks = [episodes.task(number) for number in range(300)]
    for side in ("support", "query"):
        assert {stack[-1] for task in tasks for stack in shown(getattr(task, side))} == windows


def test_history_is_as_long_as_the_footage_allows():
    task = SceneEpisodes(numbered(80, bad=(30,)), T, shots=10, queries=10).task(0)
    for stack in shown(task.support) + shown(task.query):
        target = stack[-1][1]
        assert stack[0][1] == max(target - 13, 31 if target > 30 else 0)


def test_every_scene_comes_equally_often_and_tasks_stay_in_theirs():
    clips = [
        clip(60 + 7 * i, name=f"{scene}{i}", scene=scene) for i, scene in enumerate("aabcccde")
    ]
    episodes = SceneEpisodes(clips, T, shots=(1, 5), queries=4, seed=1)
    by_scene = {scene: [c.frames for c in clips if c.scene == scene] for scene in "abcde"}
    drawn = []
    for number in range(25):
        task = episodes.task(number)
        drawn.append(task.scene)
        for stack in task.support.stacks + task.query.stacks:
            assert any(np.shares_memory(stack, frames) for frames in by_scene[task.scene])
    assert all(sorted(drawn[i : i + 5]) == list("abcde") for i in range(0, 25, 5))


def test_tasks_are_the_same_for_the_same_seed_and_number():
    clips = numbered(80, 60)
    first, again, other = (
        SceneEpisodes(clips, T, shots=(1, 5), queries=4, seed=seed) for seed in (0, 0, 1)
    )

    def tasks(episodes, order):
        return {n: (shown(episodes.task(n).support), shown(episodes.task(n).query)) for n in order}  # noqa: E731

    forwards = tasks(first, range(10))
    assert tasks(again, reversed(range(10))) == forwards
    assert tasks(other, range(10)) != forwards


def test_mirror_images_are_scenes_of_their_own():
    clips = numbered(60) + numbered(60, scene="hall")
    episodes = SceneEpisodes([*clips, *mirrored(clips)], T, shots=2, queries=2)
    assert {episodes.task(n).scene for n in range(4)} == {
        "yard",
        "hall",
        "yard-mirrored",
        "hall-mirrored",
    }


def test_parts_of_held_out_footage_serve_too():
    train, _ = split_calibration(numbered(90), 0.25)
    episodes = SceneEpisodes(train, T, shots=2, queries=2)
    targets = [stack[-1][1] for n in range(40) for stack in shown(episodes.task(n).query)]
    assert 50 < max(targets) < 68


def test_scenes_too_short_are_named_with_what_they_have_and_need():
    clips = [
        *numbered(38, scene="hall"),
        *numbered(39, scene="yard"),
        *numbered(9, 4, scene="attic", bad=(2,)),
    ]
    with pytest.raises(DataError) as caught:
        SceneEpisodes(clips, T, shots=(1, 10), queries=8)
    message = str(caught.value)
    assert "hall has 38 frames in 1 clip," in message
    assert "attic has 13 frames in 2 clips (2 unreadable);" in message
    assert (
        "10 windows" in message
        and "8 from another time" in message
        and "39 frames in a row" in message
    )
    assert "yard" not in message and "\n" not in message


@pytest.mark.parametrize(
    ("shots", "queries", "gap", "pseudo"), [(1, 1, 0, True), (5, 8, 4, False), (2, 3, 11, True)]
)
def test_the_length_that_is_asked_for_is_the_least(shots, queries, gap, pseudo):
    def make(count):
        return SceneEpisodes(
            numbered(count), T, shots=shots, queries=queries, gap=gap, pseudo=pseudo
        )  # noqa: E731

    lengths = iter(range(200))
    for count in lengths:
        try:
            make(count).task(0)
            break
        except DataError as error:
            message = str(error)
    assert f"it takes {count} frames in a row" in message


def test_no_clips_are_an_error():
    with pytest.raises(DataError, match="no clips"):
        SceneEpisodes([], T, shots=1, queries=1)
