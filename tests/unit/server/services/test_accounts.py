"""Accounts: registered, logged in, refreshed, logged out, with another password."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.fakes.access import MemoryAccess
from tests.fakes.clock import ManualClock

from seatrial.server.access import keys
from seatrial.server.access.audit import Deed, Origin
from seatrial.server.access.mirror import AccessMirror
from seatrial.server.access.passwords import Passwords
from seatrial.server.access.ports import GRACE_SECONDS, KNOWN_SECONDS
from seatrial.server.access.principal import Principal
from seatrial.server.access.tokens import LIFETIME
from seatrial.server.core.errors import InvalidInput, StorageUnavailable, Unauthenticated, UnknownAccount
from seatrial.server.services.accounts import SESSION_SECONDS, AccountService, Tokens, normal
from seatrial.server.services.keys import prepare_signing, rotate_signing

SECRET = b"0123456789abcdef0123456789abcdef"
EMAIL, PASSWORD, OTHER = "ada@example.org", "correct horse battery", "another long secret"
NETWORK, ORIGIN = "192.0.2.7", Origin("192.0.2.7", "r-1")
QUICK = Passwords(memory_kib=8, passes=1)


class Interrupted(Passwords):
    """Something happens after a password was found right."""

    def __init__(self) -> None:
        super().__init__(memory_kib=8, passes=1)
        self.then: Callable[[], object] | None = None

    def matches(self, kept: str | None, password: str) -> bool:
        """See `Passwords.matches`."""
        same = super().matches(kept, password)
        then, self.then = self.then, None
        if then:
            then()
        return same


class Bench:
    """The service over a store in memory, with Ada in it."""

    def __init__(self, passwords: Passwords = QUICK) -> None:
        self.clock = ManualClock(1_800_000_000.0)
        self.store = MemoryAccess()
        self.known = AccessMirror(self.store, self.clock)
        self.passwords = passwords
        prepare_signing(self.store, SECRET, self.clock())
        self.service = self.over(passwords)
        self.service.create(EMAIL, PASSWORD, "engineer", "local:someone")
        self.known.refresh()

    def over(self, passwords: Passwords) -> AccountService:
        """Another worker's service over the same store."""
        return AccountService(self.store, self.store, passwords, SECRET, self.clock, self.known.refresh)

    def login(self, password: str = PASSWORD, email: str = EMAIL) -> Tokens:
        """Log in from the usual place."""
        return self.service.login(email, password, NETWORK, ORIGIN)

    def caller(self, tokens: Tokens) -> Principal | None:
        """Who an access token is of, for a worker that has just looked."""
        self.known.refresh()
        return self.known.view.of_token(tokens.access, self.clock())

    def refused(self, tokens: Tokens) -> bool:
        """Whether a refresh token is refused."""
        try:
            self.service.refresh(tokens.refresh, ORIGIN)
        except Unauthenticated:
            return True
        return False

    def events(self) -> list[str]:
        """What the audit has of each entry."""
        return [f"{entry.event} {entry.outcome} {entry.who}" for entry in self.store.entries()[0]]

    def change_password(self, old: str = PASSWORD, new: str = OTHER) -> Tokens:
        """Ada changes hers."""
        caller = Principal(f"user:{EMAIL}", frozenset(), "user")
        return self.service.change_password(caller, old, new, NETWORK, ORIGIN)


@pytest.fixture
def bench() -> Bench:
    """Ada has an account."""
    return Bench()


def test_somebody_registers_and_logs_in(bench: Bench) -> None:
    """As a viewer; this worker knows them at once, in whatever case the address is written."""
    bench.service.register("  Bob@Example.ORG", "a long enough secret", ORIGIN)
    tokens = bench.login("a long enough secret", "bob@example.org")
    caller = bench.known.view.of_token(tokens.access, bench.clock())

    assert caller is not None
    assert caller.name == "user:bob@example.org"
    assert caller.scopes == {"predict", "read"}
    assert tokens.expires_in == LIFETIME
    assert bench.events()[-2:] == [
        "account_created success user:bob@example.org", "authn_login_success success user:bob@example.org",
    ]  # fmt: skip


def test_an_address_that_is_taken(bench: Bench) -> None:
    """Who registers hears nothing of it, and changes nothing; the audit has it. The operator is told."""
    before = list(bench.store.accounts())
    bench.service.register(EMAIL.upper(), "of somebody else", ORIGIN)

    assert list(bench.store.accounts()) == before
    assert bench.caller(bench.login())
    with pytest.raises(Unauthenticated):
        bench.login("of somebody else")
    assert "account_created failure unknown" in bench.events()
    with pytest.raises(InvalidInput, match="The address has an account"):
        bench.service.create(EMAIL, PASSWORD, "admin", "local:someone")


