"""The checks that come before a request is read: the host, the caller, the headers of a body."""

import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from seatrial.contracts.record import TRIAL_HEADER
from seatrial.server.access.audit import Origin
from seatrial.server.access.authenticate import Authenticator, host_name, require
from seatrial.server.access.principal import NOBODY, Kind, Principal, Scope
from seatrial.server.core.errors import (
    AccountNeeded,
    BodyTooLarge,
    InvalidHeader,
    Unauthenticated,
    UnknownHost,
    UnsupportedMediaType,
)
from seatrial.server.limits.address import Addresses, network_of
from seatrial.server.services.limiting import Admission, Limiter, RawHeaders

Headers = dict[bytes, bytes]

_seconds = re.compile(rb"\+?(\d{1,20}\.?\d{0,20}|\.\d{1,20})([eE][+-]?\d{1,3})?").fullmatch
TRIAL = TRIAL_HEADER.lower().encode()
_ONCE = (b"host", b"authorization", b"content-type", b"content-encoding", b"x-request-timeout", TRIAL)
_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")


@dataclass(frozen=True, slots=True)
class Guard:
    """What is asked of every request; lives as long as the server.

    `allowed_hosts` of `None` allows any. `catch_up` lets this worker see keys and accounts that are newer than its
    copy.
    """

    authenticator: Authenticator
    limiter: Limiter
    addresses: Addresses
    allowed_hosts: frozenset[str] | None
    max_body_bytes: int
    request_timeout: float
    catch_up: Callable[[], Awaitable[None]]

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

    async def identify(self, headers: Headers, peer: str | None) -> Principal:
        """The caller; raises `Unauthenticated` where credentials came that are not valid."""
        try:
            return self.authenticator.principal(headers, peer)
        except Unauthenticated as error:
            if not error.perhaps_new:
                raise
        await self.catch_up()
        return self.authenticator.principal(headers, peer)

    async def admit(
        self, headers: Headers, peer: str | None, scope: Scope, say: RawHeaders
    ) -> tuple[Principal, Admission]:
        """The caller, and a call of theirs to be ended; what is left of their rate is added to the answer's headers.

        Raises:
            Unauthenticated, Forbidden: they do not hold the scope.
            LimitExceeded: they may not call now.
        """
        caller = await self.identify(headers, peer)
        require(caller, scope)
        return caller, await self.count(caller, headers, peer, say)

    def admit_now(self, headers: Headers, peer: str | None, scope: Scope, say: RawHeaders) -> Admission | None:
        """The same where nothing has to be waited for; where something has, `None`, and nothing is counted."""
        if not self.limiter.counts_here:
            return None
        try:
            caller = self.authenticator.principal(headers, peer)
        except Unauthenticated as error:
            if error.perhaps_new:
                return None
            raise
        require(caller, scope)
        network, near = self._place(caller, headers, peer)
        return self.limiter.admit_here(caller, network, near=near, say=say)

    async def count(self, caller: Principal, headers: Headers, peer: str | None, say: RawHeaders) -> Admission:
        """A call of somebody, to be ended; raises `LimitExceeded`."""
        network, near = self._place(caller, headers, peer)
        return await self.limiter.admit(caller, network, near=near, say=say)

    def _place(self, caller: Principal, headers: Headers, peer: str | None) -> tuple[str, bool]:
        """What counts as one caller, of those without credentials, and whether they are on this machine."""
        if caller.kind != "anonymous":
            return "", False
        return network_of(self.addresses.caller(peer, headers)), self.authenticator.is_near(headers, peer)

    async def admit_anybody(self, request: Request) -> None:
        """Count a call that needs no credentials, whoever makes it; raises `LimitExceeded`."""
        headers = dict(request.scope["headers"])
        (await self.count(NOBODY, headers, _peer(request), request.state.headers)).end()

    def came_by_tls(self, headers: Headers, peer: str | None) -> bool:
        """Whether a proxy that is trusted says so."""
        if headers.get(b"x-forwarded-proto", b"").strip().lower() != b"https":
            return False
        return peer is not None and self.addresses.is_trusted(peer)

    def is_near(self, request: Request) -> bool:
        """Whether a request comes from this machine, to a server for it only, and by no proxy."""
        return self.authenticator.is_near(dict(request.scope["headers"]), _peer(request))

    def network(self, request: Request) -> str:
        """What counts as one caller, of those without credentials."""
        return network_of(self.addresses.caller(_peer(request), dict(request.scope["headers"])))

    def origin(self, request: Request) -> Origin:
        """From where a request came, for the audit."""
        address = self.addresses.caller(_peer(request), dict(request.scope["headers"]))
        return Origin(address[:64], request.state.request_id)

    def check_body(self, headers: Headers) -> None:
        """Raise `UnsupportedMediaType` or `BodyTooLarge` by what the headers declare. No content type means JSON."""
        content_type = headers.get(b"content-type")
        if content_type is not None and content_type not in _JSON and not _is_json(content_type):
            shown = content_type[:100].decode("latin-1")
            detail = f"The body is read as application/json in UTF-8; the request says '{shown}'."
            raise UnsupportedMediaType(detail, {"Accept": "application/json"})
        check_transfer(headers)
        self.check_size(int(headers.get(b"content-length", b"0")))

    def check_size(self, size: int) -> None:
        """Raise `BodyTooLarge` for a body of so many bytes."""
        if size > self.max_body_bytes:
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
    if headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
        raise InvalidHeader("The only Transfer-Encoding that is read is 'chunked'.")
    if b"upgrade" in headers:
        raise InvalidHeader("This server speaks HTTP/1.1 only; send the request without an Upgrade header.")


