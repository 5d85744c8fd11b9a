"""Who a caller is: every clause of the rule for anonymous callers, tokens, hosts and forwarding headers."""

from typing import Any

import pytest
from tests.fakes.access import MemoryAccess
from tests.fakes.clock import ManualClock

from seatrial.server.access import keys
from seatrial.server.access.audit import Deed
from seatrial.server.access.authenticate import (
    Authenticator,
    forwarded,
    host_name,
    is_loopback,
    require,
)
from seatrial.server.access.mirror import AccessMirror
from seatrial.server.access.principal import ADMIN, ALL_SCOPES, EVERYONE, NOBODY, Principal, Scope
from seatrial.server.access.tokens import new_signing_key, open_signer
from seatrial.server.access.view import Account, ApiKey
from seatrial.server.core.errors import Forbidden, Unauthenticated

ADMIN_TOKEN = "q8Zt-operator_token"  # noqa: S105 - of no server
HEADERS = {b"host": b"localhost:8000"}
KEY = keys.sealed("7Qm1ZbXc0VnLkJhGfDsAqWeRtYu")
SECRET = b"0123456789abcdef0123456789abcdef"
SIGNING = new_signing_key(SECRET, 0.0)
SIGNER = open_signer(SIGNING[0].kid, SIGNING[1], SECRET)
INVALID = "The token is not valid, or not any more."


class CountingAccess(MemoryAccess):
    """Counts how often it is asked whether something is new."""

    asked = 0

    def generation(self) -> int:
        """See `AccessSource.generation`."""
        self.asked += 1
        return super().generation()


def an_authenticator(
    scopes: tuple[Scope, ...] | None = None, *, loopback: bool = True, token: str = ADMIN_TOKEN
) -> Authenticator:
    known = AccessMirror(MemoryAccess(), ManualClock())
    return Authenticator(token, known, ManualClock(), scopes, listener_is_loopback=loopback)


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
        (HEADERS | {b"origin": b"https://elsewhere.example"}, "127.0.0.1", True),
        (HEADERS | {b"origin": b"null"}, "127.0.0.1", True),
        (HEADERS | {b"origin": b"http://localhost:1"}, "127.0.0.1", True),
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

    assert caller == Principal("anonymous", frozenset(scopes), "anonymous")


@pytest.mark.parametrize("credentials", [f"Bearer {ADMIN_TOKEN}", f"bearer  {ADMIN_TOKEN} ", f"BEARER {ADMIN_TOKEN}"])
def test_the_operators_token_is_admin_anywhere(credentials: str) -> None:
    """The scheme is read in any case; place and headers do not matter."""
    headers = {b"authorization": credentials.encode(), b"via": b"1.1 proxy"}

    assert an_authenticator(loopback=False).principal(headers, "10.0.0.7") is ADMIN
    assert ADMIN.scopes == ALL_SCOPES


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        (b"Bearer " + ADMIN_TOKEN.encode()[:-1], INVALID),
        (b"Bearer " + ADMIN_TOKEN.encode() + b"x", INVALID),
        (b"Bearer " + ADMIN_TOKEN.lower().encode(), INVALID),
        (b"Bearer \xff\xfe", INVALID),
        (b"Bearer", INVALID),
        (b"Bearer ", INVALID),
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


def test_a_token_of_the_operators_that_looks_like_a_key() -> None:
    """Its file holds what it holds."""
    token = "st_chosen_by_the_operator"  # noqa: S105 - of no server

    assert an_authenticator(token=token).principal({b"authorization": f"Bearer {token}".encode()}, None) is ADMIN


def test_nobody_is_let_in_by_an_empty_token() -> None:
    """A server without a token of the operator's does not begin."""
    with pytest.raises(ValueError, match="an empty token would let everybody in"):
        an_authenticator(token="")


@pytest.fixture
def source() -> CountingAccess:
    """Ada, and a key of hers that expires."""
    access = CountingAccess()
    deed = Deed("account_created", "local:someone")
    access.create(Account("a1", "ada@example.org", "engineer", 0.0), "hash", deed)
    access.add_key(
        ApiKey("k1", "ci", "a1", keys.digest(KEY), frozenset({"predict"}), 0.0, 2000.0),
        deed,
    )
    access.add_first(*SIGNING)
    return access


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {token}".encode()}


