"""API keys and signing keys: made, listed, ended, exchanged."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial.contracts.problem import Fault
from seatrial.server.access import keys
from seatrial.server.access.audit import Deed, Origin
from seatrial.server.access.ports import AccessSource, Keys, Signing
from seatrial.server.access.principal import Principal, Scope
from seatrial.server.access.tokens import LIFETIME, new_signing_key, open_signer
from seatrial.server.access.view import ApiKey
from seatrial.server.core.clock import Wall, at_unix
from seatrial.server.core.errors import InvalidInput, UnknownKey
from seatrial.server.limits.rate import Rate

KEY_ID_CHARACTERS = 8
KEY_NAME = r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}"
OVERLAP_SECONDS = 86400.0
"""How long a key that was exchanged is still good, if nobody says otherwise."""
MOST_KEYS = 100
"""Of an account, that have not ended."""
LONGEST_OVERLAP_SECONDS = 90 * 86400.0
SETTLE_SECONDS = 2.0
"""How old a signing key is before it signs: until then not every worker knows it."""
SIGNING_OVERLAP_SECONDS = LIFETIME + 60.0
"""How long a signing key verifies after another has taken its place: as long as what it has signed is good."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a key. `expires` is Unix time."""

    name: str
    scopes: frozenset[Scope]
    expires: float | None = None
    rate: Rate | None = None
    concurrency: int | None = None


def require_key_name(name: str) -> None:
    """Raise `ValueError` for what is no name of a key."""
    if not re.fullmatch(KEY_NAME, name):
        raise ValueError(f"expected 1 to 64 letters, digits, blanks and . _ -; received {name[:70]!r}")


class KeyService:
    """Lives as long as the server. Who holds `admin` sees and ends the keys of all, others their own.

    `most` is the rate that keys have of which nothing is said; more than it is only given by who holds `admin`.
    """

    def __init__(
        self,
        store: Keys,
        source: AccessSource,
        clock: Wall,
        refresh: Callable[[], None],
        most: Rate | None = None,
    ) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._refresh = refresh
        self._most = most

    def create(self, wish: Wish, caller: Principal, origin: Origin) -> tuple[str, ApiKey]:
        """A key, which nobody can tell again, and what is kept of it.

        Raises:
            InvalidInput: it would hold more than the caller does, or end in the past; or they have too many.
        """
        now = self._clock()
        if more := sorted(wish.scopes - caller.scopes):
            held = f"some of {', '.join(sorted(caller.scopes))}"
            fault = Fault("/scopes", "A key holds no more than whoever makes it.", held, ", ".join(more))
            raise InvalidInput("These scopes cannot be given to a key.", [fault])
        if wish.expires is not None and wish.expires <= now:
            fault = Fault("/expires_at", "It would have ended already.", "a moment in the future", "one in the past")
            raise InvalidInput("The key would have ended already.", [fault])
        if "admin" not in caller.scopes:
            self._require_modest(wish, caller, now)
        owner = caller.subject if caller.kind == "user" else None
        secret, key = self._new(wish, owner, now)
        self._store.add_key(key, Deed("key_created", caller.name, f"{key.key_id} ({key.name})", origin))
        self._refresh()
        return secret, key

    def _require_modest(self, wish: Wish, caller: Principal, now: float) -> None:
        if wish.rate and self._most and wish.rate.exceeds(self._most):
            detail = "More than keys have of which nothing is said is given by who holds admin."
            fault = Fault("/rate_limit", detail, f"at most {self._most}", str(wish.rate))
            raise InvalidInput("The key would have a higher limit than others.", [fault])
        own = (key for key in self._source.api_keys() if key.account_id == caller.subject and key.revoked is None)
        if sum(key.expires is None or key.expires > now for key in own) >= MOST_KEYS:
            fault = Fault("", "The account has too many keys.", f"at most {MOST_KEYS} keys", f"{MOST_KEYS} already")
            raise InvalidInput("The account has too many keys: revoke those that are not used.", [fault])

    def list(self, caller: Principal) -> Sequence[ApiKey]:
        """The keys that the caller may see, the oldest first."""
        return [key for key in self._source.api_keys() if _may_touch(caller, key)]

    def revoke(self, key_id: str, caller: Principal, origin: Origin) -> None:
        """End a key now; raises `UnknownKey`, also for what is another's."""
        key = self._own(key_id, caller)
        deed = Deed("key_revoked", caller.name, f"{key.key_id} ({key.name})", origin)
        self._store.revoke_key(key_id, self._clock(), deed)
        self._refresh()

    def rotate(self, key_id: str, overlap: float, caller: Principal, origin: Origin) -> tuple[str, ApiKey]:
        """A new key like an old one, which stays good for `overlap` seconds; raises `UnknownKey`, also if it ended."""
        old, now = self._own(key_id, caller), self._clock()
        expires = None if old.lifetime is None else now + old.lifetime
        wish = Wish(old.name, old.scopes, expires, old.rate, old.concurrency)
        secret, key = self._new(wish, old.account_id, now)
        deed = Deed("key_rotated", caller.name, f"{old.key_id} -> {key.key_id} ({key.name})", origin)
        if not self._store.exchange_key(old.key_id, now + overlap, key, deed):
            raise UnknownKey(f"The API key '{key_id}' has ended; make another one.")
        self._refresh()
        return secret, key

    def _own(self, key_id: str, caller: Principal) -> ApiKey:
        key = self._store.get_key(key_id)
        if not _may_touch(caller, key):
            raise UnknownKey(f"There is no API key '{key_id[:50]}'.")
        return key

    @staticmethod
    def _new(wish: Wish, owner: str | None, now: float) -> tuple[str, ApiKey]:
        secret = keys.new_key()
        key_id = keys.random_id(KEY_ID_CHARACTERS)
        return secret, ApiKey(
            key_id, wish.name, owner, keys.digest(secret), wish.scopes, now, wish.expires,
            rate=wish.rate, concurrency=wish.concurrency,
            lifetime=None if wish.expires is None else wish.expires - now,
        )  # fmt: skip


