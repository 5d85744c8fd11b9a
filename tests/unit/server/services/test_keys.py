"""API keys and signing keys: made, listed, ended, exchanged."""

import pytest
from tests.fakes.access import MemoryAccess
from tests.fakes.clock import ManualClock

from seatrial.server.access import keys
from seatrial.server.access.audit import Deed, Origin
from seatrial.server.access.mirror import AccessMirror
from seatrial.server.access.principal import ADMIN, ALL_SCOPES, ROLES, Principal, Scope
from seatrial.server.access.tokens import open_signer
from seatrial.server.access.view import Account, ApiKey
from seatrial.server.core.errors import InvalidInput, UnknownKey
from seatrial.server.limits.rate import Rate
from seatrial.server.services.keys import (
    MOST_KEYS,
    SETTLE_SECONDS,
    SIGNING_OVERLAP_SECONDS,
    KeyService,
    Wish,
    key_as_dict,
    prepare_signing,
    require_key_name,
    rotate_signing,
)

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"
DEED = Deed("account_created", "local:someone")
ADA = Account("a1", "ada@example.org", "engineer", NOW)
BOB = Account("b1", "bob@example.org", "viewer", NOW)
ORIGIN = Origin("192.0.2.7", "r-1")
READ: frozenset[Scope] = frozenset({"read"})


class Revoking(MemoryAccess):
    """Somebody revokes a key just after it was read."""

    meanwhile = False

    def get_key(self, key_id: str) -> ApiKey:
        """See `Keys.get_key`."""
        key = super().get_key(key_id)
        if self.meanwhile:
            self.revoke_key(key_id, NOW, DEED)
        return key


class Bench:
    """The service over a store in memory, with Ada and Bob in it."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.store = Revoking()
        for account in (ADA, BOB):
            self.store.create(account, "hash", DEED)
        self.known = AccessMirror(self.store, self.clock)
        self.known.refresh()
        self.service = KeyService(self.store, self.store, self.clock, self.known.refresh, Rate(600, 60))

    def make(self, wish: Wish | None = None, caller: Principal = ADA.principal) -> tuple[str, ApiKey]:
        """A key."""
        return self.service.create(wish or Wish("ci", READ), caller, ORIGIN)

    def rotate(self, key: ApiKey, overlap: float = 60.0, caller: Principal = ADA.principal) -> tuple[str, ApiKey]:
        """Another in its place."""
        return self.service.rotate(key.key_id, overlap, caller, ORIGIN)

    def good(self, secret: str) -> bool:
        """Whether this worker lets somebody with it in."""
        return self.known.view.of_key(keys.digest(secret), self.clock())[0] is not None

    def told(self) -> list[tuple[str, str, str]]:
        """What the audit has of keys."""
        entries = self.store.entries()[0]
        return [(one.event, one.who, one.subject) for one in entries if one.event.startswith("key_")]


@pytest.fixture
def bench() -> Bench:
    """Nobody has a key yet."""
    return Bench()


@pytest.mark.proves("S27")
def test_a_key_is_made(bench: Bench) -> None:
    """It is told once, good at once, and what is kept does not make it."""
    secret, key = bench.make(Wish("ci", READ, NOW + 9, Rate(5, 60), 2))

    assert bench.good(secret)
    assert bench.store.get_key(key.key_id) == key
    assert key == ApiKey(
        key.key_id, "ci", "a1", keys.digest(secret), READ, NOW, NOW + 9, rate=Rate(5, 60), concurrency=2, lifetime=9
    )
    assert secret not in repr(vars(bench.store)) + repr(key_as_dict(key))
    assert bench.told() == [("key_created", "user:ada@example.org", f"{key.key_id} (ci)")]


@pytest.mark.proves("S28")
def test_a_key_gets_no_more_than_whoever_makes_it_has(bench: Bench) -> None:
    """What is too much is named; nothing is made."""
    with pytest.raises(InvalidInput, match="These scopes cannot be given to a key") as caught:
        bench.make(Wish("ci", frozenset({"read", "admin", "models:write"})), BOB.principal)
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.expected, fault.received) == (
        "/scopes",
        "some of predict, read",
        "admin, models:write",
    )
    assert bench.store.api_keys() == []


@pytest.mark.proves("S28")
def test_a_key_follows_the_role_of_its_owner(bench: Bench) -> None:
    """When that is less, so is the key's; it comes back with it."""
    secret, _ = bench.make(Wish("ci", ROLES["engineer"]))
    for role in ("viewer", "engineer"):
        bench.store.change(ADA.email, DEED, role=role)
        bench.known.refresh()
        caller, _ = bench.known.view.of_key(keys.digest(secret), NOW)
        assert caller is not None
        assert caller.scopes == ROLES[role]


@pytest.mark.proves("S28")
@pytest.mark.parametrize("expires", [NOW, NOW - 1])
def test_a_key_that_would_have_ended_already(bench: Bench, expires: float) -> None:
    """It is not made."""
    with pytest.raises(InvalidInput, match="The key would have ended already"):
        bench.make(Wish("ci", READ, expires))


