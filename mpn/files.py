"""Writing files so that nothing already there is lost: temporary file beside it, flush to disk, rename."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from mpn.errors import MpnError


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Puts `content` at `path`, whole or not at all; an earlier file stays until the new one is on disk.

    Raises:
        MpnError: the folder is missing or not writable, or the disk is full; the earlier file is untouched.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
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
        kept = "; the earlier file is untouched" if path.exists() else ""
        raise MpnError(f"cannot write {path} ({len(data) / 1e6:.1f} MB): {reason}{kept}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
