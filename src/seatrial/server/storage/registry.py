"""The registry in a database. Every change takes the lock of the head first, so changes come one after the other."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from seatrial.contracts.manifest import Manifest, manifest_as_dict, parse_manifest
from seatrial.server.core.chain import NOTHING, Head
from seatrial.server.core.clock import timestamp
from seatrial.server.core.errors import TooManyVersions, UnknownModel
from seatrial.server.registry.ledger import Entry, Move, Note, following
from seatrial.server.registry.model import ModelVersion, Stage, parse_model_id
from seatrial.server.registry.ports import Decide, MakeVersion
from seatrial.server.storage import tables
from seatrial.server.storage.accounts import SqlAccounts
from seatrial.server.storage.audit import SqlAudit
from seatrial.server.storage.database import ChangeStamp, reading, writing
from seatrial.server.storage.evidence import SqlEvidence
from seatrial.server.storage.keys import SqlKeys
from seatrial.server.storage.tables import ledger, versions

_FIELDS = tuple(column for column in ledger.columns)


class SqlRegistry:
    """Implements `registry.ports.Ledger` over an engine; lives as long as that."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.stamp = ChangeStamp(engine)

    @property
    def evidence(self) -> SqlEvidence:
        """Trials and proofs, in the same database."""
        return SqlEvidence(self._engine)

    @property
    def accounts(self) -> SqlAccounts:
        """Accounts and their sessions, in the same database."""
        return SqlAccounts(self._engine)

    @property
    def keys(self) -> SqlKeys:
        """API keys and signing keys, in the same database."""
        return SqlKeys(self._engine)

    @property
    def audit(self) -> SqlAudit:
        """The audit, in the same database."""
        return SqlAudit(self._engine)

    def close(self) -> None:
        """Hang up; a later call connects anew."""
        self.stamp.close()
        self._engine.dispose()

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name, then by version."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(versions).order_by(versions.c.name, versions.c.version)).all()
        return sorted(map(_version, rows), key=lambda version: (version.name, version.version))

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `UnknownModel`."""
        name, number = parse_model_id(model_id)
        with reading(self._engine) as connection:
            row = connection.execute(select(versions).filter_by(name=name, version=number)).one_or_none()
        if row is None:
            raise UnknownModel(f"There is no model '{model_id}'.")
        return _version(row)

    def add(self, version: ModelVersion, note: Note) -> None:
        """Keep a version; raises `ValueError` where its `model_id` is taken."""
        try:
            with writing(self._engine) as connection:
                _keep(connection, _locked_head(connection), version, note)
        except IntegrityError as error:
            raise ValueError(
                f"{version.model_id} is registered already, or is not the only one of its name in production"
            ) from error

    def add_next(self, name: str, make: MakeVersion, note: Note, limit: int) -> ModelVersion:
        """See `Ledger.add_next`."""
        with writing(self._engine) as connection:
            head = _locked_head(connection)
            wanted = select(func.count(), func.coalesce(func.max(versions.c.version), 0)).filter_by(name=name)
            count, last = connection.execute(wanted.select_from(versions)).one()
            if count >= limit:
                raise TooManyVersions(name, limit)
            version = make(last + 1)
            _keep(connection, head, version, note)
            return version

    def change(self, name: str, decide: Decide, note: Note) -> Sequence[Entry]:
        """See `Ledger.change`."""
        with writing(self._engine) as connection:
            head = _locked_head(connection)
            rows = connection.execute(
                select(versions.c.version, versions.c.stage).filter_by(name=name).order_by(versions.c.version)
            ).all()
            if not rows:
                raise UnknownModel(f"There is no model '{name[:100]}'.")
            stages = {row.version: Stage(row.stage) for row in rows}
            entries: list[Entry] = []
            for move in decide(stages, _history(connection, name)):
                if move.after is not move.before:
                    moved = update(versions).filter_by(name=name, version=move.version)
                    connection.execute(moved.values(stage=move.after.value, reason=note.why))
                entries.append(following(head, name, move, note, timestamp()))
                head = Head.at(entries[-1])
            _write(connection, entries)
            return entries

    def history(self, name: str | None = None) -> Sequence[Entry]:
        """The ledger of a name, or all of it, from its first entry."""
        with reading(self._engine) as connection:
            return _history(connection, name)

    def head(self) -> Head:
        """The last entry that was written."""
        with reading(self._engine) as connection:
            return _head(connection)

    def origin(self) -> str:
        """The digest of the first entry, by which registries are told apart; that of nothing where there is none."""
        with reading(self._engine) as connection:
            found = connection.execute(select(ledger.c.digest).filter_by(number=1)).scalar()
        return found or NOTHING

    def whole(self) -> tuple[Sequence[Entry], Head, dict[str, Stage]]:
        """All of the ledger, its head, and the stage of each version by its id, as of one moment."""
        with reading(self._engine, as_of_one_moment=True) as connection:
            rows = connection.execute(select(versions.c.name, versions.c.version, versions.c.stage)).all()
            stages = {f"{row.name}:{row.version}": Stage(row.stage) for row in rows}
            return _history(connection, None), _head(connection), stages


def _locked_head(connection: Connection) -> Head:
    """The head, held until the transaction ends; SQLite has taken its lock already."""
    row = connection.execute(select(tables.head.c.number, tables.head.c.digest).with_for_update()).one()
    return Head(row.number, row.digest)


def _keep(connection: Connection, head: Head, version: ModelVersion, note: Note) -> None:
    values = {
        "name": version.name,
        "version": version.version,
        "stage": version.stage.value,
        "digest": version.manifest.digest,
        "golden": version.golden,
        "manifest": orjson.dumps(manifest_as_dict(version.manifest)).decode(),
        "registered_at": version.registered_at,
        "reason": version.reason,
    }
    connection.execute(insert(versions).values(values))
    move = Move(version.version, None, version.stage, "register")
    _write(connection, [following(head, version.name, move, note, timestamp())])


def _head(connection: Connection) -> Head:
    row = connection.execute(select(tables.head.c.number, tables.head.c.digest)).one()
    return Head(row.number, row.digest)


def _write(connection: Connection, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    connection.execute(insert(ledger), [_values(entry) for entry in entries])
    last = Head.at(entries[-1])
    connection.execute(update(tables.head).values(number=last.number, digest=last.digest))


def _values(entry: Entry) -> dict[str, Any]:
    found = {column.name: getattr(entry, column.name) for column in _FIELDS}
    return {**found, "before": entry.before and entry.before.value, "after": entry.after.value}


def _history(connection: Connection, name: str | None) -> Sequence[Entry]:
    wanted = select(ledger).order_by(ledger.c.number)
    rows = connection.execute(wanted if name is None else wanted.filter_by(name=name)).all()
    return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> Entry:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    before = values["before"]
    return Entry(**{**values, "before": None if before is None else Stage(before), "after": Stage(values["after"])})


def _version(row: Row[Any]) -> ModelVersion:
    return ModelVersion(
        name=row.name,
        version=row.version,
        stage=Stage(row.stage),
        manifest=_manifest(row.manifest),
        golden=row.golden,
        registered_at=row.registered_at,
        reason=row.reason,
    )


@lru_cache(maxsize=256)
def _manifest(text: str) -> Manifest:
    return parse_manifest(text.encode())
