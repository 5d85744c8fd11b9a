"""Traces, as a real receiver of OTLP hears them; and a server without one, which does not even load what would send."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.inputs import BLANK, DENVER, batch, single
from tests.live import PATIENCE, ServerProcess, until

pytestmark = pytest.mark.e2e

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


class Receiver(ThreadingHTTPServer):
    """Keeps the spans that it is sent. While it is `deaf` it answers nobody."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.deaf = threading.Event()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def named(self, name: str) -> list[Span]:
        """Those with a name, in their order."""
        return [span for span in self.spans if span.name == name]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """A batch of spans."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.deaf.is_set():
            self.server.over.wait(PATIENCE)
            return
        assert self.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {entry.key: entry.value.string_value for entry in resource.resource.attributes}
            self.server.services.add(names["service.name"])
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def attributes(span: Span) -> dict[str, object]:
    """By name."""
    return {entry.key: entry.value.string_value or entry.value.int_value for entry in span.attributes}


def parts(receiver: Receiver, span: Span) -> list[Span]:
    """What happened within it, in its order."""
    return sorted(
        (part for part in receiver.spans if part.parent_span_id == span.span_id),
        key=lambda part: part.start_time_unix_nano,
    )


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_prediction_is_a_span_with_a_queue_and_a_run(
    start_server: Callable[..., ServerProcess], connection: str
) -> None:
    """It belongs to the caller's trace; its parts lie within it, one after the other."""
    with receiving() as receiver:
        server = start_server(SEATRIAL_OTLP_ENDPOINT=receiver.url, SEATRIAL_CACHE_SIZE="0", **SOON)
        headers = {"Connection": connection, "traceparent": TRACEPARENT}
        with httpx2.Client(timeout=PATIENCE, headers=headers) as http:
            assert http.post(f"{server.url}/predict", content=single("digits", {"image": BLANK})).status_code == 200
            assert (
                http.post(f"{server.url}/predict/batch", content=batch("geoclimate", [DENVER] * 3)).status_code == 200
            )
            assert http.post(f"{server.url}/predict", content=single("nobody", DENVER)).status_code == 404
            assert http.get(f"{server.url}/models").status_code == 200
        until(lambda: len(receiver.named("POST /predict")) == 2 and bool(receiver.named("GET /models")), "they came")

    good, bad = sorted(receiver.named("POST /predict"), key=lambda span: span.start_time_unix_nano)
    (many,) = receiver.named("POST /predict/batch")
    assert receiver.services == {"seatrial"}
    for span in (good, bad, many, *receiver.named("GET /models")):
        assert (span.trace_id.hex(), span.parent_span_id.hex(), span.kind) == (TRACE, PARENT, Span.SPAN_KIND_SERVER)
    for span, model, rows in ((good, "digits:1", 1), (many, "geoclimate:1", 3)):
        told = attributes(span)
        assert (told["seatrial.model"], told["seatrial.examples"]) == (model, rows)
        assert (told["http.route"], told["http.response.status_code"]) == (span.name.removeprefix("POST "), 200)
        queue, run = parts(receiver, span)
        moments = [
            span.start_time_unix_nano, queue.start_time_unix_nano, queue.end_time_unix_nano,
            run.start_time_unix_nano, run.end_time_unix_nano, span.end_time_unix_nano,
        ]  # fmt: skip
        assert (queue.name, run.name) == ("queue", "run")
        assert moments == sorted(moments)
        assert attributes(run)["seatrial.run.examples"] == rows
    assert (attributes(bad)["http.response.status_code"], parts(receiver, bad)) == (404, [])


def test_a_receiver_that_answers_nobody_does_not_hold_up_answers(start_server: Callable[..., ServerProcess]) -> None:
    """More spans than are kept come together; predictions go on, and so does the stop."""
    with receiving() as receiver:
        receiver.deaf.set()
        server = start_server(SEATRIAL_OTLP_ENDPOINT=receiver.url, OTEL_BSP_MAX_QUEUE_SIZE="64",
                              OTEL_BSP_MAX_EXPORT_BATCH_SIZE="16", **SOON)  # fmt: skip
        body = single("geoclimate", DENVER)
        with httpx2.Client(timeout=PATIENCE) as http:
            assert {http.post(f"{server.url}/predict", content=body).status_code for _ in range(300)} == {200}
        assert server.stop() == 0
        assert receiver.spans == []


def test_nothing_is_loaded_where_nothing_is_traced() -> None:
    """Nor do variables of OpenTelemetry alone have anything sent."""
    program = "import seatrial.server.app, sys; print([name for name in sys.modules if 'opentelemetry.sdk' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_variables_of_opentelemetry_alone_send_nothing(start_server: Callable[..., ServerProcess]) -> None:
    """Who has not asked this server to trace gets no traces of it."""
    with receiving() as receiver:
        server = start_server(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, FASTAPI_OTEL_AUTO_CONFIGURE="true", **SOON)
        for path in ("/", "/health", "/models"):
            assert server.http.get(f"{server.url}{path}").status_code == 200
        assert server.stop() == 0
        assert receiver.spans == []