def knowing(source: CountingAccess, clock: ManualClock) -> Authenticator:
    """One that knows what is in the source now, and has not asked it since."""
    known = AccessMirror(source, clock)
    known.refresh()
    source.asked = 0
    return Authenticator(ADMIN_TOKEN, known, clock, (), listener_is_loopback=False)


def test_people_and_programs(source: CountingAccess) -> None:
    """By an access token, or by a key: nobody asks the database."""
    authenticator = knowing(source, ManualClock())

    person = authenticator.principal(bearer(SIGNER.sign("a1", 0, 1000.0)), None)
    assert (person.name, person.kind, person.subject) == ("user:ada@example.org", "user", "a1")
    program = authenticator.principal(bearer(KEY), None)
    assert (program.name, program.kind, program.subject) == ("key:k1", "key", "k1")
    assert source.asked == 0


@pytest.mark.proves("S26")
@pytest.mark.parametrize("place", [3, 17, 29, 30, 35])
def test_a_mistyped_key_asks_nobody(source: CountingAccess, place: int) -> None:
    """It is told as one, and no worker looks whether it is a new one."""
    authenticator = knowing(source, ManualClock())
    other = "A" if KEY[place] != "A" else "B"
    with pytest.raises(Unauthenticated, match="its checksum does not fit") as caught:
        authenticator.principal(bearer(KEY[:place] + other + KEY[place + 1 :]), None)

    assert (caught.value.perhaps_new, source.asked) == (False, 0)


def test_a_whole_key_that_is_not_known_may_be_new(source: CountingAccess) -> None:
    """Another worker may have made it just now; so may an access token be of somebody new, and nothing else."""
    authenticator = knowing(source, ManualClock())
    for text, perhaps in ((keys.new_key(), True), ("a.b.c", True), ("anything", False), ("sr_" + "a" * 49, False)):
        with pytest.raises(Unauthenticated) as caught:
            authenticator.principal(bearer(text), None)
        assert caught.value.perhaps_new is perhaps


@pytest.mark.proves("S28")
def test_a_key_expires(source: CountingAccess) -> None:
    """At its moment, which is told."""
    clock = ManualClock(1999.9)
    authenticator = knowing(source, clock)
    assert authenticator.principal(bearer(KEY), None).subject == "k1"

    clock.advance(0.1)
    with pytest.raises(Unauthenticated, match=r"The API key expired at 1970-01-01T00:33:20\.000Z"):
        authenticator.principal(bearer(KEY), None)


@pytest.mark.proves("S14")
@pytest.mark.parametrize("text", ["sr_" + "a" * 49, keys.sealed("a" * 27), "a.b.c"])
def test_other_secrets_are_no_access_tokens(source: CountingAccess, text: str) -> None:
    """A refresh token, a key that nobody has."""
    with pytest.raises(Unauthenticated):
        knowing(source, ManualClock()).principal(bearer(text), None)


@pytest.mark.proves("S28")
def test_the_last_use_of_a_key_is_kept(source: CountingAccess) -> None:
    """Of the key that was used, when it was; not of one that was refused."""
    clock = ManualClock(1500.0)
    known = AccessMirror(source, clock)
    known.refresh()
    authenticator = Authenticator(ADMIN_TOKEN, known, clock, (), listener_is_loopback=False)
    authenticator.principal(bearer(KEY), None)
    clock.advance(1000)
    with pytest.raises(Unauthenticated):
        authenticator.principal(bearer(KEY), None)
    known.write_used()

    assert source.get_key("k1").used == 1500.0


def test_a_scope_that_is_held_is_enough() -> None:
    """Nothing happens."""
    require(EVERYONE, "predict")
    require(ADMIN, "models:promote")


def test_a_missing_scope_is_named() -> None:
    """A known caller is told which scope is missing, an unknown one how to become known."""
    with pytest.raises(
        Unauthenticated, match=r"This needs the scope 'models:write'.*Bearer <access token or API key>.*admin\.token"
    ):
        require(EVERYONE, "models:write")
    with pytest.raises(Forbidden) as caught:
        require(Principal("key:ci", frozenset({"predict"}), "key"), "read")

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
    caller: Any = Principal("key:ci", frozenset({"predict"}), "key")

    assert caller == Principal("key:ci", frozenset({"predict"}), "key")
    with pytest.raises(AttributeError):
        caller.name = "local:root"
