"""An HTTP client that costs little: what our own generators send with."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import uvloop
from yarl import URL

from seatrial.contracts.record import Sample
from seatrial.trials.core.questions import HEADERS, KEEP_ALIVE_S, Question, expect_ok
from seatrial.trials.core.target import Target

T = TypeVar("T")
CEILING_S = 1.0
CEILING_CLIENTS = 32


@dataclass(frozen=True, slots=True)
class Clock:
    """Unix time that never jumps: the wall clock at one moment, and a steady one since."""

    unix: float
    steady: float

    @classmethod
    def start(cls) -> "Clock":
        """A clock that agrees with the wall clock now."""
        return cls(time.time(), time.perf_counter())

    def at(self, steady: float) -> float:
        """Unix time of a reading of `time.perf_counter`."""
        return self.unix + steady - self.steady


class Client:
    """Sends questions over connections that are kept open, without a limit on how many there are at once."""

    def __init__(self, session: aiohttp.ClientSession, url: str, clock: Clock, user: str, timeout_s: float) -> None:
        self._session = session
        self._url = url
        self._urls: dict[str, URL] = {}
        self._clock = clock
        self._user = user
        self.timeout_s = timeout_s

    async def ask(self, question: Question, due: float | None = None) -> Sample:
        """Send one question and judge its answer. `due` is when it should have been sent, by `time.perf_counter`."""
        started = time.perf_counter()
        status, length = 0, 0
        try:
            async with self._session.request(
                question.method,
                self._at(question.path),
                data=question.body,
                headers=question.headers,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                status, length = response.status, len(body)
            ended = time.perf_counter()
            fault = question.check(status, body)
        except TimeoutError:
            ended = time.perf_counter()
            fault = f"no answer: none within {self.timeout_s:g} s"
        except (aiohttp.ClientError, OSError) as error:
            ended = time.perf_counter()
            fault = f"no answer: {type(error).__name__} {error}"[:200]
        start = self._clock.at(started)
        return Sample(
            intended=start if due is None else self._clock.at(due),
            start=start,
            latency_ms=(ended - started) * 1000,
            endpoint=question.endpoint,
            status=status,
            bytes=length,
            user=self._user,
            model=question.model,
            ok=not fault,
            fault=fault,
        )

    def give_up(self, question: Question, due: float) -> Sample:
        """The record of a question that could not be sent within the timeout of when it was due."""
        moment = self._clock.at(due)
        return Sample(
            intended=moment,
            start=moment,
            latency_ms=(time.perf_counter() - due) * 1000,
            endpoint=question.endpoint,
            status=0,
            bytes=0,
            user=self._user,
            model=question.model,
            ok=False,
            fault=f"no answer: not sent within {self.timeout_s:g} s, while others waited for theirs",
        )

    def _at(self, path: str) -> URL:
        """The URL of a path; reading one costs as much as sending to it."""
        known = self._urls.get(path)
        if known is None:
            known = self._urls[path] = URL(self._url + path, encoded=True)
        return known


@asynccontextmanager
async def client(target: Target, clock: Clock, user: str, timeout_s: float) -> AsyncIterator[Client]:
    """A client for a target. TLS certificates are checked; a request ends after `timeout_s`."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=timeout_s, ceil_threshold=timeout_s + 1),  # not rounded up to a second
        headers=HEADERS | target.counted,
    ) as session:
        session._retry_connection = False  # noqa: SLF001 - no public way: a request that failed must not be sent again
        yield Client(session, target.url, clock, user, timeout_s)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a generator's coroutine to its end, on uvloop, which comes with the server."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@asynccontextmanager
async def without_garbage_collection() -> AsyncIterator[None]:
    """No pauses of our own while we measure those of others."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def measure_ceiling(question: Question, url: str) -> float:
    """How many requests a second this process can send to a route at `url` that does nothing."""
    count = 0
    plain = Question(question.endpoint, "POST", "/", expect_ok, question.body or b"{}", "", question.headers)
    async with client(Target(url), Clock.start(), "", CEILING_S * 5) as sender, without_garbage_collection():
        deadline = time.perf_counter() + CEILING_S

        async def ask() -> None:
            nonlocal count
            while time.perf_counter() < deadline:
                await sender.ask(plain)
                count += 1

        await asyncio.gather(*(ask() for _ in range(CEILING_CLIENTS)))
    return count / CEILING_S
