"""Files written so that nothing there before is lost, and arrays read so that none does harm."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mpn.errors import DataError, MpnError
from mpn.io.text import printable

# Bytes of a file's name that its temporary file has too: names end at 255.
NAME_BYTES = 200


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        MpnError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MpnError(
            f"cannot make the folder {folder}: {error.strerror}; give another --out"
        ) from error


def check_writable(path: str | Path) -> None:
    """Check that a file can be written later, before the work that it is the result of.

    Nothing is left behind, and folders that are missing are not made.

    Args:
        path: of the file; its folder may be missing.

    Raises:
        MpnError: it cannot be written; says why.
    """
    path = Path(path)
    try:
        folder = next(above for above in path.absolute().parents if above.exists())
        if path.is_dir() or not folder.is_dir():
            kind = "is a folder" if path.is_dir() else f"{folder} is no folder"
            raise MpnError(f"cannot write {path}: {kind}; give another --out")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MpnError(
            f"cannot write {path}: {error.strerror or error}; give another --out"
        ) from error


@contextmanager
def scratch_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for a while; those of the same prefix that a killed process left are removed.

    Args:
        folder: where it is made; nobody else may make one with this prefix at the same time.
        prefix: of its name.

    Yields:
        The folder.
    """
    for left in folder.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder) as made:
        yield Path(made)


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Write a file whole or not at all: a temporary file beside it, flushed to disk, is renamed.

    Args:
        path: of the file; its folder is made.
        content: of it, text as UTF-8.

    Raises:
        MpnError: the folder is not writable, or the disk is full; the earlier file is
            untouched.
    """
    path = Path(path)
    data = printable(content).encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beginning = os.fsdecode(os.fsencode(path.name)[:NAME_BYTES])
        handle, temporary = tempfile.mkstemp(
            prefix=f".{beginning}.", suffix=".part", dir=path.parent
        )
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for their owner only; a result is for whom the umask says.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        earlier = "; the earlier file is untouched" if path.exists() else ""
        raise MpnError(
            f"cannot write {path} ({len(data) / 1e6:.1f} MB): {reason}{earlier}"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def read_npy(path: str | Path) -> np.ndarray:
    """Map an array of numbers from a .npy file, so that a header that lies about its size is cheap.

    Args:
        path: of the file.

    Raises:
        DataError: it holds pickled objects (never loaded: they can run code) or no numbers, is an
            archive, or is damaged.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (
        ValueError,
        OSError,
        EOFError,
        SyntaxError,
        TypeError,
        OverflowError,
        KeyError,
        RecursionError,
        tokenize.TokenError,
        MemoryError,
    ) as error:  # (numpy reads the header as Python's literals)
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if "pickle" in reason.lower() or "object" in reason.lower():
            raise DataError(
                f"{path}: holds pickled Python objects, which are never loaded (they can run "
                "code); expected a plain array of numbers"
            ) from error
        raise DataError(
            f"{path}: cannot be read as .npy ({reason}); expected a plain array of numbers"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path}: is an archive of arrays; expected one plain array (.npy)")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise DataError(f"{path}: holds {array.dtype}; expected an array of numbers")
    return array
