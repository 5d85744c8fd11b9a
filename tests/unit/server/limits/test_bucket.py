"""Rates kept in this process: how many calls pass, what is told of the rest, and how much goes on at once."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.clock import ManualClock

from seatrial.server.core import clock
from seatrial.server.core.errors import LimitExceeded
from seatrial.server.limits.bucket import Buckets, Slots, Taken, take
from seatrial.server.limits.rate import Rate

RATES = st.builds(Rate, st.integers(1, 40), st.sampled_from([1, 60, 900, 3600, 86400]))
STARTS = st.floats(0.0, 1e8)
GAPS = st.lists(st.floats(0.0, 2.0), max_size=40)
"""Time between calls, in windows."""
A_LITTLE = 1e-5
"""Seconds that somebody waits for."""


def passes(arrival: float, rate: Rate, now: float) -> int:
    """How many calls at one moment are let through."""
    passed = 0
    while True:
        arrival, taken = take(arrival, rate, now)
        if taken.wait:
            return passed
        passed += 1


def after(rate: Rate, start: float, gaps: list[float]) -> tuple[float, float, Taken, list[float]]:
    """Calls at these times: the arrival time and the clock afterwards, the last answer, and when calls passed."""
    arrival, now, passed = 0.0, start, []
    arrival, taken = take(arrival, rate, now)
    passed.append(now)
    for gap in gaps:
        now += gap * rate.window / rate.limit
        arrival, taken = take(arrival, rate, now)
        if not taken.wait:
            passed.append(now)
    return arrival, now, taken, passed


@given(RATES, STARTS, GAPS)
def test_no_more_than_the_limit_and_what_comes_back(rate: Rate, start: float, gaps: list[float]) -> None:
    """Between any two calls that pass."""
    _, _, _, passed = after(rate, start, gaps)

    for first in range(len(passed)):
        for last in range(first, len(passed)):
            came_back = (passed[last] - passed[first]) / rate.interval
            assert last - first + 1 <= rate.limit + came_back + 1e-3


@given(RATES, STARTS, GAPS)
def test_what_is_told_is_true(rate: Rate, start: float, gaps: list[float]) -> None:
    """As many as are left pass at once; one passes after the wait and not before; all pass when it is full."""
    arrival, now, taken, _ = after(rate, start, gaps)

    assert passes(arrival, rate, now) == taken.left
    if taken.wait:
        assert passes(arrival, rate, now + taken.wait) == 1
        assert passes(arrival, rate, now + taken.wait - A_LITTLE) == 0
    assert passes(arrival, rate, now + taken.full) == rate.limit
    if taken.full > A_LITTLE:
        assert passes(arrival, rate, now + taken.full - A_LITTLE) < rate.limit


@given(RATES, STARTS, GAPS, st.floats(0.0, 2.0), st.floats(0.0, 2.0))
def test_who_waits_longer_is_no_worse_off(
    rate: Rate, start: float, gaps: list[float], some: float, more: float
) -> None:
    """As many pass later as would have passed before."""
    arrival, now, _, _ = after(rate, start, gaps)
    soon = now + some * rate.window
    later = soon + more * rate.window

    assert passes(arrival, rate, soon) <= passes(arrival, rate, later) <= rate.limit


@given(RATES, STARTS, GAPS)
def test_a_refused_call_costs_nothing(rate: Rate, start: float, gaps: list[float]) -> None:
    """Whoever goes on asking is served as soon as whoever waits."""
    arrival, now, taken, _ = after(rate, start, gaps)
    for _ in range(taken.left):
        arrival, taken = take(arrival, rate, now)
    for _ in range(5):
        arrival, refused = take(arrival, rate, now)
        assert refused.wait > 0
        assert refused.left == 0

    assert passes(arrival, rate, now + refused.wait) == 1


@pytest.mark.proves("S35")
@given(RATES, STARTS, GAPS)
def test_retry_after_is_true(rate: Rate, start: float, gaps: list[float]) -> None:
    """A call after that many seconds passes, and one a second earlier does not."""
    arrival, now, _, _ = after(rate, start, gaps)
    while True:
        arrival, taken = take(arrival, rate, now)
        if taken.wait:
            break
    seconds = LimitExceeded("Too many.", taken.wait).seconds

    assert passes(arrival, rate, now + seconds) >= 1
    if seconds > 1:
        assert passes(arrival, rate, now + seconds - 1 - A_LITTLE) == 0


@pytest.mark.proves("S35")
@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_step_of_the_wall_clock_frees_nothing(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """What is measured is measured by a clock that nobody sets."""
    buckets, real = Buckets(clock.monotonic), time.time
    assert not buckets.take("ada", Rate(1, 3600)).wait
    monkeypatch.setattr(time, "time", lambda: real() + step)
    monkeypatch.setattr(time, "time_ns", lambda: int((real() + step) * 1e9))

    assert 3590 < buckets.take("ada", Rate(1, 3600)).wait <= 3600


def test_each_name_and_each_rate_has_a_bucket() -> None:
    """None takes from another."""
    buckets = Buckets(ManualClock())
    for name, rate in (("ada", Rate(2, 60)), ("bob", Rate(2, 60)), ("ada", Rate(2, 3600))):
        taken = [buckets.take(name, rate) for _ in range(3)]
        assert [(one.left, one.wait) for one in taken] == [(1, 0.0), (0, 0.0), (0, rate.interval)]


def test_a_call_that_is_given_back() -> None:
    """Passes again; of a bucket that nobody has used nothing happens."""
    buckets, rate = Buckets(ManualClock()), Rate(2, 60)
    for _ in range(2):
        buckets.take("ada", rate)
    buckets.give_back("ada", rate)
    buckets.give_back("bob", rate)

    assert [buckets.take("ada", rate).wait > 0 for _ in range(2)] == [False, True]
    assert [buckets.take("bob", rate).wait > 0 for _ in range(3)] == [False, False, True]


def test_a_bounded_number_of_buckets() -> None:
    """The one that was used least recently goes."""
    buckets, rate = Buckets(ManualClock(), most=2), Rate(1, 60)
    for name in ("ada", "bob", "ada", "eve"):
        buckets.take(name, rate)

    assert buckets.take("ada", rate).wait > 0
    assert not buckets.take("bob", rate).wait


def test_what_goes_on_at_once() -> None:
    """So many of each caller; one more when one has ended."""
    slots = Slots()
    assert [slots.take("ada", 2) for _ in range(3)] == [True, True, False]
    assert slots.take("bob", 2)

    slots.give_back("ada")
    assert [slots.take("ada", 2) for _ in range(2)] == [True, False]
    for name in ("ada", "ada", "bob"):
        slots.give_back(name)
    assert slots._busy == {}  # noqa: SLF001 - callers who are gone take no room
