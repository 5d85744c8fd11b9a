"""What a run tells while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass


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
