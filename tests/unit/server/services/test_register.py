"""Registering: in turn, and no more at once than there is room for. What comes of it is in tests/api."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.fakes.registry import MemoryRegistry

from seatrial.server.core.errors import Busy
from seatrial.server.runtimes.inspector import ProcessInspector
from seatrial.server.services.register import ADMITTED, Registrar
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
