"""What both databases do: their schema, its steps, and what they keep from being done."""

import errno
import multiprocessing
import os
import sqlite3
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.fakes.models import a_manifest, a_version, digest_of, echo_golden
from tests.fakes.postgres import Postgres

from seatrial.server.core.chain import faults
from seatrial.server.core.errors import ModelUnusable, StorageUnavailable
from seatrial.server.registry.ledger import Move, Note
from seatrial.server.registry.model import Stage
from seatrial.server.storage import schema
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.bundled import Bundled
from seatrial.server.storage.database import open_database
from seatrial.server.storage.opening import (
    named_files,
    open_registry,
    prepare_registry,
    register_bundled,
    schema_of,
    sweep_files,
    upgrade_database,
)
from seatrial.server.storage.registry import SqlRegistry
from seatrial.server.storage.tables import metadata

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


def test_every_step_is_known() -> None:
    """The list of schemas, by which a start decides whether there is a step to take, is that of the steps."""
    folder = Config()
    folder.set_main_option("script_location", str(schema.MIGRATIONS))
    steps = [step.revision for step in ScriptDirectory.from_config(folder).walk_revisions()]

    assert list(schema.REVISIONS) == steps[::-1]


AGAIN = "SELECT number, name, version, action, before, after, at, who, 'x', proof, gate, previous, digest FROM ledger"


@pytest.mark.parametrize(
    "statement", ["UPDATE ledger SET why = 'x'", "DELETE FROM ledger", f"REPLACE INTO ledger {AGAIN}"]
)
def test_the_ledger_is_append_only(database_url: str, statement: str) -> None:
    """Whoever asks: the database itself refuses."""
    engine = open_database(database_url)
    schema.upgrade(engine)
    registry = SqlRegistry(engine)
    registry.add(a_version(a_manifest()), NOTE)

    if statement.startswith("REPLACE") and engine.dialect.name != "sqlite":
        statement = f"INSERT INTO ledger {AGAIN}"  # PostgreSQL has no other word for it
    expected = "the ledger is append-only|duplicate key value"
    with pytest.raises(DBAPIError, match=expected), engine.begin() as connection:
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


def test_sqlite_is_brought_to_the_schema(tmp_path: Path) -> None:
    """Where there is none it is made, for its owner only; one of a newer release is left alone."""
    prepare_registry(None, tmp_path).close()
    path = tmp_path / "seatrial.db"
    assert ([file.name for file in tmp_path.iterdir()], path.stat().st_mode & 0o777) == ([path.name], 0o600)

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for use in (prepare_registry, open_registry, upgrade_database):
        with pytest.raises(StorageUnavailable, match="has the schema 9999, which is newer than this server"):
            use(None, tmp_path)


@pytest.mark.parametrize("url", [False, True], ids=["its own", "named"])
def test_whoever_else_is_there_cannot_read_what_sqlite_keeps(tmp_path: Path, *, url: bool) -> None:
    """Hashes of passwords and keys: wherever the file is made."""
    path = tmp_path / "seatrial.db"
    before = os.umask(0)
    try:
        prepare_registry(f"sqlite:///{path}" if url else None, tmp_path).close()
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_copy_is_kept_of_what_is_changed(tmp_path: Path) -> None:
    """A database with the schema that it had, and what was in it."""
    with closing(prepare_registry(None, tmp_path)) as registry:
        registry.add(a_version(a_manifest()), NOTE)
    engine = open_database(f"sqlite:///{tmp_path / 'seatrial.db'}")
    schema.downgrade(engine, "base")
    engine.dispose()
    (copy,) = tmp_path.glob("seatrial.db.*.bak")
    kept = open_database(f"sqlite:///{copy}")

    assert (schema.current(kept), len(SqlRegistry(kept).versions())) == (schema.head(), 1)
    kept.dispose()


@pytest.mark.parametrize("works", [2, 1, 0], ids=["all", "the file only", "nothing"])
def test_the_copy_is_on_disk_before_anything_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: int
) -> None:
    """The file, then its name; where either cannot be brought there, the database stays as it is."""
    prepare_registry(None, tmp_path).close()
    brought: list[int] = []

    def fsync(descriptor: int) -> None:
        if len(brought) == works:
            raise OSError(errno.EIO, "Input/output error")
        brought.append(os.fstat(descriptor).st_ino)

    engine = open_database(f"sqlite:///{tmp_path / 'seatrial.db'}")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageUnavailable, match="No copy of the database") if works < 2 else nullcontext():
        schema.downgrade(engine, "base")
    copies = list(tmp_path.glob("*.bak"))

    assert schema.current(engine) == (schema.head() if works < 2 else schema.NONE)
    assert brought == [copy.stat().st_ino for copy in copies] + [tmp_path.stat().st_ino] * (works > 1)
    engine.dispose()


