"""What every store of shared counts does (`limits.ports.SharedLimits`): the twin in memory, and a real Redis."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.limits import MemoryLimits
from tests.fakes.proxy import FaultProxy
from tests.fakes.redis import PASSWORD, RedisServer, redis_server
from tests.live import until

from seatrial.server.access.principal import Principal
from seatrial.server.core import clock
from seatrial.server.core.errors import Busy
from seatrial.server.limits.ports import Ask, Granted, LimitsLost, SharedLimits
from seatrial.server.limits.rate import Rate
from seatrial.server.services.limiting import AGAIN_SECONDS, Limiter, Policy
from seatrial.server.storage.redis import LEASE_S, PREFIX, TIMEOUT_S, RedisLimits

HOUR = 3600
MOST_TRIES = 50
PATIENT = 10.0
"""Seconds, where it is not about how long an answer takes."""
SOON = 0.3
"""Seconds within which a store that is away is known to be."""

Use = Callable[[SharedLimits], Awaitable[None]]


@pytest.fixture(scope="module")
def started() -> Iterator[RedisServer]:
    """A server of Redis, for all tests of this file."""
    with redis_server() as server:
        yield server


@pytest.fixture
def server(started: RedisServer) -> RedisServer:
    """The same, empty."""
    with started.client() as client:
        client.flushall()
    return started


@pytest.fixture(params=["memory", "redis"])
def using(request: pytest.FixtureRequest) -> Callable[[Use], None]:
    """Runs something with an empty store of each kind."""
    url = request.getfixturevalue("server").url if request.param == "redis" else None

    async def main(use: Use) -> None:
        limits: SharedLimits = RedisLimits(url, timeout=PATIENT) if url else MemoryLimits(ManualClock())
        try:
            await use(limits)
        finally:
            await limits.close()

    return lambda use: asyncio.run(main(use))


def passed(granted: Granted) -> bool:
    return granted.taken is not None and not granted.taken.wait


def test_a_rate(using: Callable[[Use], None]) -> None:
    """As many calls as the limit says; each is told what is left, and the refused one how long to wait."""

    async def use(limits: SharedLimits) -> None:
        ask = Ask("ada", Rate(3, HOUR))
        seen = [await limits.take(ask) for _ in range(5)]
        taken = [granted.taken for granted in seen if granted.taken]

        assert [(one.rate, one.left, one.wait > 0) for one in taken] == [
            (Rate(3, HOUR), left, over) for left, over in ((2, False), (1, False), (0, False), (0, True), (0, True))
        ]
        assert [one.full for one in taken] == pytest.approx([1200, 2400, 3600, 3600, 3600], abs=PATIENT)
        assert [one.wait for one in taken] == pytest.approx([0, 0, 0, 1200, 1200], abs=PATIENT)
        assert all(granted.lease == "" and not granted.full for granted in seen)

    using(use)


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(2, HOUR), Rate(7, HOUR), Rate(50, 900), Rate(999, 86400)])
def test_each_limit_is_kept_exactly(using: Callable[[Use], None], rate: Rate) -> None:
    """Also where a call takes no whole number of microseconds; of a second a new call may have come meanwhile."""

    async def use(limits: SharedLimits) -> None:
        calls = min(rate.limit, 60)
        last = [passed(await limits.take(Ask("ada", rate))) for _ in range(calls)]
        assert all(last)
        if calls == rate.limit and rate.window > 1:
            assert not passed(await limits.take(Ask("ada", rate)))

    using(use)


def test_callers_and_rates_are_apart(using: Callable[[Use], None]) -> None:
    """None takes from another, whatever they are called."""

    async def use(limits: SharedLimits) -> None:
        names = ("ada", "bob", "address:2001:db8::/64", "a}b{c", "é 'x\"", "")
        for name in names:
            for rate in (Rate(1, HOUR), Rate(1, 86400)):
                assert [passed(await limits.take(Ask(name, rate))) for _ in range(2)] == [True, False]

    using(use)


def test_a_call_that_is_given_back(using: Callable[[Use], None]) -> None:
    """Passes again; where nobody has called, or there is no rate, nothing happens."""

    async def use(limits: SharedLimits) -> None:
        ask = Ask("ada", Rate(2, HOUR))
        for other in (ask, Ask("ada", None, 1)):
            await limits.give_back(other)
        assert [passed(await limits.take(ask)) for _ in range(3)] == [True, True, False]
        await limits.give_back(ask)
        assert [passed(await limits.take(ask)) for _ in range(2)] == [True, False]

    using(use)


def test_what_goes_on_at_once(using: Callable[[Use], None]) -> None:
    """As much as may, each with a lease; when one is given back there is room for one, and for no more."""

    async def use(limits: SharedLimits) -> None:
        ask = Ask("ada", None, 2)
        first, second, third = [await limits.take(ask) for _ in range(3)]
        assert third == Granted(full=True)
        assert len({first.lease, second.lease, ""}) == 3

        for _ in range(2):
            await limits.end(ask, first.lease)
        assert not (await limits.take(ask)).full
        assert (await limits.take(ask)).full

    using(use)


def test_what_is_refused_takes_nothing_else(using: Callable[[Use], None]) -> None:
    """A full caller loses nothing of the rate; one over the rate takes no room."""

    async def use(limits: SharedLimits) -> None:
        ask = Ask("ada", Rate(2, HOUR), 1)
        first = await limits.take(ask)
        assert (await limits.take(ask)).full
        await limits.end(ask, first.lease)
        second = await limits.take(ask)
        assert passed(second)
        await limits.end(ask, second.lease)
        for _ in range(2):
            refused = await limits.take(ask)
            assert (refused.lease, refused.full, passed(refused)) == ("", False, False)

    using(use)


def in_two_loops(work: Callable[[RedisLimits], Coroutine[Any, Any, int]], url: str) -> int:
    """What two workers do at the same time, summed up."""

    async def main() -> int:
        limits = RedisLimits(url, timeout=PATIENT)
        result = await work(limits)
        await limits.close()
        return result

    with ThreadPoolExecutor(2) as threads:
        return sum(threads.map(lambda _: asyncio.run(main()), range(2)))


@pytest.mark.proves("S33")
def test_workers_together_pass_exactly_the_limit(server: RedisServer) -> None:
    """Of ten times as many calls at once, in two of them."""

    async def call(limits: RedisLimits) -> int:
        return sum(map(passed, await asyncio.gather(*(limits.take(Ask("ada", Rate(20, HOUR))) for _ in range(100)))))

    assert in_two_loops(call, server.url) == 20


@pytest.mark.proves("S33")
def test_workers_together_let_as_much_go_on_as_may(server: RedisServer) -> None:
    """Each lease is held, so no more than that many are ever given."""

    async def hold(limits: RedisLimits) -> int:
        granted = await asyncio.gather(*(limits.take(Ask("ada", None, 5)) for _ in range(25)))
        return sum(not one.full for one in granted)

    assert in_two_loops(hold, server.url) == 5


def with_redis(url: str, use: Callable[[RedisLimits], Coroutine[Any, Any, None]], timeout: float = PATIENT) -> None:
    async def main() -> None:
        limits = RedisLimits(url, timeout=timeout)
        try:
            await use(limits)
        finally:
            await limits.close()

    asyncio.run(main())


def test_a_connection_is_as_patient_as_who_waits_for_it(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not give up before them, however soon it would by itself."""
    monkeypatch.setattr("seatrial.server.storage.redis.GIVE_UP_S", 1e-6)

    async def use(limits: RedisLimits) -> None:
        assert passed(await limits.take(Ask("ada", Rate(9, HOUR))))

    with_redis(server.url, use)


