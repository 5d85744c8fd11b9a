"""From the errors of drivers and of the system to ours."""

import errno
import os
import sqlite3

import pytest

from seatrial.server.core.disk import file_faults
from seatrial.server.core.errors import StorageFull, StorageUnavailable
from seatrial.server.storage.faults import meaning


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, StorageUnavailable),
        (errno.EACCES, StorageUnavailable),
        (errno.EIO, StorageUnavailable),
    ],
)
def test_an_error_of_the_system(number: int, kind: type[StorageUnavailable]) -> None:
    """No room is told apart from all that room would not mend; the path is not told."""
    with pytest.raises(StorageUnavailable) as caught, file_faults():
        raise OSError(number, os.strerror(number), "/secret")

    assert type(caught.value) is kind
    assert str(caught.value) == f"The files cannot be written now: {os.strerror(number)}."


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_READONLY, StorageUnavailable),
        (sqlite3.SQLITE_IOERR_WRITE, StorageUnavailable),
        (None, StorageUnavailable),
    ],
)
def test_an_error_of_sqlite(code: int | None, kind: type[StorageUnavailable]) -> None:
    """By its code; one that Python raises itself has none."""
    error = sqlite3.OperationalError("it failed\nat length")
    error.sqlite_errorcode = code  # type: ignore[assignment]
    found = meaning(error, "What")

    assert (type(found), str(found)) == (kind, "What: it failed.")


def test_an_error_without_a_text_is_named() -> None:
    """Better than nothing."""
    assert str(meaning(TimeoutError(), "What")) == "What: TimeoutError."
