"""Entries of the audit: a deed as it is kept."""

from dataclasses import replace

import pytest

from seatrial.server.access.audit import AuditEntry, Deed, Origin, following
from seatrial.server.core.chain import NOTHING, Head, faults

AT = "2026-11-24T00:00:00.000Z"
DEED = Deed("key_created", "user:ada@example.org", "k1 (ci)", Origin("192.0.2.7", "r-1"))


def entries() -> list[AuditEntry]:
    first = following(Head(), DEED, AT)
    return [first, following(Head.at(first), Deed("authn_logout", "unknown"), AT)]


@pytest.mark.proves("S57")
def test_an_entry_says_all_of_a_deed() -> None:
    """Who, when, from where, what, with which outcome and in which request."""
    first, second = entries()

    assert replace(first, digest="") == AuditEntry(
        1, AT, "key_created", "success", "user:ada@example.org", "k1 (ci)", "192.0.2.7", "r-1", NOTHING
    )
    assert (second.number, second.previous, second.subject, second.address) == (2, first.digest, "", "")
    assert list(faults(entries(), Head.at(second), "audit")) == []


@pytest.mark.proves("S59")
@pytest.mark.parametrize("part", ["at", "event", "outcome", "who", "subject", "address", "request_id"])
def test_an_edit_of_anything_is_found(part: str) -> None:
    """Each part of an entry is under its digest."""
    first, second = entries()
    edited = replace(first, **{part: "x"})  # type: ignore[arg-type]

    assert list(faults([edited, second], Head.at(second), "audit")) == ["entry 1 was edited"]
