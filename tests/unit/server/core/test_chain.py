"""Chains of entries: each is bound to the one before, and what was changed since is found."""

from dataclasses import dataclass, replace

import pytest

from seatrial.server.core.chain import NOTHING, Head, faults, seal


@dataclass(frozen=True)
class Link:
    """An entry of some chain."""

    number: int
    text: str
    more: str | None
    previous: str
    digest: str = ""


def linked(head: Head, text: str) -> Link:
    link = Link(head.number + 1, text, None, head.digest)
    return replace(link, digest=seal(link))


def links() -> list[Link]:
    made: list[Link] = []
    for text in "abcd":
        made.append(linked(Head.at(made[-1]) if made else Head(), text))
    return made


WHOLE = links()
HEAD = Head.at(WHOLE[-1])


def test_a_whole_chain_has_no_faults() -> None:
    """Nor has an empty one."""
    assert list(faults(WHOLE, HEAD)) == []
    assert list(faults([], Head())) == []
    assert (WHOLE[0].previous, HEAD.number) == (NOTHING, 4)


def test_a_seal_is_of_everything_but_itself() -> None:
    """Another digest in it changes nothing, anything else does."""
    assert seal(replace(WHOLE[0], digest="x")) == WHOLE[0].digest == seal(WHOLE[0])
    assert len({seal(WHOLE[0]), *(seal(replace(WHOLE[0], more=more)) for more in ("", "null"))}) == 3


@pytest.mark.proves("S59")
@pytest.mark.parametrize("change", [{"text": "x"}, {"more": ""}, {"previous": "x"}, {"digest": "x"}])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_an_edit_of_anything_is_found(change: dict[str, str], place: int) -> None:
    """At the beginning, in the middle and at the end."""
    edited = [replace(link, **change) if index == place else link for index, link in enumerate(WHOLE)]  # type: ignore[arg-type]

    assert f"entry {place + 1} was edited" in list(faults(edited, HEAD))


@pytest.mark.proves("S59")
def test_an_edit_with_a_new_digest_is_found_by_the_next_entry() -> None:
    """Who edits and seals again would have to do so with all that follows, and with the head."""
    assert list(faults([WHOLE[0], linked(Head.at(WHOLE[0]), "x"), *WHOLE[2:]], HEAD)) == [
        "entry 3 was not written after the entry 2 that is there"
    ]
    assert list(faults([*WHOLE[:3], linked(Head.at(WHOLE[2]), "x")], HEAD, "audit")) == [
        "the audit ends with entry 4, which is not the last one that was written (4)"
    ]


@pytest.mark.proves("S59")
def test_what_was_dropped_is_missed() -> None:
    """From the middle, the beginning and the end, and all of it; so is what came twice."""
    assert list(faults([WHOLE[0], *WHOLE[2:]], HEAD)) == ["entry 3 follows entry 1: something between is missing"]
    assert list(faults(WHOLE[1:], HEAD)) == ["entry 2 follows entry 0: something between is missing"]
    assert list(faults(WHOLE[:-1], HEAD)) == [
        "the ledger ends with entry 3, which is not the last one that was written (4)"
    ]
    assert list(faults([], HEAD, "audit")) == [
        "the audit ends with entry 0, which is not the last one that was written (4)"
    ]
    assert list(faults([*WHOLE, WHOLE[3]], HEAD)) == ["entry 4 follows entry 4: something between is missing"]
