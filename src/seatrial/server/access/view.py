"""Accounts and keys as of one moment, in memory: what a request is held against, without a database."""

from collections.abc import Iterable
from dataclasses import dataclass

from seatrial.server.access.principal import ALL_SCOPES, ROLES, Principal, Role, Scope
from seatrial.server.access.tokens import SigningKey, Verifier
from seatrial.server.core.clock import at_unix
from seatrial.server.limits.rate import Rate


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody. Access tokens of another `epoch` are not valid any more. `created` is Unix time."""

    account_id: str
    email: str
    role: Role
    created: float
    disabled: bool = False
    epoch: int = 0

    @property
    def principal(self) -> Principal:
        """What they are as a caller."""
        return Principal(f"user:{self.email}", ROLES[self.role], "user", self.account_id)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a program, known by its `digest`. Times are Unix time; without an account it is the operator's.

    `lifetime` is how long it was made for, in seconds: one that has been exchanged ends sooner.
    """

    key_id: str
    name: str
    account_id: str | None
    digest: str
    scopes: frozenset[Scope]
    created: float
    expires: float | None = None
    revoked: float | None = None
    used: float | None = None
    rate: Rate | None = None
    concurrency: int | None = None
    lifetime: float | None = None


class AccessView:
    """What is known now. A key holds no more than the role of its account does at this moment."""

    def __init__(
        self, accounts: Iterable[Account] = (), keys: Iterable[ApiKey] = (), signing: Iterable[SigningKey] = ()
    ) -> None:
        self._accounts = {account.account_id: account for account in accounts}
        self._principals = {account.account_id: account.principal for account in self._accounts.values()}
        self._keys = {key.digest: (key.expires, caller) for key in keys if (caller := self._caller(key)) is not None}
        self.signing = tuple(signing)
        self._verifier = Verifier(self.signing)

    def _caller(self, key: ApiKey) -> Principal | None:
        """A key as a caller; none where it was revoked, or whoever it belongs to is gone."""
        if key.revoked is not None:
            return None
        held = ALL_SCOPES
        if key.account_id is not None:
            owner = self._accounts.get(key.account_id)
            if owner is None or owner.disabled:
                return None
            held = ROLES[owner.role]
        return Principal(f"key:{key.key_id}", key.scopes & held, "key", key.key_id, key.rate, key.concurrency)

    def of_key(self, digest: str, now: float) -> tuple[Principal | None, str]:
        """Whose key this is; else nobody, and why."""
        expires, caller = self._keys.get(digest, (None, None))
        if caller is None:
            return None, "The API key is not known, or was revoked."
        if expires is not None and now >= expires:
            return None, f"The API key expired at {at_unix(expires)}."
        return caller, ""

    def of_token(self, token: str, now: float) -> Principal | None:
        """Who an access token is of; nobody where it is not good now."""
        claims = self._verifier.read(token, now)
        account = self._accounts.get(claims.account_id) if claims else None
        if claims is None or account is None or account.disabled or account.epoch != claims.epoch:
            return None
        return self._principals[account.account_id]

    def account(self, account_id: str) -> Account | None:
        """Somebody, by their id."""
        return self._accounts.get(account_id)
