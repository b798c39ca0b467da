from __future__ import annotations

import errno
import os
import stat
import subprocess

import numpy as np
import pytest

from mpn.errors import DataError, MpnError
from mpn.io.atomic import check_writable, read_npy, scratch_folder, write_atomically


def test_text_and_bytes_arrive_whole_in_new_folders(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "text.json", "größer\n")
    write_atomically(tmp_path / "data", b"\x00\xff")
    assert (tmp_path / "a" / "b" / "text.json").read_bytes() == "größer\n".encode()
    assert (tmp_path / "data").read_bytes() == b"\x00\xff"


def test_an_earlier_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    for content in (b"first, longer", b"second"):
        write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["file"]


def test_a_scratch_folder_goes_with_those_that_killed_processes_left(tmp_path):
    (tmp_path / ".film-of-yesterday").mkdir()
    (tmp_path / ".film-of-yesterday" / "part.webm").write_bytes(b"half")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").touch()
    (tmp_path / ".film-link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path, ".film-") as folder:
        assert folder.parent == tmp_path and list(folder.iterdir()) == []
        assert not (tmp_path / ".film-of-yesterday").exists()
        raise KeyboardInterrupt
    assert not folder.exists() and (tmp_path / "elsewhere" / "mine").exists()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_file_is_readable_for_whom_the_umask_says(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", b"x")
        assert os.umask(mask) == mask  # and the umask itself is left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(
    tmp_path, monkeypatch, number, reason
):
    write_atomically(tmp_path / "file", b"earlier")

    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(
        MpnError, match=f"cannot write .*file .*{reason}; the earlier file is untouched"
    ) as caught:
        write_atomically(tmp_path / "file", b"x" * 1000)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_bytes() == b"earlier"
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(MpnError, match=f"cannot write .*other .*{reason}$"):
        write_atomically(tmp_path / "other", b"x")
    assert os.listdir(tmp_path) == ["file"]


def test_the_new_content_is_on_disk_before_the_old_name_points_to_it(tmp_path, monkeypatch):
    write_atomically(tmp_path / "file", b"earlier")
    happened = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle):
        happened.append(("fsync", os.fstat(handle).st_size, (tmp_path / "file").read_bytes()))
        fsync(handle)

    def watched_replace(source, target):
        happened.append(("replace", os.path.getsize(source), (tmp_path / "file").read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomically(tmp_path / "file", b"later one")
    assert happened == [("fsync", 9, b"earlier"), ("replace", 9, b"earlier")]


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"x")
    assert os.listdir(tmp_path) == []


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(MpnError, match="cannot write .*run/state.pt"):
        write_atomically(tmp_path / "run" / "state.pt", b"x")
    with pytest.raises(MpnError, match="cannot write"):
        write_atomically(tmp_path, b"x")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB; only a superuser may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        )
    except OSError:
        pytest.skip("no mount command")
    if mount.returncode:
        pytest.skip("a small file system cannot be mounted here (not a superuser)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_keeps_the_earlier_file(small_disk):
    write_atomically(small_disk / "model", b"a" * 30_000)
    with pytest.raises(
        MpnError, match="model .*0.1 MB.*: the disk is full; the earlier file is untouched"
    ):
        write_atomically(small_disk / "model", b"b" * 60_000)
    assert (small_disk / "model").read_bytes() == b"a" * 30_000
    assert os.listdir(small_disk) == ["model"]
    write_atomically(small_disk / "model", b"c" * 20_000)  # and there is room again for what fits
    assert (small_disk / "model").read_bytes() == b"c" * 20_000


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (3,",  # never ends
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (10**12,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999999999,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-3,), }",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
        b"__import__('os').system('false')",
        b"",
    ],
)
def test_array_files_with_headers_that_lie_are_refused(tmp_path, header):
    body = header.ljust(118) + b"\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body + b"\0\0\0")
    with pytest.raises(DataError, match="a.npy") as caught:
        read_npy(path)
    assert "\n" not in str(caught.value)


def test_an_array_of_numbers_is_mapped(tmp_path):
    for values in (np.arange(5.0), np.zeros((2, 3), bool), np.arange(4, dtype=np.int8)):
        np.save(tmp_path / "a.npy", values)
        assert np.array_equal(read_npy(tmp_path / "a.npy"), values)


# --- Before the work


def test_what_can_be_written_is_found_out_without_a_trace(tmp_path):
    check_writable(tmp_path / "new" / "deeper" / "a.safetensors")
    check_writable(tmp_path / "b.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_before(shared_tmp, as_nobody):
    (shared_tmp / "taken.json").mkdir()
    (shared_tmp / "file").touch()
    with pytest.raises(MpnError, match="is a folder"):
        check_writable(shared_tmp / "taken.json")
    with pytest.raises(MpnError, match="file is no folder"):
        check_writable(shared_tmp / "file" / "a.json")
    with as_nobody(), pytest.raises(MpnError, match="Permission denied; give another --out"):
        check_writable(shared_tmp / "a.json")


# --- Names


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "S\udcfcd.json"])
def test_files_of_any_name_are_written(tmp_path, name):
    write_atomically(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"


def test_names_that_are_not_utf_8_are_written_as_text(tmp_path):
    write_atomically(tmp_path / "a.txt", "Eingang S\udcfcd.mp4")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == r"Eingang S\udcfcd.mp4"
