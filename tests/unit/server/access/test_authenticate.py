"""Who a caller is: every clause of the rule for anonymous callers, tokens, hosts and forwarding headers."""

from typing import Any

import pytest

from seatrial.server.access.authenticate import (
    Authenticator,
    forwarded,
    host_name,
    is_loopback,
    require,
)
from seatrial.server.access.principal import ADMIN, ALL_SCOPES, EVERYONE, NOBODY, Principal, Scope
from seatrial.server.core.errors import Forbidden, Unauthenticated

ADMIN_TOKEN = "q8Zt-operator_token"  # noqa: S105 - of no server
HEADERS = {b"host": b"localhost:8000"}


def an_authenticator(scopes: tuple[Scope, ...] | None = None, *, loopback: bool = True) -> Authenticator:
    return Authenticator(
        ADMIN_TOKEN, AccessMirror(Nothing(), lambda: 0.0), lambda: 0.0, scopes, listener_is_loopback=loopback
    )


@pytest.mark.parametrize(
    "host", [b"localhost", b"LOCALHOST:80", b"127.0.0.1", b"127.0.0.1:8000", b"[::1]", b"[::1]:8000"]
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.53", "::1"])
def test_a_loopback_caller_may_predict_and_read(host: bytes, peer: str) -> None:
    """Listener, peer and Host on loopback and nothing forwarded: the first `curl` works, and only that."""
    caller = an_authenticator().principal({b"host": host, b"user-agent": b"curl"}, peer)

    assert caller is EVERYONE
    assert caller.scopes == {"predict", "read"}


@pytest.mark.parametrize(
    ("headers", "peer", "loopback"),
    [
        (HEADERS, "127.0.0.1", False),
        (HEADERS, "10.0.0.7", True),
        (HEADERS, "::ffff:10.0.0.7", True),
        (HEADERS, None, True),
        (HEADERS, "testclient", True),
        ({}, "127.0.0.1", True),
        ({b"host": b""}, "127.0.0.1", True),
        ({b"host": b"seatrial.example"}, "127.0.0.1", True),
        ({b"host": b"127.0.0.2"}, "127.0.0.1", True),
        ({b"host": b"localhost.example"}, "127.0.0.1", True),
        ({b"host": b"localhost."}, "127.0.0.1", True),
        ({b"host": b"localhost@evil.example"}, "127.0.0.1", True),
        ({b"host": b"::1"}, "127.0.0.1", True),
        (HEADERS | {b"forwarded": b"for=10.0.0.7"}, "127.0.0.1", True),
        (HEADERS | {b"x-forwarded-for": b"127.0.0.1"}, "127.0.0.1", True),
        (HEADERS | {b"x-forwarded-host": b"localhost"}, "127.0.0.1", True),
        (HEADERS | {b"via": b"1.1 proxy"}, "127.0.0.1", True),
    ],
)
def test_each_clause_alone_keeps_an_anonymous_caller_out(
    headers: dict[bytes, bytes], peer: str | None, *, loopback: bool
) -> None:
    """A proxy, a rebinding page or a remote caller inherits nothing."""
    caller = an_authenticator(loopback=loopback).principal(headers, peer)

    assert caller is NOBODY
    assert caller.scopes == frozenset()


@pytest.mark.parametrize("scopes", [(), ("predict",), ("predict", "read")])
@pytest.mark.parametrize(
    ("headers", "peer", "loopback"), [(HEADERS, "127.0.0.1", True), ({b"via": b"1.1 p"}, "10.0.0.7", False)]
)
def test_anonymous_scopes_that_are_set_hold_anywhere(
    scopes: tuple[Scope, ...], headers: dict[bytes, bytes], peer: str, *, loopback: bool
) -> None:
    """Where the operator has chosen, place and headers do not matter; an empty list closes the server."""
    caller = an_authenticator(scopes, loopback=loopback).principal(headers, peer)

    assert caller == Principal("anonymous", frozenset(scopes), anonymous=True)


@pytest.mark.parametrize("credentials", [f"Bearer {ADMIN_TOKEN}", f"bearer  {ADMIN_TOKEN} ", f"BEARER {ADMIN_TOKEN}"])
def test_the_operators_token_is_admin_anywhere(credentials: str) -> None:
    """The scheme is read in any case; place and headers do not matter."""
    headers = {b"authorization": credentials.encode(), b"via": b"1.1 proxy"}

    assert an_authenticator(loopback=False).principal(headers, "10.0.0.7") is ADMIN
    assert ADMIN.scopes == ALL_SCOPES


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        (b"Bearer " + ADMIN_TOKEN.encode()[:-1], "The token is not valid."),
        (b"Bearer " + ADMIN_TOKEN.encode() + b"x", "The token is not valid."),
        (b"Bearer " + ADMIN_TOKEN.lower().encode(), "The token is not valid."),
        (b"Bearer \xff\xfe", "The token is not valid."),
        (b"Bearer", "The token is not valid."),
        (b"Bearer ", "The token is not valid."),
        (b"Basic " + ADMIN_TOKEN.encode(), "The Authorization header takes 'Bearer <token>', nothing else."),
        (ADMIN_TOKEN.encode(), "The Authorization header takes 'Bearer <token>', nothing else."),
        (b"", "The Authorization header takes 'Bearer <token>', nothing else."),
    ],
)
def test_bad_credentials_are_no_anonymous_caller(credentials: bytes, reason: str) -> None:
    """Who sends credentials that are not valid is refused, also where nobody would have been let in."""
    with pytest.raises(Unauthenticated) as caught:
        an_authenticator(("predict", "read")).principal(HEADERS | {b"authorization": credentials}, "127.0.0.1")

    assert str(caught.value) == reason
    assert ADMIN_TOKEN not in str(caught.value)


