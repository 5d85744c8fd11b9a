"""What accounts and keys may do, as of one moment."""

from dataclasses import replace

import pytest

from seatrial.server.access.principal import ALL_SCOPES, ROLES, Role, Scope
from seatrial.server.access.tokens import SigningKey, new_signing_key, open_signer
from seatrial.server.access.view import AccessView, Account, ApiKey
from seatrial.server.limits.rate import Rate

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"
SIGNING, SEALED = new_signing_key(SECRET, NOW)
SIGNER = open_signer(SIGNING.kid, SEALED, SECRET)
ADA = Account("a1", "ada@example.org", "engineer", NOW, epoch=2)
LESS: frozenset[Scope] = frozenset({"predict"})
KEY = ApiKey("k1", "ci", "a1", "digest", ALL_SCOPES, NOW)


def view(account: Account = ADA, key: ApiKey = KEY, signing: SigningKey = SIGNING) -> AccessView:
    return AccessView([account], [key], [signing])


def scopes_of(seen: AccessView) -> frozenset[Scope] | None:
    caller, _ = seen.of_key("digest", NOW)
    return caller.scopes if caller else None


def test_an_account_by_its_token() -> None:
    """What its role may do."""
    caller = view().of_token(SIGNER.sign("a1", 2, NOW), NOW)

    assert caller == ADA.principal
    assert (caller.name, caller.kind, caller.subject) == ("user:ada@example.org", "user", "a1")
    assert caller.scopes == ROLES["engineer"]
    assert (view().account("a1"), view().account("b1")) == (ADA, None)


@pytest.mark.proves("S16")
def test_who_was_disabled_or_changed_is_nobody() -> None:
    """Tokens of another epoch, and of nobody, are none; so are those of a key that is gone."""
    token = SIGNER.sign("a1", 2, NOW)

    assert view(replace(ADA, disabled=True)).of_token(token, NOW) is None
    assert view(replace(ADA, epoch=3)).of_token(token, NOW) is None
    assert view(replace(ADA, epoch=1)).of_token(token, NOW) is None
    assert view().of_token(SIGNER.sign("b1", 2, NOW), NOW) is None
    assert AccessView([ADA], [KEY]).of_token(token, NOW) is None
    assert view(signing=replace(SIGNING, retires=NOW)).of_token(token, NOW) is None


@pytest.mark.proves("S28")
@pytest.mark.parametrize("role", ["viewer", "engineer", "admin"])
def test_a_key_holds_no_more_than_its_owner(role: Role) -> None:
    """Whatever it was made with; what it was not made with it does not get either."""
    assert scopes_of(view(replace(ADA, role=role))) == ROLES[role]
    assert scopes_of(view(replace(ADA, role=role), replace(KEY, scopes=LESS))) == LESS


@pytest.mark.proves("S16")
def test_a_key_goes_with_its_owner() -> None:
    """Who is disabled has none; one whose owner is not known is none."""
    assert scopes_of(view(replace(ADA, disabled=True))) is None
    assert scopes_of(view(replace(ADA, account_id="b1"))) is None


def test_a_key_of_the_operators() -> None:
    """It belongs to nobody, and holds what it was made with."""
    assert scopes_of(view(key=replace(KEY, account_id=None))) == ALL_SCOPES


def test_what_a_key_is_as_a_caller() -> None:
    """Named by its id, with its own limits."""
    caller, why_not = view(key=replace(KEY, rate=Rate(5, 60), concurrency=2)).of_key("digest", NOW)

    assert caller is not None
    assert (caller.name, caller.kind, caller.subject, why_not) == ("key:k1", "key", "k1", "")
    assert (caller.rate, caller.concurrency) == (Rate(5, 60), 2)


@pytest.mark.proves("S28")
def test_a_key_that_has_ended() -> None:
    """Whoever holds it is told why; of one that was revoked no more than of one that never was."""
    unknown = (None, "The API key is not known, or was revoked.")

    assert view(key=replace(KEY, revoked=NOW)).of_key("digest", NOW) == unknown
    assert view().of_key("other", NOW) == unknown
    expiring = view(key=replace(KEY, expires=NOW + 1))
    assert expiring.of_key("digest", NOW + 0.9)[0] is not None
    assert expiring.of_key("digest", NOW + 1) == (None, "The API key expired at 2027-01-15T08:00:01.000Z.")


def test_nothing_is_known_at_first() -> None:
    """Nobody is let in."""
    assert AccessView().of_token(SIGNER.sign("a1", 2, NOW), NOW) is None
    assert AccessView().of_key("digest", NOW)[0] is None
