"""Requests of which two readers could make two different things: a proxy in front, and the server behind it."""

import socket
from contextlib import suppress

import pytest
from tests.live import ServerProcess

pytestmark = pytest.mark.e2e
HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.proves("S40")
@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
        HEAD + CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
        HEAD + b"Content-Length: +2\r\n\r\n{}",
        HEAD + b"Content-Length : 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        HEAD + CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n",
        HEAD + CHUNKED + b"\r\n2\r\n{}XX0\r\n\r\n",
        HEAD + CHUNKED + b"\r\n2\n{}\n0\n\n",
        b"POST /predict HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 2\n\n{}",
        HEAD + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X-A: a\rContent-Length: 9\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=[
        "a length, and chunks", "chunks, and a length", "two lengths", "a length twice", "a list of lengths",
        "a length with a sign", "a blank before the colon", "an unknown coding", "a coding after chunks",
        "a chunk without a size", "a chunk that does not end", "chunks with bare line feeds", "bare line feeds",
        "a folded line", "a bare carriage return", "a zero byte",
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(server: ServerProcess, sent: bytes) -> None:
    """400, and the connection is closed: what follows on it is never answered."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent + SMUGGLED)
        answer = b""
        while block := connection.recv(65536):
            answer += block

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"urn:seatrial:problem:invalid-request" in answer
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer
    assert server.ready() == 200


@pytest.mark.proves("S40")
@pytest.mark.parametrize("asks", [b"POST /predict", b"GET /models", b"GET /health", b"POST /auth/login"])
@pytest.mark.parametrize("size", [len(SMUGGLED), 200_000 + len(SMUGGLED)], ids=["at once", "in pieces"])
def test_a_body_behind_an_upgrade_is_no_request(server: ServerProcess, asks: bytes, size: int) -> None:
    """A proxy passes it on as a body; the parser would read it as the next request, without the proxy's headers."""
    upgrade = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(asks + upgrade % size)
        answer = connection.recv(65536)
        with suppress(ConnectionError):
            connection.sendall(b"\r\n" * ((size - len(SMUGGLED)) // 2) + SMUGGLED)
            while block := connection.recv(65536):
                answer += block

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nconnection: close\r\n" in answer
