"""A file on its way in: written and hashed as it comes, readable by nobody else, gone unless it is moved."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from seatrial.server.core.disk import file_faults
from seatrial.server.core.errors import StorageFull

RESERVE_BYTES = 256 * 2**20
RESERVE_PART = 0.05


def check_room(folder: Path, size: int) -> None:
    """Raise `StorageFull` where `size` more bytes would leave the disk without its reserve.

    That is 256 MiB, on a small disk a twentieth of it, which uploads do not get: the database needs it, and proofs.
    """
    with file_faults():
        disk = os.statvfs(folder)
    reserve = min(RESERVE_BYTES, int(RESERVE_PART * disk.f_blocks * disk.f_frsize))
    free = disk.f_bavail * disk.f_frsize
    if free - size < reserve:
        raise StorageFull(f"{size} bytes more would leave less than {reserve} of the {free} bytes that are free.")


class FileDraft:
    """Implements `registry.ports.Draft`; lives as long as the request that brings it.

    Args:
        path: where it lies; nothing is there yet.
        size: how many bytes are coming, as far as that is known.

    Raises:
        StorageFull: there is no room for them.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        check_room(path.parent, size)
        self.size = 0
        self._path = path
        self._hash = hashlib.sha256()
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def write(self, block: bytes) -> None:
        """See `Draft.write`."""
        check_room(self._path.parent, len(block))
        with file_faults():
            self._file.write(block)
        self._hash.update(block)
        self.size += len(block)

    @property
    def digest(self) -> str:
        """See `Draft.digest`."""
        return "sha256:" + self._hash.hexdigest()

    def reader(self) -> BinaryIO:
        """See `Draft.reader`."""
        with file_faults():
            self._file.flush()
            return self._path.open("rb")

    def move(self, path: Path) -> None:
        """Bring it to disk, then to its place in the same file system."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.replace(path)

    def discard(self) -> None:
        """Remove it, unless it was moved."""
        with suppress(OSError):  # what is still to be written may find the disk full
            self._file.close()
        with suppress(OSError):  # or such that nothing can be taken away either; a later start sweeps it
            self._path.unlink(missing_ok=True)
