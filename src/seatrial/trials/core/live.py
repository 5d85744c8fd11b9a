"""What a run tells while it goes on."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np

WINDOW_S = 5.0
SHOWN = 1000
"""Latencies that the figures of a run that goes on are made of: more would hold up what is due."""


@dataclass(frozen=True, slots=True)
class Live:
    """The run so far. Rates and latencies are of about the last five seconds; None: no request ended in them."""

    phase: str
    elapsed_s: float
    duration_s: float
    users: int
    requests: int
    failures: int
    rps: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


Progress = Callable[[Live], None]
"""Is told about a run, a few times a second."""


class Window:
    """Counts all requests of a run, and keeps the latencies of its last seconds."""

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self._recent: deque[tuple[float, float]] = deque()

    def add(self, start: float, latency_ms: float, *, ok: bool) -> None:
        """Count one request, sent at `start` (Unix seconds)."""
        self.requests += 1
        self.failures += not ok
        self._recent.append((start + latency_ms / 1000, latency_ms))

    def live(self, phase: str, elapsed_s: float, duration_s: float = 0.0, users: int = 0) -> Live:
        """The run as it is now, so many seconds after its start; `duration_s` 0 is not known."""
        begin = time.time() - WINDOW_S
        while self._recent and self._recent[0][0] < begin:
            self._recent.popleft()
        every = len(self._recent) // SHOWN + 1
        latencies = [latency for _, latency in islice(self._recent, 0, None, every)]
        p50, p95, p99 = np.percentile(latencies, (50, 95, 99)).tolist() if latencies else (None, None, None)
        return Live(
            phase=phase,
            elapsed_s=min(elapsed_s, duration_s) if duration_s else elapsed_s,
            duration_s=duration_s,
            users=users,
            requests=self.requests,
            failures=self.failures,
            rps=len(self._recent) / min(WINDOW_S, max(elapsed_s, 1.0)),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
        )
