"""All that a deployment keeps, in one file: rows, files and secrets; from either database, and into either.

Rows are JSON, a line each: what SQLite has kept can be brought to PostgreSQL, and back. A backup of an older release is
read into the schema that it was made from, which is then brought to ours.
"""

import os
import secrets as chance
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson
from sqlalchemy import Connection, Engine, MetaData, Table, delete, insert, select
from sqlalchemy.exc import OperationalError, StatementError

import seatrial
from seatrial.server.core.clock import timestamp
from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.storage import schema
from seatrial.server.storage.archive import Archive, ArchiveWriter
from seatrial.server.storage.artifacts import ContentStore, require
from seatrial.server.storage.database import FILE, copy_sqlite, open_read_only, reading, sqlite_url, writing
from seatrial.server.storage.disk import to_disk
from seatrial.server.storage.faults import meaning
from seatrial.server.storage.opening import deployed, named_files, require_ours
from seatrial.server.storage.postgres import take_your_time
from seatrial.server.storage.registry import SqlRegistry
from seatrial.server.storage.secrets import ADMIN_TOKEN, SECRET_KEY, keep_secret, secret_at

TABLES, FILES, SECRETS = "tables", "files", "secrets"
KEPT = (ADMIN_TOKEN, SECRET_KEY)
NOT_OURS = frozenset({"alembic_version"})
HEADS = frozenset({"head", "access_head", "audit_head"})
"""Tables with one row, which is there from the beginning."""
ROWS = 500
"""How many are put in at once."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup holds; `secrets` are the names of those that were in the data directory."""

    made_at: str
    schema: str
    rows: int
    files: int
    secrets: tuple[str, ...]


def back_up(url: str | None, data_dir: Path, target: Path) -> Contents:
    """Write everything into a new file, for its owner only: whole, or not at all. Servers may go on meanwhile.

    Raises:
        StorageUnavailable: the database cannot be read, or has another schema.
        ModelUnusable: a file that the database names is missing or damaged.
        OSError: the target is there already, or cannot be written.
    """
    if url is None and not (data_dir / FILE).exists():
        raise StorageUnavailable(f"There is no database in {data_dir}: say where it is (--data-dir).")
    store = ContentStore(data_dir / "artifacts")
    with _draft(target) as file, _still(url or sqlite_url(data_dir), target.parent) as engine:
        require_ours(schema.current(engine))
        archive, registry = ArchiveWriter(file, target.parent), SqlRegistry(engine)
        rows = _write_rows(engine, archive)
        digests = named_files(registry) - {""}  # of later rows too, perhaps; none is ever taken away
        for digest in sorted(digests):
            archive.add(f"{FILES}/{digest}", store.read(digest, "file"))
        kept = tuple(name for name in KEPT if (data_dir / name).exists())
        for name in kept:
            archive.add(f"{SECRETS}/{name}", secret_at(data_dir / name).encode("ascii"))
        contents = Contents(timestamp(), schema.head(), rows, len(digests), kept)
        archive.finish({"made_at": contents.made_at, "release": seatrial.__version__, "schema": contents.schema})
    return contents


def restore(url: str | None, data_dir: Path, source: Path) -> Contents:
    """Put everything into a deployment that holds nothing yet, and bring its schema to ours.

    The backup is read through and checked first. Files and secrets come next, then the rows, all or none: where it was
    cut off, it can be done again.

    Raises:
        StorageUnavailable: it is no backup, or damaged, or of a newer release; or there is something here already.
        OSError: something cannot be read or written.
    """
    with closing(Archive(source)) as archive:
        contents = _contents(archive, source)
        with deployed(url, data_dir) as engine:
            found = schema.current(engine)
            if found not in {schema.NONE, contents.schema}:
                raise StorageUnavailable(
                    f"The database has the schema {found}, the backup {contents.schema}: use an empty database."
                )
            if found == schema.NONE:
                schema.upgrade(engine, contents.schema)
            _require_empty(engine)
            _put_files(archive, ContentStore(data_dir / "artifacts"))
            for name in contents.secrets:
                keep_secret(data_dir, name, archive.read(f"{SECRETS}/{name}").decode("ascii"))
            rows = _put_rows(archive, engine)
            if contents.schema != schema.head():
                schema.upgrade(engine)
    return replace(contents, rows=rows)


