"""Callers, their roles, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from seatrial.server.limits.rate import Rate

Scope = Literal["predict", "read", "models:write", "models:promote", "proofs:write", "admin"]
Role = Literal["viewer", "engineer", "admin"]
Kind = Literal["anonymous", "operator", "user", "key"]

ALL_SCOPES: frozenset[Scope] = frozenset(
    {"predict", "read", "models:write", "models:promote", "proofs:write", "admin"},
)
ANONYMOUS_MAY_HOLD: frozenset[Scope] = frozenset({"predict", "read"})
"""Writing always needs a principal."""
ROLES: Mapping[Role, frozenset[Scope]] = {
    "viewer": ANONYMOUS_MAY_HOLD,
    "engineer": ALL_SCOPES - {"admin"},
    "admin": ALL_SCOPES,
}
"""What each role may do."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    `name` is what the ledger calls them: `user:<email>`, `key:<id>`, `local:admin.token`, or `anonymous`. `subject` is
    the id of the account or key. `rate` and `concurrency` are a key's own limits; of none, the setting's.
    """

    name: str
    scopes: frozenset[Scope]
    kind: Kind = "anonymous"
    subject: str = ""
    rate: Rate | None = None
    concurrency: int | None = None


ADMIN = Principal("local:admin.token", ALL_SCOPES, "operator")
NOBODY = Principal("anonymous", frozenset())
EVERYONE = Principal("anonymous", ANONYMOUS_MAY_HOLD)