def test_a_key_of_the_operators_belongs_to_nobody(bench: Bench) -> None:
    """It holds whatever it was given."""
    secret, key = bench.make(Wish("ci", frozenset({"admin"})), ADMIN)

    assert key.account_id is None
    assert bench.good(secret)


def test_who_sees_and_ends_which_keys(bench: Bench) -> None:
    """Everybody their own; who holds `admin` all. What is another's is as unknown as what is not there."""
    adas, bobs, operators = bench.make()[1], bench.make(None, BOB.principal)[1], bench.make(None, ADMIN)[1]
    assert [bench.service.list(who.principal) for who in (ADA, BOB)] == [[adas], [bobs]]
    assert sorted(bench.service.list(ADMIN), key=lambda key: key.key_id) == sorted(
        [adas, bobs, operators], key=lambda key: key.key_id
    )

    stranger = Principal(f"key:{adas.key_id}", READ, "key", "a1")
    assert bench.service.list(stranger) == []
    for key, caller in ((adas, BOB.principal), (operators, BOB.principal), (adas, stranger)):
        with pytest.raises(UnknownKey, match=f"There is no API key '{key.key_id}'"):
            bench.service.revoke(key.key_id, caller, ORIGIN)
        with pytest.raises(UnknownKey, match=f"There is no API key '{key.key_id}'"):
            bench.rotate(key, caller=caller)
    with pytest.raises(UnknownKey, match="There is no API key 'none'"):
        bench.service.revoke("none", ADMIN, ORIGIN)
    bench.service.revoke(bobs.key_id, ADMIN, ORIGIN)
    assert bench.store.get_key(bobs.key_id).revoked == NOW


def test_a_key_is_revoked(bench: Bench) -> None:
    """This worker refuses it at once; a second time changes nothing."""
    secret, key = bench.make()
    for _ in range(2):
        bench.service.revoke(key.key_id, ADA.principal, ORIGIN)

    assert not bench.good(secret)
    assert bench.told()[1:] == [("key_revoked", "user:ada@example.org", f"{key.key_id} (ci)")]


@pytest.mark.proves("S57")
def test_a_key_is_exchanged(bench: Bench) -> None:
    """Both are good for a while, then the new one alone; it may the same. The audit has it once."""
    secret, key = bench.make(Wish("ci", READ, None, Rate(5, 60), 2))
    bench.clock.advance(10)
    new_secret, new = bench.rotate(key)

    assert (new.name, new.account_id, new.scopes, new.rate, new.concurrency) == ("ci", "a1", READ, Rate(5, 60), 2)
    assert (new.created, new.expires) == (NOW + 10, None)
    bench.clock.advance(59.9)
    assert (bench.good(secret), bench.good(new_secret)) == (True, True)
    bench.clock.advance(0.1)
    assert (bench.good(secret), bench.good(new_secret)) == (False, True)
    assert bench.told()[1:] == [("key_rotated", "user:ada@example.org", f"{key.key_id} -> {new.key_id} (ci)")]


@pytest.mark.proves("S28")
def test_a_key_that_expires_is_exchanged(bench: Bench) -> None:
    """The new one is good for as long as the old one was made for; the old one ends no later than it would have."""
    _, key = bench.make(Wish("ci", READ, NOW + 100))
    bench.clock.advance(90)
    _, new = bench.rotate(key)

    _, third = bench.rotate(new)
    _, fourth = bench.rotate(new)

    assert [one.expires for one in (new, third, fourth)] == [NOW + 190] * 3
    assert bench.store.get_key(key.key_id).expires == NOW + 100


@pytest.mark.parametrize("how", ["revoked", "expired", "revoked meanwhile"])
def test_a_key_that_has_ended_is_not_exchanged(bench: Bench, how: str) -> None:
    """Else whoever has stolen it would go on with the new one."""
    _, key = bench.make(Wish("ci", READ, NOW + 100))
    if how == "revoked":
        bench.service.revoke(key.key_id, ADA.principal, ORIGIN)
    elif how == "expired":
        bench.clock.advance(100)
    bench.store.meanwhile = how == "revoked meanwhile"

    with pytest.raises(UnknownKey, match=f"The API key '{key.key_id}' has ended; make another one"):
        bench.rotate(key)
    assert [one.key_id for one in bench.store.api_keys()] == [key.key_id]


