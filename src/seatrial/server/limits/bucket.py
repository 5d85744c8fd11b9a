"""Rates kept by one number each: the theoretical arrival time of the generic cell rate algorithm (GCRA).

A bucket that has not been used for its window lets `limit` calls through at once; each takes `window / limit` seconds
to come back. Nothing is counted in windows of the clock, so nothing doubles where two of them meet.
"""

from collections import OrderedDict
from typing import NamedTuple

from seatrial.server.core.clock import Monotonic
from seatrial.server.limits.rate import Rate

MOST_BUCKETS = 100_000
"""Buckets that are remembered; beyond them the one forgotten is whichever was used least recently."""
NO_TIME = 1e-6
"""Seconds that nobody waits for: what is left of adding numbers, on a clock that has run for years."""


class Taken(NamedTuple):
    """What became of one call, and what is left to the caller after it.

    `wait` is 0 for a call that is let through, else how many seconds until one would be; `full` how many until all
    `limit` calls are there again.
    """

    rate: Rate
    left: int
    wait: float
    full: float


def take(arrival: float, rate: Rate, now: float) -> tuple[float, Taken]:
    """The new arrival time of a bucket, and what became of a call at `now`."""
    arrival = max(arrival, now)
    following = arrival + rate.interval
    wait = following - rate.window - now
    if wait > NO_TIME:
        return arrival, Taken(rate, 0, wait, arrival - now)
    left = int((rate.window - (following - now) + NO_TIME) / rate.interval)
    return following, Taken(rate, left, 0.0, following - now)


class Buckets:
    """The buckets of one process, by name; used in the event loop only."""

    def __init__(self, clock: Monotonic, most: int = MOST_BUCKETS) -> None:
        self._clock = clock
        self._most = most
        self._arrivals: OrderedDict[tuple[str, int, int], float] = OrderedDict()

    def take(self, name: str, rate: Rate) -> Taken:
        """Let one call through, or not."""
        bucket = name, rate.limit, rate.window
        arrival, taken = take(self._arrivals.get(bucket, 0.0), rate, self._clock())
        self._arrivals[bucket] = arrival
        self._arrivals.move_to_end(bucket)
        if len(self._arrivals) > self._most:
            self._arrivals.popitem(last=False)
        return taken

    def give_back(self, name: str, rate: Rate) -> None:
        """Undo a call that was let through."""
        bucket = name, rate.limit, rate.window
        if bucket in self._arrivals:
            self._arrivals[bucket] -= rate.interval


class Slots:
    """How much is going on for each caller of one process; used in the event loop only."""

    def __init__(self) -> None:
        self._busy: dict[str, int] = {}

    def take(self, name: str, most: int) -> bool:
        """Whether one more may begin; then `give_back` must follow."""
        busy = self._busy.get(name, 0)
        if busy >= most:
            return False
        self._busy[name] = busy + 1
        return True

    def give_back(self, name: str) -> None:
        """One has ended."""
        busy = self._busy[name] - 1
        if busy:
            self._busy[name] = busy
        else:
            del self._busy[name]