def _is_json(content_type: bytes) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    charsets = [part.partition(b"=")[2].strip(b'" ') for part in parameters if part.startswith(b"charset=")]
    return media_type == b"application/json" and all(charset in {b"utf-8", b"utf8"} for charset in charsets)


def _peer(request: Request) -> str | None:
    client = request.scope["client"]
    return client[0] if client else None


_bearer = HTTPBearer(
    auto_error=False, description="An access token or an API key. Loopback callers need none to predict and read."
)
POLICIES: dict[object, str] = {}
"""What each check of this module asks for: a route without one of them has no policy, and is not served."""


def needs(scope: Scope, guard: Guard, *, limited: bool | None = None) -> Callable[..., AsyncIterator[Principal]]:
    """A dependency that lets only callers with this scope through, and gives who they are.

    Their calls are counted where they change something, or `limited` says so.
    """
    counted = scope != "read" if limited is None else limited

    async def check(request: Request, _: object = Depends(_bearer)) -> AsyncIterator[Principal]:
        headers = dict(request.scope["headers"])
        if not counted:
            caller = await guard.identify(headers, _peer(request))
            require(caller, scope)
            yield caller
            return
        caller, admission = await guard.admit(headers, _peer(request), scope, request.state.headers)
        try:
            yield caller
        finally:
            admission.end()

    POLICIES[check] = scope
    return check


def needs_caller(guard: Guard, *kinds: Kind) -> Callable[..., Awaitable[Principal]]:
    """A dependency that lets callers with credentials through, and gives who they are; if of some kinds, only those."""

    async def check(request: Request, _: object = Depends(_bearer)) -> Principal:
        headers = dict(request.scope["headers"])
        caller = await guard.identify(headers, _peer(request))
        if caller.kind == "anonymous":
            raise Unauthenticated("This needs credentials: send 'Authorization: Bearer <access token>'.")
        if kinds and caller.kind not in kinds:
            raise AccountNeeded
        (await guard.count(caller, headers, _peer(request), request.state.headers)).end()
        return caller

    POLICIES[check] = "account" if kinds else "own"
    return check


def policies_of(router: APIRouter) -> dict[tuple[str, str], str]:
    """Which scope each route of a router asks for, or `own`, or `none`, by method and path.

    Raises `TypeError` for a route that does not say who may call it.
    """
    found: dict[tuple[str, str], str] = {}
    for route in router.routes:
        if isinstance(route, APIRoute):
            policies = [POLICIES[call] for call in _calls(route.dependant) if call in POLICIES]
            if not policies:
                raise TypeError(f"{route.path} says not who may call it: `needs`, `needs_caller` or `open_to_all` does")
            found |= {(method, route.path): policies[0] for method in route.methods or ()}
    return found


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


async def open_to_all() -> None:
    """A dependency of routes that anybody may call."""


POLICIES[open_to_all] = "none"
ANYBODY = [Depends(open_to_all)]
"""The dependencies of a route that anybody may call."""