@pytest.mark.parametrize(
    ("written", "kept"),
    [("Ada@Example.org", "ada@example.org"), (" a@b ", "a@b"), ("cafe\u0301@x.org", "caf\u00e9@x.org"), ("Ä@x", "ä@x")],
)  # fmt: skip
def test_an_address_has_one_form(written: str, kept: str) -> None:
    """In lower case, its signs in one way."""
    assert normal(written) == kept


@pytest.mark.parametrize(
    "text", ["", "ada", "@x", "a@", "a@b@c", "a\n@b", "a\x00@b", "a@b\u202e", "a" * 65 + "@b", "a@" + "b" * 190]
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    """It says where, and what would be one."""
    with pytest.raises(InvalidInput, match="This is no e-mail address") as caught:
        normal(text)
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.expected) == ("/email", "an address such as ada@example.org")


@pytest.mark.proves("S1")
@pytest.mark.proves("S2")
@pytest.mark.parametrize(
    ("password", "expected", "received"),
    [
        ("seven77", "8 to 128 characters", "7"),
        ("x" * 129, "8 to 128 characters", "129"),
        ("password1", "one that is not among the most common passwords", "one that is"),
        ("my seatrial", "one that holds neither the name of this product nor of the account", "one that does"),
    ],
)
def test_a_password_that_may_not_be_chosen(bench: Bench, password: str, expected: str, received: str) -> None:
    """At registration and later; the text does not repeat it."""
    before = bench.store.accounts(), bench.store.entries()
    for place, choose in (
        ("/password", lambda: bench.service.register("bob@b.org", password, ORIGIN)),
        ("/new_password", lambda: bench.change_password(new=password)),
    ):
        with pytest.raises(InvalidInput) as caught:
            choose()
        (fault,) = caught.value.faults
        assert (fault.pointer, fault.expected, fault.received) == (place, expected, received)
    assert (bench.store.accounts(), bench.store.entries()) == before


@pytest.mark.parametrize(("email", "password"), [(EMAIL, "wrong password"), ("eve@example.org", PASSWORD), (EMAIL, "")])
def test_who_cannot_log_in(bench: Bench, email: str, password: str) -> None:
    """One text, whatever the reason, and an entry of the audit with the address and from where."""
    with pytest.raises(Unauthenticated, match=r"^The e-mail address or the password is not right\.$"):
        bench.login(password, email)
    entry = bench.store.entries(1)[0][0]
    assert (entry.event, entry.outcome, entry.who, entry.subject, entry.address, entry.request_id) == (
        "authn_login_fail", "failure", "unknown", email, "192.0.2.7", "r-1",
    )  # fmt: skip


@pytest.mark.proves("S16")
def test_who_was_disabled(bench: Bench) -> None:
    """Cannot log in, and what they had is good no more."""
    tokens = bench.login()
    bench.store.change(EMAIL, Deed("account_changed", "local:someone"), disabled=True)

    assert (bench.caller(tokens), bench.refused(tokens)) == (None, True)
    with pytest.raises(Unauthenticated, match="The e-mail address or the password is not right"):
        bench.login()


@pytest.mark.proves("S4")
def test_a_weaker_hash_is_upgraded_at_the_next_login(bench: Bench) -> None:
    """Only by whoever knows the password, and nothing ends by it."""
    stronger = Passwords(memory_kib=16, passes=1)
    service, tokens = bench.over(stronger), bench.login()
    _, weak = bench.store.find(EMAIL) or (None, "")
    with pytest.raises(Unauthenticated):
        service.login(EMAIL, "wrong password", NETWORK, ORIGIN)
    assert bench.store.find(EMAIL) == (bench.store.accounts()[0], weak)

    service.login(EMAIL, PASSWORD, NETWORK, ORIGIN)
    _, strong = bench.store.find(EMAIL) or (None, "")
    assert (stronger.needs_rehash(weak), stronger.needs_rehash(strong)) == (True, False)
    assert stronger.matches(strong, PASSWORD)
    assert bench.caller(tokens)
    assert not bench.refused(tokens)


