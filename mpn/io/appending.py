"""A file that grows by whole pieces, each on its way to the disk before the next."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mpn.errors import MpnError


class AppendOnlyFile:
    """Appends whole pieces to a file, an earlier one's included.

    Args:
        path: of the file.
        size: bytes of an earlier one that stand; what follows them is dropped. 0 begins anew.

    Raises:
        MpnError: it cannot be written, or the disk is full; what was written before is kept.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        try:
            self.file = path.open("r+b" if size else "wb")
            if size:
                self.file.truncate(size)
                self.file.seek(size)
        except OSError as error:
            raise MpnError(f"cannot write {path}: {error.strerror}; give another --out") from error
        self.size = size

    def append(self, piece: bytes) -> int:
        """Add a piece.

        Args:
            piece: the bytes.

        Returns:
            The file's size in bytes with it.

        Raises:
            MpnError: it cannot be written; what was written before is kept.
        """
        try:
            self.file.write(piece)
            self.file.flush()
        except OSError as error:
            raise MpnError(
                f"cannot write {self.path}: {error.strerror}; what was written before is kept"
            ) from error
        self.size += len(piece)
        return self.size

    def close(self) -> None:
        """Close the file, quietly."""
        # Every piece was flushed; what a failed flush left over would only fail once more.
        with contextlib.suppress(OSError):
            self.file.close()

    def __enter__(self) -> AppendOnlyFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
