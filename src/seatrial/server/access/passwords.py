"""Passwords: which ones may be chosen, and how they are kept."""

import unicodedata
from functools import cache
from importlib.resources import files

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 8, 128
MEMORY_KIB, PASSES = 19_456, 2
"""What one hash takes: about 20 ms of a core, and 19 MiB. RFC 9106, and the least that OWASP names for argon2id."""
PRODUCT = "seatrial"
PART = 4
"""The least length of a part of somebody's address that their password may not hold."""


def fault_of(password: str, email: str) -> tuple[str, str] | None:
    """What was expected of a password and what came, where it may not be chosen.

    Its length decides, and that not everybody tries it first.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        return f"{SHORTEST} to {LONGEST} characters", str(len(password))
    plain = password.casefold()
    if plain in _common():
        return "one that is not among the most common passwords", "one that is"
    names = {PRODUCT, *(part for part in _parts(email) if len(part) >= PART)}
    if any(name in plain for name in names):
        return "one that holds neither the name of this product nor of the account", "one that does"
    return None


def _parts(email: str) -> set[str]:
    name, _, host = email.casefold().partition("@")
    return {name, host, host.partition(".")[0]}


@cache
def _common() -> frozenset[str]:
    """The passwords that are tried first, in lower case."""
    return frozenset(files(__package__).joinpath("common_passwords.txt").read_text(encoding="utf-8").split("\n"))


class Passwords:
    """Hashes and verifies with argon2id; each call takes a core for a while, so not in the event loop."""

    def __init__(self, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._nobody = self.hash("of nobody")

    def hash(self, password: str) -> str:
        """The hash to keep, with its own salt and costs."""
        return self._hasher.hash(_bytes(password))

    def matches(self, kept: str | None, password: str) -> bool:
        """Whether a hash is of this password; `None`, of whom nothing is known, takes as long, and is of none."""
        try:
            same = self._hasher.verify(self._nobody if kept is None else kept, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False
        return same and kept is not None

    def needs_rehash(self, kept: str) -> bool:
        """Whether a hash was made with other costs than those of now."""
        return self._hasher.check_needs_rehash(kept)


def _bytes(password: str) -> bytes:
    """All of it counts: case, blanks, every byte. Equal signs that Unicode writes in two ways are one."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
