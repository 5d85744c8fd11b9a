"""A deployment in its data directory: what its commands need of the process they run in."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from seatrial.cli.local import local_place
from seatrial.server.runtimes.inspection.limits import STACK_BYTES


@pytest.fixture(autouse=True)
def _stack_as_it_was() -> Iterator[None]:
    """That of later threads of the test process is what it was."""
    before = threading.stack_size()
    yield
    threading.stack_size(before)


def test_a_command_that_loads_models_has_room_for_deep_ones(tmp_path: Path) -> None:
    """As a worker has: eight times the stack in which files are inspected."""
    with pytest.raises(typer.Exit), local_place(tmp_path, None) as place:
        place.roll_back("digits", "slow")

    assert threading.stack_size() == 8 * STACK_BYTES
