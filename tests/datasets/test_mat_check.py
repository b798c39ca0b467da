"""MATLAB files that SciPy would crash on are refused before it reads them; sound ones pass."""

from __future__ import annotations

import base64
import subprocess
import sys
import zlib

import numpy as np
import pytest
import scipy.io

from mpn.datasets.label_readers import mat_intervals
from mpn.datasets.mat_check import check_variable
from mpn.errors import LabelError

# Found by benchmarks/fuzz.py: a cell array whose bytes were doubled. scipy.io.loadmat (1.17.1) dies
# of it.
CRASH = (
    "eNrzdQzxcXRSMNUzUPB1DNFNy8xJVQjISSxJyy/KtVIoyC/OrNBRcC5KTSxJTVHIz7NSCE4sUfDLL1MwMlQwNLYyNbUyNVQwMjAy"
    "YyADMHr68gGpACBmA2IOIOaDSrFC+UxQzAgk00uGvn4eIFsBzIcAZijNBKVZoDQADy4dZw=="
)


def cells(*values):
    array = np.empty((1, len(values)), object)
    array[0, :] = values
    return array


SOUND = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "bytes": np.zeros((2, 3, 4), np.uint8),
    "flags": np.array([[True, False]]),
    "complex": np.array([[1 + 2j]]),
    "text": "some words",
    "nothing": np.zeros((0, 3)),
    "cells": cells(np.array([[1, 2]]), np.array([[3], [4]]), "text"),
    "cells in cells": cells(cells(np.arange(3)), cells()),
}


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes_is_sound(tmp_path, kind, compressed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(
        path, {"before": np.ones(3), "gt": SOUND[kind], "after": "x"}, do_compression=compressed
    )
    check_variable(path, "gt")
    check_variable(path, "before")
    check_variable(path, "is not there")


@pytest.mark.parametrize("compressed", [False, True])
def test_cut_short_anywhere_it_is_refused(tmp_path, compressed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"gt": SOUND["cells"]}, do_compression=compressed)
    whole = path.read_bytes()
    for length in range(129, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="bytes|element|cut short|damaged"):
            check_variable(path, "gt")


def test_a_file_that_scipy_dies_of_is_one_clear_line(tmp_path):
    path = tmp_path / "gt.mat"
    path.write_bytes(zlib.decompress(base64.b64decode(CRASH)))
    with pytest.raises(LabelError, match="gt.mat: cannot be read as a .mat file") as caught:
        mat_intervals(path)
    assert "\n" not in str(caught.value)
    # Not what is tested, but why: if a later SciPy raises an exception here, all the better.
    code = subprocess.run(
        [sys.executable, "-c", f"import scipy.io; scipy.io.loadmat({str(path)!r})"],
        capture_output=True,
    )
    assert code.returncode != 0


def test_other_classes_and_lies_are_named(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"gt": {"field": 1}})
    with pytest.raises(ValueError, match="class 2; expected numbers"):
        check_variable(path, "gt")
    scipy.io.savemat(path, {"gt": cells(np.array([[7]]), np.array([[8]]))})
    data = bytearray(path.read_bytes())
    at = data.index(b"\x05\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00")
    data[at + 12] = 3  # three cells, of which two are there
    path.write_bytes(data)
    with pytest.raises(ValueError, match="holds 2 elements, 3 arrays were expected"):
        check_variable(path, "gt")
    path.write_bytes(b"no MATLAB file" * 20)
    with pytest.raises(ValueError, match="no header"):
        check_variable(path, "gt")
