"""Connections: which requests go the short way, and that both ways share one connection in peace."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from seatrial.server.core.errors import HeadTooLarge, SeatrialError
from seatrial.server.wire.http11 import (
    MOST_AHEAD_BYTES,
    MOST_BYTES,
    MOST_FIELDS,
    MOST_HEAD_BYTES,
    Connection,
    WholeRequest,
)

HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
BODY = b"Content-Length: 3\r\n\r\n"
ASKED = HEAD + BODY + b"abc"
OTHER = b"GET /models HTTP/1.1\r\nHost: a\r\n\r\n"


class Wire(asyncio.Transport):
    """The other end of a connection: what was written, and whether it was closed or paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        self.written += bytes(data)

    def close(self) -> None:
        """Hang up."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Take no more."""
        self.reading = False

    def resume_reading(self) -> None:
        """Take more."""
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own signature
        """What is known of both ends."""
        return {"peername": ("10.0.0.9", 999), "sockname": ("10.0.0.1", 80)}.get(name, default)


class App:
    """Notes which way requests came. `/predict` is answered when a test says so, everything else at once."""

    def __init__(self) -> None:
        self.short: list[WholeRequest] = []
        self.long: list[tuple[str, bytes]] = []
        self.heard: list[list[tuple[bytes, bytes]]] = []
        self.takes: Callable[[WholeRequest], bool] = lambda _: True

    def begin(self, request: WholeRequest) -> bool:
        """Take it, where the test lets it."""
        if not self.takes(request):
            return False
        self.short.append(request)
        return True

    def refuse_unread(self, error: SeatrialError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Say which error it was."""
        return 431 if isinstance(error, HeadTooLarge) else 400, [], type(error).__name__.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Echo the body."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.long.append((scope["path"], body))
        self.heard.append(scope["headers"])
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Talk:
    """One connection to an application, in the running event loop."""

    def __init__(self) -> None:
        self.app, self.wire, self.state = App(), Wire(), ServerState()
        config = uvicorn.Config(self.app, lifespan="off", ws="none", log_config=None, proxy_headers=False)
        config.load()
        self.connection = Connection(config=config, server_state=self.state, app_state={})
        self.connection.connection_made(self.wire)

    async def hear(self, *parts: bytes) -> None:
        """Let bytes come, and all that follows from them happen."""
        for part in parts:
            self.connection.data_received(part)
        await self.rest()

    async def rest(self) -> None:
        """Until nothing is going on any more."""
        while self.state.tasks:
            await asyncio.wait(self.state.tasks)
        await asyncio.sleep(0)


def talk(script: Callable[[Talk], Any]) -> Talk:
    """Run a conversation."""

    async def main() -> Talk:
        conversation = Talk()
        await script(conversation)
        conversation.connection.connection_lost(None)
        return conversation

    return asyncio.run(main())


def ways(*parts: bytes) -> tuple[list[bytes], list[tuple[str, bytes]]]:
    """The bodies that came the short way, and what came the long way."""

    async def script(talk: Talk) -> None:
        await talk.hear(*parts)

    done = talk(script)
    return [bytes(request.body) for request in done.app.short], done.app.long


def test_a_request_that_is_here_whole_goes_the_short_way() -> None:
    """With its headers in lower case, its body and its peer."""

    async def script(talk: Talk) -> None:
        await talk.hear(ASKED)
        (request,) = talk.app.short
        assert (request.target, bytes(request.body), request.peer) == ("/predict", b"abc", "10.0.0.9")
        assert request.headers == [(b"host", b"a"), (b"content-length", b"3")]
        request.answer(200, [(b"x-a", b"b")], b"{}")

    done = talk(script)
    assert done.wire.written == b"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 2\r\n\r\n{}"
    assert not done.app.long


def test_chunks_that_are_here_whole_go_the_short_way() -> None:
    """However the length was told."""
    assert ways(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n") == ([b"abc"], [])


def test_headers_and_body_in_two_parts_go_the_long_way() -> None:
    """Nobody knows when the rest comes; none of what came is lost."""
    assert ways(HEAD + BODY, b"abc") == ([], [("/predict", b"abc")])
    assert ways(HEAD + BODY + b"a", b"b", b"c") == ([], [("/predict", b"abc")])


def test_headers_in_parts_with_a_body_at_once_go_the_short_way() -> None:
    """What counts is that nothing is missing once the headers are read."""
    assert ways(HEAD, BODY + b"abc") == ([b"abc"], [])


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Connection: close\r\n" + BODY + b"abc",
        HEAD + b"Expect: 100-continue\r\n" + BODY + b"abc",
        HEAD.replace(b"1.1", b"1.0") + BODY + b"abc",
        HEAD.replace(b"POST", b"PUT") + BODY + b"abc",
        HEAD.replace(b"/predict", b"/predict?a=b") + BODY + b"abc",
        HEAD.replace(b"/predict", b"/predict/batch") + BODY + b"abc",
        HEAD.replace(b"/predict", b"http://a/predict") + BODY + b"abc",
        HEAD.replace(b"/predict", b"/%70redict") + BODY + b"abc",
    ],
    ids=["last", "expecting", "1.0", "other method", "query", "other path", "absolute", "encoded"],
)
def test_whatever_is_unusual_goes_the_long_way(sent: bytes) -> None:
    """Whole, once."""
    short, long = ways(sent)
    assert (short, [body for _, body in long]) == ([], [b"abc"])


@pytest.mark.parametrize(("size", "short"), [(MOST_BYTES, True), (MOST_BYTES + 1, False)])
def test_a_large_body_goes_the_long_way(size: int, *, short: bool) -> None:
    """Its bytes are the same."""
    body = bytes(index % 251 for index in range(size))
    found = ways(HEAD + b"Content-Length: %d\r\n\r\n" % size + body)

    assert found == (([body], []) if short else ([], [("/predict", body)]))


def test_what_the_application_leaves_goes_the_long_way() -> None:
    """Whole; and the next request may go the short way again."""

    async def script(talk: Talk) -> None:
        talk.app.takes = lambda _: False
        await talk.hear(ASKED)
        talk.app.takes = lambda _: True
        await talk.hear(ASKED)

    done = talk(script)
    assert (len(done.app.short), done.app.long) == (1, [("/predict", b"abc")])


def test_requests_of_one_connection_are_answered_in_order() -> None:
    """What comes while one is being answered waits, and nothing more is read."""

    async def script(talk: Talk) -> None:
        await talk.hear(ASKED + OTHER + ASKED)
        (first,) = talk.app.short
        assert (talk.wire.written, talk.wire.reading, talk.app.long) == (b"", False, [])
        first.answer(200, [], b"first")
        await talk.rest()
        await talk.hear(ASKED)
        talk.app.short[1].answer(200, [], b"last")

    done = talk(script)
    assert [part.rpartition(b"\r\n\r\n")[2] for part in done.wire.written.split(b"HTTP/1.1 200 OK")[1:]] == [
        b"first", b"", b"abc", b"last",
    ]  # fmt: skip
    assert done.app.long == [("/models", b""), ("/predict", b"abc")]
    assert done.state.total_requests == 4
    assert done.wire.reading


def test_an_answer_given_at_once_leaves_the_connection_as_it_was() -> None:
    """A refusal is given while the bytes are being read."""

    async def script(talk: Talk) -> None:
        def refuse(request: WholeRequest) -> bool:
            request.answer(422, [], b"no")
            return True

        talk.app.takes = refuse
        await talk.hear(ASKED + ASKED + OTHER)
        assert not talk.wire.closed

    done = talk(script)
    assert done.wire.written.count(b"HTTP/1.1 422 ") == 2
    assert done.app.long == [("/models", b"")]


def test_an_answer_that_says_so_closes_the_connection() -> None:
    """After it; nothing is said twice."""

    async def script(talk: Talk) -> None:
        await talk.hear(ASKED)
        talk.app.short[0].answer(413, [(b"connection", b"close")], b"")

    done = talk(script)
    assert done.wire.closed
    assert done.wire.written.count(b"connection: close") == 1


def test_a_server_that_stops_answers_and_says_that_it_was_the_last() -> None:
    """Connections are told to end once they are idle."""

    async def script(talk: Talk) -> None:
        await talk.hear(ASKED)
        talk.connection.shutdown()
        assert not talk.wire.closed
        talk.app.short[0].answer(200, [], b"{}")

    done = talk(script)
    assert done.wire.closed
    assert b"\r\nconnection: close\r\n" in done.wire.written


def test_an_answer_to_nobody_is_not_sent() -> None:
    """The caller hung up."""

    async def script(talk: Talk) -> None:
        await talk.hear(ASKED)
        talk.wire.close()
        talk.connection.connection_lost(None)
        assert talk.app.short[0].disconnected
        talk.app.short[0].answer(200, [], b"{}")

    assert talk(script).wire.written == b""


def test_whoever_does_not_read_is_waited_for() -> None:
    """While what was written has not been taken, requests go the way that waits."""

    async def script(talk: Talk) -> None:
        talk.connection.pause_writing()
        talk.connection.data_received(ASKED)
        await asyncio.sleep(0)
        assert (talk.app.short, talk.wire.written) == ([], b"")
        talk.connection.resume_writing()
        await talk.rest()

    assert talk(script).wire.written.endswith(b"abc")


def test_an_idle_connection_is_closed_in_its_time() -> None:
    """As uvicorn's are, after the same seconds; whoever asks again in between is not."""

    async def script(talk: Talk) -> None:
        await talk.hear(ASKED)
        talk.app.short[0].answer(200, [], b"{}")
        timer = talk.connection.timeout_keep_alive_task
        assert timer is not None
        assert not timer.cancelled()
        await talk.hear(ASKED)
        assert timer.cancelled()

    talk(script)


def refusals(talk: Talk) -> list[bytes]:
    """What was said of what could not be read."""
    return [part.rpartition(b"\r\n\r\n")[2] for part in talk.wire.written.split(b"HTTP/1.1 4")[1:]]


def told(*parts: bytes) -> Talk:
    """A conversation of one side only."""

    async def script(talk: Talk) -> None:
        await talk.hear(*parts)
        assert talk.wire.closed

    return talk(script)


def test_what_is_no_http_ends_the_connection() -> None:
    """400, once, whatever had begun; nothing that follows is heard."""
    done = told(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", OTHER)

    assert refusals(done) == [b"InvalidRequest"]
    assert b"\r\nconnection: close\r\n" in done.wire.written
    assert (done.app.short, done.app.long) == ([], [])


def test_a_good_request_before_garbage_is_answered() -> None:
    """It alone: what it was sent with is not told of."""

    async def script(talk: Talk) -> None:
        await talk.hear(ASKED + b"garbage\r\n\r\n", OTHER)
        assert not talk.wire.closed
        talk.app.short[0].answer(200, [], b"good")
        assert talk.wire.closed

    done = talk(script)
    assert done.wire.written == b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"
    assert done.app.long == []


def test_a_request_in_parts_before_garbage_is_answered_too() -> None:
    """Also one that goes the long way, and those that wait behind it; the connection ends after them."""
    for garbage in (b"garbage\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
        done = told(OTHER + OTHER + garbage, OTHER)

        assert done.app.long == [("/models", b"")] * 2
        assert done.wire.written.count(b"HTTP/1.1") == 2


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c", b"foo"])
@pytest.mark.parametrize("length", [b"Content-Length: 34\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_behind_an_upgrade_is_no_request(upgrade: bytes, length: bytes) -> None:
    """A proxy may take it for a body: nothing of it is heard, in whatever pieces it comes."""
    head = HEAD + b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n" + length + b"\r\n"

    for parts in ((head, OTHER), (head + OTHER,), (head + b"\r\n\r\n", OTHER, OTHER)):
        done = told(*parts)
        assert refusals(done) == [b"InvalidRequest"]
        assert (done.app.short, done.app.long) == ([], [])


def test_an_upgrade_without_a_body_is_answered_and_nothing_follows_it() -> None:
    """As if it had not asked; whatever its caller sends next may be another protocol."""
    done = told(OTHER[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", OTHER)

    assert done.app.long == [("/models", b"")]
    assert done.wire.written.startswith(b"HTTP/1.1 200 ")
    assert done.wire.closed


PIECE = b"x" * 1000


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET /", *[PIECE] * 100],
        [b"GET / HTTP/1.1\r\nX: ", *[PIECE] * 100],
        [b"GET / HTTP/1.1\r\n" + b"X" * 1000, *[PIECE] * 100],
        [b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 200],
        [b"GET / HTTP/1.1\r\n", *[b"X: " + PIECE + b"\r\n"] * 100],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", *[b"X: y\r\n"] * 20_000],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", *[b"X: " + PIECE + b"\r\n"] * 100],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ", *[PIECE] * 100],
    ],
    ids=[
        "target",
        "one header",
        "a name",
        "many headers",
        "long headers",
        "many trailers",
        "long trailers",
        "a trailer",
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_heads_and_trailers_have_bounds(parts: list[bytes], *, whole: bool) -> None:
    """431, and nothing more is heard; at once or bit by bit."""
    done = told(b"".join(parts)) if whole else told(*parts)

    assert refusals(done) == [b"HeadTooLarge"]
    assert done.wire.closed
    assert done.app.short == []


def test_as_much_as_is_allowed_is_heard() -> None:
    """Just as many headers, and just as long."""
    many = b"".join(b"X-%d: y\r\n" % number for number in range(MOST_FIELDS - 2))
    long = b"X: " + b"y" * (MOST_HEAD_BYTES - 200) + b"\r\n"

    for extra in (many, long):
        assert ways(HEAD + extra + BODY + b"abc") == ([b"abc"], [])
        assert ways(HEAD, *(extra[at : at + 999] for at in range(0, len(extra), 999)), BODY + b"abc") == ([b"abc"], [])


@pytest.mark.parametrize("sent", [HEAD, HEAD.replace(b"/predict", b"/other")])
def test_trailers_are_no_headers(sent: bytes) -> None:
    """A proxy in front has looked at headers only."""

    async def script(talk: Talk) -> None:
        await talk.hear(
            sent
            + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nAuthorization: b\r\n\r\n"
        )

    done = talk(script)
    (headers,) = [request.headers for request in done.app.short] or done.app.heard
    assert headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]


def test_a_thousand_requests_that_come_at_once_are_not_all_begun_at_once() -> None:
    """Each is answered, in its turn; what waits is bytes, and no more of them are taken."""
    count, most = 5000, 0

    async def script(talk: Talk) -> None:
        nonlocal most
        talk.connection.data_received(OTHER * count)
        talk.connection.data_received(OTHER)
        assert not talk.wire.reading
        while len(talk.app.long) <= count:
            most = max(most, len(talk.connection.pipeline))
            await talk.rest()

    done = talk(script)
    assert most <= MOST_AHEAD_BYTES // len(OTHER) + 1
    assert done.wire.written.count(b"HTTP/1.1 200 OK") == count + 1
    assert done.wire.reading


def test_a_refusal_does_not_put_an_end_to_what_came_with_it() -> None:
    """The timer of an idle connection runs only while nothing is asked on it."""

    async def script(talk: Talk) -> None:
        def refuse(request: WholeRequest) -> bool:
            request.answer(422, [], b"no")
            return True

        talk.app.takes = refuse
        talk.connection.data_received(ASKED + HEAD.replace(b"/predict", b"/other") + BODY)
        assert talk.connection.timeout_keep_alive_task is None
        await talk.hear(b"abc")

    assert talk(script).app.long == [("/other", b"abc")]


def test_an_application_that_fails_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """The caller hears that it cannot be answered, the log why."""

    async def script(talk: Talk) -> None:
        def fail(request: WholeRequest) -> bool:
            raise ZeroDivisionError(request.target)

        talk.app.takes = fail
        await talk.hear(ASKED)

    assert refusals(talk(script)) == [b"InvalidRequest"]
    assert "ZeroDivisionError: /predict" in caplog.text
