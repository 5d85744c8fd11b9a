"""Time, as a value that is handed in: wall time for people, monotonic time for measuring."""

import time
from collections.abc import Callable
from functools import lru_cache

Monotonic = Callable[[], float]
"""Seconds that never go back; `time.perf_counter` in a running server."""

monotonic: Monotonic = time.perf_counter

Wall = Callable[[], float]
"""Unix time in seconds, for what has an age: proofs and trials."""

wall: Wall = time.time


def timestamp() -> str:
    """Now, as RFC 3339 in UTC with milliseconds: `2026-11-22T09:30:00.125Z`."""
    return _written(time.time_ns() // 1_000_000)


def at_unix(unix: float) -> str:
    """A moment, given in Unix time, written as `timestamp` writes now."""
    return _written(round(unix * 1000))


def _written(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_to_the_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
