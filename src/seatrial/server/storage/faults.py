"""What the errors of drivers and of the system mean to who wanted to keep something."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from seatrial.server.core.errors import StorageFull, StorageUnavailable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_FULL = "53100"
"""PostgreSQL's code (SQLSTATE) of a disk without room."""


def meaning(error: BaseException, what: str) -> StorageUnavailable:
    """The error of ours for one of a driver or of the system; `what` begins its text."""
    reason = (str(error) or type(error).__name__).splitlines()[0][:200]
    if isinstance(error, OSError):
        reason = error.strerror or reason
    full = (
        getattr(error, "errno", None) in NO_ROOM
        or (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_FULL
        or getattr(error, "sqlstate", None) == DISK_FULL
    )
    return (StorageFull if full else StorageUnavailable)(f"{what}: {reason}.")


@contextmanager
def file_faults() -> Iterator[None]:
    """Raise `StorageFull` where a file could not be kept for lack of room, `StorageUnavailable` for all else."""
    try:
        yield
    except OSError as error:
        raise meaning(error, "The files cannot be written now") from error
