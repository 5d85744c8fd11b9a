"""From the facts of a request to its principal."""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from seatrial.server.access.principal import ADMIN, EVERYONE, NOBODY, Principal, Scope
from seatrial.server.core.errors import Forbidden, Unauthenticated

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FORWARDING = (b"forwarded", b"via", b"x-real-ip")
_host_and_port = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s/@]+)(?::[0-9]{1,5})?").fullmatch


class Authenticator:
    """Decides who a caller is; lives as long as the server.

    Args:
        admin_token: the operator's bearer token.
        anonymous_scopes: what callers without credentials hold anywhere; `None` means `predict` and `read` where the
            listener, the peer and the Host header are loopback and nothing was forwarded, and nothing elsewhere.
        listener_is_loopback: whether the server listens on a loopback address.
    """

    def __init__(
        self, admin_token: str, anonymous_scopes: Iterable[Scope] | None, *, listener_is_loopback: bool
    ) -> None:
        if not admin_token:
            raise ValueError("an empty token would let everybody in")
        self._admin_token = admin_token.encode()
        self._anonymous = (
            None if anonymous_scopes is None else Principal("anonymous", frozenset(anonymous_scopes), anonymous=True)
        )
        self._listener_is_loopback = listener_is_loopback

    def principal(self, headers: dict[bytes, bytes], peer: str | None) -> Principal:
        """The caller; raises `Unauthenticated` where credentials came that are not valid."""
        credentials = headers.get(b"authorization")
        if credentials is not None:
            return self._bearer(credentials)
        if self._anonymous is not None:
            return self._anonymous
        if not self._listener_is_loopback or not is_loopback(peer) or forwarded(headers):
            return NOBODY
        return EVERYONE if host_name(headers.get(b"host", b"")) in LOOPBACK_NAMES else NOBODY

    def _bearer(self, credentials: bytes) -> Principal:
        kind, _, token = credentials.partition(b" ")
        if kind.lower() != b"bearer":
            raise Unauthenticated("The Authorization header takes 'Bearer <token>', nothing else.")
        if hmac.compare_digest(token.strip(), self._admin_token):
            return ADMIN
        raise Unauthenticated("The token is not valid.")


def require_choice(host: str, anonymous_scopes: Iterable[Scope] | None) -> None:
    """Where others can reach the server, somebody must have said what callers without credentials hold.

    Raises:
        ValueError: nobody has; the text says what to set.
    """
    if anonymous_scopes is None and not is_loopback(host):
        raise ValueError(
            f"SEATRIAL_HOST is {host!r}, which other machines can reach: say what callers without credentials may do.\n"
            "Set SEATRIAL_ANONYMOUS_SCOPES (or --anonymous-scopes) to predict, to read, to predict,read, "
            "or to nothing at all, which gives them nothing: SEATRIAL_ANONYMOUS_SCOPES= seatrial serve"
        )


def require(principal: Principal, scope: Scope) -> None:
    """Raise `Unauthenticated` or `Forbidden` unless the caller holds the scope."""
    if scope in principal.scopes:
        return
    if principal.anonymous:
        raise Unauthenticated(
            f"This needs the scope '{scope}'. Send 'Authorization: Bearer <token>'; the operator's token is in the file"
            " admin.token of the server's data directory. Without credentials only loopback callers are served."
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
