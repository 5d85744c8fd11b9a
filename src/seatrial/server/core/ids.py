"""Ids of requests, and of trials."""

import random
import re
import secrets

_acceptable = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_bits = random.Random().getrandbits  # noqa: S311 - ids are to be different, not secret


def request_id(sent: bytes | None) -> str:
    """The caller's own id where it is harmless (1 to 128 of `A-Za-z0-9._-`), else 128 random bits in hex."""
    if sent is not None and _acceptable(sent):
        return sent.decode("ascii")
    return f"{_bits(128):032x}"


def secret_id() -> str:
    """128 random bits in hex, which nobody can guess."""
    return secrets.token_hex(16)
