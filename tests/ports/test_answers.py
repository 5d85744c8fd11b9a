"""What every store of shared answers does (`inference.answers.SharedAnswers`): the twin in memory, and a real Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.fakes.answers import MemoryAnswers
from tests.fakes.clock import ManualClock
from tests.fakes.redis import RedisServer, redis_server

from seatrial.server.inference.answers import SharedAnswers
from seatrial.server.storage.answers import KNOWN_S, PREFIX, REST_S, RedisAnswers
from seatrial.server.storage.redis import TIMEOUT_S

SECRET = b"s" * 32
KEPT_S = 60.0
KEY, VALUE = b"\x00\xff key", b"\x00value\xff"
WAIT_S = 10.0

Use = Callable[[SharedAnswers], Awaitable[None]]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of Redis."""
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def using(request: pytest.FixtureRequest) -> Callable[[Use], None]:
    """Runs something with an empty store of each kind."""
    url = request.getfixturevalue("server").url if request.param == "redis" else None

    async def main(use: Use) -> None:
        store: SharedAnswers = RedisAnswers(url, SECRET, KEPT_S, timeout=WAIT_S) if url else MemoryAnswers()
        try:
            await use(store)
        finally:
            await store.close()

    return lambda use: asyncio.run(main(use))


async def kept(store: SharedAnswers, key: bytes) -> bytes:
    """What is under a key, once it is."""
    async with asyncio.timeout(WAIT_S):
        while (value := await store.get(key)) is None:  # noqa: ASYNC110 - nobody tells when a write is through
            await asyncio.sleep(0)
    return value


def test_what_is_put_is_got(using: Callable[[Use], None]) -> None:
    """Under its own key, and no other; the latest."""

    async def use(store: SharedAnswers) -> None:
        assert await store.get(KEY) is None
        store.put(KEY, VALUE)
        store.put(b"other", b"")
        assert (await kept(store, KEY), await kept(store, b"other")) == (VALUE, b"")
        assert store.state == "ok"

    using(use)


class Told:
    """What a store says of Redis, and the clock by which it rests."""

    def __init__(self, server: RedisServer, secret: bytes = SECRET, timeout: float = WAIT_S) -> None:
        self.clock = ManualClock()
        self.said: list[tuple[str, str]] = []
        self.store = RedisAnswers(server.tcp_url, secret, KEPT_S, self._say, self.clock, timeout=timeout)

    def _say(self, *what: str) -> None:
        event, detail = what
        self.said.append((event, detail))

    async def finds(self, value: bytes) -> None:
        """Wait until it finds this, however often Redis is lost meanwhile."""
        async with asyncio.timeout(WAIT_S):
            while await self.store.get(KEY) != value:
                self.clock.advance(REST_S)


def test_values_end(server: RedisServer) -> None:
    """By the time that Redis was told."""

    async def main() -> None:
        store = Told(server).store
        store.put(KEY, VALUE)
        await kept(store, KEY)
        await store.close()

    asyncio.run(main())
    with server.client() as client:
        assert 0 < client.pttl(PREFIX + KEY) <= KEPT_S * 1000


@pytest.mark.proves("S55")
@pytest.mark.proves("R17")
@pytest.mark.parametrize("spoil", ["garbage", "empty", "other key", "other type", "other secret", "cut"])
def test_what_somebody_else_put_there_is_not_believed(server: RedisServer, spoil: str) -> None:
    """Whoever can write to Redis cannot give answers."""

    async def main() -> bytes | None:
        store = Told(server).store
        store.put(KEY, VALUE)
        store.put(b"other", b"another")
        await kept(store, KEY)
        await kept(store, b"other")
        with server.client() as client:
            name = PREFIX + KEY
            if spoil == "other type":
                client.delete(name)
                client.lpush(name, "a")
            else:
                mine, other = client.get(name), client.get(PREFIX + b"other")
                assert isinstance(mine, bytes)
                assert isinstance(other, bytes)
                values = {"garbage": b"\xff" * 100, "empty": b"", "other key": other, "cut": mine[:-1]}
                client.set(name, values.get(spoil, mine))
        reader = Told(server, b"t" * 32).store if spoil == "other secret" else store
        found = await reader.get(KEY)
        await reader.close()
        await store.close()
        return found

    assert asyncio.run(main()) is None


@pytest.mark.proves("S56")
@pytest.mark.proves("R16")
def test_a_redis_that_stands_still_is_waited_for_once(server: RedisServer) -> None:
    """Then it is left alone, and one question at a time finds out whether it is back."""
    writer, told = Told(server).store, Told(server, timeout=TIMEOUT_S)
    store = told.store

    async def main() -> None:
        writer.put(KEY, VALUE)
        await kept(writer, KEY)
        await writer.close()
        await told.finds(VALUE)
        told.said.clear()
        with server.frozen():
            began = time.perf_counter()
            assert await asyncio.gather(*(store.get(KEY) for _ in range(50))) == [None] * 50
            assert time.perf_counter() - began < 5 * TIMEOUT_S  # not one after the other
            assert store.state == "unavailable"
            store.put(b"other", VALUE)  # dropped
            told.clock.advance(REST_S / 2)
            assert await store.get(KEY) is None
            told.clock.advance(REST_S / 2)
            assert [*await asyncio.gather(store.get(KEY), store.get(KEY))] == [None, None]
        told.clock.advance(REST_S)
        await told.finds(VALUE)
        assert await store.get(b"other") is None
        assert store.state == "ok"
        await store.close()

    asyncio.run(main())
    assert told.said == [("cache_lost", "TimeoutError"), ("cache_back", "")]


def test_a_redis_that_is_killed_is_found_again(server: RedisServer) -> None:
    """Empty, and used again."""
    told = Told(server)
    store = told.store

    async def main() -> None:
        store.put(KEY, VALUE)
        await kept(store, KEY)
        server.kill()
        assert await store.get(KEY) is None
        assert store.state == "unavailable"
        server.start()
        async with asyncio.timeout(WAIT_S):
            while store.state != "ok":
                told.clock.advance(REST_S)
                assert await store.get(KEY) is None
        store.put(KEY, VALUE)
        assert await kept(store, KEY) == VALUE
        await store.close()

    asyncio.run(main())
    assert [event for event, _ in told.said] == ["cache_lost", "cache_back"]


def test_a_redis_that_refuses_is_not_lost(server: RedisServer) -> None:
    """It is full: what cannot be kept is not, and what is there is found."""
    told = Told(server)
    store = told.store

    async def main() -> None:
        store.put(KEY, VALUE)
        await kept(store, KEY)
        with server.client() as client:
            client.config_set("maxmemory", 1)
        store.put(b"other", VALUE)
        assert await kept(store, KEY) == VALUE
        assert await store.get(b"other") is None
        assert store.state == "ok"
        await store.close()

    asyncio.run(main())
    assert told.said == []


def test_whoever_wants_to_know_how_it_is_has_it_asked(server: RedisServer) -> None:
    """Also where nobody asks for answers: that it is gone, and that it is back."""
    told = Told(server)

    async def until(state: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while told.store.state != state:
                told.clock.advance(KNOWN_S)
                await asyncio.sleep(0)

    async def main() -> None:
        await until("ok")
        server.kill()
        await until("unavailable")
        server.start()
        await until("ok")
        await told.store.close()

    asyncio.run(main())
    assert [event for event, _ in told.said] == ["cache_lost", "cache_back"]
