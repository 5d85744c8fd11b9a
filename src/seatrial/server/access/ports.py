"""What keeps accounts, sessions, keys and the audit. A database does in a server, memory in its tests' twin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from seatrial.server.access.audit import AuditEntry, Deed
from seatrial.server.access.principal import Role
from seatrial.server.access.tokens import SigningKey
from seatrial.server.access.view import Account, ApiKey
from seatrial.server.core.chain import Head

GRACE_SECONDS = 5.0
"""How long ago a refresh token may have been exchanged without its second use being taken for a theft."""
KNOWN_SECONDS = 90 * 86400.0
"""How long it is known from where somebody has logged in."""


@dataclass(frozen=True, slots=True)
class Session:
    """One login, with the digest of its token, of an account as it was at `epoch`. Times are Unix time.

    `expires` stays as it is however often the token is exchanged.
    """

    session_id: str
    account_id: str
    epoch: int
    current: str
    opened: float
    expires: float


class AccessSource(Protocol):
    """What workers copy into memory."""

    def generation(self) -> int:
        """Counts changes: as long as it is the same, so is all the rest."""

    def accounts(self) -> Sequence[Account]:
        """Everybody, by address."""

    def api_keys(self) -> Sequence[ApiKey]:
        """Every key, the oldest first."""

    def signing_keys(self) -> Sequence[SigningKey]:
        """Every signing key, those that have retired too, the newest first."""

    def note_used(self, used: dict[str, float]) -> None:
        """Keep when keys were last used, by their ids; this is no change."""


class Accounts(Protocol):
    """Accounts and their sessions. Each change comes with the deed that the audit keeps of it."""

    def find(self, email: str) -> tuple[Account, str] | None:
        """Somebody and the hash of their password, by their address in lower case."""

    def create(self, account: Account, password: str, deed: Deed) -> bool:
        """Keep an account; false where the address is taken, and then nothing is changed."""

    def rehash(self, account_id: str, kept: str, better: str) -> None:
        """Keep another hash of the same password, unless that was changed meanwhile: `kept` is no longer there."""

    def set_password(self, account_id: str, kept: str, password: str, deed: Deed) -> Account | None:
        """Keep the hash of another password; sessions end, and access tokens with them. The account as it is then.

        None, and nothing is changed, where the hash is no longer `kept`.
        """

    def change(self, email: str, deed: Deed, *, role: Role | None = None, disabled: bool | None = None) -> Account:
        """Change what somebody is; ends their access tokens, if disabled their sessions. Raises `UnknownAccount`."""

    def open_session(self, session: Session, network: str, deed: Deed) -> bool:
        """Keep a login, and from where it came; false where the account is of another epoch by now."""

    def rotate(self, session_id: str, used: str, following: str, now: float, deed: Deed) -> Account | None:
        """Exchange the token of a session; the account, if it is the current one of a session that is good.

        Any other ends the session, and the deed is kept as its owner's, unless it was exchanged just now: of several
        who come with the same token within `GRACE_SECONDS` one is served, and the others are only refused.
        """

    def end_session(self, session_id: str, current: str, deed: Deed) -> None:
        """End a session, by its current token. Whose it was is put into the deed, as in `rotate`."""

    def note(self, deed: Deed) -> None:
        """Keep a deed that changes nothing."""

    def knows_network(self, email: str, network: str, since: float) -> bool:
        """Whether somebody has logged in from there since then."""


class Keys(Protocol):
    """API keys."""

    def add_key(self, key: ApiKey, deed: Deed) -> None:
        """Keep a key."""

    def get_key(self, key_id: str) -> ApiKey:
        """One key; raises `UnknownKey`."""

    def revoke_key(self, key_id: str, at: float, deed: Deed) -> None:
        """End a key; of one that is revoked already nothing is changed."""

    def exchange_key(self, key_id: str, until: float, following: ApiKey, deed: Deed) -> bool:
        """Keep a key, and let an old one end at `until` if it does not before; false where it has ended already."""


class Signing(Protocol):
    """Signing keys, with their sealed halves."""

    def newest(self, before: float) -> tuple[SigningKey, str] | None:
        """The newest key that was made before a moment; the first where all are younger; none where there is none."""

    def add_signing_key(self, key: SigningKey, sealed: str, retire_others: float, deed: Deed) -> None:
        """Keep a key that signs from now on; the others verify until `retire_others` at most."""

    def add_first(self, key: SigningKey, sealed: str) -> None:
        """Keep a key, if there is none yet."""


class Audit(Protocol):
    """The audit."""

    def note(self, *deeds: Deed) -> None:
        """Keep deeds in their order: all of them, or none."""

    def entries(self, last: int | None = None) -> tuple[Sequence[AuditEntry], Head]:
        """All entries, or the last ones, the oldest first; and the head."""
