"""Spans of predictions, sent by OTLP where an endpoint is set; where none is, nothing of this is even loaded.

A span is made after the fact, from times that were taken anyway. Sending is a thread's business: one that does not get
rid of its spans keeps some thousand of them, and drops the rest. `OTEL_*` variables of the SDK (sampling, headers, the
size of batches) hold as everywhere.
"""

import threading
import time
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from seatrial.server.core.clock import Monotonic
from seatrial.server.core.observe import Ran

TIMEOUT_S = 2.0
"""How long the receiver may take for a batch of spans."""
FLUSH_S = 3.0
"""How long a stop waits for the last ones."""
SERVER_ERROR = 500
PATH = "/v1/traces"


class Tracing:
    """Implements `core.observe.Tracer`; lives as long as the worker.

    Args:
        endpoint: base URL of a receiver of OTLP over HTTP.
        version: of the server.
        clock: by which the times of requests are taken.
    """

    def __init__(self, endpoint: str, version: str, clock: Monotonic) -> None:
        resource = Resource.create({"service.name": "seatrial", "service.version": version})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + PATH, timeout=TIMEOUT_S)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("seatrial", version)
        self._propagator = TraceContextTextMapPropagator()
        self._offset = time.time_ns() - round(clock() * 1e9)

    def request(
        self, route: str, traceparent: bytes | None, status: int, started: float, ended: float, ran: Ran | None = None
    ) -> None:
        """See `Tracer.request`."""
        parent = self._propagator.extract({"traceparent": traceparent.decode("latin-1")}) if traceparent else None
        attributes: dict[str, Any] = {
            "http.request.method": "POST",
            "http.route": route,
            "http.response.status_code": status,
        }
        if ran is not None:
            attributes |= {"seatrial.model": ran.model_id, "seatrial.examples": ran.rows, "seatrial.cache": ran.cache}
        span = self._tracer.start_span(
            f"POST {route}", parent, SpanKind.SERVER, attributes, start_time=self._unix_ns(started)
        )
        if status >= SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        if ran is not None and span.is_recording():
            inside = set_span_in_context(span)
            for name, begin, end in (("queue", ran.queued, ran.begun), ("run", ran.begun, ran.ended)):
                part = self._tracer.start_span(name, inside, start_time=self._unix_ns(begin))
                if name == "run":
                    part.set_attribute("seatrial.run.examples", ran.together)
                part.end(self._unix_ns(end))
        span.end(self._unix_ns(ended))

    def close(self) -> None:
        """Send what is left, if that can be done soon."""
        closing = threading.Thread(target=self.provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_S)

    def _unix_ns(self, moment: float) -> int:
        return self._offset + round(moment * 1e9)
