from __future__ import annotations

from itertools import product

import numpy as np

from mpn.video.paths import natural_key

# --- Natural order


def test_numbers_sort_as_numbers():
    names = ["clip10", "clip2", "Clip1", "clip02", "clip", "a1b10", "a1b9", "10", "9"]
    ordered = ["9", "10", "a1b9", "a1b10", "clip", "Clip1", "clip02", "clip2", "clip10"]
    assert sorted(names, key=natural_key) == ordered


def test_natural_order_is_numeric_order_for_any_zero_filling():
    rng = np.random.default_rng(3)
    numbers = rng.permutation(2000)[:300]
    names = [f"f_{n:0{rng.integers(1, 7)}d}.jpg" for n in numbers]
    assert [int(name[2:-4]) for name in sorted(names, key=natural_key)] == sorted(numbers.tolist())


def test_natural_key_compares_names_of_any_shape():
    names = ["".join(parts) for parts in product(["", "a", "1", "01", "²"], repeat=3)]
    keys = sorted(map(natural_key, names))
    assert len(keys) == 125 and keys[0] == natural_key("")
