"""What the doctor tells: findings, and paths in them that are harmless to print and to paste."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shlex import quote

LISTED = 20
"""So many faults of one kind are told one by one."""


class Level(StrEnum):
    """How much a finding matters: a fault is wrong now, a warning may become so."""

    OK = "ok"
    INFORMATION = "information"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `remedy` says what to do, where there is something to do."""

    check: str
    level: Level
    detail: str
    remedy: str = ""


def shown(path: Path) -> str:
    """A path to read: bytes that are no UTF-8, and signs that move a cursor, stand there as hexadecimal."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def word(path: Path) -> str:
    """A path as one word of a command line, to paste: quoted where it must be, as `$'...'` where it cannot be shown."""
    text = str(path)
    return quote(text) if text.isprintable() else f"$'{''.join(map(_in_quotes, text))}'"


def _in_quotes(sign: str) -> str:
    if sign.isprintable() and sign not in "\\'":
        return sign
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(sign))
