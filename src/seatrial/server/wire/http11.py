"""Connections: uvicorn's, with a short way for requests that came whole.

For each request uvicorn makes a scope, a task, an event and messages, and looks through every header of the answer:
some 20 us. A small request to a path of `SHORT` that is here whole, on a connection where nothing else is going on, is
handed to the application as it is, and answered by one write. Whatever is in any way unusual goes uvicorn's way.
"""

import time
from collections.abc import Iterable
from typing import Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

SHORT: Final = frozenset({b"/predict"})
"""Targets, as they stand in the request."""
MOST_BYTES: Final = 64 * 1024
"""Of a body that goes the short way."""

RawHeaders = Iterable[tuple[bytes, bytes]]


class Application(Protocol):
    """An ASGI application that knows the short way."""

    def begin(self, request: "WholeRequest") -> bool:
        """Begin to answer a POST that came whole, by `request.answer`; `False` leaves it to the application's ASGI."""


class _Unheard:
    """An event of a request that is here whole: nobody waits for more of it."""

    @staticmethod
    def set() -> None:
        """Something came, says uvicorn."""


class WholeRequest:
    """A POST and its answer; lives until it is answered or its caller is gone.

    For its connection it stands in the place of uvicorn's own `RequestResponseCycle`. `started` is on the monotonic
    clock; the names of `headers` are in lower case.
    """

    __slots__ = ("_connection", "body", "disconnected", "handed", "headers", "keep_alive", "more_body", "peer",
                 "response_complete", "started", "target")  # fmt: skip
    message_event = _Unheard

    def __init__(self, connection: "Connection", target: str) -> None:
        self._connection = connection
        self.target = target
        self.headers = connection.headers
        self.peer = connection.client[0] if connection.client else None
        self.started = time.perf_counter()
        self.body = bytearray()
        self.more_body = True
        self.handed = self.disconnected = self.response_complete = False
        self.keep_alive = True

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """Send the whole answer. Values of headers are the application's own: they are not looked through."""
        self._connection.send_whole(self, status, headers, body)


class Connection(HttpToolsProtocol):
    """One connection. `app` is an `Application`."""

    def on_message_begin(self) -> None:
        """A request begins; of what uvicorn makes for it, nothing is made before it is needed."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Choose the way."""
        if self.url in SHORT and self._is_plain():
            self.cycle = WholeRequest(self, self.url.decode("ascii"))  # type: ignore[assignment]
        else:
            self._begin_with_uvicorn()

    def _is_plain(self) -> bool:
        parser, before = self.parser, self.cycle
        return (
            (before is None or before.response_complete)
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
        )

    def on_body(self, body: bytes) -> None:
        """A part of a body came."""
        cycle: Any = self.cycle
        if type(cycle) is WholeRequest:
            cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is here whole."""
        cycle: Any = self.cycle
        if type(cycle) is not WholeRequest:
            super().on_message_complete()
            return
        cycle.more_body = False
        cycle.handed = len(cycle.body) <= MOST_BYTES and self.app.begin(cycle)
        if not cycle.handed:
            self._leave_to_uvicorn(cycle)

    def data_received(self, data: bytes) -> None:
        """Bytes came; of a request that they do not complete nobody knows when the rest will."""
        super().data_received(data)
        cycle: Any = self.cycle
        if type(cycle) is WholeRequest and not cycle.handed and not self.transport.is_closing():
            self._leave_to_uvicorn(cycle)

    def _begin_with_uvicorn(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def _leave_to_uvicorn(self, request: WholeRequest) -> None:
        self.cycle = None  # type: ignore[assignment]
        self._begin_with_uvicorn()
        if request.body:
            super().on_body(bytes(request.body))
        if not request.more_body:
            super().on_message_complete()

    def send_whole(self, request: WholeRequest, status: int, headers: RawHeaders, body: bytes) -> None:
        """Send an answer by one write, and go on as uvicorn does."""
        if request.disconnected or self.transport.is_closing():
            return
        lines = [STATUS_LINE[status]]
        closing = False
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
            closing = closing or name == b"connection"
        if closing:
            request.keep_alive = False
        elif not request.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"content-length: %d\r\n\r\n" % len(body), body)
        self.transport.write(b"".join(lines))
        request.response_complete = True
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()
