"""Time, as a value that is handed in: wall time for people, monotonic time for measuring."""

import time
from collections.abc import Callable
from functools import lru_cache

Monotonic = Callable[[], float]
"""Seconds that never go back; `time.perf_counter` in a running server."""

monotonic: Monotonic = time.perf_counter


def timestamp() -> str:
    """Now, as RFC 3339 in UTC with milliseconds: `2026-11-22T09:30:00.125Z`."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_to_the_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
