"""The database: SQLite in the data directory, or PostgreSQL. Opened here, and its faults made ours."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.storage.faults import meaning
from seatrial.server.storage.postgres import CONNECT_S, PARAMETERS, lose_patience

EXPECTED = "SEATRIAL_DATABASE_URL: expected sqlite:///path or postgresql://user@host/name."
BUSY_S = 30
"""How long a writer of SQLite waits for its turn."""
STAMP_S = 5
"""How long it is waited for whether SQLite has changed."""
FILE = "seatrial.db"
DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


def sqlite_url(data_dir: Path) -> str:
    """The URL of the database in a data directory."""
    return f"sqlite:///{data_dir / FILE}"


def open_database(url: str) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://...`; nothing is connected to yet.

    Raises:
        StorageUnavailable: the URL is of neither, or cannot be read.
    """
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=DRIVERS[parsed.drivername.partition("+")[0]])
        if not parsed.drivername.startswith("sqlite"):
            found = create_engine(parsed, pool_pre_ping=True, pool_timeout=CONNECT_S, connect_args=PARAMETERS)
            lose_patience(found)
            return found
    except (ArgumentError, KeyError, NoSuchModuleError, TypeError, ValueError) as error:
        raise StorageUnavailable(EXPECTED) from error
    if parsed.database in {None, "", ":memory:"}:  # which each thread would have its own of
        raise StorageUnavailable(EXPECTED)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def open_read_only(url: str) -> Engine:
    """An engine with which nothing can be changed, nor a file made; raises as `open_database` does."""
    parsed = open_database(url).url
    if not parsed.drivername.startswith("sqlite"):
        options = f"{PARAMETERS['options']} -c default_transaction_read_only=on"
        found = create_engine(parsed, poolclass=NullPool, connect_args={**PARAMETERS, "options": options})
        lose_patience(found)
        return found
    connect = partial(_connect_read_only, parsed.database or "", BUSY_S)
    engine = create_engine(parsed, poolclass=NullPool, creator=connect)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_read_only(file: str, timeout: float) -> sqlite3.Connection:
    """A connection for any thread, with which nothing can be changed, nor a file made."""
    uri = f"{Path(file).absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's own
    """Transactions are begun by us, and only a rollback journal is used: older libraries can lose a WAL."""
    connection.isolation_level = None
    cursor = connection.cursor()
    mode = cursor.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
    if mode != "delete":
        raise sqlite3.OperationalError(f"its journal is in the mode {mode!r}, and in use")


def _begin_sqlite(connection: Connection) -> None:
    """Who will write takes the lock at once: two readers who both want to write later would wait for each other."""
    reading = connection.get_execution_options().get("seatrial_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database into a new file, for its owner only, by SQLite itself, so that no lock is lost.

    Raises:
        sqlite3.Error, OSError: it cannot be read, or the copy not be written.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(_connect_read_only(str(source), BUSY_S)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


class ChangeStamp:
    """Says cheaply whether a SQLite database has changed; lives as long as its engine.

    Called by any thread.
    """

    def __init__(self, engine: Engine) -> None:
        self._file = engine.url.database if engine.dialect.name == "sqlite" else None
        self._connection: sqlite3.Connection | None = None
        self._asking = threading.Lock()

    def __call__(self) -> int | None:
        """A number that differs from the last one where anybody has committed since; `None` where that is not known."""
        if self._file is None:
            return None
        with self._asking:
            try:
                if self._connection is None:
                    self._connection = _connect_read_only(self._file, STAMP_S)
                version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error:
                return None
            return version

    def close(self) -> None:
        """Hang up; a later call connects anew."""
        with self._asking:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


@contextmanager
def reading(engine: Engine, *, as_of_one_moment: bool = False) -> Iterator[Connection]:
    """A connection to read from; with `as_of_one_moment`, whatever is read with it goes together."""
    options: dict[str, Any] = {"seatrial_reading": True}
    if as_of_one_moment and engine.dialect.name != "sqlite":  # which always does
        options["isolation_level"] = "REPEATABLE READ"
    with faults(), engine.connect().execution_options(**options) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that is kept if nothing raises."""
    with faults(), engine.begin() as connection:
        yield connection


@contextmanager
def faults() -> Iterator[None]:
    """Raise `StorageUnavailable` for what stands in the way, `StorageFull` where there is no room.

    A broken rule of the tables stays an `IntegrityError`.
    """
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeout) as error:
        raise meaning(getattr(error, "orig", None) or error, "The database cannot be used now") from error
