"""Who comes in: accounts, keys, limits and the audit of one worker, joined. A part of the composition root."""

import asyncio
import math
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from structlog.typing import FilteringBoundLogger

from seatrial.server.access.audit import Deed, Origin
from seatrial.server.access.authenticate import LOOPBACK_NAMES, Authenticator, is_loopback
from seatrial.server.access.mirror import AccessMirror
from seatrial.server.access.passwords import Passwords
from seatrial.server.api.auth import Desk
from seatrial.server.api.guard import Guard
from seatrial.server.core import clock
from seatrial.server.core.cores import allowed_cores
from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.core.observe import Observer
from seatrial.server.core.tasks import Tasks
from seatrial.server.limits.address import Addresses
from seatrial.server.limits.ports import LimitsLost
from seatrial.server.registry.model import ModelVersion
from seatrial.server.services.accounts import AccountService
from seatrial.server.services.bounded import BoundedExecutor
from seatrial.server.services.keys import KeyService
from seatrial.server.services.limiting import Limiter, Policy
from seatrial.server.services.trail import Trail
from seatrial.server.settings import Settings
from seatrial.server.storage.redis import RedisLimits
from seatrial.server.storage.registry import SqlRegistry
from seatrial.server.storage.secrets import ADMIN_TOKEN, own_secret, secret_key

PASSWORDS_WAITING = 128
"""How many passwords may wait to be hashed: some seconds of work for one thread."""
CATCH_UP_SECONDS = 0.05
"""How often at most the database is asked about a caller whom a worker does not know."""


class Access:
    """Who may do what, and how much: accounts, keys, limits and the audit of one worker, joined."""

    def __init__(
        self, settings: Settings, database: SqlRegistry, observer: Observer, log: FilteringBoundLogger
    ) -> None:
        loopback = is_loopback(settings.host)
        self.trail = Trail(database.audit, partial(_log_deed, log))
        self._known = AccessMirror(database.keys, clock.wall, database.stamp)
        registration = settings.registration == "open" if settings.registration else None
        url = settings.redis_url
        self._shared = RedisLimits(url.get_secret_value(), say=partial(log_state, log)) if url else None
        self._tasks = Tasks()
        near = settings.anonymous_rate_limit if "anonymous_rate_limit" in settings.model_fields_set else None
        policy = Policy(settings.rate_limit, settings.anonymous_rate_limit, near, settings.workers)
        self._limiter = Limiter(
            policy, clock.monotonic, self._shared, self._soon, self._note_exceeded, observer.limits_lost
        )
        token = own_secret(settings.data_dir, ADMIN_TOKEN)
        self.guard = Guard(
            Authenticator(
                token,
                self._known,
                clock.wall,
                settings.anonymous_scopes,
                listener_is_loopback=loopback,
                origins=settings.cors_origins,
            ),
            self._limiter,
            Addresses(settings.trusted_proxies),
            _hosts(settings),
            settings.max_body_bytes,
            settings.request_timeout,
            self._catch_up,
        )
        threads = max(1, allowed_cores() // 2 // settings.workers)
        self._threads = BoundedExecutor(
            "Too many passwords are being checked at this moment.", threads, PASSWORDS_WAITING
        )
        self._accounts = AccountService(
            database.accounts,
            database.keys,
            Passwords(),
            secret_key(settings.data_dir, settings.secret_key),
            clock.wall,
            self._known.refresh,
        )
        self.keys = KeyService(database.keys, database.keys, clock.wall, self._known.refresh, settings.rate_limit)
        self.desk = Desk(
            self.guard, self._limiter, self._accounts, self._threads, self._known, registration,
            clock.monotonic, self.trail.note,
        )  # fmt: skip
        self._caught_up = -math.inf
        self._looking = asyncio.Lock()
        self._next_look: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """See what others have changed, and write what is to be written; called in a thread, by one at a time."""
        self._known.refresh()
        self._known.write_used()
        self.trail.flush()

    def note_registered(self, version: ModelVersion, who: str, origin: Origin) -> None:
        """A version came in."""
        self.trail.note(Deed("model_registered", who, f"{version.model_id} {version.manifest.digest}", origin))

    async def close(self) -> None:
        """Write what is left, and hang up."""
        self._threads.close()
        with suppress(StorageUnavailable):
            await asyncio.to_thread(self.trail.flush)
        if self._shared:
            await self._shared.close()

    async def _catch_up(self) -> None:
        """Somebody came whom this worker does not know: perhaps another one has let them in just now.

        All who come before a look begins wait for that one; a look that goes on may have read too early for them.
        """
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look())
        await asyncio.shield(self._next_look)

    async def _look(self) -> None:
        async with self._looking:
            await asyncio.sleep(self._caught_up + CATCH_UP_SECONDS - clock.monotonic())
            self._next_look, self._caught_up = None, clock.monotonic()
            with suppress(StorageUnavailable):
                await asyncio.to_thread(self._known.refresh)

    def _note_exceeded(self, name: str, request_id: str) -> None:
        kind, _, network = name.partition(":")
        address = network if kind == "address" else ""
        self.trail.note(Deed("rate_limit_exceeded", name, "", Origin(address, request_id), "failure"))

    def _soon(self, call: Coroutine[Any, Any, None]) -> None:
        """Tell the shared store something that nobody waits for; its leases end by themselves."""

        async def tell() -> None:
            with suppress(LimitsLost):
                await call

        self._tasks.begin(tell())


def _hosts(settings: Settings) -> frozenset[str] | None:
    if settings.allowed_hosts is not None:
        return frozenset(name.lower() for name in settings.allowed_hosts)
    return LOOPBACK_NAMES | {settings.host} if is_loopback(settings.host) else None


def _log_deed(log: FilteringBoundLogger, deed: Deed) -> None:
    told = {"who": deed.who, "subject": deed.subject, "outcome": deed.outcome}
    log.info(deed.event, **told, address=deed.origin.address, request_id=deed.origin.request_id)


def log_state(log: FilteringBoundLogger, event: str, detail: str) -> None:
    """Say of something that a worker depends on that it is lost, or back."""
    level = log.error if event.endswith("_lost") else log.info
    level(event, detail=detail)
