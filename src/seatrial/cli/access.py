"""Accounts, keys and the audit of a deployment, for the operator: in its database, or at a server."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from seatrial.cli.client import Body, Client, NotDone, read_key, read_server
from seatrial.cli.documents import with_faults
from seatrial.cli.local import explained, operator, read_settings
from seatrial.cli.opening import require_one_place
from seatrial.cli.terminal import FAILED, USAGE_ERROR, stop
from seatrial.server.access.audit import Origin
from seatrial.server.access.passwords import Passwords
from seatrial.server.access.principal import ALL_SCOPES, Principal
from seatrial.server.core import clock
from seatrial.server.core.errors import InvalidInput, UnknownAccount, UnknownKey
from seatrial.server.services.accounts import AccountService
from seatrial.server.services.keys import KeyService, Wish, key_as_dict
from seatrial.server.storage.opening import open_registry

if TYPE_CHECKING:
    from seatrial.server.settings import Settings
    from seatrial.server.storage.registry import SqlRegistry

Document = dict[str, Any]


@contextmanager
def local_access(data_dir: Path | None, database_url: str | None) -> "Iterator[tuple[Settings, SqlRegistry]]":
    """The deployment that flags and settings name; what stands in the way ends the command with a text."""
    with explained():
        settings = read_settings(data_dir, database_url)
        with closing(open_registry(settings.database_url, settings.data_dir)) as registry:
            try:
                yield settings, registry
            except (UnknownAccount, UnknownKey) as error:
                stop(str(error), USAGE_ERROR)
            except InvalidInput as error:
                stop(with_faults(str(error), error.faults), FAILED)


def account_service(registry: "SqlRegistry") -> AccountService:
    """What opens accounts; servers follow within a second. It signs nothing, so it needs no secret."""
    return AccountService(registry.accounts, registry.keys, Passwords(), b"", clock.wall, lambda: None)


class KeyPlace(Protocol):
    """Where keys are made and ended."""

    def make(self, wish: Wish) -> tuple[str, Document]:
        """A key, and what is kept of it."""

    def list(self) -> list[Document]:
        """All keys that may be seen."""

    def revoke(self, key_id: str) -> None:
        """End a key."""

    def rotate(self, key_id: str, overlap: float) -> tuple[str, Document]:
        """A key like an old one."""


@contextmanager
def open_keys(data_dir: Path | None, database_url: str | None, server: str | None, api_key: str) -> Iterator[KeyPlace]:
    """The place that the options name; what stands in the way there ends the command with a text."""
    if server is None:
        with local_access(data_dir, database_url) as (_, registry):
            yield _Local(KeyService(registry.keys, registry.keys, clock.wall, lambda: None))
        return
    require_one_place(data_dir, database_url)
    try:
        yield _Remote(Client(read_server(server), read_key(api_key)))
    except NotDone as error:
        stop(str(error), error.code)


class _Local:
    """See `KeyPlace`."""

    def __init__(self, keys: KeyService) -> None:
        self._keys = keys
        self._who = Principal(operator(), ALL_SCOPES, "operator")

    def make(self, wish: Wish) -> tuple[str, Document]:
        """See `KeyPlace.make`."""
        secret, key = self._keys.create(wish, self._who, Origin())
        return secret, key_as_dict(key)

    def list(self) -> list[Document]:
        """See `KeyPlace.list`."""
        return [key_as_dict(key) for key in self._keys.list(self._who)]

    def revoke(self, key_id: str) -> None:
        """See `KeyPlace.revoke`."""
        self._keys.revoke(key_id, self._who, Origin())

    def rotate(self, key_id: str, overlap: float) -> tuple[str, Document]:
        """See `KeyPlace.rotate`."""
        secret, key = self._keys.rotate(key_id, overlap, self._who, Origin())
        return secret, key_as_dict(key)


class _Remote:
    """See `KeyPlace`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def make(self, wish: Wish) -> tuple[str, Document]:
        """See `KeyPlace.make`."""
        asked: Document = {"name": wish.name, "scopes": sorted(wish.scopes)}
        if wish.expires is not None:
            asked["expires_at"] = clock.at_unix(wish.expires)
        if wish.rate is not None:
            asked["rate_limit"] = str(wish.rate)
        if wish.concurrency is not None:
            asked["concurrency_limit"] = wish.concurrency
        return _split(self._client.post("/auth/keys", {}, _json(asked)))

    def list(self) -> list[Document]:
        """See `KeyPlace.list`."""
        found: list[Document] = self._client.get("/auth/keys")
        return found

    def revoke(self, key_id: str) -> None:
        """See `KeyPlace.revoke`."""
        self._client.delete(_path(key_id))

    def rotate(self, key_id: str, overlap: float) -> tuple[str, Document]:
        """See `KeyPlace.rotate`."""
        return _split(self._client.post(f"{_path(key_id)}/rotate", {}, _json({"overlap_seconds": overlap})))


def _path(key_id: str) -> str:
    if not key_id.isalnum() or not key_id.isascii():
        raise NotDone(f"There is no API key '{key_id[:50]}'.", USAGE_ERROR)
    return f"/auth/keys/{key_id}"


def _json(document: Document) -> Body:
    content = json.dumps(document).encode()
    return Body([content], len(content), "application/json")


def _split(document: Document) -> tuple[str, Document]:
    return str(document["key"]), {name: value for name, value in document.items() if name != "key"}
