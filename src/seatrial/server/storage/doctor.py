"""Examines a deployment: its directory, its database, its files. Changes nothing, and makes no file."""

import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shlex import quote

from sqlalchemy import Engine, make_url, text

from seatrial.server.core.errors import ModelUnusable, StorageUnavailable
from seatrial.server.registry.ledger import Entry, Head, faults, misplaced
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.storage import admin_token, schema
from seatrial.server.storage.artifacts import OWNER, SAFE_SECONDS, ContentStore
from seatrial.server.storage.database import open_read_only, reading, sqlite_url
from seatrial.server.storage.opening import named_files
from seatrial.server.storage.registry import SqlRegistry

SAFE_LIBRARY = (3, 51, 3)
"""The first SQLite that cannot lose a write-ahead log."""
LEAST_BYTES, LEAST_SHARE = 2**30, 0.05
"""Free space of a disk below either is little."""
LISTED = 20
"""So many faults of one kind are told one by one."""
NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "lustre", "ncpfs", "nfs"}
    | {"nfs4", "smb2", "smb3", "smbfs"}
)
"""File systems whose locks depend on another machine."""
MOUNTS = Path("/proc/mounts")
BACKUP = "Stop the server, and bring back seatrial.db and artifacts/ from a backup."


class Level(StrEnum):
    """How much a finding matters: a fault is wrong now, a warning may become so."""

    OK = "ok"
    INFORMATION = "information"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `remedy` says what to do, where there is something to do."""

    check: str
    level: Level
    detail: str
    remedy: str = ""


def examine(url: str | None, data_dir: Path) -> Iterator[Finding]:
    """Everything that is known to go wrong with a deployment, found or not.

    Raises:
        OSError, StorageUnavailable: there is nothing to look at, or it may not be looked at.
    """
    if not data_dir.is_dir():
        raise StorageUnavailable(
            f"There is no directory {data_dir}: start `seatrial serve` there once, or say where it is (--data-dir)."
        )
    engine = open_read_only(url or sqlite_url(data_dir))
    path = Path(make_url(url or sqlite_url(data_dir)).database or "") if engine.dialect.name == "sqlite" else None
    try:
        yield from _permissions(data_dir, path)
        yield from _token(data_dir / admin_token.NAME)
        usage = shutil.disk_usage(data_dir)
        yield disk_space(usage.total, usage.free)
        yield from _database(engine, path, ContentStore(data_dir / "artifacts"))
    finally:
        engine.dispose()


def _permissions(data_dir: Path, database: Path | None) -> Iterator[Finding]:
    """Whatever holds secrets is its owner's only."""
    wanted = {data_dir: 0o700, data_dir / admin_token.NAME: 0o600}
    wanted |= dict.fromkeys([database, *database.parent.glob(f"{database.name}.*.bak")] if database else [], 0o600)
    wrong = [
        Finding("permissions", Level.FAULT, f"{path} has the mode {mode:04o}.", f"chmod {right:o} {quote(str(path))}")
        for path, right in wanted.items()
        if path.exists() and (mode := path.stat().st_mode & 0o777) != right
    ]
    yield from wrong or [Finding("permissions", Level.OK, f"{data_dir} is for its owner only.")]


