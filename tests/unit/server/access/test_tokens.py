"""Access tokens: what ours say, and that no other is one of ours."""

import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import ECKey

from seatrial.server.access import keys
from seatrial.server.access.tokens import (
    LIFETIME,
    MAX_BYTES,
    REMEMBERED,
    SKEW,
    Claims,
    Signer,
    SigningKey,
    Verifier,
    new_signing_key,
    open_signer,
)

NOW = 1_800_000_000.25
SECRET = b"0123456789abcdef0123456789abcdef"
PRIVATE = ECKey.generate_key("P-256")
KEY = SigningKey("k1", {**PRIVATE.as_dict(private=False), "kid": "k1", "alg": "ES256"}, NOW)  # type: ignore[dict-item]
SIGNER = Signer("k1", PRIVATE)
HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
CLAIMS = {
    "iss": "seatrial", "aud": "seatrial", "sub": "a1", "epoch": 3, "jti": "x",
    "iat": int(NOW), "nbf": int(NOW), "exp": int(NOW) + 900,
}  # fmt: skip


def forged(header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None, key: Any = PRIVATE) -> str:  # noqa: ANN401 - a key of any kind
    """A token with another header or other claims, signed."""
    header = HEADER | (header or {})
    said = {name: value for name, value in (CLAIMS | (claims or {})).items() if value is not ...}
    return jwt.encode(header, said, key, algorithms=[header["alg"]], default_type=None)


def encoded(document: object) -> str:
    return _base64(json.dumps(document, separators=(",", ":")).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def read(token: str, now: float = NOW) -> Claims | None:
    return Verifier((KEY,)).read(token, now)


def test_a_token_says_whose_it_is() -> None:
    """For a quarter of an hour; what we forge right is as good, so what follows is refused for what it says."""
    verifier, token = Verifier((KEY,)), SIGNER.sign("a1", 3, NOW)
    expected = Claims("a1", 3, int(NOW) - SKEW, int(NOW) + LIFETIME)

    assert verifier.read(token, NOW) == verifier.read(token, NOW) == expected
    assert read(forged()) == Claims("a1", 3, int(NOW), int(NOW) + LIFETIME)
    assert LIFETIME == 900
    assert token != SIGNER.sign("a1", 3, NOW)


@pytest.mark.proves("S13")
def test_a_token_ends() -> None:
    """At its second, also where it was verified before; and it is not good before, but for clocks that differ."""
    verifier, token = Verifier((KEY,)), SIGNER.sign("a1", 3, NOW)

    assert verifier.read(token, int(NOW) + 899.9)
    assert verifier.read(token, int(NOW) + 900) is None
    assert verifier.read(token, int(NOW) - SKEW)
    assert verifier.read(token, int(NOW) - SKEW - 0.1) is None


@pytest.mark.proves("S10")
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AAAA", "good"])
def test_a_token_without_an_algorithm(algorithm: str, signature: str) -> None:
    """Unsigned, or with any signature."""
    good = SIGNER.sign("a1", 3, NOW).rpartition(".")[2]
    unsigned = f"{encoded(HEADER | {'alg': algorithm})}.{encoded(CLAIMS)}.{good if signature == 'good' else signature}"

    assert read(unsigned) is None


@pytest.mark.proves("S10")
def test_a_token_of_another_algorithm() -> None:
    """HMAC with our public key in each of its forms, and a good signature of a kind that we do not use."""
    payload = encoded(CLAIMS)
    for algorithm, hashed in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for public in (
            PRIVATE.as_pem(private=False),
            PRIVATE.as_der(private=False),
            json.dumps(dict(KEY.public)).encode(),
        ):
            signed = f"{encoded(HEADER | {'alg': algorithm})}.{payload}"
            assert read(f"{signed}.{_base64(hmac.digest(public, signed.encode(), hashed))}") is None
    assert read(forged({"alg": "ES384"}, key=ECKey.generate_key("P-384"))) is None
    assert read(SIGNER.sign("a1", 3, NOW).replace(encoded(HEADER), encoded(HEADER | {"alg": "HS256"}))) is None


@pytest.mark.proves("S11")
@pytest.mark.parametrize(
    "more",
    [
        {"jwk": "own"}, {"jku": "https://evil.example/k"}, {"x5u": "https://evil.example/c"}, {"x5c": ["MIIB"]},
        {"crit": ["exp"], "exp": 1}, {"crit": ["unheard-of"], "unheard-of": 1}, {"crit": []},
        {"b64": False, "crit": ["b64"]}, {"zip": "DEF"}, {"cty": "JWT"},
    ],
)  # fmt: skip
def test_a_header_that_asks_for_more(more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with the key that it brings nor with ours; nobody is called, and the header is not even read."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("somebody was called"))
    own = ECKey.generate_key("P-256")
    header = HEADER | ({"jwk": own.as_dict(private=False)} if "jwk" in more else more)
    for key in (own, PRIVATE):
        payload = encoded(CLAIMS)
        signature = _signature(f"{encoded(header)}.{payload}", key)
        assert read(f"{encoded(header)}.{payload}.{signature}") is None


def _signature(signed: str, key: ECKey) -> str:
    """A good ES256 signature of any text."""
    assert key.private_key is not None
    r, s = decode_dss_signature(key.private_key.sign(signed.encode(), ECDSA(SHA256())))
    return _base64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def test_the_signatures_of_these_tests_are_good() -> None:
    """With our header and our key it is our token: else the test before shows nothing."""
    signed = f"{encoded(HEADER)}.{encoded(CLAIMS)}"

    assert read(f"{signed}.{_signature(signed, PRIVATE)}") is not None


@pytest.mark.proves("S12")
@pytest.mark.parametrize(
    "kid",
    [
        "k2",
        "",
        "k1 ",
        "K1",
        "k" * 10_240,
        "../../etc/passwd",
        "k1' OR '1'='1",
        'k1"',
        "k1\x00",
        "κ1",
        None,
        1,
        ["k1"],
        {},
    ],
)
def test_a_kid_that_is_not_ours(kid: object) -> None:
    """Whatever it is: the token is signed right, and none."""
    header = encoded(HEADER | {"kid": kid})
    signed = f"{header}.{encoded(CLAIMS)}"

    assert read(f"{signed}.{_signature(signed, PRIVATE)}") is None


@pytest.mark.proves("S13")
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "seatrial.example"}, {"iss": "seatria"}, {"iss": ["seatrial"]}, {"iss": ...}, {"iss": None},
        {"aud": "other"}, {"aud": ["seatrial"]}, {"aud": "seatrial "}, {"aud": ...},
        {"exp": ...}, {"exp": int(NOW)}, {"exp": int(NOW) - 1}, {"exp": "1900000000"}, {"exp": 1.9e9}, {"exp": True},
        {"exp": None}, {"nbf": int(NOW) + 1}, {"nbf": ...}, {"nbf": "0"}, {"iat": int(NOW) + 1}, {"iat": ...},
        {"sub": ...}, {"sub": 7}, {"sub": None}, {"epoch": ...}, {"epoch": "3"}, {"epoch": True}, {"epoch": 3.0},
    ],
)  # fmt: skip
def test_claims_that_are_not_ours(claims: dict[str, Any]) -> None:
    """Signed by us, and still for another, over, not yet good, or of another form."""
    assert read(forged(claims=claims)) is None


