from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mpn.errors import DataError
from mpn.video.paths import natural_key, require_path

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


# --- Paths that are not there


def missing(path, hint=""):
    with pytest.raises(DataError) as caught:
        require_path(path, hint)
    return str(caught.value).removeprefix(f"{path}: does not exist; ")


def test_what_is_called_alike_is_named(tmp_path):
    (tmp_path / "cams").mkdir()
    for name in ("Lobby.mp4", "yard.mp4", "lobby2.mp4", ".lobby.mp4"):
        (tmp_path / "cams" / name).write_bytes(b"")
    cams = tmp_path / "cams"
    alike = f"did you mean {cams}/Lobby.mp4 or {cams}/lobby2.mp4?"
    assert missing(cams / "loby.mp4", "x") == alike
    assert missing(cams / "entrance", "x").endswith("which holds 3 files (.mp4); x")
    # Of the first part that is absent.
    assert missing(tmp_path / "cam" / "lobby.mp4") == f"did you mean {cams}?"
    assert missing(cams / "entrance").startswith(f"the nearest folder that does is {cams}, which")
    assert missing(cams / "yard.mp4" / "0.png").endswith("no files: it is a file itself")


def test_a_link_to_nowhere_is_not_itself_meant(tmp_path):
    (tmp_path / "lobby.mp4").symlink_to(tmp_path / "gone")
    assert missing(tmp_path / "lobby.mp4").startswith("the nearest folder that does is")
