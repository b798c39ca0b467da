"""A folder that one program at a time may write into, and a file that one at a time may change."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from mpn.errors import BusyError
from mpn.io.atomic import check_writable, make_folder

LOOK_AGAIN = 0.2  # seconds


@contextlib.contextmanager
def folder_lock(
    folder: str | Path, *, shared: bool = False, patience: float = 0.0
) -> Iterator[None]:
    """Hold a folder while a `with` block writes into it.

    It is the folder itself that is locked: no file is left behind, and the system lets go of it
    when the program ends, however that happens. Where a file system has no locks (some network
    shares), none is held.

    Args:
        folder: made where it is missing, and removed again if it is empty at the end.
        shared: others may hold it in this way at the same time.
        patience: seconds that another program is given to end.

    Raises:
        BusyError: another program holds it.
        MpnError: the folder cannot be made or written into.
    """
    folder = Path(folder)
    check_writable(folder / "x")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + patience
        while not _locked(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() >= until:
                raise BusyError(
                    f"{folder}: another mpn is writing there; wait for it, or give another --out"
                )
            time.sleep(LOOK_AGAIN)
        yield
    finally:
        with contextlib.suppress(OSError):  # nothing came of it: what was made is empty
            for path in made:
                path.rmdir()
        os.close(handle)


@contextlib.contextmanager
def file_lock(path: str | Path, *, patience: float) -> Iterator[None]:
    """Hold a file while a `with` block reads it and writes another in its place.

    The file itself is locked, as in `folder_lock`. Whoever waited for one that was replaced
    meanwhile waits for the new one.

    Args:
        path: of the file; where there is none, nothing is held.
        patience: seconds that another program is given to end.

    Raises:
        BusyError: others go on changing it.
    """
    until = time.monotonic() + patience
    handle = None
    try:
        while (handle := _opened(path)) is not None:
            if _locked(handle, fcntl.LOCK_EX) and _is_at(handle, path):
                break
            os.close(handle)
            handle = None
            if time.monotonic() >= until:
                raise BusyError(f"{path}: another mpn is changing it; try again")
            time.sleep(LOOK_AGAIN)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _opened(path: str | Path) -> int | None:
    """Open a file for a lock; None where there is none, or it cannot be read."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None


def _is_at(handle: int, path: str | Path) -> bool:
    """Say whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def _locked(handle: int, kind: int) -> bool:
    """Lock an open folder; say whether no other program holds it."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:  # other errors: the file system has no locks
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True
