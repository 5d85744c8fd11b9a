"""Accounts: who somebody is, and what they log in with. Whatever hashes a password is to be run in few threads."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from seatrial.contracts.problem import Fault
from seatrial.server.access import keys
from seatrial.server.access.audit import Deed, Origin
from seatrial.server.access.passwords import Passwords, fault_of
from seatrial.server.access.ports import KNOWN_SECONDS, Accounts, Session, Signing
from seatrial.server.access.principal import Principal, Role
from seatrial.server.access.tokens import LIFETIME, Signer, open_signer
from seatrial.server.access.view import Account
from seatrial.server.core.clock import Wall
from seatrial.server.core.errors import InvalidInput, StorageUnavailable, Unauthenticated, UnknownAccount
from seatrial.server.services.keys import SETTLE_SECONDS

SESSION_SECONDS = 30 * 86400.0
"""How long after a login its refresh tokens are good, however often they are exchanged."""
REFRESH_PREFIX = "sr_"
SESSION_CHARACTERS, SECRET_CHARACTERS = 22, 27
NO_LOGIN = "The e-mail address or the password is not right."
NOT_OLD = "The old password is not right."

_email = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}").fullmatch
_refresh_token = re.compile(
    f"{REFRESH_PREFIX}([0-9A-Za-z]{{{SESSION_CHARACTERS}}})[0-9A-Za-z]{{{SECRET_CHARACTERS}}}"
).fullmatch


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gives."""

    access: str
    refresh: str
    expires_in: int = LIFETIME


