"""What keeps accounts, keys and the audit (`access.ports`), in memory and in both databases."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle

import pytest
from sqlalchemy import Engine
from tests.fakes.access import MemoryAccess

from seatrial.server.access.audit import Deed, Origin
from seatrial.server.access.ports import (
    GRACE_SECONDS,
    AccessSource,
    Accounts,
    Audit,
    Keys,
    Session,
    Signing,
)
from seatrial.server.access.tokens import SigningKey
from seatrial.server.access.view import Account, ApiKey
from seatrial.server.core.chain import Head, faults
from seatrial.server.core.errors import UnknownAccount, UnknownKey
from seatrial.server.limits.rate import Rate
from seatrial.server.storage.accounts import SqlAccounts
from seatrial.server.storage.audit import SqlAudit
from seatrial.server.storage.database import open_database
from seatrial.server.storage.keys import SqlKeys

NOW, MONTH = 1_800_000_000.0, 30 * 86400.0
ADA = Account("a1", "ada@example.org", "engineer", NOW)
BOB = Account("b1", "bob@example.org", "viewer", NOW + 1)
DEED = Deed("account_changed", "local:someone", "ada@example.org", Origin("192.0.2.7", "r-1"))
REUSE = Deed("authn_token_reuse", "unknown", "session s1", outcome="failure")
NETWORK = "192.0.2.7"


@dataclass(frozen=True)
class Stores:
    """Each port, over the same data."""

    accounts: Accounts
    keys: Keys
    signing: Signing
    source: AccessSource
    audit: Audit

    def events(self) -> list[str]:
        """The events in the audit."""
        return [entry.event for entry in self.audit.entries()[0]]


def over(engine: Engine) -> Stores:
    keys = SqlKeys(engine)
    return Stores(SqlAccounts(engine), keys, keys, keys, SqlAudit(engine))


@pytest.fixture
def stores(engine: Engine | None) -> Stores:
    """Each implementation, empty."""
    if engine:
        return over(engine)
    memory = MemoryAccess()
    return Stores(memory, memory, memory, memory, memory)


@pytest.fixture
def both(engine: Engine | None, stores: Stores) -> Iterator[tuple[Stores, Stores]]:
    """Two servers over the same data."""
    if engine is None:
        yield stores, stores
        return
    other = open_database(engine.url.render_as_string(hide_password=False))
    yield stores, over(other)
    other.dispose()


def login(stores: Stores, account: Account = ADA, session_id: str = "s1", at: float = NOW) -> bool:
    """A session whose token has the digest `t0`, good for a month."""
    session = Session(session_id, account.account_id, account.epoch, "t0", at, at + MONTH)
    return stores.accounts.open_session(session, NETWORK, replace(DEED, event="authn_login_success"))


def rotate(stores: Stores, used: str, following: str, after: float = 0.0, session_id: str = "s1") -> Account | None:
    return stores.accounts.rotate(session_id, used, following, NOW + after, REUSE)


def test_what_is_empty(stores: Stores) -> None:
    """Nothing is there, and nobody is found."""
    assert (stores.source.generation(), stores.audit.entries()) == (0, ([], Head()))
    assert [stores.source.accounts(), stores.source.api_keys(), stores.source.signing_keys()] == [[], [], []]
    assert stores.accounts.find(ADA.email) is None
    assert not stores.accounts.knows_network(ADA.email, NETWORK, 0.0)
    with pytest.raises(UnknownAccount, match="There is no account of"):
        stores.accounts.change(ADA.email, DEED, disabled=True)
    with pytest.raises(UnknownKey, match="k1"):
        stores.keys.get_key("k1")


def test_an_account_is_found_by_its_address(stores: Stores) -> None:
    """All that was kept comes back; the list is by address."""
    assert stores.accounts.create(BOB, "hash-b", DEED)
    assert stores.accounts.create(ADA, "hash-a", DEED)

    assert stores.accounts.find(ADA.email) == (ADA, "hash-a")
    assert list(stores.source.accounts()) == [ADA, BOB]


def test_an_address_that_is_taken(stores: Stores) -> None:
    """Nothing is changed, and nothing is in the audit of it."""
    stores.accounts.create(ADA, "hash-a", DEED)
    before = stores.source.generation(), stores.audit.entries()

    assert not stores.accounts.create(replace(BOB, email=ADA.email), "hash-b", DEED)
    assert stores.accounts.find(ADA.email) == (ADA, "hash-a")
    assert (stores.source.generation(), stores.audit.entries()) == before


def test_one_of_many_who_take_an_address_at_once_has_it(both: tuple[Stores, Stores]) -> None:
    """On two servers."""
    wishes = [replace(ADA, account_id=f"a{number}") for number in range(10)]
    with ThreadPoolExecutor(10) as threads:
        made = list(threads.map(lambda place, wish: place.accounts.create(wish, "h", DEED), cycle(both), wishes))

    assert made.count(True) == 1
    assert list(both[0].source.accounts()) == [wishes[made.index(True)]]


def test_another_password_ends_what_was_before(stores: Stores) -> None:
    """Sessions, and access tokens by their epoch; those of others stay."""
    stores.accounts.create(ADA, "old", DEED)
    stores.accounts.create(BOB, "hash-b", DEED)
    login(stores)
    login(stores, BOB, "s2")

    changed = stores.accounts.set_password(ADA.account_id, "old", "new", DEED)
    assert changed == replace(ADA, epoch=1)
    assert stores.accounts.find(ADA.email) == (changed, "new")
    assert rotate(stores, "t0", "t1") is None
    assert rotate(stores, "t0", "t1", session_id="s2") == BOB


def test_a_password_that_was_changed_meanwhile_stays(stores: Stores) -> None:
    """Neither another one nor a better hash of the one before takes its place."""
    stores.accounts.create(ADA, "new", DEED)
    before = stores.source.generation(), stores.audit.entries()
    stores.accounts.rehash(ADA.account_id, "old", "old, better")

    assert stores.accounts.set_password(ADA.account_id, "old", "other", DEED) is None
    assert stores.accounts.find(ADA.email) == (ADA, "new")
    assert (stores.source.generation(), stores.audit.entries()) == before


def test_a_better_hash_is_no_change(stores: Stores) -> None:
    """Sessions go on, and workers need not hear of it."""
    stores.accounts.create(ADA, "weak", DEED)
    login(stores)
    before = stores.source.generation(), stores.audit.entries()
    stores.accounts.rehash(ADA.account_id, "weak", "strong")

    assert stores.accounts.find(ADA.email) == (ADA, "strong")
    assert (stores.source.generation(), stores.audit.entries()) == before
    assert rotate(stores, "t0", "t1") == ADA


def test_a_role_that_is_changed(stores: Stores) -> None:
    """Access tokens end; the session goes on, with the new role."""
    stores.accounts.create(ADA, "hash", DEED)
    login(stores)

    changed = stores.accounts.change(ADA.email, DEED, role="viewer")
    assert changed == replace(ADA, role="viewer", epoch=1)
    assert rotate(stores, "t0", "t1") == changed


def test_an_account_that_is_disabled(stores: Stores) -> None:
    """Its sessions end, and stay ended when it is enabled again."""
    stores.accounts.create(ADA, "hash", DEED)
    login(stores)

    assert stores.accounts.change(ADA.email, DEED, disabled=True) == replace(ADA, disabled=True, epoch=1)
    assert rotate(stores, "t0", "t1") is None
    assert stores.accounts.change(ADA.email, DEED, disabled=False) == replace(ADA, epoch=2)
    assert rotate(stores, "t0", "t1") is None


@pytest.mark.proves("S5")
def test_no_session_is_opened_of_an_account_that_was_changed_meanwhile(stores: Stores) -> None:
    """Whoever logs in with the old password while it is changed is too late."""
    stores.accounts.create(ADA, "old", DEED)
    stores.accounts.set_password(ADA.account_id, "old", "new", DEED)
    before = stores.audit.entries()

    assert not login(stores, ADA)
    assert not stores.accounts.knows_network(ADA.email, NETWORK, 0.0)
    assert rotate(stores, "t0", "t1") is None
    assert stores.audit.entries() == before


def test_logins_while_a_password_changes(both: tuple[Stores, Stores]) -> None:
    """Each session was opened before, and is ended, or not opened: none of the old password is good afterwards."""
    both[0].accounts.create(ADA, "old", DEED)

    def enter(place: Stores, number: int) -> bool:
        if number == 5:
            return place.accounts.set_password(ADA.account_id, "old", "new", DEED) is None
        return login(place, ADA, f"s{number}")

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(enter, cycle(both), range(10)))

    assert [rotate(both[0], "t0", "t1", session_id=f"s{number}") for number in range(10)] == [None] * 10


def test_many_first_logins_from_one_place_at_once(both: tuple[Stores, Stores]) -> None:
    """All succeed: none stumbles over the place that another has just written down."""
    both[0].accounts.create(ADA, "hash", DEED)
    with ThreadPoolExecutor(8) as threads:
        opened = list(threads.map(lambda place, number: login(place, ADA, f"s{number}"), cycle(both), range(8)))

    assert opened == [True] * 8


def test_a_token_is_exchanged_once(stores: Stores) -> None:
    """Then the next is good; each exchange tells whose it is."""
    stores.accounts.create(ADA, "hash", DEED)
    login(stores)

    assert rotate(stores, "t0", "t1") == ADA
    assert rotate(stores, "t0", "t2") is None
    assert rotate(stores, "t1", "t2") == ADA
    assert rotate(stores, "t0", "t3", session_id="s2") is None


@pytest.mark.proves("S18")
def test_of_many_who_exchange_one_token_at_once_one_is_served(both: tuple[Stores, Stores]) -> None:
    """Fifty on two servers: one child is there and good, nobody was taken for a thief."""
    both[0].accounts.create(ADA, "hash", DEED)
    login(both[0])
    children = [f"child {number}" for number in range(50)]
    with ThreadPoolExecutor(10) as threads:
        served = list(threads.map(lambda place, child: rotate(place, "t0", child), cycle(both), children))

    (winner,) = [child for child, account in zip(children, served, strict=True) if account is not None]
    assert "authn_token_reuse" not in both[0].events()
    assert rotate(both[1], winner, "grandchild") == ADA


@pytest.mark.proves("S17")
@pytest.mark.parametrize("exchanges", [1, 3])
def test_a_token_that_comes_again_later_ends_the_session(stores: Stores, exchanges: int) -> None:
    """With its newest child, and the audit has it, once; other sessions go on."""
    stores.accounts.create(ADA, "hash", DEED)
    login(stores)
    login(stores, ADA, "s2")
    for number in range(exchanges):
        assert rotate(stores, f"t{number}", f"t{number + 1}")

    for _ in range(2):
        assert rotate(stores, "t0", "stolen", GRACE_SECONDS + 0.1) is None
    assert rotate(stores, f"t{exchanges}", "late", GRACE_SECONDS + 0.1) is None
    assert rotate(stores, "stolen", "late", GRACE_SECONDS + 0.1) is None
    assert stores.events().count("authn_token_reuse") == 1
    assert rotate(stores, "t0", "t1", session_id="s2") == ADA


def test_a_token_that_comes_again_at_once_is_only_refused(stores: Stores) -> None:
    """Until the grace is over: two requests of one client are no theft."""
    stores.accounts.create(ADA, "hash", DEED)
    login(stores)
    rotate(stores, "t0", "t1")

    assert rotate(stores, "t0", "t2", GRACE_SECONDS) is None
    assert rotate(stores, "t1", "t2", GRACE_SECONDS) == ADA
    assert "authn_token_reuse" not in stores.events()


@pytest.mark.proves("S19")
def test_exchanging_prolongs_no_session(stores: Stores) -> None:
    """It is over a month after the login, whenever its token was exchanged."""
    stores.accounts.create(ADA, "hash", DEED)
    login(stores)

    assert rotate(stores, "t0", "t1", MONTH - 1) == ADA
    assert rotate(stores, "t1", "t2", MONTH) is None


@pytest.mark.proves("S19")
def test_a_session_ends_by_its_current_token(stores: Stores) -> None:
    """Then nothing exchanges it, and the audit has it once; with an older token nothing happens."""
    stores.accounts.create(ADA, "hash", DEED)
    login(stores)
    rotate(stores, "t0", "t1")
    logout = replace(DEED, event="authn_logout")
    stores.accounts.end_session("s1", "t0", logout)
    assert rotate(stores, "t1", "t2") == ADA

    for _ in range(2):
        stores.accounts.end_session("s1", "t2", logout)
    assert rotate(stores, "t2", "t3") is None
    assert stores.events().count("authn_logout") == 1


def test_from_where_somebody_has_logged_in(stores: Stores) -> None:
    """There, since then, and nobody else."""
    stores.accounts.create(ADA, "hash", DEED)
    stores.accounts.create(BOB, "hash", DEED)
    for number, at in enumerate((NOW, NOW + 5)):
        login(stores, ADA, f"s{number}", at)

    assert stores.accounts.knows_network(ADA.email, NETWORK, NOW + 5)
    assert not stores.accounts.knows_network(ADA.email, NETWORK, NOW + 6)
    assert not stores.accounts.knows_network(ADA.email, "192.0.2.8", NOW)
    assert not stores.accounts.knows_network(BOB.email, NETWORK, NOW)
    assert not stores.accounts.knows_network("nobody@example.org", NETWORK, NOW)


def a_key(key_id: str = "k1", **changes: object) -> ApiKey:
    key = ApiKey(key_id, "ci", ADA.account_id, f"digest of {key_id}", frozenset({"predict", "read"}), NOW)
    return replace(key, **changes)  # type: ignore[arg-type]


def test_a_key_comes_back_as_it_was(stores: Stores) -> None:
    """With all that it may have, or none of that; the list is by age."""
    whole = a_key("k2", expires=NOW + 9.5, rate=Rate(5, 60), concurrency=3, created=NOW - 1)
    bare = a_key("k1", account_id=None, scopes=frozenset())
    for key in (bare, whole):
        stores.keys.add_key(key, DEED)

    assert [stores.keys.get_key("k1"), stores.keys.get_key("k2")] == [bare, whole]
    assert list(stores.source.api_keys()) == [whole, bare]


def test_a_key_is_revoked_once(stores: Stores) -> None:
    """The moment stays that of the first time, and the audit has it once; of no key nothing happens."""
    stores.keys.add_key(a_key(), replace(DEED, event="key_created"))
    revoke = replace(DEED, event="key_revoked")
    for at in (NOW + 5, NOW + 6):
        stores.keys.revoke_key("k1", at, revoke)
    stores.keys.revoke_key("k2", NOW, revoke)

    assert stores.keys.get_key("k1") == a_key(revoked=NOW + 5)
    assert stores.events() == ["key_created", "key_revoked"]


@pytest.mark.parametrize(
    ("expires", "ends"),
    [(None, NOW + 100), (NOW + 50, NOW + 50), (NOW + 200, NOW + 100)],
    ids=["never", "soon", "later"],
)
def test_a_key_is_exchanged(stores: Stores, expires: float | None, ends: float) -> None:
    """The old one ends at the given moment, if it did not before; both come with one entry of the audit."""
    stores.keys.add_key(a_key(expires=expires), replace(DEED, event="key_created"))
    following = a_key("k2", created=NOW + 10)

    assert stores.keys.exchange_key("k1", NOW + 100, following, replace(DEED, event="key_rotated"))
    assert list(stores.source.api_keys()) == [a_key(expires=ends), following]
    assert stores.events() == ["key_created", "key_rotated"]


@pytest.mark.parametrize("key", [a_key(revoked=NOW + 5), a_key(expires=NOW + 10), a_key("k3")])
def test_a_key_that_has_ended_is_not_exchanged(stores: Stores, key: ApiKey) -> None:
    """Nor one that is not there: nothing is changed."""
    stores.keys.add_key(replace(key, revoked=None), DEED)
    if key.revoked is not None:
        stores.keys.revoke_key("k1", key.revoked, DEED)
    before = stores.source.generation(), stores.audit.entries()

    assert not stores.keys.exchange_key("k1", NOW + 100, a_key("k2", created=NOW + 10), DEED)
    assert list(stores.source.api_keys()) == [key]
    assert (stores.source.generation(), stores.audit.entries()) == before


def test_the_last_use_of_keys(stores: Stores) -> None:
    """The latest counts; it is no change, and of no key nothing happens."""
    for key_id in ("k1", "k2"):
        stores.keys.add_key(a_key(key_id), DEED)
    before = stores.source.generation(), stores.audit.entries()
    for at in (NOW + 5, NOW + 3):
        stores.source.note_used({"k1": at, "k9": at})

    assert [key.used for key in stores.source.api_keys()] == [NOW + 5, None]
    assert (stores.source.generation(), stores.audit.entries()) == before


def signing(kid: str, created: float, retires: float | None = None) -> SigningKey:
    return SigningKey(kid, {"kty": "EC", "kid": kid}, created, retires)


def test_signing_keys_take_turns(stores: Stores) -> None:
    """The newest that is old enough signs, else the first; the others retire once."""
    stores.signing.add_first(signing("1", NOW), "sealed 1")
    stores.signing.add_signing_key(signing("2", NOW + 10), "sealed 2", NOW + 100, DEED)
    stores.signing.add_signing_key(signing("3", NOW + 20), "sealed 3", NOW + 200, DEED)
    first, second, third = signing("1", NOW, NOW + 100), signing("2", NOW + 10, NOW + 200), signing("3", NOW + 20)

    assert list(stores.source.signing_keys()) == [third, second, first]
    assert stores.signing.newest(NOW + 20) == (third, "sealed 3")
    assert stores.signing.newest(NOW + 19) == (second, "sealed 2")
    assert stores.signing.newest(NOW - 1) == (first, "sealed 1")


def test_a_first_key_is_kept_once(stores: Stores) -> None:
    """A later start changes nothing."""
    stores.signing.add_first(signing("1", NOW), "sealed 1")
    before = stores.source.generation()
    stores.signing.add_first(signing("2", NOW + 1), "sealed 2")

    assert list(stores.source.signing_keys()) == [signing("1", NOW)]
    assert stores.source.generation() == before


def test_starts_at_once_have_one_signing_key(both: tuple[Stores, Stores]) -> None:
    """Ten on two servers."""
    with ThreadPoolExecutor(10) as threads:
        kids = map(str, range(10))
        list(threads.map(lambda place, kid: place.signing.add_first(signing(kid, NOW), "sealed"), cycle(both), kids))

    assert len(both[0].source.signing_keys()) == 1


CHANGES: list[Callable[[Stores], object]] = [
    lambda stores: stores.accounts.create(BOB, "hash", DEED),
    lambda stores: stores.accounts.set_password(ADA.account_id, "hash", "new", DEED),
    lambda stores: stores.accounts.change(ADA.email, DEED, role="viewer"),
    lambda stores: stores.accounts.change(ADA.email, DEED, disabled=True),
    lambda stores: stores.keys.add_key(a_key("k2"), DEED),
    lambda stores: stores.keys.revoke_key("k1", NOW, DEED),
    lambda stores: stores.keys.exchange_key("k1", NOW + 5, a_key("k2"), DEED),
    lambda stores: stores.signing.add_signing_key(signing("2", NOW), "sealed", NOW, DEED),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_counts_and_is_in_the_audit(stores: Stores, change: Callable[[Stores], object]) -> None:
    """Each by one: so workers see it, and so does who looks later."""
    stores.accounts.create(ADA, "hash", DEED)
    stores.keys.add_key(a_key(), DEED)
    stores.signing.add_first(signing("1", NOW), "sealed")
    generation, (entries, _) = stores.source.generation(), stores.audit.entries()
    change(stores)

    assert stores.source.generation() == generation + 1
    assert len(stores.audit.entries()[0]) == len(entries) + 1


def test_deeds_are_entries(stores: Stores) -> None:
    """Each says who, when, where, what and how it went, and follows the one before."""
    failed = Deed("authn_login_fail", "unknown", "eve@example.org", Origin("2001:db8::1", "r-2"), "failure")
    stores.audit.note(DEED, failed)
    stores.accounts.note(DEED)
    entries, head = stores.audit.entries()

    assert list(faults(entries, head, "audit")) == []
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert entries[1].at.endswith("Z")
    assert (entries[1].event, entries[1].outcome, entries[1].who, entries[1].subject) == (
        "authn_login_fail", "failure", "unknown", "eve@example.org",
    )  # fmt: skip
    assert (entries[1].address, entries[1].request_id) == ("2001:db8::1", "r-2")
    assert stores.audit.entries(2) == (entries[1:], head)


@pytest.mark.proves("S59")
def test_many_who_write_the_audit_at_once_write_one_chain(both: tuple[Stores, Stores]) -> None:
    """Twenty on two servers, three deeds each: none is lost, none comes between those of another."""
    with ThreadPoolExecutor(20) as threads:
        deeds = [replace(DEED, who=f"user:{number}") for number in range(20)]
        list(threads.map(lambda place, deed: place.audit.note(deed, deed, deed), cycle(both), deeds))
    entries, head = both[0].audit.entries()

    assert (len(entries), list(faults(entries, head, "audit"))) == (60, [])
    assert all(len({entry.who for entry in entries[first : first + 3]}) == 1 for first in range(0, 60, 3))
