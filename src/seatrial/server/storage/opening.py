"""Opens the registry of a deployment: finds the database, sees to its schema, puts the bundled models in."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine

from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.storage import schema
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.bundled import REASON, Bundled
from seatrial.server.storage.database import FILE, open_database, sqlite_url
from seatrial.server.storage.registry import SqlRegistry

BUNDLED = Note("local:seatrial", REASON)


def prepare_registry(url: str | None, data_dir: Path) -> SqlRegistry:
    """The registry of a deployment, made where it is not there yet; close it in the end.

    SQLite is brought to our schema here, since it has one user. PostgreSQL may have several servers of two releases:
    there it is the operator's to say when.

    Raises:
        OSError: the data directory cannot be used.
        StorageUnavailable: the database cannot be used, or has a schema that is not ours; the text says what to do.
    """
    with deployed(url, data_dir) as engine:
        require_ours(_upgraded(engine) if engine.dialect.name == "sqlite" else schema.current(engine))
    return reach_registry(url, data_dir)


def open_registry(url: str | None, data_dir: Path) -> SqlRegistry:
    """The registry of a deployment, as it is; close it in the end. Raises `StorageUnavailable`, with what to do."""
    with _engine(url, data_dir) as engine:
        require_ours(schema.current(engine))
    return reach_registry(url, data_dir)


def reach_registry(url: str | None, data_dir: Path) -> SqlRegistry:
    """The registry of a deployment that somebody else has prepared; nothing is asked yet."""
    return SqlRegistry(open_database(url or sqlite_url(data_dir)))


def schema_of(url: str | None, data_dir: Path) -> tuple[str, str]:
    """The schema that the database of a deployment has, and the one that is needed; raises `StorageUnavailable`."""
    with _engine(url, data_dir) as engine:
        return schema.current(engine), schema.head()


def upgrade_database(url: str | None, data_dir: Path) -> str:
    """Bring the database of a deployment to our schema, which is returned; raises as `prepare_registry` does."""
    with deployed(url, data_dir) as engine:
        return _upgraded(engine)


@contextmanager
def deployed(url: str | None, data_dir: Path) -> Iterator[Engine]:
    """The database of a deployment, made where it is not there yet, whatever its schema; hung up from in the end.

    Raises:
        OSError: the data directory cannot be used.
        StorageUnavailable: the URL cannot be read.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _engine(url or sqlite_url(data_dir), data_dir) as engine:
        if engine.dialect.name == "sqlite":
            _make_file(Path(engine.url.database or ""))
        yield engine


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


def sweep_files(registry: SqlRegistry, store: ContentStore) -> None:
    """Remove what a crash has left in the store of a registry; nothing where the files are another registry's."""
    origin, named = registry.origin(), named_files(registry)
    with suppress(OSError, StorageUnavailable):  # a disk that cannot be written can be read all the same
        store.sweep(named if store.owned_by(origin) else None)


def named_files(registry: SqlRegistry) -> set[str]:
    """The digests of all files that a registry names."""
    found = {entry.proof for entry in registry.history()} | registry.evidence.documents()
    for version in registry.versions():
        found |= {version.manifest.digest, version.golden}
    return found


def _make_file(path: Path) -> None:
    """The file of a database, for its owner only: it will hold accounts and keys."""
    if path.parent.is_dir() and not path.exists():  # else SQLite says what is the matter
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


@contextmanager
def _engine(url: str | None, data_dir: Path) -> Iterator[Engine]:
    """The database of a deployment, whatever its schema; hung up from in the end."""
    if url is None and not (data_dir / FILE).exists():
        raise StorageUnavailable(
            f"There is no database in {data_dir}: start `seatrial serve` there once, or say where it is (--data-dir)."
        )
    engine = open_database(url or sqlite_url(data_dir))
    try:
        yield engine
    finally:
        engine.dispose()


def _upgraded(engine: Engine) -> str:
    """The schema of a database that was brought to ours, if it was another."""
    found = schema.current(engine)
    _require_known(found)
    if found == schema.head():
        return found
    schema.upgrade(engine)
    return schema.current(engine)


def require_ours(found: str) -> None:
    """Raise `StorageUnavailable` for a schema that is not this server's; the text says what to do."""
    _require_known(found)
    if found != schema.head():
        raise StorageUnavailable(
            f"The database has the schema {found}, this server needs {schema.head()}. Run `seatrial db upgrade`."
        )


def _require_known(found: str) -> None:
    """A schema of a newer release this one could only harm."""
    if not schema.known(found):
        raise StorageUnavailable(
            f"The database has the schema {found}, which is newer than this server ({schema.head()}). "
            "Install the release that made it, or bring back the copy that lies beside the file."
        )
