"""Which schema a database has, and how it gets to ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, inspect, text

from seatrial.server.core.clock import timestamp
from seatrial.server.storage.database import copy_sqlite, reading, writing
from seatrial.server.storage.disk import to_disk
from seatrial.server.storage.faults import meaning
from seatrial.server.storage.postgres import take_your_time

MIGRATIONS = Path(__file__).parent / "migrations"
NONE = "none"
REVISIONS = ("0001", "0002", "0003")
"""Every schema that there was, the oldest first: the steps in `migrations/versions`."""
LOCK = 7325
"""The advisory lock of PostgreSQL under which one at a time changes the schema."""


def head() -> str:
    """The schema that this version of the server works with."""
    return REVISIONS[-1]


def current(engine: Engine) -> str:
    """The schema that a database has; `none` where it is empty. Raises `StorageUnavailable`."""
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return NONE
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or NONE)


def known(revision: str) -> bool:
    """Whether it is one of our schemas: a database of a newer server has one that is not."""
    return revision in {NONE, *REVISIONS}


def upgrade(engine: Engine, to: str = "head") -> None:
    """Bring a database to a schema, in one transaction; of a SQLite file that holds something a copy is kept beside it.

    Raises:
        StorageUnavailable: it cannot be written.
    """
    with _changing(engine) as connection:
        _migrate(connection, "upgrade", to)


def downgrade(engine: Engine, to: str) -> None:
    """Bring a database back to an older schema, `base` to none."""
    with _changing(engine) as connection:
        _migrate(connection, "downgrade", to)


@contextmanager
def _changing(engine: Engine) -> Iterator[Connection]:
    """A transaction that nobody else can be in at the same time, with a copy of what was there before."""
    with writing(engine) as connection:
        if engine.dialect.name == "sqlite":
            if inspect(connection).has_table("alembic_version"):
                _keep_copy(Path(engine.url.database or ""))
        else:
            take_your_time(connection)
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        yield connection


def _keep_copy(path: Path) -> None:
    """By SQLite itself, so that no lock is lost; whole under its name, or not there; for its owner only; on disk."""
    draft = path.with_name(f"{path.name}.draft")
    try:
        draft.unlink(missing_ok=True)
        copy_sqlite(path, draft)
        to_disk(draft)
        draft.replace(path.with_name(f"{path.name}.{timestamp().replace(':', '')}.bak"))
        to_disk(path.parent)
    except (sqlite3.Error, OSError) as error:
        draft.unlink(missing_ok=True)
        raise meaning(error, "No copy of the database can be kept, so it is left as it is") from error


def _migrate(connection: Connection, way: Literal["upgrade", "downgrade"], to: str) -> None:
    """Step by step, in the transaction of a connection. Alembic is loaded only now: it takes a fifth of every start."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    (command.upgrade if way == "upgrade" else command.downgrade)(config, to)
