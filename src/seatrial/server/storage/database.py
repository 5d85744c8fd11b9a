"""The database: SQLite in the data directory, or PostgreSQL. Opened here, and its faults made ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Engine,
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
from sqlalchemy.exc import ArgumentError, InterfaceError, InternalError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.model import Stage

BUSY_S = 30
"""How long a writer of SQLite waits for its turn."""
CONNECT_S = 3
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


def sqlite_url(data_dir: Path) -> str:
    """The URL of the database in a data directory."""
    return f"sqlite:///{data_dir / FILE}"


def open_database(url: str) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://...`; nothing is connected to yet.

    Raises:
        ValueError: the URL is of neither, or cannot be read.
    """
    try:
        parsed = make_url(url)
        driver = DRIVERS[parsed.drivername.partition("+")[0]]
        parsed = parsed.set(drivername=driver)
        if driver.startswith("sqlite"):
            engine = create_engine(parsed, connect_args={"timeout": BUSY_S})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(
            parsed, pool_pre_ping=True, pool_timeout=CONNECT_S, connect_args={"connect_timeout": CONNECT_S}
        )
    except (ArgumentError, KeyError, NoSuchModuleError) as error:
        raise ValueError("a database is sqlite:///path or postgresql://user@host/name") from error


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's own
    """Transactions are begun by us, and only a rollback journal is used: older libraries can lose a WAL."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = DELETE")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Who will write takes the lock at once: two readers who both want to write later would wait for each other."""
    reading = connection.get_execution_options().get("seatrial_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection to read from, as of one moment."""
    with faults(), engine.connect().execution_options(seatrial_reading=True) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that is kept if nothing raises."""
    with faults(), engine.begin() as connection:
        yield connection


@contextmanager
def faults() -> Iterator[None]:
    """Raise `StorageUnavailable` for what the database cannot do now; a broken rule stays an `IntegrityError`."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0][:200]
        raise StorageUnavailable(f"The database cannot be used now: {reason}.") from error
