"""Connections: uvicorn's, with bounds, and with a short way for requests that came whole.

For each request uvicorn makes a scope, a task, an event and messages, and looks through every header of the answer:
some 20 us. A small request to a path of `SHORT` that is here whole, on a connection where nothing else is going on, is
handed to the application as it is, and answered by one write. Whatever is in any way unusual goes uvicorn's way.

The bounds hold for every request: how long its head may be, how many may be sent without waiting for answers, and that
nothing is read as a request that a reader before us may have taken for a body.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from seatrial.server.core.errors import HeadTooLarge, InvalidRequest, SeatrialError

SHORT: Final = frozenset({b"/predict"})
"""Targets, as they stand in the request."""
MOST_BYTES: Final = 64 * 1024
"""Of a body that goes the short way."""
MOST_HEAD_BYTES: Final = 64 * 1024
"""Of the target and the headers of a request together, and of the trailers after a body."""
MOST_FIELDS: Final = 128
"""Headers of a request."""
MOST_AHEAD_BYTES: Final = 16 * 1024
"""How much is looked through at once for requests that are sent without waiting for answers."""

Fields = Iterable[tuple[bytes, bytes]]
"""Headers of an answer."""


class Application(Protocol):
    """An ASGI application that knows the short way, and speaks for requests that never reach it."""

    def begin(self, request: "WholeRequest") -> bool:
        """Begin to answer a POST that came whole, by `request.answer`; `False` leaves it to the application's ASGI."""

    def refuse_unread(self, error: SeatrialError) -> tuple[int, Fields, bytes]:
        """Status, headers and body of the answer to what cannot be read as a request."""


class WholeRequest:
    """A POST and its answer; lives until it is answered or its caller is gone.

    For its connection it stands in the place of uvicorn's own `RequestResponseCycle`. `started` is on the monotonic
    clock; the names of `headers` are in lower case. `leave`, where the application has set it, is called when the
    caller hangs up before the answer.
    """

    __slots__ = ("_connection", "body", "disconnected", "handed", "headers", "keep_alive", "leave", "more_body", "peer",
                 "response_complete", "started", "target")  # fmt: skip

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
        self.leave: Callable[[], None] | None = None

    @property
    def message_event(self) -> "WholeRequest":
        """Its connection's event, which is set when something happened to the request."""
        return self

    def set(self) -> None:
        """See `message_event`: of a request that is here whole, its caller can only have hung up."""
        if self.disconnected and not self.response_complete and self.leave is not None:
            self.leave()

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        """Send the whole answer. Values of headers are the application's own: they are not looked through."""
        self._connection.send_whole(self, status, headers, body)


