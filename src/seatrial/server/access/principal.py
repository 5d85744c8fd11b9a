"""Callers and their scopes."""

from dataclasses import dataclass
from typing import Literal

Scope = Literal["predict", "read", "models:write", "models:promote", "proofs:write", "admin"]

ALL_SCOPES: frozenset[Scope] = frozenset(
    {"predict", "read", "models:write", "models:promote", "proofs:write", "admin"},
)
ANONYMOUS_MAY_HOLD: frozenset[Scope] = frozenset({"predict", "read"})
"""Writing always needs a principal."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `name` is `anonymous`, or what the ledger will call it."""

    name: str
    scopes: frozenset[Scope]
    anonymous: bool = False


ADMIN = Principal("local:admin.token", ALL_SCOPES)
NOBODY = Principal("anonymous", frozenset(), anonymous=True)
EVERYONE = Principal("anonymous", ANONYMOUS_MAY_HOLD, anonymous=True)
