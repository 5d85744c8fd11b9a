"""The ledger: its entries are a chain, and all of a change is in them."""

from dataclasses import replace

import pytest

from seatrial.server.core.chain import Head, faults
from seatrial.server.registry.ledger import Entry, Move, Note, following
from seatrial.server.registry.model import Stage


def entries() -> list[Entry]:
    made: list[Entry] = []
    for version in range(1, 5):
        head = Head.at(made[-1]) if made else Head()
        move = Move(version, None, Stage.DEV, "register")
        made.append(following(head, "digits", move, Note("user:1", "why"), "2026-11-24T00:00:00.000Z"))
    return made


WHOLE = entries()
HEAD = Head.at(WHOLE[-1])


def test_entries_are_a_chain() -> None:
    """Each follows the one before."""
    assert list(faults(WHOLE, HEAD)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"why": "other"}, {"who": "user:2"}, {"at": "2026-11-25T00:00:00.000Z"}, {"version": 9}, {"name": "other"},
        {"after": Stage.PRODUCTION}, {"before": Stage.DEV}, {"action": "promote"}, {"proof": "x"}, {"gate": "off"},
    ],
)  # fmt: skip
def test_an_edit_of_anything_is_found(change: dict[str, str]) -> None:
    """Each part of an entry is under its digest."""
    edited = [replace(entry, **change) if index == 1 else entry for index, entry in enumerate(WHOLE)]  # type: ignore[arg-type]

    assert list(faults(edited, HEAD)) == ["entry 2 was edited"]
