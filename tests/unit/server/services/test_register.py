"""Registering: in turn, and no more at once than there is room for. What comes of it is in tests/api."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.fakes.registry import MemoryRegistry

from seatrial.server.core.errors import Busy, NotReady
from seatrial.server.registry.ledger import Note
from seatrial.server.runtimes.inspector import ProcessInspector
from seatrial.server.services.register import ADMITTED, Registrar, Wish
from seatrial.server.storage.artifacts import ContentStore


@pytest.fixture
def registrar(tmp_path: Path) -> Iterator[Registrar]:
    made = Registrar(MemoryRegistry(), ContentStore(tmp_path), ProcessInspector(), max_versions=3)
    yield made
    made.close()


def test_only_so_many_registrations_go_on_at_once(registrar: Registrar) -> None:
    """One more is told when to come again; once one is over there is room, whatever became of it."""
    with ExitStack() as others:
        for _ in range(ADMITTED - 1):
            others.enter_context(registrar.admitted())
        with pytest.raises(KeyError), registrar.admitted():
            raise KeyError
        with registrar.admitted(), pytest.raises(Busy) as caught, registrar.admitted():
            pass
        with registrar.admitted():
            pass

    assert caught.value.seconds == 10
    assert str(caught.value) == "32 models are being registered. Try again in 10 s."


def test_after_a_stop_nothing_is_registered(registrar: Registrar) -> None:
    """Whoever comes is told that the server is stopping, and so is who waits for an inspection."""
    registrar.stop()
    with registrar.store.draft() as draft:
        draft.write(b"\x08")
        with pytest.raises(NotReady, match="the server is stopping"):
            asyncio.run(registrar.register_in_turn(draft, Wish("it", Note("who", "why"))))
        with pytest.raises(NotReady, match="the server is stopping"):
            registrar.register(draft, Wish("it", Note("who", "why")))
