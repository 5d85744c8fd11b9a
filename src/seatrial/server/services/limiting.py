"""Limits of callers: who may do how much, in this worker or over all of them."""

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from seatrial.server.access.principal import Principal
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import Busy, LimitExceeded, whole_seconds
from seatrial.server.limits.bucket import Buckets, Slots, Taken
from seatrial.server.limits.ports import Ask, Granted, LimitsLost, SharedLimits
from seatrial.server.limits.rate import Rate

RawHeaders = list[tuple[bytes, bytes]]

AGAIN_SECONDS = 1.0
"""How long a store that failed is left alone."""
TOLD_SECONDS = 60.0
"""How often it is told of one caller that they exceed their limit."""
MOST_TOLD = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator set: the rate of keys and accounts, of addresses, and of addresses that are this machine's."""

    known: Rate | None
    anonymous: Rate | None
    near: Rate | None
    workers: int = 1

    def ask(self, caller: Principal, network: str, *, near: bool) -> Ask | None:
        """What one call of somebody is counted as; the operator is not limited."""
        if caller.kind == "operator":
            return None
        if caller.kind == "anonymous":
            rate = self.near if near else self.anonymous
            return Ask(f"address:{network}", rate) if rate else None
        ask = Ask(caller.name, caller.rate or self.known, caller.concurrency)
        return ask if ask.rate or ask.concurrency else None


class Admission:
    """A call that may go on; ended once, however it goes."""

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[], None] | None = None) -> None:
        self._end = end

    def end(self) -> None:
        """Make room for the caller's next one."""
        if self._end:
            self._end()
            self._end = None


FREE = Admission()


class Limiter:
    """Lives as long as the worker.

    Args:
        policy: what the operator set.
        clock: measures.
        shared: counts over all workers; without it this one enforces its part of each limit.
        later: does something soon, such as telling the shared store.
        exceeded: hears of a caller who exceeds their limit, and of the id of the request, once a minute.
        lost: hears, of each call that the shared store could not be asked about, what was done.
    """

    def __init__(
        self,
        policy: Policy,
        clock: Monotonic,
        shared: SharedLimits | None,
        later: Callable[[Coroutine[Any, Any, None]], None],
        exceeded: Callable[[str, str], None],
        lost: Callable[[str], None],
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._shared = shared
        self._later = later
        self._exceeded = exceeded
        self._lost = lost
        self._buckets = Buckets(clock)
        self._slots = Slots()
        self._away_until = -math.inf
        self._told: dict[str, float] = {}

    @property
    def counts_here(self) -> bool:
        """Whether this worker alone decides, so that nothing has to be waited for."""
        return self._shared is None

    async def admit(self, caller: Principal, network: str, *, near: bool, say: RawHeaders) -> Admission:
        """Let a call begin; what is left of the caller's rate is added to the headers of the answer.

        Raises:
            LimitExceeded: it may not.
        """
        ask = self._policy.ask(caller, network, near=near)
        return FREE if ask is None else self._decide(ask, *await self._take(ask), say)

    def admit_here(self, caller: Principal, network: str, *, near: bool, say: RawHeaders) -> Admission:
        """The same by what this worker counts alone."""
        ask = self._policy.ask(caller, network, near=near)
        return FREE if ask is None else self._decide(ask, *self._take_here(ask), say)

    def _decide(self, ask: Ask, granted: Granted, admission: Admission, say: RawHeaders) -> Admission:
        if granted.taken:
            say.extend(_headers(granted.taken))
        if granted.full:
            self._tell(ask.name, say)
            raise LimitExceeded(f"More than {ask.concurrency} calls at once are not allowed to this key.", 1)
        if granted.taken and granted.taken.wait:
            self._tell(ask.name, say)
            raise LimitExceeded(f"More than {granted.taken.rate} calls are not allowed.", granted.taken.wait)
        return admission

    async def throttle(self, name: str, rate: Rate) -> Callable[[], object]:
        """Count one try of something that others may be guessing at; call what it returns to undo that.

        Raises:
            LimitExceeded: there were too many.
            Busy: they cannot be counted now.
        """
        ask = Ask(name, rate)
        if self._shared:
            try:
                taken = (await self._ask(self._shared, ask)).taken
            except LimitsLost:
                self._lost("refused")
                raise Busy("Nobody can log in while the store of limits is away.", 2) from None
            shared = self._shared
            undo: Callable[[], object] = lambda: self._later(shared.give_back(ask))  # noqa: E731
        else:
            share = rate.shared_by(self._policy.workers)
            taken = self._buckets.take(name, share)
            undo = lambda: self._buckets.give_back(name, share)  # noqa: E731
        if taken and taken.wait:
            raise LimitExceeded("Too many tries.", taken.wait)
        return undo

    async def _take(self, ask: Ask) -> tuple[Granted, Admission]:
        if self._shared:
            try:
                granted = await self._ask(self._shared, ask)
            except LimitsLost:
                self._lost("counted here")
            else:
                end = self._shared.end
                lease = granted.lease
                return granted, Admission(lambda: self._later(end(ask, lease))) if lease else FREE
        return self._take_here(ask)

    async def _ask(self, shared: SharedLimits, ask: Ask) -> Granted:
        """Ask the store; after it failed, one call a second does, and no other waits for it in vain."""
        now = self._clock()
        if now < self._away_until:
            raise LimitsLost
        if self._away_until > -math.inf:
            self._away_until = now + AGAIN_SECONDS
        try:
            granted = await shared.take(ask)
        except LimitsLost:
            self._away_until = self._clock() + AGAIN_SECONDS
            raise
        self._away_until = -math.inf
        return granted

    def _take_here(self, ask: Ask) -> tuple[Granted, Admission]:
        """This worker's part of a limit."""
        workers = self._policy.workers
        if ask.concurrency and not self._slots.take(ask.name, max(1, ask.concurrency // workers)):
            return Granted(full=True), FREE
        taken = self._buckets.take(ask.name, ask.rate.shared_by(workers)) if ask.rate else None
        if not ask.concurrency:
            return Granted(taken), FREE
        admission = Admission(lambda: self._slots.give_back(ask.name))
        if taken and taken.wait:
            admission.end()
        return Granted(taken), admission

    def _tell(self, name: str, said: RawHeaders) -> None:
        now = self._clock()
        if now - self._told.get(name, -math.inf) < TOLD_SECONDS:
            return
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told[name] = now
        request_id = next((value for header, value in said if header == b"x-request-id"), b"")
        self._exceeded(name, request_id.decode("ascii"))


def _headers(taken: Taken) -> RawHeaders:
    """What the draft of the IETF for RateLimit fields calls a policy, and its state."""
    return [
        (b"ratelimit-policy", _policy_text(taken.rate.limit, taken.rate.window)),
        (b"ratelimit", b'"default";r=%d;t=%d' % (taken.left, whole_seconds(taken.full))),
    ]


@lru_cache(maxsize=256)
def _policy_text(limit: int, window: int) -> bytes:
    return b'"default";q=%d;w=%d' % (limit, window)
