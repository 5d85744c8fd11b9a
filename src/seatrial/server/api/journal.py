"""Notes every answer: counts it, and logs it unless it is a success."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import Busy, DeadlineExceeded, InspectionFailed, NotReady, StorageUnavailable
from seatrial.server.core.observe import Observer, Tracer

_ERROR, _SERVER_ERROR = 400, 500
_SHOWN = 200
_EXPLAINED = (Busy, DeadlineExceeded, InspectionFailed, NotReady, StorageUnavailable)
"""Errors of 5xx whose text says all; of others the stack is logged."""


Count = Callable[[str, str, str, int, float], None]
"""Hears of an answer under a trial: the header, the endpoint, the model, the status, and the seconds that it took."""


@dataclass(slots=True)
class Exchange:
    """One request, as the journal knows it. `started` is on the monotonic clock."""

    method: str
    path: str
    request_id: str
    started: float


class Journal:
    """Lives as long as the server."""

    def __init__(
        self,
        observer: Observer,
        log: FilteringBoundLogger,
        clock: Monotonic,
        count: Count,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._count = count
        self._observer = observer
        self._log = log
        self._clock = clock

    def count(self, exchange: Exchange, trial: str, route: str, status: int) -> None:
        """Count an answer under a trial, just before it is sent: whoever gets it is not to have waited any less."""
        self._count(trial, f"{exchange.method} {route}", "", status, self._clock() - exchange.started)

    def trace(self, exchange: Exchange, route: str, status: int, traceparent: bytes | None) -> None:
        """Trace a request of the lane that was refused, or failed; the lane traces the others, and FastAPI its own."""
        if self._tracer is not None:
            self._tracer.request(route, traceparent, status, exchange.started, self._clock())

    def note(self, exchange: Exchange, route: str, status: int, reason: str | None, error: Exception | None) -> None:
        """Note any answer; `reason` is the slug of a problem, `error` is logged in full with a 5xx."""
        seconds = self._clock() - exchange.started
        self._observer.answered(route, exchange.method, status, seconds)
        if reason is not None:
            self._observer.refused(reason)
        if status >= _ERROR:
            with suppress(OSError, ValueError):  # whoever reads the log may be gone, or its disk full: callers go on
                self._write(exchange, status, reason, seconds, error)

    def _write(
        self, exchange: Exchange, status: int, reason: str | None, seconds: float, error: Exception | None
    ) -> None:
        line = self._log.bind(
            method=exchange.method,
            path=exchange.path[:_SHOWN],
            status=status,
            reason=reason,
            request_id=exchange.request_id,
            milliseconds=round(seconds * 1000, 3),
        )
        if status >= _SERVER_ERROR and isinstance(error, _EXPLAINED):
            line.error("request_failed", cause=str(error))
        elif status >= _SERVER_ERROR:
            line.error("request_failed", exc_info=error)
        else:
            line.info("request_refused")