def test_a_scope_that_is_held_is_enough() -> None:
    """Nothing happens."""
    require(EVERYONE, "predict")
    require(ADMIN, "models:promote")


def test_a_missing_scope_is_named() -> None:
    """A known caller is told which scope is missing, an unknown one how to become known."""
    with pytest.raises(Unauthenticated, match=r"This needs the scope 'models:write'.*Bearer <token>.*admin\.token"):
        require(EVERYONE, "models:write")
    with pytest.raises(Forbidden) as caught:
        require(Principal("key:ci", frozenset({"predict"})), "read")

    assert caught.value.scope == "read"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"localhost", "localhost"),
        (b"LocalHost:8000", "localhost"),
        (b"127.0.0.1:1", "127.0.0.1"),
        (b"[::1]:65535", "[::1]"),
        (b"[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
        (b"example.org", "example.org"),
        (b"", ""),
        (b"::1", ""),
        (b"[::1", ""),
        (b"localhost:", ""),
        (b"localhost:port", ""),
        (b"localhost:123456", ""),
        (b"local host", ""),
        (b"localhost\n", ""),
        (b"user@localhost", ""),
        (b"localhost/", ""),
        (b"a:b:c", ""),
    ],
)
def test_the_name_in_a_host_header(host: bytes, name: str) -> None:
    """The name in lower case, without the port; nothing where the header is malformed."""
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("[::1]", False),
        ("", False),
        (None, False),
    ],
)
def test_loopback_addresses(address: str | None, *, own: bool) -> None:
    """This machine's own addresses and their name, nothing else."""
    assert is_loopback(address) is own


@pytest.mark.parametrize(
    ("headers", "was"),
    [
        ({}, False),
        ({b"host": b"forwarded"}, False),
        ({b"x-forwarded": b""}, False),
        ({b"forwarded": b""}, True),
        ({b"via": b""}, True),
        ({b"x-forwarded-for": b""}, True),
        ({b"x-forwarded-proto": b"https"}, True),
        ({b"x-forwarded-": b""}, True),
    ],
)
def test_forwarding_headers(headers: dict[bytes, bytes], *, was: bool) -> None:
    """`Forwarded`, `Via` and every `X-Forwarded-*` say that a proxy passed the request on."""
    assert forwarded(headers) is was


def test_principals_are_values() -> None:
    """Equal callers are equal, and cannot be changed."""
    caller: Any = Principal("key:ci", frozenset({"predict"}))

    assert caller == Principal("key:ci", frozenset({"predict"}))
    with pytest.raises(AttributeError):
        caller.name = "local:root"
