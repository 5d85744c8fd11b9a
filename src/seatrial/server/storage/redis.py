"""Redis: how it is reached, and limits that several workers share in it, one script a call, by its clock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from seatrial.server.access.keys import random_id
from seatrial.server.limits.bucket import Taken
from seatrial.server.limits.ports import Ask, Granted, LimitsLost

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT_S = 0.04
"""How long an answer is waited for: who can be counted, or answered, here does not wait for a store that is away."""
CONNECTIONS = 16
"""How many a worker has at most: a burst of calls waits for these, which is quicker than to make more."""
GIVE_UP_S = 1.0
"""After this a connection that says nothing is closed, unless somebody waits for longer."""
LEASE_S = 120
"""How long a call may go on before it no longer counts: its worker may have been killed."""
MOST_DOUBTED = 100
"""How many leases of a caller are remembered that Redis may have given without our hearing of it."""
PREFIX = "seatrial:limits:"
LEASE_CHARACTERS = 16
TURNS = 8
"""Of the event loop, in which an answer that has come is read."""

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]) * 1000000
local most, lease, kept = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
if most > 0 then
  for i = 6, #ARGV do redis.call('ZREM', KEYS[2], ARGV[i]) end
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  if redis.call('ZCARD', KEYS[2]) >= most then return {1, 0, 0, 0} end
end
local left, full = 0, 0
if limit > 0 then
  local arrival = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now), now + window)
  local interval = window / limit
  local following = arrival + interval
  local wait = following - window - now
  if wait > 1 then return {0, math.ceil(wait), 0, math.ceil(arrival - now)} end
  left = math.floor((window - (following - now)) / interval + 0.000001)
  full = math.ceil(following - now)
  redis.call('SET', KEYS[1], string.format('%.3f', following), 'PX', math.ceil(full / 1000) + 1)
end
if most > 0 then
  redis.call('ZADD', KEYS[2], now + kept * 1000000, lease)
  redis.call('EXPIRE', KEYS[2], kept)
end
return {0, 0, left, full}
"""
_GIVE_BACK = """
local arrival = redis.call('GET', KEYS[1])
if arrival then
  local before = arrival - tonumber(ARGV[2]) * 1000000 / tonumber(ARGV[1])
  redis.call('SET', KEYS[1], string.format('%.3f', before), 'KEEPTTL')
end
return 0
"""


def connect(url: str, timeout: float) -> "tuple[Redis, tuple[type[Exception], ...]]":
    """A client of Redis with a few connections, and the errors that it raises when Redis is not there or not well.

    Its callers wait for `timeout` seconds.
    """
    # Loaded only now: whoever has no Redis does not pay for it at each start.
    from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.exceptions import ConnectionError as RedisConnectionError  # noqa: PLC0415
    from redis.exceptions import RedisError  # noqa: PLC0415

    once_more = Retry(NoBackoff(), 1, (RedisConnectionError,))  # a connection that was kept may have ended
    give_up = max(GIVE_UP_S, timeout)
    pool = BlockingConnectionPool.from_url(
        url, max_connections=CONNECTIONS, retry=once_more, socket_timeout=give_up, socket_connect_timeout=give_up
    )
    return Redis.from_pool(pool), (RedisError, OSError)


class Calls:
    """Calls to Redis that are waited for only so long, each of which goes on until its connection gives up.

    So a connection that takes longer to make than a caller waits is there for the next one. And to be cancelled is lost
    on the client now and then, while many wait for its connections.
    """

    def __init__(self) -> None:
        self._going: set[asyncio.Future[Any]] = set()

    async def within(self, seconds: float, call: Awaitable[Any]) -> Any:  # noqa: ANN401 - Redis's own
        """What a call answers; raises `TimeoutError` on time."""
        task = asyncio.ensure_future(call)
        self._going.add(task)
        task.add_done_callback(self._hear_out)
        done, _ = await asyncio.wait((task,), timeout=seconds)
        if not done:
            for _ in range(TURNS):  # it may be this loop that was held up, and the answer may be here
                await asyncio.sleep(0)
            if not task.done():
                raise TimeoutError
        return task.result()

    async def ended(self) -> None:
        """Those that go on are over, or were given time enough."""
        for task in self._going:
            task.cancel()
        if self._going:
            await asyncio.wait(self._going, timeout=2 * GIVE_UP_S)

    def _hear_out(self, task: "asyncio.Future[Any]") -> None:
        """Nobody may be there any more to hear what went wrong."""
        self._going.discard(task)
        if not task.cancelled():
            task.exception()


class RedisLimits:
    """Implements `limits.ports.SharedLimits`; lives as long as the worker. Used in one event loop.

    `timeout` is how long an answer is waited for, with whatever must be done first, such as to connect. `say` hears
    (event, detail) when Redis is lost or back.
    """

    def __init__(
        self, url: str, say: Callable[[str, str], None] = lambda _, __: None, timeout: float = TIMEOUT_S
    ) -> None:
        self._redis, self._faults = connect(url, timeout)
        self._timeout = timeout
        self._calls = Calls()
        self._doubted: dict[str, list[str]] = {}
        self._take = self._redis.register_script(_TAKE)
        self._give_back = self._redis.register_script(_GIVE_BACK)
        self._say = say
        self._lost = False

    async def take(self, ask: Ask) -> Granted:
        """See `SharedLimits.take`."""
        lease = random_id(LEASE_CHARACTERS) if ask.concurrency else ""
        limit, window = (ask.rate.limit, ask.rate.window) if ask.rate else (0, 0)
        doubted = self._doubted.pop(ask.name, []) if lease else []
        call = self._take(keys=_keys(ask), args=[limit, window, ask.concurrency or 0, lease, LEASE_S, *doubted])
        try:
            full, wait, left, until = await self._answer(call)
        except BaseException:  # the caller may have hung up
            if lease:
                self._doubted[ask.name] = [*self._doubted.get(ask.name, []), *doubted, lease][-MOST_DOUBTED:]
            raise
        if full:
            return Granted(full=True)
        taken = Taken(ask.rate, left, wait / 1e6, until / 1e6) if ask.rate else None
        return Granted(taken, "" if wait else lease)

    async def end(self, ask: Ask, lease: str) -> None:
        """See `SharedLimits.end`."""
        await self._answer(self._redis.zrem(_keys(ask)[1], lease))

    async def give_back(self, ask: Ask) -> None:
        """See `SharedLimits.give_back`."""
        if ask.rate is not None:
            await self._answer(self._give_back(keys=_keys(ask)[:1], args=[ask.rate.limit, ask.rate.window]))

    async def close(self) -> None:
        """See `SharedLimits.close`."""
        await self._calls.ended()
        await self._redis.aclose()

    async def _answer(self, call: Awaitable[Any]) -> Any:  # noqa: ANN401 - Redis's own
        try:
            answer = await self._calls.within(self._timeout, call)
        except self._faults as error:
            if not self._lost:
                self._lost = True
                self._say("limits_lost", type(error).__name__)
            raise LimitsLost(type(error).__name__) from error
        if self._lost:
            self._lost = False
            self._say("limits_back", "")
        return answer


def _keys(ask: Ask) -> list[str]:
    """Of a rate, and of what goes on; in one slot of a cluster."""
    name = f"{PREFIX}{{{ask.name}}}"
    return [f"{name}:{ask.rate}", f"{name}:leases"]
