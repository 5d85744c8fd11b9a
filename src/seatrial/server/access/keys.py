"""API keys: `st_`, 27 characters of 160 random bits, 6 of a checksum, so that a mistyped one is known at once."""

import hashlib
import secrets
import zlib

PREFIX = "st_"
BITS = 160
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARACTERS, CHECK_CHARACTERS = 27, 6
LENGTH = len(PREFIX) + RANDOM_CHARACTERS + CHECK_CHARACTERS


def new_key() -> str:
    """A key that nobody has had."""
    return sealed(base62(secrets.randbits(BITS), RANDOM_CHARACTERS))


def sealed(random: str) -> str:
    """The key with this random part."""
    return f"{PREFIX}{random}{base62(zlib.crc32(random.encode('ascii')), CHECK_CHARACTERS)}"


def well_formed(key: str) -> bool:
    """Whether this can be a key at all: its form, and its checksum."""
    random = key[len(PREFIX) : -CHECK_CHARACTERS]
    return len(key) == LENGTH and key.isascii() and key == sealed(random)


def digest(secret: str) -> str:
    """What is kept of a key or refresh token: enough to know it again, too little to make it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def random_id(characters: int) -> str:
    """An id that cannot be guessed from others."""
    return "".join(secrets.choice(ALPHABET) for _ in range(characters))


def base62(number: int, width: int) -> str:
    """A number in base 62, with zeros before it."""
    digits = []
    while number:
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)).rjust(width, ALPHABET[0])
