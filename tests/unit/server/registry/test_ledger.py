"""The ledger: each entry is bound to the one before."""

from dataclasses import replace

import pytest

from seatrial.server.core.chain import NOTHING, Head, faults
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


def test_a_whole_ledger_has_no_faults() -> None:
    """Nor has an empty one."""
    assert list(faults(WHOLE, HEAD)) == []
    assert list(faults([], Head())) == []
    assert WHOLE[0].previous == NOTHING


@pytest.mark.parametrize(
    "change",
    [
        {"why": "other"}, {"who": "user:2"}, {"at": "2026-11-25T00:00:00.000Z"}, {"version": 9}, {"name": "other"},
        {"after": Stage.PRODUCTION}, {"before": Stage.DEV}, {"action": "promote"}, {"proof": "x"}, {"gate": "off"},
    ],
)  # fmt: skip
def test_an_edit_of_anything_is_found(change: dict[str, str]) -> None:
    """In the middle, and at the end."""
    for place in (1, 3):
        edited = [replace(entry, **change) if index == place else entry for index, entry in enumerate(WHOLE)]  # type: ignore[arg-type]
        assert f"entry {place + 1} was edited" in list(faults(edited, HEAD))


def test_an_edit_with_a_new_digest_is_found_by_the_next_entry() -> None:
    """Who edits and seals again would have to do so with all that follows, and with the head."""
    move = Move(2, None, Stage.PRODUCTION, "register")
    forged = following(Head.at(WHOLE[0]), "digits", move, Note("user:1", "why"), WHOLE[1].at)

    assert list(faults([WHOLE[0], forged, *WHOLE[2:]], HEAD)) == [
        "entry 3 was not written after the entry 2 that is there"
    ]


def test_what_was_dropped_is_missed() -> None:
    """From the middle, the beginning and the end."""
    assert list(faults([WHOLE[0], *WHOLE[2:]], HEAD)) == ["entry 3 follows entry 1: something between is missing"]
    assert list(faults(WHOLE[1:], HEAD)) == ["entry 2 follows entry 0: something between is missing"]
    assert list(faults(WHOLE[:-1], HEAD)) == [
        "the ledger ends with entry 3, which is not the last one that was written (4)"
    ]
