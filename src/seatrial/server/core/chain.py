"""A chain of entries, each bound to the one before by its digest: what was edited or dropped since is found."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol, cast

import orjson

from seatrial.contracts.digest import digest_of

NOTHING = "sha256:" + "0" * 64
"""What the first entry follows."""


class Link(Protocol):
    """An entry: a dataclass of plain values with at least these. `number` counts from 1."""

    @property
    def number(self) -> int:
        """Its place."""

    @property
    def previous(self) -> str:
        """The digest of the entry before this one."""

    @property
    def digest(self) -> str:
        """The digest of everything else in it."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry, as kept apart from the chain: what was cut off its end is missed."""

    number: int = 0
    digest: str = NOTHING

    @classmethod
    def at(cls, entry: Link) -> "Head":
        """The head of a chain whose last entry this is."""
        return cls(entry.number, entry.digest)


def seal(entry: Link) -> str:
    """The digest of everything in an entry but its digest."""
    content: dict[str, Any] = asdict(cast("Any", entry))
    del content["digest"]
    return digest_of(orjson.dumps(content))


def faults(entries: Iterable[Link], head: Head, chain: str = "ledger") -> Iterator[str]:
    """What was edited, dropped or put in since it was written; nothing where the chain of that name is whole."""
    last = Head()
    for entry in entries:
        if entry.number != last.number + 1:
            yield f"entry {entry.number} follows entry {last.number}: something between is missing"
        elif entry.previous != last.digest:
            yield f"entry {entry.number} was not written after the entry {last.number} that is there"
        if seal(entry) != entry.digest:
            yield f"entry {entry.number} was edited"
        last = Head.at(entry)
    if last != head:
        yield f"the {chain} ends with entry {last.number}, which is not the last one that was written ({head.number})"
