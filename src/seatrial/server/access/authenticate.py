"""From the facts of a request to its principal."""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from seatrial.server.access import keys
from seatrial.server.access.mirror import AccessMirror
from seatrial.server.access.principal import ADMIN, EVERYONE, NOBODY, Principal, Scope
from seatrial.server.core.clock import Wall
from seatrial.server.core.errors import Forbidden, Unauthenticated

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
KEY_PREFIX = keys.PREFIX.encode()
_FORWARDING = (b"forwarded", b"via", b"x-real-ip")
_host_and_port = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s/@]+)(?::[0-9]{1,5})?").fullmatch


class Authenticator:
    """Decides who a caller is; lives as long as the server.

    Args:
        admin_token: the operator's bearer token.
        known: accounts and keys.
        clock: Unix time.
        anonymous_scopes: what callers without credentials hold anywhere; `None` means `predict` and `read` where the
            listener, the peer and the Host header are loopback, nothing was forwarded, no page of elsewhere asks, and
            nothing otherwise.
        listener_is_loopback: whether the server listens on a loopback address.
        origins: of pages elsewhere that may call, as if they were here.
    """

    def __init__(
        self,
        admin_token: str,
        known: AccessMirror,
        clock: Wall,
        anonymous_scopes: Iterable[Scope] | None,
        *,
        listener_is_loopback: bool,
        origins: Iterable[str] = (),
    ) -> None:
        if not admin_token:
            raise ValueError("an empty token would let everybody in")
        self._admin_token = admin_token.encode()
        self._known = known
        self._clock = clock
        self._anonymous = None if anonymous_scopes is None else Principal("anonymous", frozenset(anonymous_scopes))
        self._listener_is_loopback = listener_is_loopback
        self._origins = frozenset(origin.encode() for origin in origins)

    def principal(self, headers: dict[bytes, bytes], peer: str | None) -> Principal:
        """The caller; raises `Unauthenticated` where credentials came that are not valid."""
        credentials = headers.get(b"authorization")
        if credentials is not None:
            return self._bearer(credentials)
        if self._anonymous is not None:
            return self._anonymous
        if not self.is_near(headers, peer):
            return NOBODY
        return EVERYONE if host_name(headers.get(b"host", b"")) in LOOPBACK_NAMES else NOBODY

    def is_near(self, headers: dict[bytes, bytes], peer: str | None) -> bool:
        """Whether the caller is on this machine, and the server for it only; a page of elsewhere is from elsewhere."""
        if not self._listener_is_loopback or not is_loopback(peer) or forwarded(headers):
            return False
        origin = headers.get(b"origin")
        return origin is None or origin in self._origins or origin.partition(b"://")[2] == headers.get(b"host")

    def now(self) -> float:
        """Unix time, as it is held against what ends."""
        return self._clock()

    def _bearer(self, credentials: bytes) -> Principal:
        kind, _, token = credentials.partition(b" ")
        if kind.lower() != b"bearer":
            raise Unauthenticated("The Authorization header takes 'Bearer <token>', nothing else.")
        token = token.strip()
        if hmac.compare_digest(token, self._admin_token):
            return ADMIN
        if token.startswith(KEY_PREFIX):
            return self._key(token.decode("latin-1"))
        text = token.decode("latin-1")
        caller = self._known.view.of_token(text, self._clock())
        if caller is None:
            raise Unauthenticated("The token is not valid, or not any more.", perhaps_new=text.count(".") == 2)  # noqa: PLR2004 - of a JWT
        return caller

    def _key(self, key: str) -> Principal:
        caller, why_not = self._known.view.of_key(keys.digest(key), self._clock())
        if caller is None:
            if not keys.well_formed(key):  # asked last: it takes longer than to know a key
                raise Unauthenticated("The API key is not whole: its checksum does not fit. Was it copied completely?")
            raise Unauthenticated(why_not, perhaps_new=True)
        self._known.note_used(caller.subject)
        return caller


def require(principal: Principal, scope: Scope) -> None:
    """Raise `Unauthenticated` or `Forbidden` unless the caller holds the scope."""
    if scope in principal.scopes:
        return
    if principal.kind == "anonymous":
        raise Unauthenticated(
            f"This needs the scope '{scope}'. Send 'Authorization: Bearer <access token or API key>'; see /docs for how"
            " to get one. The operator's own is in the file admin.token of the server's data directory."
        )
    raise Forbidden(scope)


def forwarded(headers: dict[bytes, bytes]) -> bool:
    """Whether a proxy says that it passed the request on: its peer is not the caller."""
    for name in headers:  # noqa: SIM110 - on the prediction path: a generator costs three times as much
        if name in _FORWARDING or name.startswith(b"x-forwarded-"):
            return True
    return False


@lru_cache(maxsize=1024)
def host_name(host: bytes) -> str:
    """The name in a Host header in lower case, without its port; empty where the header is malformed."""
    match = _host_and_port(host.decode("latin-1").lower())
    return match[1] if match else ""


@lru_cache(maxsize=1024)
def is_loopback(address: str | None) -> bool:
    """Whether an address or host name is this machine's own."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False
