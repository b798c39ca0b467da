from __future__ import annotations

from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mpn.datasets.augmentation import mirrored
from mpn.datasets.episodes import EpisodeSampler, Item, SceneEpisodes
from mpn.datasets.windows import WindowDataset, split_calibration
from mpn.errors import DataError
from tests.helpers.numbered_clips import T, clip, numbered, shown


def assert_apart(support, query, gap):
    """By brute force over frames: none of one is within the gap of any of the other in the same
    clip."""
    one, other = ({frame for stack in side for frame in stack} for side in (support, query))
    near = [(a, b) for a, b in product(one, other) if a[0] == b[0] and abs(a[1] - b[1]) <= gap]
    assert not near, near[:3]


# --- Any labelled data


@pytest.fixture(scope="module")
def digits():
    """Numbers of the images of each class."""
    labels = load_digits().target
    return {str(digit): np.flatnonzero(labels == digit) for digit in range(10)}


def test_images_n_way_k_shot(digits):
    labels = load_digits().target
    sampler = EpisodeSampler(
        {name: len(own) for name, own in digits.items()}, shots=5, queries=15, ways=5, seed=2
    )
    met = set()
    for number in range(40):
        episode = sampler.episode(number)
        assert len(set(episode.ways)) == len(episode.support) == len(episode.query) == 5
        for way, support, query in zip(episode.ways, episode.support, episode.query):
            assert len(support) == 5 and len(query) == 15 and len({*support, *query}) == 20
            images = digits[way][support + query]
            assert set(labels[images]) == {int(way)}
            met |= set(images.tolist())
    # 200 ways of 20 of about 180 images: 20 looks at each class, which miss an image once in nine.
    assert len(met) > 0.8 * len(labels)


def test_every_image_is_as_likely_support_as_any_other():
    sampler = EpisodeSampler({"a": 6}, shots=2, queries=3)
    episodes = [sampler.episode(number) for number in range(1500)]
    support = Counter(i for episode in episodes for i in episode.support[0])
    query = Counter(i for episode in episodes for i in episode.query[0])
    # Binomial: 500 +- 18 and 750 +- 19.
    assert all(abs(support[i] - 500) < 90 and abs(query[i] - 750) < 95 for i in range(6))


@pytest.mark.parametrize(("classes", "ways"), [(12, 1), (12, 3), (10, 5)])
def test_every_class_comes_equally_often_in_ever_another_order(classes, ways):
    sampler = EpisodeSampler(
        dict.fromkeys(map(str, range(classes)), 9), shots=1, queries=1, ways=ways, seed=5
    )
    around = classes // ways
    drawn = [sampler.episode(number).ways for number in range(6 * around)]
    orders = [
        tuple(way for own in drawn[i : i + around] for way in own)
        for i in range(0, len(drawn), around)
    ]
    assert all(sorted(order) == sorted(map(str, range(classes))) for order in orders)
    assert len(set(orders)) == 6


def test_where_ways_do_not_divide_the_classes_each_is_left_out_in_turn():
    sampler = EpisodeSampler(dict.fromkeys("abcd", 9), shots=1, queries=1, ways=3)
    often = Counter(way for number in range(400) for way in sampler.episode(number).ways)
    assert set(often) == set("abcd") and all(abs(count - 300) < 40 for count in often.values())
    assert all(len(set(sampler.episode(number).ways)) == 3 for number in range(50))


def test_seed_and_number_decide_whatever_was_drawn_before():
    items = {"a": 30, "b": 40, "c": 50}
    first, again, other = (
        EpisodeSampler(items, shots=(1, 5), queries=2, seed=seed) for seed in (3, 3, 4)
    )
    forwards = [first.episode(number) for number in range(20)]
    assert [again.episode(number) for number in reversed(range(20))][::-1] == forwards
    assert [other.episode(number) for number in range(20)] != forwards
    assert len({str(episode) for episode in forwards}) == 20


def test_the_number_of_shots_is_drawn():
    sampler = EpisodeSampler({"a": 30}, shots=(1, 5, 10), queries=2)
    often = Counter(len(sampler.episode(number).support[0]) for number in range(600))
    assert set(often) == {1, 5, 10} and min(often.values()) > 150


@pytest.mark.parametrize(
    ("items", "given", "message"),
    [
        (
            {"cat": 4, "dog": 9, "eel": 5},
            {"shots": 3, "queries": 3},
            r"cat has 4, eel has 5; it "
            r"takes 3 .* and 3 ",
        ),
        (
            {"cat": 9},
            {"shots": 1, "queries": 1, "ways": 2},
            r"2 ways need as many classes, there "
            r"are 1",
        ),
        ({"cat": 9}, {"shots": 0, "queries": 1}, r"shots 0.*from 1 up"),
        ({"cat": 9}, {"shots": (), "queries": 1}, r"shots \(\).*from 1 up"),
        ({"cat": 9}, {"shots": 1, "queries": 1, "gap": 2}, r"gap of 2 frames needs items"),
        (
            {"cat": [Item(0, 0, 4), Item(0, 6, 9)]},
            {"shots": 1, "queries": 1, "gap": 2},
            r"cat has 2; .* more than 2 frames between",
        ),
    ],
)
def test_what_cannot_be_drawn_from_says_so_with_numbers(items, given, message):
    with pytest.raises(DataError, match=message):
        EpisodeSampler(items, **given)


def test_items_of_any_length_are_kept_apart_in_time():
    generator = np.random.default_rng(1)
    for trial in range(30):
        gap = int(generator.integers(0, 6))
        items = []
        for _ in range(40):
            first = int(generator.integers(0, 60))
            items.append(
                Item(int(generator.integers(3)), first, first + int(generator.integers(0, 9)))
            )
        sampler = EpisodeSampler({"a": items}, shots=3, queries=4, gap=gap, seed=trial)
        for number in range(20):
            episode = sampler.episode(number)
            assert len(set(episode.support[0])) == 3 and len(set(episode.query[0])) == 4
            for s, q in product(episode.support[0], episode.query[0]):
                one, other = items[s], items[q]
                assert (
                    one.clip != other.clip
                    or other.first - one.last > gap
                    or one.first - other.last > gap
                )


def test_a_class_that_only_some_orders_of_its_clips_can_cut_never_fails():
    # 8, 3 and 2 items that touch: five for support and eight for query fit in no other way than 3 +
    # 2 against 8.
    items = [
        Item(number, k, k + 50) for number, count in enumerate((3, 8, 2)) for k in range(count)
    ]
    sampler = EpisodeSampler({"a": items}, shots=5, queries=8, gap=4)
    for number in range(200):
        episode = sampler.episode(number)
        assert {items[i].clip for i in episode.query[0]} == {1}
        assert {items[i].clip for i in episode.support[0]} <= {0, 2}


# --- Scenes


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
    own = {scene: [c.frames for c in clips if c.scene == scene] for scene in "abcde"}
    drawn = []
    for number in range(25):
        task = episodes.task(number)
        drawn.append(task.scene)
        for stack in task.support.stacks + task.query.stacks:
            assert any(np.shares_memory(stack, frames) for frames in own[task.scene])
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
