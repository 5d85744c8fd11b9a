"""Opens the registry of a deployment: finds the database, sees to its schema, puts the bundled models in."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.storage import schema
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.bundled import REASON, Bundled
from seatrial.server.storage.database import open_database, sqlite_url
from seatrial.server.storage.registry import SqlRegistry

BUNDLED = Note("local:seatrial", REASON)


def open_registry(url: str | None, data_dir: Path) -> SqlRegistry:
    """The registry in the database at `url`, or in the data directory's own, ready to be used; close it in the end.

    SQLite is brought to our schema here, since it has one user. PostgreSQL may have several servers of two releases:
    there it is the operator's to say when.

    Raises:
        ValueError: the URL is not one of a database.
        StorageUnavailable: it cannot be reached, or has a schema that is not ours; the text says what to do.
    """
    engine = _engine(url, data_dir)
    try:
        _bring_up(engine)
    except BaseException:
        engine.dispose()
        raise
    return SqlRegistry(engine)


def _bring_up(engine: Engine) -> None:
    found = schema.current(engine)
    if found == schema.head():
        return
    _require_known(found)
    if engine.dialect.name != "sqlite":
        raise StorageUnavailable(
            f"The database has the schema {found}, this server needs {schema.head()}. Run `seatrial db upgrade`."
        )
    schema.upgrade(engine)


def schema_of(url: str | None, data_dir: Path) -> tuple[str, str]:
    """The schema that the database of a deployment has, and the one that is needed; raises as `open_registry` does."""
    engine = _engine(url, data_dir)
    try:
        return schema.current(engine), schema.head()
    finally:
        engine.dispose()


def upgrade_database(url: str | None, data_dir: Path) -> str:
    """Bring the database of a deployment to our schema, which is returned; raises as `open_registry`."""
    engine = _engine(url, data_dir)
    try:
        found = schema.current(engine)
        _require_known(found)
        if found != schema.head():
            schema.upgrade(engine)
        return schema.current(engine)
    finally:
        engine.dispose()


def register_bundled(registry: SqlRegistry, store: ContentStore, bundled: Iterable[Bundled]) -> None:
    """Put in the models that come with the server: files first, then what is not registered yet.

    The first of a name serves. A later release may bring another: that waits in `dev` to be promoted like any other.
    """
    known = {(version.name, version.manifest.digest) for version in registry.versions()}
    for model in bundled:
        keep_files(store, model)
        if (model.manifest.name, model.manifest.digest) in known:
            continue
        numbers = [version.version for version in registry.versions() if version.name == model.manifest.name]
        stage = Stage.DEV if numbers else Stage.PRODUCTION
        with suppress(ValueError):  # another worker was first
            registry.add(model.as_version(max(numbers, default=0) + 1, stage), BUNDLED)


def keep_files(store: ContentStore, model: Bundled) -> None:
    """Put the files of a bundled model into the store."""
    for content in (model.model, model.golden):
        store.put(content)


def _engine(url: str | None, data_dir: Path) -> Engine:
    if url is None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return open_database(url or sqlite_url(data_dir))


def _require_known(found: str) -> None:
    """A schema of a newer release this one could only harm."""
    if not schema.known(found):
        raise StorageUnavailable(
            f"The database has the schema {found}, which is newer than this server ({schema.head()}). "
            "Install the release that made it, or bring back the copy that lies beside the file."
        )