def test_a_lease_that_nobody_gives_back_ends(server: RedisServer) -> None:
    """Its worker was killed: it ends by itself, and what nobody uses any more is swept."""

    async def use(limits: RedisLimits) -> None:
        ask = Ask("ada", Rate(9, HOUR), 1)
        lost = await limits.take(ask)
        assert (await limits.take(ask)).full
        with server.client() as client:
            assert 0 < client.ttl(f"{PREFIX}{{ada}}:leases") <= LEASE_S
            assert all(client.pttl(key) > 0 for key in client.scan_iter())
            client.zincrby(f"{PREFIX}{{ada}}:leases", -LEASE_S * 1e6, lost.lease)
        assert passed(await limits.take(ask))

    with_redis(server.url, use)


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_lease_whose_answer_came_too_late_is_given_back(server: RedisServer, *, hangs_up: bool) -> None:
    """Also to who has hung up: the caller's next call is not refused for it, nor let through beside another."""
    ask = Ask("ada", Rate(9, HOUR), 2)

    async def use(limits: RedisLimits) -> None:
        held = await limits.take(ask)
        limits._timeout = PATIENT if hangs_up else 0.05  # noqa: SLF001 - who does not hang up does not wait for long
        with server.frozen(), pytest.raises(TimeoutError if hangs_up else LimitsLost):
            await asyncio.wait_for(limits.take(ask), 0.05 if hangs_up else PATIENT)
        limits._timeout = PATIENT  # noqa: SLF001 - it has to wake up first
        with server.client() as client:
            until(lambda: client.zcard(f"{PREFIX}{{ada}}:leases") == 2, "Redis has given the lease")

        assert passed(await limits.take(ask))
        assert (await limits.take(ask)).full
        await limits.end(ask, held.lease)
        assert passed(await limits.take(ask))

    with_redis(server.url, use)


