from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mpn.errors import DataError
from mpn.meta.episodes import EpisodeSampler, Item


@pytest.fixture(scope="module")
def digits():
    """Numbers of the images of each class."""
    labels = load_digits().target
    return {str(digit): np.flatnonzero(labels == digit) for digit in range(10)}


def test_images_n_way_k_shot(digits):
    labels = load_digits().target
    sampler = EpisodeSampler(
        {name: len(items) for name, items in digits.items()}, shots=5, queries=15, ways=5, seed=2
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
        tuple(way for episode in drawn[i : i + around] for way in episode)
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
    ("items", "options", "message"),
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
def test_what_cannot_be_drawn_from_says_so_with_numbers(items, options, message):
    with pytest.raises(DataError, match=message):
        EpisodeSampler(items, **options)


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
                support, query = items[s], items[q]
                assert (
                    support.clip != query.clip
                    or query.first - support.last > gap
                    or support.first - query.last > gap
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
