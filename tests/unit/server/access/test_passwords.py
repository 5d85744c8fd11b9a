"""Passwords: which may be chosen, and how they are kept."""

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from seatrial.server.access.passwords import MEMORY_KIB, PASSES, Passwords, fault_of

EMAIL = "ada.lovelace@analytical.example"
QUICK = Passwords(memory_kib=8, passes=1)


@pytest.mark.proves("S1")
@pytest.mark.parametrize("length", [8, 15, 64, 128])
def test_a_password_of_any_signs_may_be_chosen(length: int) -> None:
    """Letters of one case are enough, and so are blanks or signs of any language."""
    for signs in ("qzjx", "q zx", "пчёл", "蜂蜜🐝 "):
        assert fault_of((signs * 32)[:length], EMAIL) is None


@pytest.mark.proves("S1")
@pytest.mark.parametrize("length", [0, 7, 129])
def test_too_short_or_too_long(length: int) -> None:
    """The text says what would do, and how long it was."""
    assert fault_of(("qzjx" * 33)[:length], EMAIL) == ("8 to 128 characters", str(length))


@pytest.mark.proves("S2")
@pytest.mark.parametrize("password", ["password", "PassWord", "12345678", "qwertyuiop", "iloveyou", "sunshine"])
def test_what_everybody_tries_first(password: str) -> None:
    """In any case."""
    assert fault_of(password, EMAIL) == ("one that is not among the most common passwords", "one that is")


@pytest.mark.proves("S2")
@pytest.mark.parametrize("password", ["my Seatrial pw", "xADA.LOVELACEx", "analytical123", "zz analytical.example"])
def test_names_that_are_known(password: str) -> None:
    """Of the product, the account or its host."""
    assert fault_of(password, EMAIL) == (
        "one that holds neither the name of this product nor of the account",
        "one that does",
    )


def test_a_short_name_in_an_address_forbids_little() -> None:
    """`li` is in too many words."""
    assert fault_of("believable lilac", "li@x.org") is None


@pytest.mark.proves("S3")
def test_all_of_a_password_counts() -> None:
    """What is beyond 72 bytes, case, blanks at both ends, and accents."""
    long = "x" * 72
    kept = QUICK.hash(long + "a" * 28)

    assert QUICK.matches(kept, long + "a" * 28)
    for end in ("a" * 27 + "b", "A" * 28, "a" * 28 + " ", "á" * 28):
        assert not QUICK.matches(kept, long + end)
    assert not QUICK.matches(kept, " " + long + "a" * 28)


@pytest.mark.proves("S3")
def test_one_password_that_unicode_writes_in_two_ways() -> None:
    """Another keyboard types it as well."""
    assert QUICK.matches(QUICK.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")
    assert QUICK.matches(QUICK.hash("lone \ud800 half"), "lone \ud800 half")


@pytest.mark.proves("S4")
def test_how_a_password_is_kept() -> None:
    """By argon2id, at least as dear as OWASP asks for, each with a salt of its own."""
    kept = Passwords().hash("a password")
    parameters = extract_parameters(kept)

    assert (parameters.type, parameters.parallelism) == (Type.ID, 1)
    assert (parameters.memory_cost, parameters.time_cost) == (MEMORY_KIB, PASSES) >= (19_456, 2)
    assert QUICK.hash("a password") != QUICK.hash("a password")


@pytest.mark.proves("S4")
def test_a_hash_of_other_costs_is_to_be_made_again() -> None:
    """It is still good until then; one of these costs is not."""
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("a password")
    other = Passwords(memory_kib=16, passes=1)

    assert other.matches(weak, "a password")
    assert (other.needs_rehash(weak), QUICK.needs_rehash(weak)) == (True, False)


@pytest.mark.parametrize("password", ["of nobody", "", "anything"])
def test_nobody_has_a_password(password: str) -> None:
    """Nor has whoever's hash is none."""
    for kept in (None, "", "$argon2id$v=19$broken", "plain"):
        assert not QUICK.matches(kept, password)