@pytest.mark.proves("S35")
def test_a_clock_of_redis_that_was_set_back(server: RedisServer) -> None:
    """Nobody waits longer than the window."""

    async def use(limits: RedisLimits) -> None:
        ask = Ask("ada", Rate(2, 60))
        await limits.take(ask)
        with server.client() as client:
            (key,) = client.scan_iter()
            client.incrbyfloat(key, 3600 * 1e6)
        refused = (await limits.take(ask)).taken
        assert refused is not None
        assert 0 < refused.wait <= 60

    with_redis(server.url, use)


async def lost_soon(limits: SharedLimits, ask: Ask) -> None:
    """Each method says within moments that the store cannot be asked. Of three tries: others use this machine, too."""
    took: list[float] = []
    while not took or (min(took) >= SOON and len(took) < 3):
        begin = time.monotonic()
        calls = limits.take(ask), limits.end(ask, "x"), limits.give_back(ask)
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(answer, LimitsLost), answer
        took.append(time.monotonic() - begin)
    assert min(took) < SOON


@pytest.mark.proves("S36")
def test_a_redis_that_stands_still(server: RedisServer) -> None:
    """It is away for whoever was connected and whoever was not; afterwards it is there, and no answer is mixed up."""
    ask = Ask("ada", Rate(9, HOUR), 9)

    async def use(limits: RedisLimits) -> None:
        with server.frozen():
            for one in (limits, new := RedisLimits(server.url)):
                await lost_soon(one, ask)
            await new.close()
        limits._timeout = PATIENT  # noqa: SLF001 - it has to wake up first
        assert passed(await limits.take(ask))
        assert (await limits.take(Ask("bob", Rate(3, HOUR)))).taken.left == 2  # type: ignore[union-attr]

    async def connected(limits: RedisLimits) -> None:
        limits._timeout = PATIENT  # noqa: SLF001 - the first answer is no matter of moments
        await limits.take(ask)
        limits._timeout = TIMEOUT_S  # noqa: SLF001 - what a worker has
        await use(limits)

    with_redis(server.url, connected)


@pytest.mark.proves("S36")
def test_a_redis_that_was_killed(server: RedisServer) -> None:
    """It is away, and back by itself when somebody starts it again, though it has forgotten our script."""
    ask = Ask("ada", Rate(9, HOUR), 9)

    async def use(limits: RedisLimits) -> None:
        await limits.take(ask)
        server.kill()
        try:
            await lost_soon(limits, ask)
        finally:
            server.start()
        taken = (await limits.take(ask)).taken
        assert taken is not None
        assert taken.left == 8

    with_redis(server.url, use)


@pytest.mark.proves("S36")
@pytest.mark.parametrize("garbage", ["text", "nan", "list", "hash"])
def test_garbage_under_our_keys(server: RedisServer, garbage: str) -> None:
    """It is as good as away for that caller; nothing of it is executed, others are served."""
    ask = Ask("ada", Rate(9, HOUR), 9)
    with server.client() as client:
        for key in (f"{PREFIX}{{ada}}:9/hour", f"{PREFIX}{{ada}}:leases"):
            if garbage == "list":
                client.rpush(key, "x")
            elif garbage == "hash":
                client.hset(key, "x", "y")
            else:
                client.set(key, garbage)

    async def use(limits: RedisLimits) -> None:
        for one in (ask, Ask("ada", Rate(9, HOUR))):
            with pytest.raises(LimitsLost):
                await limits.take(one)
        assert passed(await limits.take(Ask("bob", Rate(9, HOUR), 9)))

    with_redis(server.url, use)


@pytest.mark.proves("S36")
@pytest.mark.parametrize("number", ["inf", "1e300", "-1e300", "-inf", "0x10"])
def test_numbers_that_we_never_write(server: RedisServer, number: str) -> None:
    """Lock nobody out for longer than the window."""
    ask = Ask("ada", Rate(9, HOUR))
    with server.client() as client:
        client.set(f"{PREFIX}{{ada}}:9/hour", number)

    async def use(limits: RedisLimits) -> None:
        taken = (await limits.take(ask)).taken
        assert taken is not None
        assert 0 <= taken.wait <= HOUR

    with_redis(server.url, use)