class AccountService:
    """Lives as long as the server.

    Args:
        accounts: where they are kept.
        signing: where signing keys are kept.
        passwords: hashes them.
        secret: what signing keys are sealed under.
        clock: Unix time.
        refresh: makes this worker see what was changed.
    """

    def __init__(
        self,
        accounts: Accounts,
        signing: Signing,
        passwords: Passwords,
        secret: bytes,
        clock: Wall,
        refresh: Callable[[], None],
    ) -> None:
        self._accounts = accounts
        self._signing = signing
        self._passwords = passwords
        self._secret = secret
        self._clock = clock
        self._refresh = refresh
        self._signer: Signer | None = None

    def register(self, email: str, password: str, origin: Origin) -> None:
        """Open an account for a viewer. Of an address that is taken nothing is changed; only the audit is told.

        Raises:
            InvalidInput: of an address or password that may not be.
        """
        account = self.new_account(email, password, "viewer")
        if not self._keep(account, password, account.principal.name, origin):
            self._accounts.note(Deed("account_created", "unknown", account.email, origin, "failure"))
        self._refresh()

    def create(self, email: str, password: str, role: Role, who: str) -> Account:
        """Open an account of any role, by whoever may; raises `InvalidInput` also where the address is taken."""
        account = self.new_account(email, password, role)
        if not self._keep(account, password, who, Origin()):
            raise _wrong("/email", "The address has an account.", "an address without an account", account.email)
        return account

    def new_account(self, email: str, password: str, role: Role) -> Account:
        """An account that is not kept yet; raises `InvalidInput` of an address or password that may not be."""
        account = Account(keys.random_id(16), normal(email), role, self._clock())
        _require_good(password, account.email, "/password")
        return account

    def knows(self, email: str, network: str) -> bool:
        """Whether somebody with this address has logged in from there lately."""
        return self._accounts.knows_network(normal(email), network, self._clock() - KNOWN_SECONDS)

    def login(self, email: str, password: str, network: str, origin: Origin) -> Tokens:
        """Tokens for somebody; raises `Unauthenticated`, with one text and after one time for whatever reason."""
        address = normal(email)
        account, kept = self._accounts.find(address) or (None, None)
        if not self._passwords.matches(kept, password) or account is None or kept is None or account.disabled:
            raise self._failed(address, origin, NO_LOGIN)
        if self._passwords.needs_rehash(kept):
            self._accounts.rehash(account.account_id, kept, self._passwords.hash(password))
        return self._open(self._newest_signer(), account, network, origin)

    def refresh(self, token: str, origin: Origin) -> Tokens:
        """Exchange a refresh token for new ones; raises `Unauthenticated`."""
        session_id = _session_of(token)
        if session_id is None:
            raise Unauthenticated("This is no refresh token.")
        signer, following = self._newest_signer(), _new_token(session_id)
        reuse = Deed("authn_token_reuse", "unknown", _told(session_id), origin, "failure")
        account = self._accounts.rotate(session_id, keys.digest(token), keys.digest(following), self._clock(), reuse)
        if account is None:
            raise Unauthenticated("The refresh token is not valid, or not any more. Log in again.")
        return Tokens(signer.sign(account.account_id, account.epoch, self._clock()), following)

    def logout(self, token: str, origin: Origin) -> None:
        """End the session of a refresh token; one that was exchanged already, or is none, changes nothing."""
        session_id = _session_of(token)
        if session_id is not None:
            deed = Deed("authn_logout", "unknown", _told(session_id), origin)
            self._accounts.end_session(session_id, keys.digest(token), deed)

    def change_password(self, caller: Principal, old: str, new: str, network: str, origin: Origin) -> Tokens:
        """Another password: every session and access token of before ends, and the caller gets new ones.

        Raises:
            InvalidInput: of a password that may not be.
            Unauthenticated: the old one is not right.
        """
        address = caller.name.removeprefix("user:")
        account, kept = self._accounts.find(address) or (None, None)
        if not self._passwords.matches(kept, old) or account is None or kept is None:
            raise self._failed(address, origin, NOT_OLD)
        _require_good(new, address, "/new_password")
        signer = self._newest_signer()
        deed = Deed("authn_password_change", caller.name, address, origin)
        changed = self._accounts.set_password(account.account_id, kept, self._passwords.hash(new), deed)
        if changed is None:
            raise self._failed(address, origin, NOT_OLD)
        self._refresh()
        return self._open(signer, changed, network, origin)

    def reset_password(self, email: str, new: str, who: str) -> Account:
        """Another password for somebody who has forgotten theirs, by whoever may; all their sessions end.

        Raises:
            UnknownAccount: nobody has this address.
            InvalidInput: of a password that may not be.
        """
        address = normal(email)
        account, kept = self._accounts.find(address) or (None, "")
        if account is None:
            raise UnknownAccount(f"There is no account of {address!r}.")
        _require_good(new, address, "/password")
        deed = Deed("authn_password_change", who, address)
        changed = self._accounts.set_password(account.account_id, kept, self._passwords.hash(new), deed)
        return changed or account

    def _keep(self, account: Account, password: str, who: str, origin: Origin) -> bool:
        deed = Deed("account_created", who, f"{account.email} ({account.role})", origin)
        return self._accounts.create(account, self._passwords.hash(password), deed)

    def _open(self, signer: Signer, account: Account, network: str, origin: Origin) -> Tokens:
        """Begin a session, unless the account was changed since it was read: then the password may be an old one."""
        session_id, now = keys.random_id(SESSION_CHARACTERS), self._clock()
        token = _new_token(session_id)
        session = Session(session_id, account.account_id, account.epoch, keys.digest(token), now, now + SESSION_SECONDS)
        deed = Deed("authn_login_success", account.principal.name, _told(session_id), origin)
        if not self._accounts.open_session(session, network, deed):
            raise self._failed(account.email, origin, NO_LOGIN)
        return Tokens(signer.sign(account.account_id, account.epoch, now), token)

    def _newest_signer(self) -> Signer:
        """Who signs now: asked for before anything is changed, since without one nothing may be."""
        newest = self._signing.newest(self._clock() - SETTLE_SECONDS)
        if newest is None:
            raise StorageUnavailable("There is no key to sign tokens with: the next start makes one.")
        (key, sealed), signer = newest, self._signer
        if signer is None or signer.kid != key.kid:
            try:
                self._signer = signer = open_signer(key.kid, sealed, self._secret)
            except ValueError as error:
                raise StorageUnavailable(f"Tokens cannot be signed: {error}.") from error
        return signer

    def _failed(self, address: str, origin: Origin, why: str) -> Unauthenticated:
        self._accounts.note(Deed("authn_login_fail", "unknown", address, origin, "failure"))
        return Unauthenticated(why)


def normal(email: str) -> str:
    """An address in the form that is kept: in lower case, its signs in one way; raises `InvalidInput`."""
    address = unicodedata.normalize("NFC", email.strip()).lower()
    if not _email(address) or not address.isprintable():
        raise _wrong("/email", "This is no e-mail address.", "an address such as ada@example.org", email[:100])
    return address


def _require_good(password: str, email: str, place: str) -> None:
    fault = fault_of(password, email)
    if fault:
        raise _wrong(place, "This password may not be chosen.", *fault)


def _wrong(place: str, detail: str, expected: str, received: str) -> InvalidInput:
    return InvalidInput(detail, [Fault(place, detail, expected, received)])


def _told(session_id: str) -> str:
    """How the audit names a session: so much of its id that it is found, and too little to end it."""
    return f"session {session_id[:8]}"


def _new_token(session_id: str) -> str:
    return f"{REFRESH_PREFIX}{session_id}{keys.random_id(SECRET_CHARACTERS)}"


def _session_of(token: str) -> str | None:
    """The session that a refresh token names; none where it is no such token."""
    match = _refresh_token(token)
    return match[1] if match else None
