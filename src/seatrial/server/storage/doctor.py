"""Examines a deployment: its directory, its database, its files. Changes nothing, and makes no file."""

import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Engine, make_url, text

from seatrial.server.access.audit import AuditEntry
from seatrial.server.core.chain import Head, faults
from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.ledger import Entry, misplaced
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.storage import schema, secrets
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.database import open_read_only, reading, sqlite_url
from seatrial.server.storage.finding import LISTED, Finding, Level, shown, word
from seatrial.server.storage.inventory import file_findings, leftovers, uses_of
from seatrial.server.storage.permissions import permission_findings
from seatrial.server.storage.registry import SqlRegistry

SAFE_LIBRARY = (3, 51, 3)
"""The first SQLite that cannot lose a write-ahead log."""
LEAST_BYTES, LEAST_SHARE = 2**30, 0.05
"""Free space of a disk below either is little."""
NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "lustre", "ncpfs", "nfs"}
    | {"nfs4", "smb2", "smb3", "smbfs"}
)
"""File systems whose locks depend on another machine."""
MOUNTS = Path("/proc/mounts")
_OCTAL = re.compile(r"\\([0-7]{3})")
"""White space and backslashes in the text of that file."""
BACKUP = "Stop the server, and bring back seatrial.db and artifacts/ from a backup."


def examine(url: str | None, data_dir: Path) -> Iterator[Finding]:
    """Everything that is known to go wrong with a deployment, found or not.

    Raises:
        OSError, StorageUnavailable: there is nothing to look at, or it may not be looked at.
    """
    if not data_dir.is_dir():
        raise StorageUnavailable(
            f"There is no directory {shown(data_dir)}: "
            "start `seatrial serve` there once, or say where it is (--data-dir)."
        )
    engine = open_read_only(url or sqlite_url(data_dir))
    path = Path(make_url(url or sqlite_url(data_dir)).database or "") if engine.dialect.name == "sqlite" else None
    try:
        yield from permission_findings(data_dir, path)
        yield from _token(data_dir / secrets.ADMIN_TOKEN)
        usage = shutil.disk_usage(data_dir)
        yield disk_space(usage.total, usage.free)
        yield from _database(engine, path, ContentStore(data_dir / "artifacts"))
    finally:
        engine.dispose()


def _token(path: Path) -> Iterator[Finding]:
    remedy = f"Delete it, and the next start makes a new one: rm {word(path)}"
    try:
        secrets.read_secret(path)
    except FileNotFoundError:
        yield Finding("admin token", Level.INFORMATION, "There is none yet: the next start makes one.")
    except OSError as error:
        yield Finding("admin token", Level.FAULT, f"{shown(path)} cannot be read: {error.strerror}.", remedy)
    except ValueError as error:
        yield Finding("admin token", Level.FAULT, f"{shown(path)} {error}: no server starts with it.", remedy)
    else:
        yield Finding("admin token", Level.OK, f"It is in {shown(path)}.")


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
            yield from _registry(engine, store)
    except StorageUnavailable as error:
        yield unusable(error)
    except ValueError as error:
        yield Finding("database", Level.FAULT, f"A row cannot be read: {str(error).splitlines()[0]}.", BACKUP)


def _file(path: Path) -> Iterator[Finding]:
    """A file of SQLite, before it is opened: to look into a write-ahead log would make files."""
    if not path.exists():
        yield Finding("database", Level.FAULT, f"There is no {shown(path)}.", "Start `seatrial serve`, which makes it.")
        return
    with path.open("rb") as file:
        header = file.read(20)
    if header[18:20] == b"\x02\x02":
        yield Finding(
            "journal", Level.FAULT, f"{shown(path)} has a write-ahead log (WAL): Seatrial uses a rollback journal.",
            f"Stop whatever else has it open, then: sqlite3 {word(path)} 'PRAGMA journal_mode = DELETE'",
        )  # fmt: skip
    yield library(sqlite3.sqlite_version_info)
    kind = file_system(
        path.resolve(), MOUNTS.read_text(encoding="utf-8", errors="surrogateescape") if MOUNTS.exists() else ""
    )
    if kind in NETWORK:
        yield Finding(
            "file system", Level.WARNING, f"{shown(path)} lies on {kind}, whose locks depend on another machine.",
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
        folder = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), point))
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


def _registry(engine: Engine, store: ContentStore) -> Iterator[Finding]:
    registry = SqlRegistry(engine)
    entries, head, stages = registry.whole()
    versions = registry.versions()
    yield from ledger_findings(stages, entries, head)
    yield from audit_findings(*registry.audit.entries())
    yield from unserved(versions)
    uses = uses_of(versions, entries, engine)
    yield from file_findings(uses, store)
    yield from leftovers(uses, registry.origin(), store)


def ledger_findings(stages: Mapping[str, Stage], entries: Sequence[Entry], head: Head) -> Iterator[Finding]:
    """Whether the ledger is whole, and the versions stand where it says."""
    wrong = [*faults(entries, head), *misplaced(entries, stages)]
    remedy = "Find out who changed it; `seatrial models history --verify` shows all of it. " + BACKUP
    yield from (Finding("ledger", Level.FAULT, f"{fault}.", remedy) for fault in wrong[:LISTED])
    if not wrong:
        yield Finding("ledger", Level.OK, f"{len(entries)} entries, whole: nothing was edited or dropped.")


def audit_findings(entries: Sequence[AuditEntry], head: Head) -> Iterator[Finding]:
    """Whether the audit is whole."""
    wrong = list(faults(entries, head, "audit"))
    remedy = "Find out who changed it; `seatrial audit --verify` shows all of it. " + BACKUP
    yield from (Finding("audit", Level.FAULT, f"{fault}.", remedy) for fault in wrong[:LISTED])
    if not wrong:
        yield Finding("audit", Level.OK, f"{len(entries)} entries, whole: nothing was edited or dropped.")


def unserved(versions: Sequence[ModelVersion]) -> Iterator[Finding]:
    """Names of which no version is in production."""
    names = {version.name for version in versions}
    served = {version.name for version in versions if version.stage is Stage.PRODUCTION}
    for name in sorted(names - served):
        yield Finding("models", Level.INFORMATION, f"No version of {name} is in production.")
    yield Finding("models", Level.OK, f"{len(versions)} versions of {len(names)} names, {len(served)} in production.")