@pytest.mark.proves("S36")
def test_a_wrong_password(server: RedisServer) -> None:
    """It is as good as away; with the right one it is there."""
    server.kill()
    server.start(password=PASSWORD)
    try:
        for password in ("", "wrong"):
            url = server.url.replace("unix://", f"unix://:{password}@") if password else server.url
            with_redis(url, partial(lost_soon, ask=Ask("ada", Rate(9, HOUR))), 0.2)

        async def use(limits: RedisLimits) -> None:
            assert passed(await limits.take(Ask("ada", Rate(9, HOUR))))

        with_redis(server.url.replace("unix://", f"unix://:{PASSWORD.replace(' ', '%20')}@"), use)
    finally:
        server.kill()
        server.start()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of something that is no Redis: it says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.sendall(answer)
                held.append(connection)

        held: list[socket.socket] = []
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


@pytest.mark.proves("S36")
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$999999999\r\n", b"*3\r\n:1\r\n"])
def test_what_is_no_redis(answer: bytes) -> None:
    """It is as good as away."""
    with answering(answer) as url:
        with_redis(url, partial(lost_soon, ask=Ask("ada", Rate(9, HOUR), 9)), 0.2)


@pytest.mark.proves("S36")
def test_nobody_listens() -> None:
    """It is away."""
    with_redis("redis://127.0.0.1:1", partial(lost_soon, ask=Ask("ada", Rate(9, HOUR))), 0.2)


@pytest.mark.proves("S36")
def test_a_worker_whose_redis_is_away(server: RedisServer) -> None:
    """Counts calls itself, refuses tries of passwords, tells both, and shares its counts again afterwards."""
    lost: list[str] = []
    moved = ManualClock(0.0)

    async def use(limits: RedisLimits) -> None:
        tasks: list[asyncio.Task[None]] = []
        limiter = Limiter(
            Policy(Rate(3, HOUR), None, None),
            lambda: clock.monotonic() + moved.now,
            limits,
            lambda call: tasks.append(asyncio.ensure_future(call)),
            lambda _name, _request_id: None,
            lost.append,
        )
        caller = Principal("user:ada@example.org", frozenset(), "user", "a1")
        admit = partial(limiter.admit, caller, "", near=False, say=[])
        await admit()
        server.kill()
        try:
            await admit()
            with pytest.raises(Busy):
                await limiter.throttle("tries", Rate(3, HOUR))
            assert lost == ["counted here", "refused"]
        finally:
            server.start()
        moved.advance(AGAIN_SECONDS)
        await admit()
        await limiter.throttle("tries", Rate(50, 900))
        with server.client() as client:
            assert client.dbsize() == 2
        assert len(lost) == 2

    with_redis(server.url, use)


@pytest.mark.load  # it has the machine for itself
@pytest.mark.proves("R16")
def test_many_who_ask_a_redis_that_stands_still_all_hear_soon(server: RedisServer) -> None:
    """Those too who wait for a connection, or are making one: none is forgotten when the time is up."""

    async def main() -> float:
        limits = RedisLimits(server.tcp_url)
        with server.frozen():
            began = time.perf_counter()
            asked = await asyncio.gather(
                *(limits.take(Ask("ada", Rate(3, HOUR))) for _ in range(50)), return_exceptions=True
            )
            took = time.perf_counter() - began
        await limits.close()
        assert [type(outcome) for outcome in asked] == [LimitsLost] * 50
        return took

    assert max(asyncio.run(main()) for _ in range(5)) < 3 * SOON


def test_a_redis_far_away_is_used_once_a_connection_is_made(server: RedisServer) -> None:
    """To connect takes longer than a caller waits: the first are counted elsewhere, and the connection is made."""

    async def use() -> None:
        limits = RedisLimits(f"redis://127.0.0.1:{proxy.port}/0")
        answers: list[Granted | LimitsLost] = []
        while not answers or not isinstance(answers[-1], Granted):
            assert len(answers) < MOST_TRIES
            try:
                answers.append(await limits.take(Ask("ada", Rate(1000, HOUR))))
            except LimitsLost as error:
                answers.append(error)
        assert isinstance(answers[0], LimitsLost)
        await limits.close()

    with FaultProxy(server.socket) as proxy, proxy.slow(0.006):
        asyncio.run(use())
