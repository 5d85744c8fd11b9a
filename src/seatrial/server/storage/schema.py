"""Which schema a database has, and how it gets to ours."""

import shutil
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from seatrial.server.core.clock import timestamp
from seatrial.server.storage.database import faults, reading, writing

NONE = "none"


def head() -> str:
    """The schema that this version of the server works with."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    return found or NONE


def current(engine: Engine) -> str:
    """The schema that a database has; `none` where it is empty. Raises `StorageUnavailable`."""
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return NONE
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or NONE)


def known(revision: str) -> bool:
    """Whether it is one of our schemas: a database of a newer server has one that is not."""
    return revision == NONE or revision in {
        step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()
    }


def upgrade(engine: Engine, to: str = "head") -> None:
    """Bring a database to a schema, in one transaction; of a SQLite file that holds something a copy is kept beside it.

    Raises:
        StorageUnavailable: it cannot be written.
    """
    _keep_copy(engine)
    with writing(engine) as connection:
        command.upgrade(_config(connection), to)


def downgrade(engine: Engine, to: str) -> None:
    """Bring a database back to an older schema, `base` to none."""
    _keep_copy(engine)
    with writing(engine) as connection:
        command.downgrade(_config(connection), to)


def _keep_copy(engine: Engine) -> None:
    path = Path(engine.url.database or "")
    if engine.dialect.name != "sqlite" or not path.is_file() or path.stat().st_size == 0:
        return
    with faults(), engine.begin():  # nobody writes while it is copied
        shutil.copy2(path, path.with_name(f"{path.name}.{timestamp().replace(':', '')}.bak"))


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
