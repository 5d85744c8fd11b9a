"""The audit in a database: each entry takes the lock of the head first, and follows it."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Engine, insert, select, update

from seatrial.server.access.audit import AuditEntry, Deed, following
from seatrial.server.core.chain import Head
from seatrial.server.core.clock import timestamp
from seatrial.server.storage.database import reading, writing
from seatrial.server.storage.tables import audit, audit_head


class SqlAudit:
    """Implements `access.ports.Audit` over an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, *deeds: Deed) -> None:
        """See `Audit.note`."""
        with writing(self._engine) as connection:
            keep(connection, *deeds)

    def entries(self, last: int | None = None) -> tuple[Sequence[AuditEntry], Head]:
        """See `Audit.entries`."""
        wanted = select(audit).order_by(audit.c.number.desc())
        with reading(self._engine, as_of_one_moment=True) as connection:
            rows = connection.execute(wanted if last is None else wanted.limit(last)).all()
            head = connection.execute(select(audit_head.c.number, audit_head.c.digest)).one()
        return [AuditEntry(**row._mapping) for row in reversed(rows)], Head(head.number, head.digest)  # noqa: SLF001 - SQLAlchemy's public name for it


def keep(connection: Connection, *deeds: Deed) -> None:
    """Write deeds in a transaction of their own or another's; nothing after it may wait for a lock."""
    row = connection.execute(select(audit_head.c.number, audit_head.c.digest).with_for_update()).one()
    head, entries = Head(row.number, row.digest), []
    for deed in deeds:
        entries.append(following(head, deed, timestamp()))
        head = Head.at(entries[-1])
    connection.execute(insert(audit), [asdict(entry) for entry in entries])
    connection.execute(update(audit_head).values(number=head.number, digest=head.digest))
