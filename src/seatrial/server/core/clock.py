"""Time, as a value that is handed in: wall time for people, monotonic time for measuring."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Monotonic = Callable[[], float]
"""Seconds that never go back; `time.perf_counter` in a running server."""

monotonic: Monotonic = time.perf_counter


def timestamp() -> str:
    """Now, as RFC 3339 in UTC with milliseconds: `2026-11-22T09:30:00.125Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