def test_who_only_reads_makes_nothing(tmp_path: Path) -> None:
    """Neither a folder nor a file nor a schema; the text says what to do."""
    for use in (open_registry, schema_of):
        with pytest.raises(StorageUnavailable, match=r"There is no database in .*: start `seatrial serve`"):
            use(None, tmp_path / "typo")
    assert list(tmp_path.iterdir()) == []


def upgrade(url: str) -> str:
    return upgrade_database(url, Path())


def test_two_who_upgrade_at_once_both_succeed(postgres: Postgres) -> None:
    """One after the other."""
    url = postgres.new_database()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(upgrade, [url] * 4)) == [schema.head()] * 4


@pytest.mark.proves("R7")
def test_postgresql_is_the_operators_to_upgrade(postgres: Postgres, tmp_path: Path) -> None:
    """Several servers may use it, of two releases: nothing is changed by the start of one."""
    url = postgres.new_database()

    for use in (prepare_registry, open_registry):
        with pytest.raises(StorageUnavailable, match=r"has the schema none, this server needs .*`seatrial db upgrade`"):
            use(url, tmp_path)
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
    with closing(prepare_registry(None, tmp_path)) as registry:
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


def test_a_start_sweeps_what_no_version_names(tmp_path: Path) -> None:
    """A file that a crash has left; not those of archived versions, of proofs, or of the last hour."""
    store = ContentStore(tmp_path / "artifacts")
    with closing(prepare_registry(None, tmp_path)) as registry:
        register_bundled(registry, store, [bundled("a", b"a1"), bundled("b", b"b1")])
        store.put(b"proof")
        registry.change(
            "a",
            lambda _, __: [Move(1, Stage.PRODUCTION, Stage.ARCHIVED, "archive")],
            Note("local:someone", "because", proof=digest_of(b"proof")),
        )
        orphan = store.put(b"orphan")
        for path in (tmp_path / "artifacts").glob("??/*"):
            os.utime(path, (0, 0))
        young = store.put(b"young")
        sweep_files(registry, store)
        kept = named_files(registry) | {young}

    assert [store.model(digest) for digest in sorted(kept - {""})]
    with pytest.raises(ModelUnusable, match=orphan):
        store.model(orphan)


def test_the_wrong_database_loses_no_file(tmp_path: Path, postgres: Postgres) -> None:
    """Somebody starts with another, empty one beside the same files: they are still there for the right one."""
    store = ContentStore(tmp_path / "artifacts")
    url = postgres.new_database()
    upgrade_database(url, tmp_path)
    digests = set()
    for place, content in ((None, b"a1"), (url, b"a2")):
        with closing(prepare_registry(place, tmp_path)) as registry:
            register_bundled(registry, store, [bundled("a", content)])
            digests.add(registry.get("a:1").manifest.digest)
            for path in (tmp_path / "artifacts").glob("??/*"):
                os.utime(path, (0, 0))
            sweep_files(registry, store)

    assert [store.model(digest) for digest in sorted(digests, key=store.model)] == [b"a1", b"a2"]


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "nothing", "sqlite", "sqlite://", "sqlite:///:memory:", "postgresql://x:port/y", ""]
)
def test_what_is_no_database_of_ours_is_refused(url: str) -> None:
    """It says what is, and does not repeat what came, which may hold a password."""
    with pytest.raises(StorageUnavailable) as caught:
        open_database(url)
    assert str(caught.value) == "SEATRIAL_DATABASE_URL: expected sqlite:///path or postgresql://user@host/name."


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "seatrial.db").write_bytes(b"anything else" * 1000)

    with pytest.raises(StorageUnavailable, match="The database cannot be used now: file is not a database"):
        prepare_registry(None, tmp_path)


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    """No such folder, no such server: unavailable, with the reason."""
    for url in (f"sqlite:///{tmp_path}/none/x.db", "postgresql://127.0.0.1:1/x"):
        with pytest.raises(StorageUnavailable, match="The database cannot be used now: "):
            SqlRegistry(open_database(url)).versions()