@pytest.mark.proves("S5")
def test_another_password(bench: Bench) -> None:
    """The old one is asked for; then every session and token of before ends, and the new ones are good."""
    others = [bench.login(), bench.login()]
    with pytest.raises(Unauthenticated, match="The old password is not right"):
        bench.change_password(old="wrong password")
    assert bench.caller(others[0])

    tokens = bench.change_password()
    assert [bench.caller(one) for one in others] == [None, None]
    assert [bench.refused(one) for one in others] == [True, True]
    assert bench.caller(tokens)
    assert not bench.refused(tokens)
    with pytest.raises(Unauthenticated):
        bench.login(PASSWORD)
    assert bench.caller(bench.login(OTHER))
    assert bench.events().count("authn_password_change success user:ada@example.org") == 1


@pytest.mark.proves("S5")
@pytest.mark.parametrize("costs", [8, 16], ids=["same costs", "to be upgraded"])
def test_a_login_while_the_password_changes(costs: int) -> None:
    """It is too late: no session is left of the old password, and that does not come back."""
    bench, slow = Bench(), Interrupted()
    if costs != 8:
        slow._hasher = Passwords(memory_kib=costs, passes=1)._hasher  # noqa: SLF001 - of what login then makes
    slow.then = bench.change_password

    with pytest.raises(Unauthenticated, match="The e-mail address or the password is not right"):
        bench.over(slow).login(EMAIL, PASSWORD, NETWORK, ORIGIN)
    with pytest.raises(Unauthenticated):
        bench.login(PASSWORD)
    assert bench.login(OTHER)


@pytest.mark.proves("S5")
def test_of_two_who_change_a_password_at_once_one_does() -> None:
    """The other's old one is not the old one any more."""
    bench, slow = Bench(), Interrupted()
    slow.then = bench.change_password
    caller = Principal(f"user:{EMAIL}", frozenset(), "user")

    with pytest.raises(Unauthenticated, match="The old password is not right"):
        bench.over(slow).change_password(caller, PASSWORD, "of a thief, long", NETWORK, ORIGIN)
    assert bench.login(OTHER)


def test_a_refresh(bench: Bench) -> None:
    """New tokens for old; the old one is good once."""
    first = bench.login()
    bench.clock.advance(LIFETIME)
    assert bench.caller(first) is None

    second = bench.service.refresh(first.refresh, ORIGIN)
    assert bench.caller(second)
    assert bench.refused(first)
    assert not bench.refused(second)


@pytest.mark.proves("S17")
def test_a_stolen_refresh_token(bench: Bench) -> None:
    """Whoever comes second with it, thief or owner, ends the session for both; the audit says from where."""
    first = bench.login()
    second = bench.service.refresh(first.refresh, ORIGIN)
    bench.clock.advance(GRACE_SECONDS + 1)
    with pytest.raises(Unauthenticated, match="The refresh token is not valid, or not any more"):
        bench.service.refresh(first.refresh, Origin("203.0.113.9", "r-9"))

    assert bench.refused(second)
    (entry,) = [entry for entry in bench.store.entries()[0] if entry.event == "authn_token_reuse"]
    assert (entry.outcome, entry.address, entry.request_id) == ("failure", "203.0.113.9", "r-9")
    assert entry.subject == f"session {first.refresh[3:11]}"


@pytest.mark.proves("S19")
def test_a_session_ends_a_month_after_its_login(bench: Bench) -> None:
    """However often it was refreshed."""
    tokens = bench.login()
    for _ in range(9):
        bench.clock.advance(SESSION_SECONDS / 10)
        tokens = bench.service.refresh(tokens.refresh, ORIGIN)
    bench.clock.advance(SESSION_SECONDS / 10)

    assert bench.refused(tokens)


@pytest.mark.proves("S19")
def test_a_logout_ends_the_session(bench: Bench) -> None:
    """Others go on; a second time, or with what is no token, nothing happens."""
    tokens, other = bench.login(), bench.login()
    for text in (tokens.refresh, tokens.refresh, "", "sr_", tokens.access, "st_" + tokens.refresh[3:]):
        bench.service.logout(text, ORIGIN)

    assert bench.refused(tokens)
    assert not bench.refused(other)
    assert bench.events().count("authn_logout success unknown") == 1


@pytest.mark.proves("S14")
@pytest.mark.parametrize(
    "text", ["", "sr_", "sr_" + "a" * 48, "sr_" + "a" * 50, "sr_" + "a" * 48 + "_", "sr_" + "é" * 49]
)
def test_what_is_no_refresh_token(bench: Bench, text: str) -> None:
    """An access token and an API key neither."""
    for one in (text, bench.login().access, keys.new_key()):
        with pytest.raises(Unauthenticated, match="This is no refresh token"):
            bench.service.refresh(one, ORIGIN)


