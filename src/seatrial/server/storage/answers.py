"""Answers that several workers share, in Redis. It may be away, slow, or hold anything: then nothing is found."""

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable
from typing import Any

from seatrial.server.core.clock import Monotonic, monotonic
from seatrial.server.core.tasks import Tasks
from seatrial.server.registry.mirror import LOST, WELL
from seatrial.server.storage.redis import TIMEOUT_S, Calls, connect

REST_S = 1.0
"""How long Redis is left alone once it did not answer; then one question finds out whether it does again."""
KNOWN_S = 5.0
"""For how long it is known that Redis is well once it has answered."""
MOST_WRITES = 100
"""How many answers may be on their way to Redis; others are not kept."""
PREFIX = b"seatrial:answers:"
MAC_BYTES = 16


class RedisAnswers:
    """Implements `inference.answers.SharedAnswers`; lives as long as the worker, used in its event loop.

    Args:
        url: of Redis.
        secret: with which values are signed, so that nobody who can write to Redis can give answers.
        seconds: how long each is kept.
        say: hears (event, detail) when Redis is lost or back.
        clock: measures.
        timeout: how long an answer is waited for, with whatever must be done first, such as to connect.
    """

    def __init__(
        self,
        url: str,
        secret: bytes,
        seconds: float,
        say: Callable[[str, str], None] = lambda _, __: None,
        clock: Monotonic = monotonic,
        *,
        timeout: float = TIMEOUT_S,
    ) -> None:
        self._timeout = timeout
        from redis.exceptions import ResponseError  # noqa: PLC0415 - see `connect`

        self._refusal = ResponseError
        self._redis, faults = connect(url, timeout)
        self._faults: tuple[type[Exception], ...] = (*faults, TimeoutError)
        self._secret = hmac.digest(secret, b"answers", "sha256")
        self._milliseconds = max(1, round(seconds * 1000))
        self._say = say
        self._clock = clock
        self._lost = False
        self._heard = -math.inf
        self._ping: asyncio.Task[None] | None = None
        self._rests_until = 0.0
        self._calls = Calls()
        self._aside = Tasks()

    @property
    def state(self) -> str:
        """See `SharedAnswers.state`. Where Redis has not been asked anything lately, it is asked for the next time."""
        now = self._clock()
        if now - self._heard >= (REST_S if self._lost else KNOWN_S) and (self._ping is None or self._ping.done()):
            self._heard = now
            self._ping = self._soon(self._redis.ping())
        return LOST if self._lost else WELL

    async def get(self, key: bytes) -> bytes | None:
        """See `SharedAnswers.get`."""
        if not self._may_ask():
            return None
        value = await self._ask(self._redis.get(PREFIX + key))
        if not isinstance(value, bytes) or not hmac.compare_digest(
            value[:MAC_BYTES], self._mac(key, value[MAC_BYTES:])
        ):
            return None
        return value[MAC_BYTES:]

    def put(self, key: bytes, value: bytes) -> None:
        """See `SharedAnswers.put`."""
        if not self._lost and len(self._aside) < MOST_WRITES:
            self._soon(self._redis.set(PREFIX + key, self._mac(key, value) + value, px=self._milliseconds))

    async def close(self) -> None:
        """See `SharedAnswers.close`."""
        await self._aside.ended()
        await self._calls.ended()
        await self._redis.aclose()

    def _soon(self, call: Awaitable[Any]) -> "asyncio.Task[None]":
        async def ask() -> None:
            await self._ask(call)

        return self._aside.begin(ask())

    def _mac(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(self._secret, key + value, "sha256")[:MAC_BYTES]

    def _may_ask(self) -> bool:
        """Whether Redis is there; where it was not, one question at a time finds out."""
        if not self._lost:
            return True
        if self._clock() < self._rests_until:
            return False
        self._rests_until = self._clock() + REST_S
        return True

    async def _ask(self, call: Awaitable[Any]) -> Any:  # noqa: ANN401 - Redis's own
        try:
            answer = await self._calls.within(self._timeout, call)
        except self._refusal:  # it is there, and cannot do this: it is full, or a name holds something else
            answer = None
        except self._faults as error:
            self._rests_until = self._clock() + REST_S
            if not self._lost:
                self._lost = True
                self._say("cache_lost", type(error).__name__)
            return None
        self._heard = self._clock()
        if self._lost:
            self._lost = False
            self._say("cache_back", "")
        return answer
