"""Accounts, keys and the audit in memory: nothing survives the process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import RLock

from seatrial.server.access.audit import AuditEntry, Deed, following
from seatrial.server.access.ports import GRACE_SECONDS, Session
from seatrial.server.access.principal import Role
from seatrial.server.access.tokens import SigningKey
from seatrial.server.access.view import Account, ApiKey
from seatrial.server.core.chain import Head
from seatrial.server.core.clock import timestamp
from seatrial.server.core.errors import UnknownAccount, UnknownKey


@dataclass
class Login:
    """A session as it is now. `previous` is the digest of the token that was exchanged last, at `rotated`."""

    account_id: str
    current: str
    expires: float
    previous: str = ""
    rotated: float = 0.0
    revoked: bool = False


class MemoryAccess:
    """Implements all of `access.ports`; each method happens at once."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._generation = 0
        self._accounts: dict[str, Account] = {}
        self._passwords: dict[str, str] = {}
        self._sessions: dict[str, Login] = {}
        self._networks: dict[tuple[str, str], float] = {}
        self._keys: dict[str, ApiKey] = {}
        self._signing: list[tuple[SigningKey, str]] = []
        self._audit: list[AuditEntry] = []

    def generation(self) -> int:
        """See `AccessSource.generation`."""
        return self._generation

    def accounts(self) -> Sequence[Account]:
        """See `AccessSource.accounts`."""
        return sorted(self._accounts.values(), key=lambda account: account.email)

    def api_keys(self) -> Sequence[ApiKey]:
        """See `AccessSource.api_keys`."""
        return sorted(self._keys.values(), key=lambda key: (key.created, key.key_id))

    def signing_keys(self) -> Sequence[SigningKey]:
        """See `AccessSource.signing_keys`."""
        return sorted((key for key, _ in self._signing), key=lambda key: (-key.created, key.kid))

    def note_used(self, used: dict[str, float]) -> None:
        """See `AccessSource.note_used`."""
        with self._lock:
            for key_id in used.keys() & self._keys.keys():
                key = self._keys[key_id]
                self._keys[key_id] = replace(key, used=max(used[key_id], key.used or 0.0))

    def find(self, email: str) -> tuple[Account, str] | None:
        """See `Accounts.find`."""
        account = self._of(email)
        return (account, self._passwords[account.account_id]) if account else None

    def create(self, account: Account, password: str, deed: Deed) -> bool:
        """See `Accounts.create`."""
        with self._lock:
            if self._of(account.email):
                return False
            self._accounts[account.account_id] = account
            self._passwords[account.account_id] = password
            self._change(deed)
            return True

    def rehash(self, account_id: str, kept: str, better: str) -> None:
        """See `Accounts.rehash`."""
        with self._lock:
            if self._passwords.get(account_id) == kept:
                self._passwords[account_id] = better

    def set_password(self, account_id: str, kept: str, password: str, deed: Deed) -> Account | None:
        """See `Accounts.set_password`."""
        with self._lock:
            if self._passwords.get(account_id) != kept:
                return None
            self._passwords[account_id] = password
            account = self._accounts[account_id]
            self._accounts[account_id] = replace(account, epoch=account.epoch + 1)
            self._end_sessions(account_id)
            self._change(deed)
            return self._accounts[account_id]

    def change(self, email: str, deed: Deed, *, role: Role | None = None, disabled: bool | None = None) -> Account:
        """See `Accounts.change`."""
        with self._lock:
            account = self._of(email)
            if account is None:
                raise UnknownAccount(f"There is no account of {email!r}.")
            account = replace(
                account,
                role=account.role if role is None else role,
                disabled=account.disabled if disabled is None else disabled,
                epoch=account.epoch + 1,
            )
            self._accounts[account.account_id] = account
            if account.disabled:
                self._end_sessions(account.account_id)
            self._change(deed)
            return account

    def open_session(self, session: Session, network: str, deed: Deed) -> bool:
        """See `Accounts.open_session`."""
        with self._lock:
            account = self._accounts.get(session.account_id)
            if account is None or account.epoch != session.epoch:
                return False
            self._networks[session.account_id, network] = session.opened
            self._sessions[session.session_id] = Login(session.account_id, session.current, session.expires)
            self.note(deed)
            return True

    def rotate(self, session_id: str, used: str, following: str, now: float, deed: Deed) -> Account | None:
        """See `Accounts.rotate`."""
        with self._lock:
            login = self._sessions.get(session_id)
            if login is None or login.revoked:
                return None
            if login.current == used:
                if login.expires <= now:
                    return None
                login.current, login.previous, login.rotated = following, used, now
                return self._accounts[login.account_id]
            if login.previous != used or now - login.rotated > GRACE_SECONDS:
                login.revoked = True
                self.note(deed)
            return None

    def end_session(self, session_id: str, current: str, deed: Deed) -> None:
        """See `Accounts.end_session`."""
        with self._lock:
            login = self._sessions.get(session_id)
            if login and login.current == current and not login.revoked:
                login.revoked = True
                self.note(deed)

    def knows_network(self, email: str, network: str, since: float) -> bool:
        """See `Accounts.knows_network`."""
        account = self._of(email)
        seen = self._networks.get((account.account_id, network)) if account else None
        return seen is not None and seen >= since

    def add_key(self, key: ApiKey, deed: Deed) -> None:
        """See `Keys.add_key`."""
        with self._lock:
            self._keys[key.key_id] = key
            self._change(deed)

    def get_key(self, key_id: str) -> ApiKey:
        """See `Keys.get_key`."""
        try:
            return self._keys[key_id]
        except KeyError:
            raise UnknownKey(f"There is no API key '{key_id[:50]}'.") from None

    def revoke_key(self, key_id: str, at: float, deed: Deed) -> None:
        """See `Keys.revoke_key`."""
        with self._lock:
            key = self._keys.get(key_id)
            if key and key.revoked is None:
                self._keys[key_id] = replace(key, revoked=at)
                self._change(deed)

    def exchange_key(self, key_id: str, until: float, following: ApiKey, deed: Deed) -> bool:
        """See `Keys.exchange_key`."""
        with self._lock:
            key = self._keys.get(key_id)
            if key is None or key.revoked is not None:
                return False
            if key.expires is not None and key.expires <= following.created:
                return False
            self._keys[key_id] = replace(key, expires=until if key.expires is None else min(until, key.expires))
            self.add_key(following, deed)
            return True

    def newest(self, before: float) -> tuple[SigningKey, str] | None:
        """See `Signing.newest`."""
        by_age = sorted(self._signing, key=lambda pair: pair[0].created)
        return next((pair for pair in reversed(by_age) if pair[0].created <= before), next(iter(by_age), None))

    def add_signing_key(self, key: SigningKey, sealed: str, retire_others: float, deed: Deed) -> None:
        """See `Signing.add_signing_key`."""
        with self._lock:
            self._signing = [
                (replace(old, retires=min(old.retires or retire_others, retire_others)), text)
                for old, text in self._signing
            ]
            self._signing.append((key, sealed))
            self._change(deed)

    def add_first(self, key: SigningKey, sealed: str) -> None:
        """See `Signing.add_first`."""
        with self._lock:
            if not self._signing:
                self._signing.append((key, sealed))
                self._generation += 1

    def note(self, *deeds: Deed) -> None:
        """See `Audit.note`, and `Accounts.note`."""
        with self._lock:
            for deed in deeds:
                self._audit.append(following(self._head(), deed, timestamp()))

    def entries(self, last: int | None = None) -> tuple[Sequence[AuditEntry], Head]:
        """See `Audit.entries`."""
        with self._lock:
            return self._audit[-last:] if last is not None else list(self._audit), self._head()

    def _of(self, email: str) -> Account | None:
        return next((account for account in self._accounts.values() if account.email == email), None)

    def _head(self) -> Head:
        return Head.at(self._audit[-1]) if self._audit else Head()

    def _end_sessions(self, account_id: str) -> None:
        for login in self._sessions.values():
            if login.account_id == account_id:
                login.revoked = True

    def _change(self, deed: Deed) -> None:
        self._generation += 1
        self.note(deed)
