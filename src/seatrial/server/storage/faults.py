"""What the errors of databases mean to who wanted to keep something; those of the disk alone: `core.disk`."""

import sqlite3

from seatrial.server.core.disk import NO_ROOM
from seatrial.server.core.errors import StorageFull, StorageUnavailable

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
