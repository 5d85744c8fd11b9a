"""The checks that come before a request is read: the host, the caller, the headers of a body."""

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from seatrial.server.access.authenticate import Authenticator, host_name, require
from seatrial.server.access.principal import Principal, Scope
from seatrial.server.core.errors import BodyTooLarge, InvalidHeader, UnknownHost, UnsupportedMediaType

Headers = dict[bytes, bytes]

_seconds = re.compile(rb"\+?(\d{1,20}\.?\d{0,20}|\.\d{1,20})([eE][+-]?\d{1,3})?").fullmatch
_ONCE = (b"host", b"authorization", b"content-type", b"content-encoding", b"x-request-timeout")
_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")


@dataclass(frozen=True, slots=True)
class Guard:
    """What is asked of every request; lives as long as the server. `allowed_hosts` of `None` allows any."""

    authenticator: Authenticator
    allowed_hosts: frozenset[str] | None
    max_body_bytes: int
    request_timeout: float

    def check_host(self, headers: Headers, path: str) -> None:
        """Raise `UnknownHost` for a host that is not served; health is asked for by address, so it is exempt."""
        if self.allowed_hosts is None or path.startswith("/health"):
            return
        if host_name(headers.get(b"host", b"")) not in self.allowed_hosts:
            raise UnknownHost("The Host header names a host that this server does not answer for.")

    def check_repeated(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Raise `InvalidHeader` where a header that decides something came twice: which one would hold?"""
        names = [name for name, _ in headers]
        for name in _ONCE:
            if names.count(name) > 1:
                raise InvalidHeader(f"The header '{name.decode()}' came more than once.")

    def authorize(self, headers: Headers, peer: str | None, scope: Scope) -> Principal:
        """The caller; raises `Unauthenticated` or `Forbidden` unless they hold the scope."""
        principal = self.authenticator.principal(headers, peer)
        require(principal, scope)
        return principal

    def check_body(self, headers: Headers) -> None:
        """Raise `UnsupportedMediaType` or `BodyTooLarge` by what the headers declare. No content type means JSON."""
        content_type = headers.get(b"content-type")
        if content_type is not None and content_type not in _JSON and not _is_json(content_type):
            shown = content_type[:100].decode("latin-1")
            detail = f"The body is read as application/json in UTF-8; the request says '{shown}'."
            raise UnsupportedMediaType(detail, {"Accept": "application/json"})
        check_transfer(headers)
        if int(headers.get(b"content-length", b"0")) > self.max_body_bytes:
            raise BodyTooLarge(self.max_body_bytes)

    def timeout(self, headers: Headers) -> float:
        """Seconds that this request may take: the caller's wish, at most the setting."""
        wish = headers.get(b"x-request-timeout")
        if wish is None:
            return self.request_timeout
        seconds = float(wish) if _seconds(wish.strip()) else math.nan
        if not 0 < seconds < math.inf:
            shown = wish[:40].decode("latin-1")
            raise InvalidHeader(f"X-Request-Timeout is a positive number of seconds, not '{shown}'.")
        return min(seconds, self.request_timeout)


def check_transfer(headers: Headers) -> None:
    """Raise `UnsupportedMediaType` for a body that is compressed, `InvalidHeader` for one that would not arrive."""
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in {b"", b"identity"}:
        detail = "Compressed bodies are not read; send the body as it is."
        raise UnsupportedMediaType(detail, {"Accept-Encoding": "identity"})
    if b"upgrade" in headers:  # uvicorn then hands on no body
        raise InvalidHeader("This server speaks HTTP/1.1 only; send the request without an Upgrade header.")


def _is_json(content_type: bytes) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    charsets = [part.partition(b"=")[2].strip(b'" ') for part in parameters if part.startswith(b"charset=")]
    return media_type == b"application/json" and all(charset in {b"utf-8", b"utf8"} for charset in charsets)


_bearer = HTTPBearer(auto_error=False, description="An access token. Loopback callers need none to predict and read.")


def needs(scope: Scope, guard: Guard) -> Callable[..., Awaitable[Principal]]:
    """A dependency that lets only callers with this scope through, and gives who they are."""

    async def check(request: Request, _: object = Depends(_bearer)) -> Principal:
        peer = request.scope["client"]
        return guard.authorize(dict(request.scope["headers"]), peer[0] if peer else None, scope)

    return check
