"""Request ids."""

import re

import pytest

from seatrial.server.core.ids import request_id


@pytest.mark.parametrize("sent", [b"a", b"Trace-1_2.3", b"x" * 128])
def test_a_harmless_id_is_kept(sent: bytes) -> None:
    """1 to 128 letters, digits, dots, dashes and underscores."""
    assert request_id(sent) == sent.decode()


@pytest.mark.parametrize(
    "sent", [None, b"", b"x" * 129, b"a b", b"a\r\nSet-Cookie: x", b"a\n", b"\xc3\xa9", b"a/b", b"<a>"]
)
def test_any_other_id_is_replaced(sent: bytes | None) -> None:
    """The new one is 128 random bits in hex."""
    made = request_id(sent)

    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made != request_id(sent)