@pytest.mark.proves("S19")
@pytest.mark.proves("S58")
def test_what_is_kept_holds_no_secret(bench: Bench) -> None:
    """Of tokens only digests; tokens have 160 random bits, and none begins as another does."""
    tokens = bench.login()
    after = bench.service.refresh(tokens.refresh, ORIGIN)
    with pytest.raises(Unauthenticated):
        bench.login("wrong password")
    kept = repr(vars(bench.store))

    for secret in (tokens.access, tokens.refresh, after.access, after.refresh, PASSWORD, "wrong password"):
        assert secret not in kept
    assert keys.digest(after.refresh) in kept
    assert len(keys.ALPHABET) ** 27 > 2**160
    assert tokens.refresh[:25] == after.refresh[:25] != bench.login().refresh[:25]


def test_from_where_somebody_logs_in(bench: Bench) -> None:
    """It is known for three months."""
    assert not bench.service.knows(EMAIL, NETWORK)
    bench.login()
    bench.clock.advance(KNOWN_SECONDS)
    assert bench.service.knows(EMAIL.upper(), NETWORK)
    assert not bench.service.knows(EMAIL, "192.0.2.8")

    bench.clock.advance(1)
    assert not bench.service.knows(EMAIL, NETWORK)


@pytest.mark.proves("S15")
def test_a_new_signing_key_signs_when_all_workers_know_it(bench: Bench) -> None:
    """Until then the one before does; what that has signed stays good until it ends."""
    before = bench.login()
    rotate_signing(bench.store, SECRET, bench.clock(), "local:someone")
    at_once = bench.login()
    bench.clock.advance(2)
    later = bench.login()

    kids = [tokens.access.partition(".")[0] for tokens in (before, at_once, later)]
    assert kids[0] == kids[1] != kids[2]
    assert all(map(bench.caller, (before, at_once, later)))
    bench.clock.advance(LIFETIME - 3)
    assert bench.caller(at_once)
    bench.clock.advance(1)
    assert (bench.caller(at_once), bench.caller(later) is None) == (None, False)


def test_a_role_that_is_changed(bench: Bench) -> None:
    """Holds from the next look on: access tokens end, and the session gives new ones of the new role."""
    tokens: Any = bench.login()
    bench.store.change(EMAIL, Deed("account_changed", "local:someone"), role="viewer")
    assert bench.caller(tokens) is None

    caller = bench.caller(bench.service.refresh(tokens.refresh, ORIGIN))
    assert caller is not None
    assert caller.scopes == {"predict", "read"}


@pytest.mark.proves("S15")
def test_a_signing_key_of_another_secret_uses_nothing_up(bench: Bench) -> None:
    """Until the server has that secret nobody can log in, and nothing has changed once it has."""
    tokens = bench.login()
    rotate_signing(bench.store, b"another secret, another secret!!", bench.clock(), "local:someone", at_once=True)
    asked: tuple[Callable[[], Tokens], ...] = (
        bench.login,
        lambda: bench.service.refresh(tokens.refresh, ORIGIN),
        bench.change_password,
    )
    for ask in asked:
        with pytest.raises(StorageUnavailable, match="sealed under another SEATRIAL_SECRET_KEY"):
            ask()
    rotate_signing(bench.store, SECRET, bench.clock(), "local:someone", at_once=True)

    assert not bench.refused(tokens)
    assert bench.caller(bench.login())


def test_a_password_that_the_operator_sets(bench: Bench) -> None:
    """It is good in the place of the old one, whose sessions end; nobody gets one who is not there."""
    tokens = bench.login()
    bench.service.reset_password(EMAIL.upper(), "another one 1", "local:someone")
    with pytest.raises(UnknownAccount, match=r"There is no account of 'nobody@example\.org'"):
        bench.service.reset_password("nobody@example.org", "another one 1", "local:someone")
    with pytest.raises(InvalidInput, match="may not be chosen"):
        bench.service.reset_password(EMAIL, "short", "local:someone")

    assert bench.refused(tokens)
    assert bench.caller(tokens) is None
    assert bench.caller(bench.login("another one 1"))
    assert [(e.who, e.subject) for e in bench.store.entries()[0] if e.event == "authn_password_change"] == [
        ("local:someone", EMAIL)
    ]
