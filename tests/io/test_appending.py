"""A file that grows by whole pieces and can be gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpn.errors import MpnError
from mpn.io.appending import AppendOnlyFile


def test_pieces_are_on_their_way_to_disk_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with AppendOnlyFile(path) as file:
        assert file.append(b"one\n") == 4
        assert path.read_bytes() == b"one\n"
        assert file.append(b"two\n") == file.size == 8
    assert path.read_bytes() == b"one\ntwo\n"


def test_going_on_keeps_what_stands_and_drops_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(b"one\nhalf a li")
    with AppendOnlyFile(path, size=4) as file:
        assert file.append(b"two\n") == 8
    assert path.read_bytes() == b"one\ntwo\n"
    AppendOnlyFile(path).close()  # begun anew
    assert path.read_bytes() == b""


def test_a_failure_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(MpnError, match="cannot write .*absent.*give another --out"):
        AppendOnlyFile(tmp_path / "absent" / "scores.csv")
    file = AppendOnlyFile(tmp_path / "scores.csv")
    file.file.close()
    file.file = (tmp_path / "scores.csv").open("rb")  # no longer writable
    with pytest.raises(MpnError, match="scores.csv: .*what was written before is kept"):
        file.append(b"one\n")
    file.close()
