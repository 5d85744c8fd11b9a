"""API keys: their form, their checksum, and what is kept of them."""

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.server.access import keys

LEADING_ZERO = f"st_{'0' * 26}30RjoCE"
"""A key whose checksum begins with a zero."""


@pytest.mark.proves("S26")
def test_a_known_key() -> None:
    """CRC32 in base 62, in six characters, with a zero before it where the number is small."""
    assert 62**4 < zlib.crc32(b"0" * 26 + b"3") < 62**5
    assert keys.sealed("0" * 26 + "3") == LEADING_ZERO
    assert keys.well_formed(LEADING_ZERO)
    assert not keys.well_formed(LEADING_ZERO.replace("30R", "3R"))


@pytest.mark.proves("S26")
def test_a_new_key() -> None:
    """Its prefix, 160 random bits, its checksum; no two are the same."""
    made = {keys.new_key() for _ in range(200)}

    assert len(made) == 200
    assert all(key.startswith("st_") and len(key) == 36 and keys.well_formed(key) for key in made)
    assert len(keys.ALPHABET) ** keys.RANDOM_CHARACTERS > 2**160


@pytest.mark.proves("S26")
@pytest.mark.parametrize("place", range(36))
def test_no_other_character_in_any_place_is_well_formed(place: int) -> None:
    """A mistyped key is known without asking anybody."""
    key = keys.sealed("7Qm1ZbXc0VnLkJhGfDsAqWeRtYu")
    others = [key[:place] + sign + key[place + 1 :] for sign in keys.ALPHABET + "_-é" if sign != key[place]]

    assert [other for other in others if keys.well_formed(other)] == []


@pytest.mark.parametrize(
    "text",
    ["", "st_", "st_000000", f"{LEADING_ZERO}0", LEADING_ZERO[:-1], f" {LEADING_ZERO}", LEADING_ZERO.upper(), "é" * 36],
)
def test_what_is_no_key(text: str) -> None:
    """Too short, too long, in another case, in other signs."""
    assert not keys.well_formed(text)


@given(st.integers(min_value=0, max_value=2**160 - 1))
def test_base62_is_the_number(number: int) -> None:
    """Read back it is the same, and every one of 160 bits has one width."""
    text = keys.base62(number, keys.RANDOM_CHARACTERS)
    read = 0
    for sign in text:
        read = read * 62 + keys.ALPHABET.index(sign)

    assert (read, len(text)) == (number, keys.RANDOM_CHARACTERS)


@pytest.mark.proves("S27")
def test_what_is_kept_of_a_key() -> None:
    """Its SHA-256, whatever signs came."""
    assert keys.digest(LEADING_ZERO) == hashlib.sha256(LEADING_ZERO.encode()).hexdigest()
    assert len(keys.digest("\ud800")) == 64


def test_a_random_id() -> None:
    """As long as asked for, of letters and digits."""
    made = {keys.random_id(22) for _ in range(100)}

    assert len(made) == 100
    assert all(len(text) == 22 and text.isascii() and text.isalnum() for text in made)