@pytest.mark.proves("S14")
@pytest.mark.parametrize("kind", ["JWT", "at+JWT", "application/at+jwt", "refresh+jwt", ""])
def test_a_token_of_another_type(kind: str) -> None:
    """Whoever signs something else with this key has made no access token."""
    assert read(forged({"typ": kind})) is None


@pytest.mark.proves("S14")
@pytest.mark.parametrize(
    "text", ["sr_" + "a" * 49, keys.sealed("a" * 27), "", ".", "..", "a.b", "a.b.c.d", "a.b.c\n", "a.b.c"]
)
def test_what_is_no_token(text: str) -> None:
    """A refresh token, an API key, anything."""
    assert read(text) is None


def test_a_token_that_was_changed() -> None:
    """In any place; or made longer than any of ours."""
    token = SIGNER.sign("a1", 3, NOW)
    for place in range(0, len(token) - 1, 7):
        other = "A" if token[place] != "A" else "B"
        assert read(token[:place] + other + token[place + 1 :]) is None
    assert read(f"{token}{'A' * MAX_BYTES}") is None
    assert read(f"{token}=") is None


def test_a_worker_remembers_a_bounded_number_of_tokens() -> None:
    """The oldest are verified again."""
    verifier = Verifier((KEY,))
    token = SIGNER.sign("a1", 3, NOW)
    assert verifier.read(token, NOW)
    for number in range(REMEMBERED):
        verifier._known[str(number)] = Claims("a1", 3, 0, 0)  # noqa: SLF001 - signing as many would take long
    assert verifier.read(SIGNER.sign("a1", 3, NOW), NOW)

    assert len(verifier._known) == REMEMBERED + 1  # noqa: SLF001 - what it is about
    assert verifier.read(token, NOW)


@pytest.mark.proves("S15")
def test_signing_keys_overlap() -> None:
    """What the old key has signed is good until it retires, also where it was verified before."""
    old, sealed = new_signing_key(SECRET, NOW)
    new, sealed_new = new_signing_key(SECRET, NOW)
    verifier = Verifier((new, replace(old, retires=NOW + 60)))
    of_old = open_signer(old.kid, sealed, SECRET).sign("a1", 0, NOW)
    of_new = open_signer(new.kid, sealed_new, SECRET).sign("a1", 0, NOW)

    assert verifier.read(of_old, NOW + 59.9)
    assert verifier.read(of_old, NOW + 60) is None
    assert verifier.read(of_new, NOW + 60)
    assert Verifier((new,)).read(of_old, NOW) is None


@pytest.mark.proves("S15")
def test_a_private_key_is_kept_under_the_servers_secret() -> None:
    """What is kept shows nothing of it, and opens with the same secret only; the text says what to do."""
    key, sealed = new_signing_key(SECRET, NOW)
    header = json.loads(base64.urlsafe_b64decode(sealed.partition(".")[0] + "=="))

    assert header == {"alg": "dir", "enc": "A256GCM"}
    assert "d" not in key.public
    assert {"kid": key.kid, "alg": "ES256", "use": "sig", "crv": "P-256"}.items() <= key.public.items()
    assert open_signer(key.kid, sealed, SECRET).kid == key.kid
    for other, text in ((b"another secret, another secret!!", sealed), (SECRET, sealed[:-4]), (SECRET, "no.seal")):
        with pytest.raises(ValueError, match=f"the signing key {key.kid} was sealed under another SEATRIAL_SECRET_KEY"):
            open_signer(key.kid, text, other)