class _Flow(FlowControl):
    """uvicorn's, which goes on reading after each answer; here nothing more is read while requests wait."""

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection.transport)
        self._connection = connection

    def resume_reading(self) -> None:
        if not self._connection.waits():
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """One connection. `app` is an `Application`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = self._silent_bytes = 0
        self._heard = self._deaf = False
        self._later = bytearray()
        self._why: SeatrialError | None = None
        self._whole: WholeRequest | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody hung up; who waits may stand before others who were sent after them."""
        whole = self._whole
        super().connection_lost(exc)
        if whole is not None and not whole.response_complete:
            whole.disconnected = True
            whole.set()

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Somebody connected."""
        super().connection_made(transport)
        self.flow = _Flow(self)

    def waits(self) -> bool:
        """Whether something is here that is not begun before what is going on has ended."""
        return bool(self.pipeline or self._later)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._later:
            self._later += data
        elif not self._deaf:
            self._hear_all(data)

    def _hear_all(self, data: bytes) -> None:
        """Read as long as nobody waits: a thousand requests that come at once are not all begun at once."""
        self._hear(data[:MOST_AHEAD_BYTES])
        for place in range(MOST_AHEAD_BYTES, len(data), MOST_AHEAD_BYTES):
            if self._deaf:
                return
            if self.pipeline:
                self._later += data[place:]
                return
            self._hear(data[place : place + MOST_AHEAD_BYTES])
        self._leave_the_rest()

    def _hear_later(self) -> None:
        data, self._later = bytes(self._later), bytearray()
        if data and self.parser is not None:
            self._hear_all(data)
            self.flow.resume_reading()

    def _hear(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._heard = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # what follows is not HTTP, whatever the caller takes it for
            self._close_if_idle()
        except httptools.HttpParserError as error:
            if self._why is None and isinstance(error, httptools.HttpParserCallbackError):
                self.logger.exception("A request could not be begun", exc_info=error)
            self._stop_reading(self._why or InvalidRequest("What came cannot be read as a request of HTTP."))
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES + MOST_AHEAD_BYTES or len(self.headers) > MOST_FIELDS:
                self._stop_reading(_too_large())
        elif self._heard:
            self._silent_bytes = 0
        else:  # a trailer
            self._silent_bytes += len(data)
            if self._silent_bytes > MOST_HEAD_BYTES:
                self._stop_reading(_too_large())

    def _leave_the_rest(self) -> None:
        """Of a request that is not complete nobody knows when the rest will come."""
        cycle: Any = self.cycle
        if type(cycle) is WholeRequest and not cycle.handed and not self.transport.is_closing():
            self._leave_to_uvicorn(cycle)

    def on_message_begin(self) -> None:
        """A request begins; of what uvicorn makes for it, nothing is made before it is needed."""
        self._unset_keepalive_if_required()
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._in_head, self._head_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        """A part of the target came."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came, or a trailer, which is not heard: nobody has looked at those before us."""
        if not self._in_head:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Choose the way."""
        self._heard, self._in_head = True, False
        if len(self.headers) > MOST_FIELDS or (self._head_bytes and self._head_size() > MOST_HEAD_BYTES):
            self._refuse(_too_large())
        if self.parser.should_upgrade():
            self._begin_upgrade()
        elif self.url in SHORT and self._is_plain():
            self.cycle = WholeRequest(self, self.url.decode("ascii"))  # type: ignore[assignment]
        else:
            self._begin_with_uvicorn()

    def _begin_upgrade(self) -> None:
        """Nothing is upgraded here. The parser would take a body for the next request, so there may be none."""
        names = {name: value for name, value in self.headers if name in {b"content-length", b"transfer-encoding"}}
        if names and names != {b"content-length": b"0"}:
            self._refuse(InvalidRequest("A request that asks for an upgrade has no body here."))
        self._begin_with_uvicorn()

    def _is_plain(self) -> bool:
        parser, before = self.parser, self.cycle
        return (
            (before is None or before.response_complete)
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not self.expect_100_continue
            and not self.flow.write_paused
        )

    def on_body(self, body: bytes) -> None:
        """A part of a body came."""
        self._heard = True
        cycle: Any = self.cycle
        if type(cycle) is WholeRequest:
            cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is here whole."""
        self._heard = True
        cycle: Any = self.cycle
        if type(cycle) is not WholeRequest:
            super().on_message_complete()
            return
        cycle.more_body = False
        self._whole = cycle
        cycle.handed = len(cycle.body) <= MOST_BYTES and self.app.begin(cycle)
        if not cycle.handed:
            self._whole = None
            self._leave_to_uvicorn(cycle)

    def on_response_complete(self) -> None:
        """An answer was sent: the next one, if any; the last one where nothing more is read."""
        super().on_response_complete()
        if self._later and not self.pipeline:
            self.loop.call_soon(self._hear_later)
        self._close_if_idle()

    def send_whole(self, request: WholeRequest, status: int, headers: Fields, body: bytes) -> None:
        """Send an answer by one write, and go on as uvicorn does."""
        if request.disconnected or request.response_complete or self.transport.is_closing():
            return
        self._write(status, headers, body, request)
        request.response_complete = True
        request.leave = None
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _write(self, status: int, headers: Fields, body: bytes, request: WholeRequest | None = None) -> None:
        lines = [STATUS_LINE[status]]
        closing = False
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
            closing = closing or name == b"connection"
        if request and closing:
            request.keep_alive = False
        elif not closing and (request is None or not request.keep_alive):
            lines.append(b"connection: close\r\n")
        lines += (b"content-length: %d\r\n\r\n" % len(body), body)
        self.transport.write(b"".join(lines))

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

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse(self, why: SeatrialError) -> None:
        """Have the parser stop, in one of its callbacks."""
        self._why = why
        raise why

    def _stop_reading(self, why: SeatrialError) -> None:
        """Hear nothing more. Requests that are here whole are still answered; else it is said why."""
        self._deaf = True
        cycle: Any = self.cycle
        lost = cycle is not None and not cycle.response_complete and (cycle.more_body or not _is_begun(cycle))
        if lost:  # its rest is not heard, so there is nothing to wait for
            if self.pipeline and self.pipeline[0][0] is cycle:  # others are answered first, and the last one closes
                self.pipeline.popleft()
                cycle.response_complete = True
                return
            cycle.disconnected = True
            cycle.message_event.set()
            self._say(why, said=getattr(cycle, "response_started", False))
        elif cycle is None or cycle.response_complete:
            self._say(why, said=False)

    def _say(self, why: SeatrialError, *, said: bool) -> None:
        if self.transport.is_closing():
            return
        if not said:
            self._write(*self.app.refuse_unread(why))
        self.transport.close()

    def _close_if_idle(self) -> None:
        if self._deaf and not self.waits() and (self.cycle is None or self.cycle.response_complete):
            self._unset_keepalive_if_required()
            self.transport.close()


def _is_begun(cycle: object) -> bool:
    return type(cycle) is not WholeRequest or cycle.handed


def _too_large() -> HeadTooLarge:
    limits = f"{MOST_HEAD_BYTES} bytes, and {MOST_FIELDS} headers"
    return HeadTooLarge(f"The target and headers of a request have at most {limits}; its trailers as many bytes.")
