"""A folder that one program at a time may write into."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from mpn.errors import BusyError
from mpn.io.atomic import check_writable, make_folder


@contextlib.contextmanager
def folder_lock(folder: str | Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder while a `with` block writes into it.

    It is the folder itself that is locked: no file is left behind, and the system lets go of it
    when the program ends, however that happens. Where a file system has no locks (some network
    shares), none is held.

    Args:
        folder: made where it is missing, and removed again if it is empty at the end.
        shared: others may hold it in this way at the same time.

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
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise BusyError(
                    f"{folder}: another mpn is writing there; wait for it, or give another --out"
                ) from error
        yield
    finally:
        with contextlib.suppress(OSError):  # nothing came of it: what was made is empty
            for path in made:
                path.rmdir()
        os.close(handle)
