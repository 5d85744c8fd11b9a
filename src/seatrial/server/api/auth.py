"""The routes of accounts: register, log in, refresh, log out, me, another password."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from seatrial.server.access.audit import Deed
from seatrial.server.access.keys import digest
from seatrial.server.access.mirror import AccessMirror
from seatrial.server.access.principal import Principal
from seatrial.server.api.access_schemas import (
    AcceptedView,
    CredentialsView,
    JwksView,
    MeView,
    PasswordView,
    RefreshView,
    TokensView,
)
from seatrial.server.api.document import read_document
from seatrial.server.api.guard import ANYBODY, Guard, needs_caller
from seatrial.server.api.openapi import body_of, problems
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import InvalidInput, LimitExceeded, RegistrationClosed, StorageUnavailable
from seatrial.server.limits.rate import Rate
from seatrial.server.services.accounts import AccountService, Tokens, normal
from seatrial.server.services.bounded import BoundedExecutor, Do
from seatrial.server.services.limiting import Limiter

Result = TypeVar("Result")

TRIES_OF_ADDRESS = Rate(50, 900)
"""Tries of passwords from one address, whoever they are for, that come back: one every 18 s."""
TRIES_OF_ACCOUNT = Rate(10, 3600)
"""Tries for one account from where it has never logged in; from where it has, each place has as many for itself."""
ACCOUNTS_OF_ADDRESS = Rate(20, 3600)
"""Accounts that may be opened from one address."""

ACCEPTED = "If the address had no account, it has one now: log in with it."


@dataclass(frozen=True, slots=True)
class Desk:
    """What these routes work with; lives as long as the server. `note` hears of deeds that change nothing.

    `registration` of `None` lets those open accounts who are on this machine, if the server is for it only.
    """

    guard: Guard
    limiter: Limiter
    accounts: AccountService
    threads: BoundedExecutor
    known: AccessMirror
    registration: bool | None
    clock: Monotonic
    note: Callable[[Deed], None]

    async def try_password(self, request: Request, email: str, work: Callable[[], Result]) -> Result:
        """What `work` with a password returns, once it is its turn. Only a wrong one stays counted as a try.

        It is counted when its turn comes: those who wait, however many, have not guessed yet.

        Raises:
            Busy: too many wait for their turn.
            LimitExceeded: there were too many tries.
        """
        async with self.threads.turn() as do:
            counted = await self._count_try(do, request, normal(email))
            try:
                done = await do(work)
            except (StorageUnavailable, InvalidInput):
                _undo(counted)
                raise
        _undo(counted)
        return done

    async def _count_try(self, do: Do, request: Request, address: str) -> list[Callable[[], object]]:
        """Count a try at somebody's password; what this returns, called, undoes that.

        Whoever guesses from elsewhere uses up what is allowed there, and not what the owner has where they come from.
        """
        network = self.guard.network(request)
        known = await do(partial(self.accounts.knows, address, network))
        place = f":{network}" if known else ""
        counted: list[Callable[[], object]] = []
        try:
            counted.append(await self.limiter.throttle(f"tries:address:{network}", TRIES_OF_ADDRESS))
            account = f"tries:account:{digest(address)[:32]}{place}"
            counted.append(await self.limiter.throttle(account, TRIES_OF_ACCOUNT))
        except LimitExceeded:
            _undo(counted)  # nobody has looked at a password
            self.note(Deed("authn_login_throttled", "unknown", address, self.guard.origin(request), "failure"))
            raise
        return counted


def auth_routes(desk: Desk) -> APIRouter:
    """`/auth/*` but keys, and `/.well-known/jwks.json`."""
    router = APIRouter(tags=["access"])
    guard, clock = desk.guard, desk.clock
    _register(router, desk)
    _sessions(router, desk)

    @router.get("/auth/me", summary="Who am I?", response_model=MeView, responses=problems(400, 401, 429, 500))
    async def me(caller: Annotated[Principal, Depends(needs_caller(guard))]) -> dict[str, Any]:
        """Who is asking, and what they may do."""
        account = desk.known.view.account(caller.subject) if caller.kind == "user" else None
        role = account.role if account else None
        return {"name": caller.name, "kind": caller.kind, "role": role, "scopes": sorted(caller.scopes)}

    @router.post(
        "/auth/password",
        summary="Another password",
        response_model=TokensView,
        responses=problems(400, 401, 403, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra=body_of(PasswordView),
    )
    async def change_password(
        request: Request, caller: Annotated[Principal, Depends(needs_caller(guard, "user"))]
    ) -> dict[str, Any]:
        """Change the password: all other sessions end, and these tokens take the place of the old ones."""
        wish = await read_document(request, guard, PasswordView, clock)
        where = guard.network(request), guard.origin(request)
        work = partial(desk.accounts.change_password, caller, wish.old_password, wish.new_password, *where)
        return _told(await desk.try_password(request, caller.name.removeprefix("user:"), work))

    @router.get(
        "/.well-known/jwks.json",
        summary="Our public keys",
        response_model=JwksView,
        responses=problems(400, 500),
        dependencies=ANYBODY,
    )
    async def jwks(response: Response) -> dict[str, Any]:
        """The keys that access tokens are signed with, for others who check them."""
        response.headers["Cache-Control"] = "public, max-age=60"
        now = guard.authenticator.now()
        good = [key for key in desk.known.view.signing if key.retires is None or key.retires > now]
        return {"keys": [dict(key.public) for key in good]}

    return router


def _register(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/auth/register",
        status_code=202,
        summary="Open an account",
        response_model=AcceptedView,
        responses=problems(400, 403, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra=body_of(CredentialsView),
        dependencies=ANYBODY,
    )
    async def register(request: Request) -> dict[str, Any]:
        """Open an account that may predict and read. The answer is the same for an address that has one."""
        guard = desk.guard
        await guard.admit_anybody(request)
        if not (guard.is_near(request) if desk.registration is None else desk.registration):
            raise RegistrationClosed
        wish = await read_document(request, guard, CredentialsView, desk.clock)
        desk.accounts.new_account(wish.email, wish.password, "viewer")
        await desk.limiter.throttle(f"accounts:address:{guard.network(request)}", ACCOUNTS_OF_ADDRESS)
        await desk.threads.run(partial(desk.accounts.register, wish.email, wish.password, guard.origin(request)))
        return {"status": "accepted", "detail": ACCEPTED}


def _sessions(router: APIRouter, desk: Desk) -> None:
    guard, clock = desk.guard, desk.clock

    @router.post(
        "/auth/login",
        summary="Log in",
        response_model=TokensView,
        responses=problems(400, 401, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra=body_of(CredentialsView),
        dependencies=ANYBODY,
    )
    async def login(request: Request) -> dict[str, Any]:
        """Tokens for an address and its password."""
        await guard.admit_anybody(request)
        wish = await read_document(request, guard, CredentialsView, clock)
        where = guard.network(request), guard.origin(request)
        work = partial(desk.accounts.login, wish.email, wish.password, *where)
        return _told(await desk.try_password(request, wish.email, work))

    @router.post(
        "/auth/refresh",
        summary="New tokens for old",
        response_model=TokensView,
        responses=problems(400, 401, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra=body_of(RefreshView),
        dependencies=ANYBODY,
    )
    async def refresh(request: Request) -> dict[str, Any]:
        """Exchange a refresh token, which is good once. One that comes again later ends its session."""
        await guard.admit_anybody(request)
        wish = await read_document(request, guard, RefreshView, clock)
        return _told(await run_in_threadpool(desk.accounts.refresh, wish.refresh_token, guard.origin(request)))

    @router.post(
        "/auth/logout",
        status_code=204,
        summary="Log out",
        responses=problems(400, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra=body_of(RefreshView),
        dependencies=ANYBODY,
    )
    async def logout(request: Request) -> Response:
        """End the session of a refresh token. Its access token ends by itself, minutes later."""
        await guard.admit_anybody(request)
        wish = await read_document(request, guard, RefreshView, clock)
        await run_in_threadpool(desk.accounts.logout, wish.refresh_token, guard.origin(request))
        return Response(status_code=204)


def _told(tokens: Tokens) -> dict[str, Any]:
    return {"access_token": tokens.access, "expires_in": tokens.expires_in, "refresh_token": tokens.refresh}


def _undo(counted: list[Callable[[], object]]) -> None:
    """Take back that a try was counted."""
    for undo in counted:
        undo()
