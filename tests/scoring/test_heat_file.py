"""Heat maps in a raw file: by hand, gone on with, and read back."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.errors import DataError, MpnError
from mpn.scoring.heat_file import HeatFile, heat_levels, heat_shape, heat_unit, read_heat

MAPS = np.random.default_rng(0).uniform(-1, 6, (9, 3, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((240, 360), (24, 36)),
        ((1080, 1920), (20, 36)),
        ((1920, 1080), (24, 14)),
        ((10, 20), (10, 20)),
        ((4, 4000), (1, 36)),
    ],
)
def test_shapes_are_those_of_the_frames(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert heat_shape(size) == shape


def test_levels_by_hand() -> None:
    values = np.array([[-3.0, 0.0, 1.0, 2.0], [4.0, 9.0, np.nan, np.inf]], np.float32)
    assert heat_levels(values, 2.0).tolist() == [[0, 0, 64, 128], [255, 255, 0, 255]]
    assert heat_levels(None, 2.0, (2, 3)).tolist() == [[0] * 3] * 2


def test_the_unit_is_the_threshold_where_that_can_be() -> None:
    assert heat_unit(7.5) == 7.5
    assert heat_unit(0.0) == heat_unit(-2.0) == heat_unit(None) == 1.0
    assert 0 < heat_unit(None, calibrated=False) < 1


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_gone_on_with_it_is_the_same_to_the_byte(tmp_path, stop: int) -> None:
    with HeatFile(tmp_path / "whole", (3, 4), 2.0) as whole:
        sizes = [whole.write(values) for values in MAPS]
    assert sizes == list(range(12, 12 * 10, 12))
    with HeatFile(tmp_path / "again", (3, 4), 2.0) as file:
        for values in MAPS[: stop + 1]:  # one more than is remembered
            file.write(values)
    with HeatFile(tmp_path / "again", (3, 4), 2.0, size=sizes[stop - 1]) as file:
        assert [file.write(values) for values in MAPS[stop:]] == sizes[stop:]
    assert (tmp_path / "again").read_bytes() == (tmp_path / "whole").read_bytes()


def test_what_was_written_is_read_back(tmp_path) -> None:
    with HeatFile(tmp_path / "heat.bin", (3, 4), 2.0) as file:
        file.write(None)
        for values in MAPS:
            file.write(values)
    levels = read_heat(tmp_path / "heat.bin", (3, 4))
    assert levels.dtype == np.uint8 and levels.shape == (10, 3, 4) and not levels[0].any()
    # Half a level of 255 for 4, at the most.
    np.testing.assert_allclose(levels[1:] / 255 * 4, np.clip(MAPS, 0, 4), atol=2 / 255 + 1e-6)


def test_a_file_that_is_none_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="none.bin: cannot be read as heat maps"):
        read_heat(tmp_path / "none.bin", (3, 4))
    (tmp_path / "cut.bin").write_bytes(bytes(25))
    with pytest.raises(DataError, match=r"cut.bin: 25 bytes are not whole maps of 3x4 bytes"):
        read_heat(tmp_path / "cut.bin", (3, 4))
    (tmp_path / "empty.bin").write_bytes(b"")
    assert read_heat(tmp_path / "empty.bin", (3, 4)).shape == (0, 3, 4)
    with (
        HeatFile(tmp_path / "heat.bin", (3, 4), 1.0) as file,
        pytest.raises(DataError, match=r"\(4, 3\) after"),
    ):
        file.write(np.zeros((4, 3)))
    with pytest.raises(MpnError, match="give another --out"):
        HeatFile(tmp_path / "no" / "heat.bin", (3, 4), 1.0)
