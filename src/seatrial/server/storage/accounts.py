"""Accounts and their sessions, in the database of the registry."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from seatrial.server.access.audit import Deed
from seatrial.server.access.ports import GRACE_SECONDS, KNOWN_SECONDS, Session
from seatrial.server.access.principal import Role
from seatrial.server.access.view import Account
from seatrial.server.core.errors import UnknownAccount
from seatrial.server.storage import audit
from seatrial.server.storage.database import reading, writing
from seatrial.server.storage.tables import access_head, accounts, networks, sessions


class SqlAccounts:
    """Implements `access.ports.Accounts` over an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, email: str) -> tuple[Account, str] | None:
        """See `Accounts.find`."""
        with reading(self._engine) as connection:
            row = connection.execute(select(accounts).filter_by(email=email)).one_or_none()
        return (account_of(row), row.password) if row else None

    def create(self, account: Account, password: str, deed: Deed) -> bool:
        """See `Accounts.create`."""
        values = {
            "account_id": account.account_id,
            "email": account.email,
            "password": password,
            "role": account.role,
            "disabled": account.disabled,
            "epoch": account.epoch,
            "created": account.created,
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(accounts).values(values))
                changed(connection)
                audit.keep(connection, deed)
        except IntegrityError:
            return False
        return True

    def rehash(self, account_id: str, kept: str, better: str) -> None:
        """See `Accounts.rehash`."""
        with writing(self._engine) as connection:
            connection.execute(update(accounts).filter_by(account_id=account_id, password=kept).values(password=better))

    def set_password(self, account_id: str, kept: str, password: str, deed: Deed) -> Account | None:
        """See `Accounts.set_password`."""
        one = update(accounts).filter_by(account_id=account_id, password=kept)
        with writing(self._engine) as connection:
            if not connection.execute(one.values(password=password, epoch=accounts.c.epoch + 1)).rowcount:
                return None
            _end_sessions(connection, account_id)
            changed(connection)
            audit.keep(connection, deed)
            return account_of(connection.execute(select(accounts).filter_by(account_id=account_id)).one())

    def change(self, email: str, deed: Deed, *, role: Role | None = None, disabled: bool | None = None) -> Account:
        """See `Accounts.change`."""
        values: dict[str, Any] = {"epoch": accounts.c.epoch + 1}
        values |= {name: value for name, value in (("role", role), ("disabled", disabled)) if value is not None}
        with writing(self._engine) as connection:
            connection.execute(update(accounts).filter_by(email=email).values(values))
            row = connection.execute(select(accounts).filter_by(email=email)).one_or_none()
            if row is None:
                raise UnknownAccount(f"There is no account of {email!r}.")
            if row.disabled:
                _end_sessions(connection, row.account_id)
            changed(connection)
            audit.keep(connection, deed)
        return account_of(row)

    def open_session(self, session: Session, network: str, deed: Deed) -> bool:
        """See `Accounts.open_session`. What nobody can use any more is swept on the way."""
        now, whose = session.opened, session.account_id
        same = select(accounts.c.account_id).filter_by(account_id=whose, epoch=session.epoch)
        with writing(self._engine) as connection:
            locked = connection.execute(same.with_for_update()).scalar()  # other logins, and changes of it, wait
            if locked is None:
                return False
            connection.execute(delete(networks).where(networks.c.seen < now - KNOWN_SECONDS))
            connection.execute(delete(sessions).where(sessions.c.expires < now))
            if not connection.execute(
                update(networks).filter_by(account_id=whose, network=network).values(seen=now)
            ).rowcount:
                connection.execute(insert(networks).values(account_id=whose, network=network, seen=now))
            connection.execute(
                insert(sessions).values(
                    session_id=session.session_id,
                    account_id=whose,
                    current=session.current,
                    previous="",
                    rotated=0.0,
                    expires=session.expires,
                    revoked=False,
                )
            )
            audit.keep(connection, deed)
        return True

    def rotate(self, session_id: str, used: str, following: str, now: float, deed: Deed) -> Account | None:
        """See `Accounts.rotate`."""
        good = update(sessions).where(
            sessions.c.session_id == session_id,
            sessions.c.current == used,
            ~sessions.c.revoked,
            sessions.c.expires > now,
        )
        with writing(self._engine) as connection:
            done = connection.execute(good.values(current=following, previous=used, rotated=now))
            row = connection.execute(select(sessions).filter_by(session_id=session_id)).one_or_none()
            if row is None:
                return None
            if done.rowcount:
                return account_of(connection.execute(select(accounts).filter_by(account_id=row.account_id)).one())
            just_now = used == row.previous and now - row.rotated <= GRACE_SECONDS
            if not (row.revoked or used == row.current or just_now):
                connection.execute(update(sessions).filter_by(session_id=session_id).values(revoked=True))
                _keep_of(connection, row.account_id, deed)
        return None

    def end_session(self, session_id: str, current: str, deed: Deed) -> None:
        """See `Accounts.end_session`."""
        one = update(sessions).filter_by(session_id=session_id, current=current, revoked=False)
        with writing(self._engine) as connection:
            whose = connection.execute(select(sessions.c.account_id).filter_by(session_id=session_id)).scalar()
            if connection.execute(one.values(revoked=True)).rowcount and whose is not None:
                _keep_of(connection, whose, deed)

    def note(self, deed: Deed) -> None:
        """See `Accounts.note`."""
        with writing(self._engine) as connection:
            audit.keep(connection, deed)

    def knows_network(self, email: str, network: str, since: float) -> bool:
        """See `Accounts.knows_network`."""
        wanted = select(networks.c.seen).join(accounts, accounts.c.account_id == networks.c.account_id)
        wanted = wanted.where(accounts.c.email == email, networks.c.network == network, networks.c.seen >= since)
        with reading(self._engine) as connection:
            return connection.execute(wanted).scalar() is not None


def changed(connection: Connection) -> None:
    """Let every worker see that there is something new. Taken before the lock of the audit."""
    connection.execute(update(access_head).values(generation=access_head.c.generation + 1))


def account_of(row: Row[Any]) -> Account:
    """An account, as its row has it."""
    return Account(row.account_id, row.email, row.role, row.created, row.disabled, row.epoch)


def _keep_of(connection: Connection, account_id: str, deed: Deed) -> None:
    """Keep a deed as that of an account."""
    row = connection.execute(select(accounts).filter_by(account_id=account_id)).one()
    audit.keep(connection, replace(deed, who=account_of(row).principal.name))


def _end_sessions(connection: Connection, account_id: str) -> None:
    connection.execute(update(sessions).filter_by(account_id=account_id).values(revoked=True))