def key_as_dict(key: ApiKey) -> dict[str, Any]:
    """The JSON form of a key."""
    times = {
        "created_at": key.created,
        "expires_at": key.expires,
        "revoked_at": key.revoked,
        "last_used_at": key.used,
    }
    return {
        "key_id": key.key_id,
        "name": key.name,
        "owner": key.account_id,
        "scopes": sorted(key.scopes),
        **{name: None if at is None else at_unix(at) for name, at in times.items()},
        "rate_limit": str(key.rate) if key.rate else None,
        "concurrency_limit": key.concurrency,
    }


def _may_touch(caller: Principal, key: ApiKey) -> bool:
    return "admin" in caller.scopes or (caller.kind == "user" and key.account_id == caller.subject)


def prepare_signing(signing: Signing, secret: bytes, now: float) -> None:
    """Make the first signing key, if there is none; raises `ValueError` where the newest cannot be opened."""
    newest = signing.newest(now)
    if newest is None:
        signing.add_first(*new_signing_key(secret, now))
    else:
        key, sealed = newest
        open_signer(key.kid, sealed, secret)


def rotate_signing(signing: Signing, secret: bytes, now: float, who: str, *, at_once: bool = False) -> str:
    """Make another key to sign with, whose id is returned.

    The others verify what they have signed until it ends; `at_once`, since one has leaked, nothing any more.
    """
    key, sealed = new_signing_key(secret, now - SETTLE_SECONDS if at_once else now)
    deed = Deed("signing_key_rotated", who, f"{key.kid}{' at once' if at_once else ''}")
    signing.add_signing_key(key, sealed, now if at_once else now + SIGNING_OVERLAP_SECONDS, deed)
    return key.kid