def _token(path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield Finding("admin token", Level.INFORMATION, "There is none yet: the next start makes one.")
    elif not path.read_bytes().strip():
        remedy = f"Delete it, and the next start makes a new one: rm {quote(str(path))}"
        yield Finding("admin token", Level.FAULT, f"{path} is empty: no server starts with it.", remedy)
    else:
        yield Finding("admin token", Level.OK, f"It is in {path}.")


def disk_space(total: int, free: int) -> Finding:
    """Whether there is room, by the bytes of a disk and those free."""
    detail = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB are free."
    if free < LEAST_BYTES or free < total * LEAST_SHARE:
        return Finding("disk space", Level.WARNING, detail, "Make room: without it nothing can be registered.")
    return Finding("disk space", Level.OK, detail)


def _database(engine: Engine, path: Path | None, store: ContentStore) -> Iterator[Finding]:
    """The database, and what it names; as far as can be looked."""
    if path:
        found = list(_file(path))
        yield from found
        if any(finding.level is Level.FAULT for finding in found):
            return
    try:
        if path:
            yield from _whole(engine)
        finding = schema_finding(schema.current(engine), name_of(engine))
        yield finding
        if finding.level is Level.OK:
            yield from _registry(SqlRegistry(engine), store)
    except StorageUnavailable as error:
        yield unusable(error)
    except ValueError as error:
        yield Finding("database", Level.FAULT, f"A row cannot be read: {str(error).splitlines()[0]}.", BACKUP)


def _file(path: Path) -> Iterator[Finding]:
    """A file of SQLite, before it is opened: to look into a write-ahead log would make files."""
    if not path.exists():
        yield Finding("database", Level.FAULT, f"There is no {path}.", "Start `seatrial serve`, which makes it.")
        return
    with path.open("rb") as file:
        header = file.read(20)
    if header[18:20] == b"\x02\x02":
        yield Finding(
            "journal", Level.FAULT, f"{path} has a write-ahead log (WAL): Seatrial uses a rollback journal.",
            f"Stop whatever else has it open, then: sqlite3 {quote(str(path))} 'PRAGMA journal_mode = DELETE'",
        )  # fmt: skip
    yield library(sqlite3.sqlite_version_info)
    kind = file_system(path.resolve(), MOUNTS.read_text(encoding="utf-8") if MOUNTS.exists() else "")
    if kind in NETWORK:
        yield Finding(
            "file system", Level.WARNING, f"{path} lies on {kind}, whose locks depend on another machine.",
            "Put it on a disk of this machine, or use PostgreSQL (SEATRIAL_DATABASE_URL).",
        )  # fmt: skip


def library(version: tuple[int, int, int]) -> Finding:
    """What there is to say about a release of SQLite."""
    name = "SQLite " + ".".join(map(str, version))
    if version >= SAFE_LIBRARY:
        return Finding("journal", Level.OK, f"{name} with a rollback journal.")
    return Finding(
        "journal", Level.INFORMATION,
        f"{name} can lose a write-ahead log, as all before {'.'.join(map(str, SAFE_LIBRARY))} can. "
        "Seatrial uses a rollback journal, so this is safe.",
    )  # fmt: skip


def file_system(path: Path, mounts: str) -> str:
    """The kind of file system that a resolved path lies on, by the text of /proc/mounts; empty where unknown."""
    kind, longest = "", -1
    for line in mounts.splitlines():
        _, point, name, *_ = line.split(" ")
        folder = Path(point.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "replace"))
        if path.is_relative_to(folder) and len(folder.parts) >= longest:  # the later one hides the one before
            kind, longest = name, len(folder.parts)
    return kind


def _whole(engine: Engine) -> Iterator[Finding]:
    with reading(engine) as connection:
        rows = [str(row[0]) for row in connection.execute(text(f"PRAGMA integrity_check({LISTED})"))]
    if rows == ["ok"]:
        yield Finding("integrity", Level.OK, "The database file is whole.")
    else:
        yield from (Finding("integrity", Level.FAULT, f"The database file is damaged: {row}.", BACKUP) for row in rows)


def name_of(engine: Engine) -> str:
    """What kind of database it is."""
    return "SQLite" if engine.dialect.name == "sqlite" else "PostgreSQL"


def schema_finding(found: str, database: str) -> Finding:
    """What there is to say about the schema that was found."""
    if found == schema.head():
        return Finding("database", Level.OK, f"{database}, schema {found}.")
    needed = f"{database} has the schema {found}, this release needs {schema.head()}"
    if schema.known(found):
        return Finding("database", Level.FAULT, f"{needed}.", "Run `seatrial db upgrade`.")
    remedy = "Install the release that made it, or bring back the copy that lies beside the file."
    return Finding("database", Level.FAULT, f"{needed}: it is newer.", remedy)