def _contents(archive: Archive, source: Path) -> Contents:
    """What a backup is said to hold; its rows are counted as they are put in."""
    about = archive.about
    made, revision = str(about.get("made_at")), str(about.get("schema"))
    if revision == schema.NONE or not schema.known(revision):
        raise StorageUnavailable(
            f"{source} was made by release {about.get('release')} from the schema {revision}, which is newer than this "
            f"server ({schema.head()}). Install that release."
        )
    named = tuple(name.partition("/")[2] for name in archive.names(SECRETS))
    if unknown := set(named) - set(KEPT):
        raise StorageUnavailable(f"{source} is damaged: {SECRETS}/{min(unknown)} is none of our secrets.")
    return Contents(made, revision, 0, len(archive.names(FILES)), named)


@contextmanager
def _still(url: str, folder: Path) -> Iterator[Engine]:
    """A database to read from at leisure. Of SQLite a copy: whoever reads there keeps writers out, and they others."""
    engine = open_read_only(url)
    copy = folder / f".{FILE}.{chance.token_hex(4)}.draft"
    try:
        if engine.dialect.name == "sqlite":
            try:
                copy_sqlite(Path(engine.url.database or ""), copy)
            except sqlite3.Error as error:
                raise meaning(error, "The database cannot be used now") from error
            engine.dispose()
            engine = open_read_only(f"sqlite:///{copy}")
        yield engine
    finally:
        engine.dispose()
        copy.unlink(missing_ok=True)


def _write_rows(engine: Engine, archive: ArchiveWriter) -> int:
    """Every table, as of one moment; how many rows."""
    with reading(engine, as_of_one_moment=True) as connection:
        take_your_time(connection)
        return sum(
            archive.add_lines(f"{TABLES}/{table.name}.jsonl", _lines(connection, table))
            for table in _tables(connection).values()
        )


def _lines(connection: Connection, table: Table) -> Iterator[bytes]:
    result = connection.execution_options(yield_per=ROWS).execute(select(table).order_by(*table.primary_key))
    names = [str(name) for name in table.columns.keys()]  # noqa: SIM118 - no dictionary
    for row in result:
        yield orjson.dumps(dict(zip(names, row, strict=True)))


def _tables(connection: Connection) -> dict[str, Table]:
    """Those that are there, whatever the schema, by name."""
    found = MetaData()
    found.reflect(connection)
    return {name: table for name, table in sorted(found.tables.items()) if name not in NOT_OURS}


def _require_empty(engine: Engine) -> None:
    with reading(engine, as_of_one_moment=True) as connection:
        _require_no_rows(connection)


def _require_no_rows(connection: Connection) -> None:
    for name, table in _tables(connection).items():
        if name not in HEADS and connection.execute(select(table).limit(1)).first() is not None:
            raise StorageUnavailable(
                f"There is a deployment here already: its table '{name}' has rows. Restore into an empty database and "
                "a new data directory (--data-dir, --database-url), before `seatrial serve` is started there. Where "
                "they are the rows of this backup, of an older release: `seatrial db upgrade` ends what was cut off."
            )


def _put_files(archive: Archive, store: ContentStore) -> None:
    for name in archive.names(FILES):
        digest = name.partition("/")[2]
        store.put(require(archive.read(name), digest, "file"))


def _put_rows(archive: Archive, engine: Engine) -> int:
    """All of them, in one transaction, into tables that are empty; how many."""
    count = 0
    with writing(engine) as connection:
        take_your_time(connection)
        _require_no_rows(connection)
        known = _tables(connection)
        for member in archive.names(TABLES):
            table = known.get(member.removeprefix(f"{TABLES}/").removesuffix(".jsonl"))
            if table is None:
                raise StorageUnavailable(f"The backup has a table that this schema has not: {member}.")
            if table.name in HEADS:
                connection.execute(delete(table))
            rows = _rows(archive, member, set(table.columns.keys()))
            while some := list(islice(rows, ROWS)):
                _insert(connection, table, some, member)
                count += len(some)
    return count


def _rows(archive: Archive, member: str, columns: set[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(archive.lines(member), 1):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or row.keys() != columns:
            raise StorageUnavailable(f"The backup is damaged: {member}:{number} is no row of its table.")
        yield row


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]], member: str) -> None:
    try:
        connection.execute(insert(table), rows)
    except OperationalError:  # it is the database
        raise
    except (StatementError, OverflowError) as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        raise StorageUnavailable(f"A row of {member} in the backup cannot be put in: {reason}.") from error


@contextmanager
def _draft(target: Path) -> Iterator[IO[bytes]]:
    """A file beside its place, put there once it is whole and on disk; for its owner only: there are secrets in it."""
    if target.exists():
        raise FileExistsError(f"{target} is there already: choose another name.")
    draft = target.with_name(f".{target.name}.{chance.token_hex(4)}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        to_disk(draft)
        os.link(draft, target)  # which replaces nothing, whoever came meanwhile
        to_disk(target.parent)
    finally:
        draft.unlink(missing_ok=True)
