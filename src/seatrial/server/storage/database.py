"""The database: SQLite in the data directory, or PostgreSQL. Opened here, and its faults made ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.model import Stage
from seatrial.server.storage.faults import meaning

EXPECTED = "SEATRIAL_DATABASE_URL: expected sqlite:///path or postgresql://user@host/name."
BUSY_S = 30
"""How long a writer of SQLite waits for its turn."""
CONNECT_S = 3
POSTGRES = {
    "connect_timeout": CONNECT_S,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "options": "-c statement_timeout=5s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s",
}
"""A server that has gone without a word is noticed in seconds: nothing here takes longer."""
FILE = "seatrial.db"
DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}

metadata = MetaData()
_in_production = text(f"stage = '{Stage.PRODUCTION}'")
versions = Table(
    "versions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("stage", String(16), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("golden", String(71), nullable=False),
    Column("manifest", Text, nullable=False),
    Column("registered_at", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint(f"stage IN ({', '.join(repr(str(stage)) for stage in Stage)})", name="known_stage"),
    Index(
        "one_production", "name", unique=True, sqlite_where=_in_production, postgresql_where=_in_production
    ),
)  # fmt: skip
"""Every version, with its manifest as JSON. The index keeps a second one of a name out of production."""
ledger = Table(
    "ledger",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(64), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("action", String(16), nullable=False),
    Column("before", String(16)),
    Column("after", String(16), nullable=False),
    Column("at", String(32), nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("proof", String(71), nullable=False),
    Column("gate", String(16), nullable=False),
    Column("previous", String(71), nullable=False, unique=True),
    Column("digest", String(71), nullable=False, unique=True),
)
"""Every change, never changed itself: triggers of the migration see to that."""
head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(71), nullable=False),
    CheckConstraint("id = 1", name="one_head"),
)
"""The last entry of the ledger: one row, which every writer locks first."""
trials = Table(
    "trials",
    metadata,
    Column("trial_id", String(32), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("opened", Float(53), nullable=False),
    Column("expires", Float(53), nullable=False),
    Column("who", Text, nullable=False),
    Column("closed", Boolean, nullable=False),
)
"""Trials that were begun. Times are Unix time in seconds."""
tallies = Table(
    "tallies",
    metadata,
    Column("trial_id", String(32), primary_key=True),
    Column("worker", String(32), primary_key=True),
    Column("phase", String(16), primary_key=True),
    Column("endpoint", String(128), primary_key=True),
    Column("model_id", String(80), primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("histogram", Text, nullable=False),
    Column("first", Float(53), nullable=False),
    Column("last", Float(53), nullable=False),
)
"""What each worker has counted under a trial so far."""
proofs = Table(
    "proofs",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("need", String(80), nullable=False),
    Column("trial_id", String(32), nullable=False, unique=True),
    Column("submitted", Float(53), nullable=False),
    Column("who", Text, nullable=False),
    Column("counted", Text, nullable=False),
    Index("ix_proofs_version", "name", "version"),
)
"""Proofs that agreed with what was counted; their files lie under their digests. One a trial."""


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
            return create_engine(parsed, pool_pre_ping=True, pool_timeout=CONNECT_S, connect_args=POSTGRES)
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
        options = f"{POSTGRES['options']} -c default_transaction_read_only=on"
        return create_engine(parsed, poolclass=NullPool, connect_args={**POSTGRES, "options": options})
    uri = f"{Path(parsed.database or '').absolute().as_uri()}?mode=ro"
    connect = partial(sqlite3.connect, uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    engine = create_engine(parsed, poolclass=NullPool, creator=connect)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


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