def unusable(error: StorageUnavailable) -> Finding:
    """A database that cannot be read, and what to do about it."""
    origin = getattr(error.__cause__, "orig", None)
    if getattr(origin, "sqlite_errorname", "") == "SQLITE_READONLY_ROLLBACK":
        return Finding(
            "database", Level.FAULT, "A change was cut off in the middle, and has not been taken back yet.",
            "Run `seatrial models list`, which does so, or start `seatrial serve`; then look again.",
        )  # fmt: skip
    if isinstance(origin, sqlite3.DatabaseError) and not isinstance(origin, sqlite3.OperationalError):
        return Finding("database", Level.FAULT, str(error), BACKUP)
    return Finding("database", Level.FAULT, str(error), "See that it runs, and that SEATRIAL_DATABASE_URL names it.")


def _registry(registry: SqlRegistry, store: ContentStore) -> Iterator[Finding]:
    entries, head, stages = registry.whole()
    versions = registry.versions()
    yield from ledger_findings(stages, entries, head)
    yield from unserved(versions)
    yield from _files(versions, store)
    yield from _leftovers(registry, store)


def ledger_findings(stages: Mapping[str, Stage], entries: Sequence[Entry], head: Head) -> Iterator[Finding]:
    """Whether the ledger is whole, and the versions stand where it says."""
    wrong = [*faults(entries, head), *misplaced(entries, stages)]
    remedy = "Find out who changed it; `seatrial models history --verify` shows all of it. " + BACKUP
    yield from (Finding("ledger", Level.FAULT, f"{fault}.", remedy) for fault in wrong[:LISTED])
    if not wrong:
        yield Finding("ledger", Level.OK, f"{len(entries)} entries, whole: nothing was edited or dropped.")


def unserved(versions: Sequence[ModelVersion]) -> Iterator[Finding]:
    """Names of which no version is in production."""
    names = {version.name for version in versions}
    served = {version.name for version in versions if version.stage is Stage.PRODUCTION}
    for name in sorted(names - served):
        yield Finding("models", Level.INFORMATION, f"No version of {name} is in production.")
    yield Finding("models", Level.OK, f"{len(versions)} versions of {len(names)} names, {len(served)} in production.")


def _files(versions: Sequence[ModelVersion], store: ContentStore) -> Iterator[Finding]:
    """Each file that a version names is read as the server reads it."""
    users: dict[tuple[str, bool], list[str]] = {}
    for version in versions:
        users.setdefault((version.manifest.digest, False), []).append(version.model_id)
        users.setdefault((version.golden, True), []).append(version.model_id)
    wrong = 0
    for (digest, golden), model_ids in users.items():
        try:
            store.golden(digest) if golden else store.model(digest)
        except ModelUnusable as error:
            wrong += 1
            place = f"artifacts/{digest[7:9]}/{digest[7:]}"
            remedy = f"Bring back {place} from a backup. The next start mends those of bundled models."
            yield Finding("files", Level.FAULT, f"{', '.join(model_ids)}: {error}", remedy)
    if not wrong:
        yield Finding("files", Level.OK, f"{len(users)} files, each with the digest that it is named by.")


def _leftovers(registry: SqlRegistry, store: ContentStore) -> Iterator[Finding]:
    """What crashes have left, and what the next start will do about it."""
    owner = store.owner()
    if owner not in {"", registry.origin()}:
        yield Finding(
            "leftovers", Level.WARNING, "The files were put there by the registry of another database: none is swept.",
            f"Say which database is the right one (--database-url). If it is this one, delete artifacts/{OWNER}.",
        )  # fmt: skip
        return
    before = time.time() - SAFE_SECONDS
    found = [path.stat() for path in (*store.orphans(named_files(registry)), *store.drafts())]
    old = sum(one.st_mtime < before for one in found)
    size = sum(one.st_size for one in found)
    if found:
        detail = f"No version names {len(found)} of the files ({size / 2**20:.1f} MiB); {old} are older than an hour."
        yield Finding(
            "leftovers", Level.INFORMATION, detail, "The next start of `seatrial serve` removes those." if old else ""
        )
