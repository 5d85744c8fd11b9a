"""What both databases do: their schema, its steps, and what they keep from being done."""

import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.fakes.models import a_manifest, a_version, echo_golden
from tests.fakes.postgres import Postgres

from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.ledger import Note, faults
from seatrial.server.registry.model import Stage
from seatrial.server.storage import schema
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.bundled import Bundled
from seatrial.server.storage.database import metadata, open_database
from seatrial.server.storage.opening import open_registry, register_bundled
from seatrial.server.storage.registry import SqlRegistry

NOTE = Note("local:someone", "because")
WRITERS, WRITES = 25, 4


def test_the_steps_lead_to_the_schema_that_the_code_has(database_url: str) -> None:
    """And back again, to nothing, and there once more."""
    engine = open_database(database_url)
    for _ in range(2):
        assert schema.current(engine) == schema.NONE
        schema.upgrade(engine)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert schema.current(engine) == schema.head()
        schema.downgrade(engine, "base")
    engine.dispose()


@pytest.mark.parametrize("statement", ["UPDATE ledger SET why = 'x'", "DELETE FROM ledger"])
def test_the_ledger_is_append_only(database_url: str, statement: str) -> None:
    """Whoever asks: the database itself refuses."""
    engine = open_database(database_url)
    schema.upgrade(engine)
    registry = SqlRegistry(engine)
    registry.add(a_version(a_manifest()), NOTE)

    with pytest.raises(DBAPIError, match="the ledger is append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    assert list(faults(registry.history(), registry.head())) == []
    engine.dispose()


def test_a_second_version_in_production_is_refused(database_url: str) -> None:
    """By an index, behind all that decides."""
    engine = open_database(database_url)
    schema.upgrade(engine)
    registry = SqlRegistry(engine)
    registry.add(a_version(a_manifest(), 1), NOTE)

    with pytest.raises(ValueError, match="echo:2"):
        registry.add(a_version(a_manifest(), 2), NOTE)
    assert len(registry.history()) == 1
    engine.dispose()


def write(url: str, first: int) -> None:
    """What one process of many does: many threads add versions."""
    registry = SqlRegistry(open_database(url))

    def add(number: int) -> None:
        for turn in range(WRITES):
            registry.add(a_version(a_manifest(), first + WRITES * number + turn, Stage.DEV), NOTE)

    with closing(registry), ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(add, range(WRITERS)))


@pytest.mark.proves("R24")
def test_fifty_writers_in_two_processes_all_write(database_url: str) -> None:
    """None is told that the database is locked; every write is there, in one whole ledger."""
    engine = open_database(database_url)
    schema.upgrade(engine)
    engine.dispose()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        list(processes.map(write, (database_url, database_url), (1, 1 + WRITERS * WRITES)))
    registry = SqlRegistry(engine)

    assert len(registry.versions()) == len(registry.history()) == 2 * WRITERS * WRITES
    assert list(faults(registry.history(), registry.head())) == []
    engine.dispose()


def test_sqlite_is_brought_to_the_schema_and_a_copy_is_kept(tmp_path: Path) -> None:
    """Of a file that held something; one of a newer release is left alone."""
    open_registry(None, tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["seatrial.db"]

    with sqlite3.connect(tmp_path / "seatrial.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageUnavailable, match="has the schema 9999, which is newer than this server"):
        open_registry(None, tmp_path)


@pytest.mark.proves("R7")
def test_postgresql_is_the_operators_to_upgrade(postgres: Postgres, tmp_path: Path) -> None:
    """Several servers may use it, of two releases: nothing is changed by the start of one."""
    url = postgres.new_database()

    with pytest.raises(StorageUnavailable, match=r"has the schema none, this server needs .*`seatrial db upgrade`"):
        open_registry(url, tmp_path)
    engine = open_database(url)
    assert schema.current(engine) == schema.NONE
    schema.upgrade(engine)
    engine.dispose()
    with closing(open_registry(url, tmp_path)) as registry:
        assert registry.versions() == []


def bundled(name: str, artifact: bytes) -> Bundled:
    return Bundled(a_manifest(name=name, artifact=artifact), artifact, echo_golden())


def test_bundled_models_come_in_once(tmp_path: Path) -> None:
    """The first of a name serves; another of a later release waits in dev, and the files of both are kept."""
    first, later = [bundled("a", b"a1"), bundled("b", b"b1")], [bundled("a", b"a2"), bundled("b", b"b1")]
    store = ContentStore(tmp_path / "artifacts")
    with closing(open_registry(None, tmp_path)) as registry:
        for release in (first, first, later, later, first):
            register_bundled(registry, store, release)

        assert [
            (entry.name, entry.version, str(entry.after), entry.who, entry.why) for entry in registry.history()
        ] == [
            ("a", 1, "production", "local:seatrial", "bundled"),
            ("b", 1, "production", "local:seatrial", "bundled"),
            ("a", 2, "dev", "local:seatrial", "bundled"),
        ]
        for version in registry.versions():
            assert store.model(version.manifest.digest) == f"{version.name}{version.version}".encode()
            assert len(store.golden(version.golden).cases) == 1


@pytest.mark.parametrize("url", ["mysql://x/y", "nothing", "sqlite"])
def test_what_is_no_database_of_ours_is_refused(url: str) -> None:
    """It says what is."""
    with pytest.raises(ValueError, match="a database is sqlite:///path or postgresql://user@host/name"):
        open_database(url)


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    """No such folder, no such server: unavailable, with the reason."""
    for url in (f"sqlite:///{tmp_path}/none/x.db", "postgresql://127.0.0.1:1/x"):
        with pytest.raises(StorageUnavailable, match="The database cannot be used now: "):
            SqlRegistry(open_database(url)).versions()
