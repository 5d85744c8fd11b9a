"""What is asked of a request before it is read."""

import asyncio

import pytest
from tests.fakes.access import MemoryAccess

from seatrial.server.access.authenticate import Authenticator
from seatrial.server.access.mirror import AccessMirror
from seatrial.server.access.principal import Principal, Scope
from seatrial.server.api.guard import Guard
from seatrial.server.core.errors import (
    BodyTooLarge,
    InvalidHeader,
    SeatrialError,
    Unauthenticated,
    UnknownHost,
    UnsupportedMediaType,
)
from seatrial.server.limits.address import Addresses
from seatrial.server.services.limiting import Limiter, Policy

TOKEN = b"operator"
HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "models.example"})


def a_guard(hosts: frozenset[str] | None = HOSTS) -> Guard:
    known = AccessMirror(MemoryAccess(), lambda: 0.0)
    authenticator = Authenticator(TOKEN.decode(), known, lambda: 0.0, None, listener_is_loopback=True)
    limiter = Limiter(Policy(None, None, None), lambda: 0.0, None, nothing, lambda *_: None, nothing)
    return Guard(authenticator, limiter, Addresses(), hosts, 1000, 30.0, nobody_new)


def nothing(_: object) -> None:
    """Nobody listens."""


async def nobody_new() -> None:
    """There is nothing newer."""


def admit(guard: Guard, headers: dict[bytes, bytes], peer: str, scope: Scope) -> Principal:
    """Who is let in."""
    return asyncio.run(guard.admit(headers, peer, scope, []))[0]


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:8000", b"[::1]:1", b"Models.Example:443"])
def test_a_host_that_is_served(host: bytes) -> None:
    """In any case, with any port."""
    a_guard().check_host({b"host": host}, "/predict")


@pytest.mark.parametrize("headers", [{b"host": b"evil.example"}, {b"host": b""}, {}, {b"host": b"localhost@evil"}])
@pytest.mark.parametrize("path", ["/predict", "/", "/docs", "/metrics"])
def test_a_host_that_is_not_served(headers: dict[bytes, bytes], path: str) -> None:
    """Also a missing or malformed one; except for health, and where any host is allowed."""
    with pytest.raises(UnknownHost):
        a_guard().check_host(headers, path)
    for exempt in ("/health", "/health/live", "/health/ready"):
        a_guard().check_host(headers, exempt)
    a_guard(None).check_host(headers, path)


def test_scopes_are_asked_for() -> None:
    """A loopback caller may predict, the operator anything; bad credentials and missing scopes are refused."""
    guard, local = a_guard(), {b"host": b"localhost"}
    assert admit(guard, local, "127.0.0.1", "predict").name == "anonymous"
    assert admit(guard, {b"authorization": b"Bearer " + TOKEN}, "10.0.0.7", "admin").name == "local:admin.token"

    for headers, peer in ((local, "10.0.0.7"), (local | {b"authorization": b"Bearer x"}, "127.0.0.1")):
        with pytest.raises(Unauthenticated):
            admit(guard, headers, peer, "predict")
    with pytest.raises(Unauthenticated):
        admit(guard, local, "127.0.0.1", "models:write")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"content-type": b"application/json"},
        {b"content-type": b"Application/JSON; Charset=UTF-8"},
        {b"content-type": b'application/json;charset="utf-8"'},
        {b"content-type": b"application/json; charset=utf8"},
        {b"content-type": b"application/json; version=1"},
        {b"content-encoding": b""},
        {b"content-encoding": b"Identity"},
        {b"content-length": b"1000"},
    ],
)
def test_a_body_that_is_read(headers: dict[bytes, bytes]) -> None:
    """JSON in UTF-8, as it is, up to the limit; no content type means JSON."""
    a_guard().check_body(headers)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({b"content-type": b""}, UnsupportedMediaType),
        ({b"content-type": b"text/plain"}, UnsupportedMediaType),
        ({b"content-type": b"application/x-www-form-urlencoded"}, UnsupportedMediaType),
        ({b"content-type": b"application/json; charset=latin-1"}, UnsupportedMediaType),
        ({b"content-type": b"application/jsonp"}, UnsupportedMediaType),
        ({b"content-type": b"application/json, text/plain"}, UnsupportedMediaType),
        ({b"content-encoding": b"gzip"}, UnsupportedMediaType),
        ({b"content-encoding": b"identity, gzip"}, UnsupportedMediaType),
        ({b"content-length": b"1001"}, BodyTooLarge),
    ],
)
def test_a_body_that_is_not_read(headers: dict[bytes, bytes], error: type[SeatrialError]) -> None:
    """Another type, another text encoding, a compressed body, or one that declares too many bytes."""
    with pytest.raises(error):
        a_guard().check_body(headers)


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        (None, 30.0),
        (b"5", 5.0),
        (b" 0.25 ", 0.25),
        (b"+2", 2.0),
        (b"2.", 2.0),
        (b".5", 0.5),
        (b"1e-3", 0.001),
        (b"1E1", 10.0),
        (b"30", 30.0),
        (b"31", 30.0),
        (b"1e300", 30.0),
    ],
)
def test_the_seconds_that_a_request_may_take(wish: bytes | None, seconds: float) -> None:
    """The caller's wish, at most the setting."""
    assert a_guard().timeout({} if wish is None else {b"x-request-timeout": wish}) == seconds


@pytest.mark.parametrize(
    "wish",
    [b"", b"0", b"0.0", b"-1", b"nan", b"inf", b"1e999", b"1e-999", b"1,5", b"5s", b"0x10", b"1_0", b"5 5", b"\xb2"],
)
def test_a_wish_that_is_no_time_is_refused(wish: bytes) -> None:
    """Not a positive finite number of seconds."""
    with pytest.raises(InvalidHeader, match="X-Request-Timeout is a positive number of seconds"):
        a_guard().timeout({b"x-request-timeout": wish})
