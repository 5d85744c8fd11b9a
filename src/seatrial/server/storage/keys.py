"""API keys and signing keys, in the database of the registry; and what workers copy of all that."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Engine, Row, insert, select, update

from seatrial.server.access.audit import Deed
from seatrial.server.access.tokens import SigningKey
from seatrial.server.access.view import Account, ApiKey
from seatrial.server.core.errors import UnknownKey
from seatrial.server.limits.rate import parse_rate
from seatrial.server.storage import audit
from seatrial.server.storage.accounts import account_of, changed
from seatrial.server.storage.database import reading, writing
from seatrial.server.storage.tables import access_head, accounts, api_keys, signing_keys


class SqlKeys:
    """Implements `access.ports.Keys`, `Signing` and `AccessSource` over an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def generation(self) -> int:
        """See `AccessSource.generation`."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(access_head.c.generation)).scalar_one())

    def accounts(self) -> Sequence[Account]:
        """See `AccessSource.accounts`."""
        with reading(self._engine) as connection:
            return [account_of(row) for row in connection.execute(select(accounts).order_by(accounts.c.email))]

    def api_keys(self) -> Sequence[ApiKey]:
        """See `AccessSource.api_keys`."""
        wanted = select(api_keys).order_by(api_keys.c.created, api_keys.c.key_id)
        with reading(self._engine) as connection:
            return [_key_of(row) for row in connection.execute(wanted)]

    def signing_keys(self) -> Sequence[SigningKey]:
        """See `AccessSource.signing_keys`."""
        wanted = select(signing_keys).order_by(signing_keys.c.created.desc(), signing_keys.c.kid)
        with reading(self._engine) as connection:
            return [_signing_of(row) for row in connection.execute(wanted)]

    def note_used(self, used: dict[str, float]) -> None:
        """See `AccessSource.note_used`."""
        with writing(self._engine) as connection:
            for key_id, at in sorted(used.items()):
                earlier = api_keys.c.used.is_(None) | (api_keys.c.used < at)
                connection.execute(update(api_keys).where(api_keys.c.key_id == key_id, earlier).values(used=at))

    def add_key(self, key: ApiKey, deed: Deed) -> None:
        """See `Keys.add_key`."""
        with writing(self._engine) as connection:
            connection.execute(insert(api_keys).values(_key_row(key)))
            changed(connection)
            audit.keep(connection, deed)

    def get_key(self, key_id: str) -> ApiKey:
        """See `Keys.get_key`."""
        with reading(self._engine) as connection:
            row = connection.execute(select(api_keys).filter_by(key_id=key_id)).one_or_none()
        if row is None:
            raise UnknownKey(f"There is no API key '{key_id[:50]}'.")
        return _key_of(row)

    def revoke_key(self, key_id: str, at: float, deed: Deed) -> None:
        """See `Keys.revoke_key`."""
        with writing(self._engine) as connection:
            ended = connection.execute(update(api_keys).filter_by(key_id=key_id, revoked=None).values(revoked=at))
            if ended.rowcount:
                changed(connection)
                audit.keep(connection, deed)

    def exchange_key(self, key_id: str, until: float, following: ApiKey, deed: Deed) -> bool:
        """See `Keys.exchange_key`."""
        one, expires = api_keys.c.key_id == key_id, api_keys.c.expires
        good = select(expires).where(
            one, api_keys.c.revoked.is_(None), expires.is_(None) | (expires > following.created)
        )
        with writing(self._engine) as connection:
            row = connection.execute(good.with_for_update()).one_or_none()
            if row is None:
                return False
            ends = until if row.expires is None else min(until, row.expires)
            connection.execute(update(api_keys).where(one).values(expires=ends))
            connection.execute(insert(api_keys).values(_key_row(following)))
            changed(connection)
            audit.keep(connection, deed)
        return True

    def newest(self, before: float) -> tuple[SigningKey, str] | None:
        """See `Signing.newest`."""
        old_enough = signing_keys.c.created <= before
        age = signing_keys.c.created
        with reading(self._engine) as connection:
            newest = select(signing_keys).where(old_enough).order_by(age.desc(), signing_keys.c.kid).limit(1)
            row = connection.execute(newest).one_or_none()
            row = (
                row or connection.execute(select(signing_keys).order_by(age, signing_keys.c.kid).limit(1)).one_or_none()
            )
        return (_signing_of(row), row.sealed) if row else None

    def add_signing_key(self, key: SigningKey, sealed: str, retire_others: float, deed: Deed) -> None:
        """See `Signing.add_signing_key`."""
        with writing(self._engine) as connection:
            changed(connection)
            retires = signing_keys.c.retires
            others = update(signing_keys).where(retires.is_(None) | (retires > retire_others))
            connection.execute(others.values(retires=retire_others))
            connection.execute(insert(signing_keys).values(_signing_row(key, sealed)))
            audit.keep(connection, deed)

    def add_first(self, key: SigningKey, sealed: str) -> None:
        """See `Signing.add_first`."""
        with writing(self._engine) as connection:
            connection.execute(select(access_head.c.id).with_for_update())  # so the second sees the first one's
            if connection.execute(select(signing_keys.c.kid).limit(1)).scalar() is None:
                connection.execute(insert(signing_keys).values(_signing_row(key, sealed)))
                changed(connection)


def _key_of(row: Row[Any]) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        account_id=row.account_id,
        digest=row.digest,
        scopes=frozenset(row.scopes.split(",") if row.scopes else ()),
        created=row.created,
        expires=row.expires,
        lifetime=row.lifetime,
        revoked=row.revoked,
        used=row.used,
        rate=parse_rate(row.rate) if row.rate else None,
        concurrency=row.concurrency,
    )


def _key_row(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "account_id": key.account_id,
        "digest": key.digest,
        "scopes": ",".join(sorted(key.scopes)),
        "created": key.created,
        "expires": key.expires,
        "lifetime": key.lifetime,
        "rate": str(key.rate) if key.rate else None,
        "concurrency": key.concurrency,
    }


def _signing_of(row: Row[Any]) -> SigningKey:
    return SigningKey(row.kid, orjson.loads(row.public), row.created, row.retires)


def _signing_row(key: SigningKey, sealed: str) -> dict[str, Any]:
    public = orjson.dumps(dict(key.public)).decode()
    return {"kid": key.kid, "public": public, "sealed": sealed, "created": key.created, "retires": key.retires}
