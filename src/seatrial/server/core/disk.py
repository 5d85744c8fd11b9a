"""What the errors of a disk mean to who wanted to keep something."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from seatrial.server.core.errors import StorageFull, StorageUnavailable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def file_faults() -> Iterator[None]:
    """Raise `StorageFull` where a file could not be kept for lack of room, `StorageUnavailable` for all else."""
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in NO_ROOM else StorageUnavailable
        raise kind(f"The files cannot be written now: {error.strerror or type(error).__name__}.") from error
