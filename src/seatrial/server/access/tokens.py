"""Access tokens: JWTs of ours, good for minutes, and the keys that sign them.

Every token has one header, byte for byte, for each signing key. A token with any other is none of ours, whatever it
asks for: its algorithm, its key, what must be understood and where keys are to be fetched are never looked at.
"""

import base64
import hashlib
import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

from seatrial.server.access import keys

ALGORITHM, CURVE, TYPE = "ES256", "P-256", "at+jwt"
ISSUER = AUDIENCE = "seatrial"
LIFETIME = 900
"""Seconds that an access token is good for."""
SKEW = 5
"""Seconds by which a token is dated back: clocks of several machines differ."""
MAX_BYTES = 2048
"""No token of ours is longer."""
REMEMBERED = 4096
"""How many tokens a worker knows as verified; each takes 90 us of a core the first time."""

_form = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The public half of a key: a JWK. Past `retires` (Unix time) it verifies nothing any more."""

    kid: str
    public: Mapping[str, str]
    created: float
    retires: float | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `issued` and `expires` are Unix time in whole seconds."""

    account_id: str
    epoch: int
    issued: int
    expires: int


class Signer:
    """Makes tokens with one private key."""

    def __init__(self, kid: str, key: ECKey) -> None:
        self.kid = kid
        self._key = key

    def sign(self, account_id: str, epoch: int, now: float) -> str:
        """A token for somebody, good for `LIFETIME` seconds."""
        issued = int(now) - SKEW
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": account_id, "epoch": epoch, "jti": keys.random_id(16),
            "iat": issued, "nbf": issued, "exp": int(now) + LIFETIME,
        }  # fmt: skip
        return jwt.encode(_header(self.kid), claims, self._key, algorithms=[ALGORITHM], default_type=None)


class Verifier:
    """Reads tokens that one of these keys has signed; remembers those that it has verified."""

    def __init__(self, signing: tuple[SigningKey, ...] = ()) -> None:
        self._keys = {_encoded(_header(key.kid)): (key.retires, ECKey.import_key(dict(key.public))) for key in signing}
        self._known: OrderedDict[str, Claims] = OrderedDict()

    def read(self, token: str, now: float) -> Claims | None:
        """What a token says; nothing where it is not good now."""
        if len(token) > MAX_BYTES or not _form(token):
            return None
        retires, key = self._keys.get(token.partition(".")[0], (None, None))
        if key is None or (retires is not None and now >= retires):
            return None
        claims = self._known.get(token) or self._verified(token, key)
        if claims is None or not claims.issued <= now < claims.expires:
            return None
        return claims

    def _verified(self, token: str, key: ECKey) -> Claims | None:
        try:
            claims = _claims(jwt.decode(token, key, algorithms=[ALGORITHM]).claims)
        except (JoseError, ValueError, KeyError, TypeError):
            return None
        self._known[token] = claims
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return claims


def _claims(said: Mapping[str, Any]) -> Claims:
    """Raises `ValueError`, `KeyError` or `TypeError` where something is missing or wrong."""
    if said["iss"] != ISSUER or said["aud"] != AUDIENCE:
        raise ValueError("it is not for this server")
    numbers = said["epoch"], max(said["iat"], said["nbf"]), said["exp"]
    if not all(type(number) is int for number in numbers) or not isinstance(said["sub"], str):
        raise ValueError("a claim is of the wrong type")
    return Claims(said["sub"], *numbers)


def _header(kid: str) -> dict[str, str]:
    return {"alg": ALGORITHM, "typ": TYPE, "kid": kid}


def _encoded(header: Mapping[str, str]) -> str:
    """A header as it stands in a token."""
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode("ascii")


def new_signing_key(secret: bytes, now: float) -> tuple[SigningKey, str]:
    """A key to sign with: its public half, and all of it sealed under the server's secret."""
    key = ECKey.generate_key(CURVE)
    kid = keys.random_id(16)
    public: dict[str, str] = {name: str(value) for name, value in key.as_dict(private=False).items()}
    whole = json.dumps(key.as_dict(private=True)).encode()
    sealed = jwe.encrypt_compact(_SEAL, whole, _sealing_key(secret), algorithms=list(_SEAL.values()))
    return SigningKey(kid, {**public, "kid": kid, "alg": ALGORITHM, "use": "sig"}, now), sealed


def open_signer(kid: str, sealed: str, secret: bytes) -> Signer:
    """The signer of a sealed key; raises `ValueError` where it was not sealed under this secret."""
    try:
        whole = jwe.decrypt_compact(sealed, _sealing_key(secret), algorithms=list(_SEAL.values())).plaintext
    except (JoseError, ValueError) as error:
        raise ValueError(
            f"the signing key {kid} was sealed under another SEATRIAL_SECRET_KEY, or is damaged: set that one, or let "
            "`seatrial keys rotate-signing` make another key under this one"
        ) from error
    return Signer(kid, ECKey.import_key(json.loads(whole or b"{}")))


_SEAL = {"alg": "dir", "enc": "A256GCM"}


def _sealing_key(secret: bytes) -> OctKey:
    return OctKey.import_key(hmac.digest(secret, b"seatrial signing keys", hashlib.sha256))
