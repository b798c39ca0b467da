"""Which failures are of one source alone, so that the others are scored without it."""

from __future__ import annotations

import errno
from pathlib import Path

from mpn.errors import DataError, SizeError


def of_source_alone(error: Exception, path: Path) -> str:
    """Say why a source is left out.

    Args:
        error: that came of scoring it.
        path: of the source.

    Returns:
        "" where the error is of more than this source, such as a full disk.
    """
    if isinstance(error, (DataError, SizeError)):
        return str(error)
    if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: {error.strerror or error}"  # such as one that may not be read
    return ""