def test_the_json_of_a_key() -> None:
    """Times as RFC 3339, limits as they are written; what there is not is none."""
    key = ApiKey("k1", "ci", "a1", "digest", frozenset({"read", "predict"}), NOW)
    whole = ApiKey("k1", "ci", None, "digest", READ, NOW, NOW + 1, NOW + 2, NOW + 3.5, rate=Rate(5, 60), concurrency=2)

    assert key_as_dict(key) == {
        "key_id": "k1", "name": "ci", "owner": "a1", "scopes": ["predict", "read"],
        "created_at": "2027-01-15T08:00:00.000Z", "expires_at": None, "revoked_at": None, "last_used_at": None,
        "rate_limit": None, "concurrency_limit": None,
    }  # fmt: skip
    assert key_as_dict(whole) == {
        "key_id": "k1", "name": "ci", "owner": None, "scopes": ["read"],
        "created_at": "2027-01-15T08:00:00.000Z", "expires_at": "2027-01-15T08:00:01.000Z",
        "revoked_at": "2027-01-15T08:00:02.000Z", "last_used_at": "2027-01-15T08:00:03.500Z",
        "rate_limit": "5/minute", "concurrency_limit": 2,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ci", "a", "Build 7_b.c-d", "a" * 64])
def test_the_name_of_a_key(name: str) -> None:
    """Letters, digits and a few signs."""
    require_key_name(name)


@pytest.mark.parametrize("name", ["", " ci", "-ci", "a" * 65, "ci\n", "<b>", "é", "a/b"])
def test_what_is_no_name_of_a_key(name: str) -> None:
    """It says what is."""
    with pytest.raises(ValueError, match="expected 1 to 64 letters, digits, blanks and"):
        require_key_name(name)


@pytest.mark.proves("S15")
def test_a_start_makes_the_first_signing_key(bench: Bench) -> None:
    """Once; a start with another secret is told what to do, until there is a key under that."""
    for _ in range(2):
        prepare_signing(bench.store, SECRET, NOW)
    (first,) = bench.store.signing_keys()
    newest = bench.store.newest(NOW)
    assert newest
    assert open_signer(first.kid, newest[1], SECRET).kid == first.kid

    other = b"another secret, another secret!!"
    with pytest.raises(ValueError, match=f"the signing key {first.kid} was sealed under another SEATRIAL_SECRET_KEY"):
        prepare_signing(bench.store, other, NOW + 1)
    rotate_signing(bench.store, other, NOW + 1, "local:someone")
    prepare_signing(bench.store, other, NOW + 1)


@pytest.mark.proves("S15")
def test_a_signing_key_takes_the_place_of_another(bench: Bench) -> None:
    """Which verifies what it has signed until that ends; workers that look know both, and the audit has it."""
    prepare_signing(bench.store, SECRET, NOW)
    (old,) = bench.store.signing_keys()
    kid = rotate_signing(bench.store, SECRET, NOW + 10, "local:someone")
    bench.known.refresh()

    assert [(key.kid, key.retires) for key in bench.known.view.signing] == [
        (kid, None), (old.kid, NOW + 10 + SIGNING_OVERLAP_SECONDS),
    ]  # fmt: skip
    assert bench.store.entries(1)[0][0].event == "signing_key_rotated"
    assert bench.store.entries(1)[0][0].subject == kid


@pytest.mark.proves("S15")
def test_a_signing_key_that_has_leaked_ends_at_once(bench: Bench) -> None:
    """What it signed is good no more, also where it was to verify for a while; the new one signs from now on."""
    prepare_signing(bench.store, SECRET, NOW)
    rotate_signing(bench.store, SECRET, NOW + 10, "local:someone")
    kid = rotate_signing(bench.store, SECRET, NOW + 11, "local:someone", at_once=True)
    bench.known.refresh()
    newest = bench.store.newest(NOW + 11 - SETTLE_SECONDS)

    assert [key.retires for key in bench.known.view.signing if key.kid != kid] == [NOW + 11] * 2
    assert newest
    assert newest[0].kid == kid


def test_a_key_that_never_ends_is_exchanged_for_such(bench: Bench) -> None:
    """Also one that has been exchanged already, and ends soon."""
    _, key = bench.make(Wish("ci", READ))
    made = [bench.rotate(key)[1] for _ in range(2)]

    assert [one.expires for one in made] == [None, None]


@pytest.mark.parametrize(
    ("rate", "good"),
    [
        (Rate(600, 60), True),
        (Rate(10, 1), True),
        (Rate(599, 3600), True),
        (Rate(601, 60), False),
        (Rate(11, 1), False),
        (Rate(10**6, 86400), False),
    ],
)
def test_nobody_lifts_their_own_limit(rate: Rate, *, good: bool) -> None:
    """Neither for a moment nor in the long run; who holds `admin` gives what they like."""
    bench = Bench()
    boss = Principal("user:boss@example.org", ALL_SCOPES, "user", "boss")

    assert bench.make(Wish("more", READ, rate=rate), boss)[1].rate == rate
    if good:
        assert bench.make(Wish("mine", READ, rate=rate))[1].rate == rate
        return
    with pytest.raises(InvalidInput) as caught:
        bench.make(Wish("mine", READ, rate=rate))
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.expected, fault.received) == ("/rate_limit", "at most 600/minute", str(rate))


def test_an_account_has_only_so_many_keys() -> None:
    """Those that have ended do not count, nor those of others."""
    bench = Bench()
    made = [bench.make()[1] for _ in range(MOST_KEYS)]
    with pytest.raises(InvalidInput, match="too many keys"):
        bench.make()

    bench.make(caller=BOB.principal)
    bench.service.revoke(made[0].key_id, ADA.principal, ORIGIN)
    bench.make(Wish("short", READ, expires=bench.clock() + 60))
    bench.clock.advance(61)
    bench.make()
