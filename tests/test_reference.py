"""The reduced reference values: those that were published, unchanged."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.helpers import reference as published


def test_a_changed_file_is_refused(tmp_path):
    shutil.copytree(published.FOLDER, tmp_path / "reference")
    file = tmp_path / "reference" / published.REDUCED
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="SHA-256"):
        published.load_reduced(file.parent)


def test_a_wrong_number_is_found_whether_it_was_kept_or_not(reference):
    expected = reference.arrays("meta_step_64")["init_grad/ohead.0.weight"]
    flat = np.full(73728, (expected.total - expected.numbers.sum()) / (73728 - 3881))
    assert expected.stride == 19 and len(expected.numbers) == 3881
    flat[::19] = expected.numbers
    expected.assert_agrees(flat.reshape(64, 128, 3, 3), 1e-9, "as it is")
    for place in (38, 39):
        wrong = flat.copy()
        wrong[place] += 1e-3 * expected.largest
        with pytest.raises(AssertionError):
            expected.assert_agrees(wrong.reshape(64, 128, 3, 3), 1e-9, place)
    with pytest.raises(AssertionError):
        expected.assert_agrees(flat, 1e-9, "another shape")


@pytest.mark.reference
def test_the_reduced_values_are_those_of_the_full_files(reference, full_reference):
    for file in published.FILES:
        reduced, full = reference.arrays(file), full_reference.arrays(file)
        assert set(reduced) == set(full)
        for name, expected in reduced.items():
            assert np.array_equal(full[name].numbers[:: expected.stride], expected.numbers)
            assert (expected.shape, expected.total, expected.largest) == (
                full[name].shape,
                full[name].total,
                full[name].largest,
            )
