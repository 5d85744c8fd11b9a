"""How long an upload may take, and how much room it may leave. What is in it: tests/api/test_register.py."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.types import Message
from tests.fakes.clock import ManualClock

from seatrial.server.api.upload import LEAST_RATE, declared, receive_into, sink_for
from seatrial.server.core.errors import DeadlineExceeded, StorageFull
from seatrial.server.storage import drafts
from seatrial.server.storage.artifacts import ContentStore

GRACE = 10.0
MANY = 2**20


def upload(folder: Path, pieces: int, size: int, seconds: float) -> tuple[int, int]:
    """How many pieces were taken, and bytes; each comes some seconds after the one before."""
    clock, taken = ManualClock(), 0

    async def receive() -> Message:
        nonlocal taken
        clock.advance(seconds)
        taken += 1
        return {"type": "http.request", "body": bytes(size), "more_body": taken < pieces}

    with ContentStore(folder).draft() as draft:
        sink = sink_for({}, draft, MANY, MANY)
        with suppress(DeadlineExceeded):
            asyncio.run(receive_into(sink, receive, GRACE, clock))
        return taken, draft.size


def test_an_upload_at_the_least_rate_is_taken(tmp_path: Path) -> None:
    """However long it is."""
    assert upload(tmp_path, 16, LEAST_RATE, 1.0) == (16, 16 * LEAST_RATE)


@pytest.mark.proves("S41")
def test_an_upload_that_trickles_is_given_up(tmp_path: Path) -> None:
    """Though no two of its pieces are far apart: it has its first seconds, and what its bytes are worth."""
    taken, _ = upload(tmp_path, 1000, LEAST_RATE // 10, 1.0)

    assert taken == 11  # the first ten seconds, and not quite a tenth for each piece that came


@pytest.mark.parametrize(
    ("length", "expected"), [(None, 0), (b"7", 7), (b"3211264", 3211264), (b"3211265", 0), (b"9" * 30, 0)]
)
def test_what_is_declared_is_known_unless_it_is_too_much(length: bytes | None, expected: int) -> None:
    """The limit has the last word on that."""
    headers = {} if length is None else {b"content-length": length}

    assert declared(headers, MANY, MANY) == expected


def test_a_declared_size_that_leaves_no_reserve_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    store = ContentStore(tmp_path)
    with pytest.raises(StorageFull), store.draft(2**62):
        pytest.fail("there is no such disk")
    assert list(store.drafts()) == []


def test_an_undeclared_size_is_refused_where_it_would_take_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is written; nothing of it is left."""
    store = ContentStore(tmp_path)
    with store.draft() as draft:
        draft.write(b"x")
        monkeypatch.setattr(drafts, "RESERVE_BYTES", 2**62)
        monkeypatch.setattr(drafts, "RESERVE_PART", 1.0)
        with pytest.raises(StorageFull):
            draft.write(b"x")
        assert draft.size == 1
    assert list(store.drafts()) == []
