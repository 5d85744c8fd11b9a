"""Deadlines, on a clock that a test moves."""

import pytest
from tests.fakes.clock import ManualClock

from seatrial.server.core.errors import DeadlineExceeded
from seatrial.server.inference.deadline import Deadline


def test_a_deadline_counts_from_the_start_of_the_request() -> None:
    """Time that passed before the deadline was made is part of it."""
    clock = ManualClock()
    started = clock()
    clock.advance(2)

    assert Deadline(5, started, clock).remaining() == 3


def test_a_deadline_passes_at_its_moment() -> None:
    """Until then nothing happens; from then on every check names the phase and the seconds."""
    clock = ManualClock()
    deadline = Deadline(1.5, clock(), clock)
    clock.advance(1.25)
    deadline.check("queue")
    clock.advance(0.25)

    assert deadline.remaining() == 0
    with pytest.raises(DeadlineExceeded, match=r"The deadline of 1\.5 s passed in the phase 'infer'\.") as caught:
        deadline.check("infer")
    assert caught.value.phase == "infer"


def test_what_remains_goes_below_zero() -> None:
    """After the deadline `remaining` is negative."""
    clock = ManualClock()
    deadline = Deadline(1, clock(), clock)
    clock.advance(3)

    assert deadline.remaining() == -2
