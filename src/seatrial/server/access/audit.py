"""The audit: what was done with accounts, keys and models, by whom, from where; each entry bound to the one before."""

from dataclasses import dataclass, replace
from typing import Literal

from seatrial.server.core.chain import Head, seal

Outcome = Literal["success", "failure"]
Event = Literal[
    "authn_login_success",
    "authn_login_fail",
    "authn_login_throttled",
    "authn_logout",
    "authn_token_reuse",
    "authn_password_change",
    "account_created",
    "account_changed",
    "key_created",
    "key_revoked",
    "key_rotated",
    "signing_key_rotated",
    "model_registered",
    "model_promoted",
    "model_rolled_back",
    "rate_limit_exceeded",
]
"""Names after the logging vocabulary of OWASP, where that has one."""


@dataclass(frozen=True, slots=True)
class Origin:
    """From where a request came: the address of whoever sent it, and its id."""

    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did: `who` as the ledger names them, `subject` what they did it to."""

    event: Event
    who: str
    subject: str = ""
    origin: Origin = Origin()
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A deed as it is kept, `number` counting from 1. `at` is RFC 3339 in UTC."""

    number: int
    at: str
    event: str
    outcome: str
    who: str
    subject: str
    address: str
    request_id: str
    previous: str
    digest: str = ""


def following(head: Head, deed: Deed, at: str) -> AuditEntry:
    """The entry of a deed that follows the head, with its digest."""
    entry = AuditEntry(
        number=head.number + 1,
        at=at,
        event=deed.event,
        outcome=deed.outcome,
        who=deed.who,
        subject=deed.subject,
        address=deed.origin.address,
        request_id=deed.origin.request_id,
        previous=head.digest,
    )
    return replace(entry, digest=seal(entry))
