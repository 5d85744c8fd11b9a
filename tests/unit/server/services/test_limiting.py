"""Who may do how much: in one worker, over several, and while what counts for all of them is away."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.limits import MemoryLimits

from seatrial.server.access.principal import ADMIN, NOBODY, Principal
from seatrial.server.core.errors import Busy, LimitExceeded
from seatrial.server.limits.ports import Ask, LimitsLost
from seatrial.server.limits.rate import Rate
from seatrial.server.services.limiting import AGAIN_SECONDS, TOLD_SECONDS, Admission, Limiter, Policy, RawHeaders

USER = Principal("user:ada@example.org", frozenset({"predict"}), "user", "a1")
KEY = Principal("key:k1", frozenset({"predict"}), "key", "k1", Rate(2, 3600), 1)
POLICY = Policy(Rate(3, 3600), Rate(2, 3600), None)


class Bench:
    """A limiter, and what it tells. Over several workers where it is `shared`."""

    def __init__(self, policy: Policy = POLICY, *, shared: bool = False) -> None:
        self.clock = ManualClock()
        self.store = MemoryLimits(self.clock)
        self.exceeded: list[str] = []
        self.lost: list[str] = []
        self._later: list[Coroutine[Any, Any, None]] = []
        store = self.store if shared else None
        self.limiter = Limiter(policy, self.clock, store, self._later.append, self.note, self.lost.append)

    def note(self, name: str, request_id: str) -> None:
        """Somebody exceeds their limit; no request here has an id."""
        assert request_id == ""
        self.exceeded.append(name)

    def admit(self, caller: Principal, network: str = "", *, near: bool = False) -> tuple[Admission, RawHeaders]:
        """One call, and what is said of it."""
        say: RawHeaders = []
        return asyncio.run(self.limiter.admit(caller, network, near=near, say=say)), say

    def end(self, admission: Admission) -> None:
        """The call has ended, and what is then put off is done."""
        admission.end()
        self.settle()

    def settle(self) -> None:
        """Do what was put off."""
        while self._later:
            with suppress(LimitsLost):
                asyncio.run(self._later.pop())

    def passed(self, calls: int, caller: Principal, network: str = "", *, near: bool = False) -> int:
        """How many of so many calls, one after the other, are let through."""
        count = 0
        for _ in range(calls):
            with suppress(LimitExceeded):
                self.end(self.admit(caller, network, near=near)[0])
                count += 1
        return count

    def throttle(self, rate: Rate) -> Callable[[], object]:
        """One try."""
        return asyncio.run(self.limiter.throttle("tries", rate))


@pytest.fixture(params=[False, True], ids=["alone", "shared"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """A limiter alone, and one that shares its counts."""
    return Bench(shared=request.param)


def test_who_is_limited_how(bench: Bench) -> None:
    """Keys by their own limit, accounts by the setting, others by their address; the operator is not."""
    assert bench.passed(5, KEY) == 2
    assert bench.passed(5, USER) == 3
    assert bench.passed(5, NOBODY, "192.0.2.7") == 2
    assert bench.passed(5, NOBODY, "192.0.2.8") == 2
    assert bench.passed(50, ADMIN) == 50


def test_who_is_not_limited() -> None:
    """Whoever the operator has set no limit for; whoever is on this machine, unless there is one for them."""
    open_door = Bench(Policy(None, None, None))

    assert open_door.passed(50, USER) == open_door.passed(50, NOBODY, "192.0.2.7") == 50
    assert open_door.passed(5, KEY) == 2
    assert Bench().passed(50, NOBODY, "127.0.0.1", near=True) == 50
    assert Bench(Policy(None, None, Rate(1, 60))).passed(50, NOBODY, "127.0.0.1", near=True) == 1


def test_each_call_is_told_what_is_left(bench: Bench) -> None:
    """Also the one that is refused; whoever is not limited is told nothing."""
    seen = [bench.admit(USER)[1] for _ in range(2)]
    say: RawHeaders = []
    asyncio.run(bench.limiter.admit(USER, "", near=False, say=say))
    with pytest.raises(LimitExceeded):
        asyncio.run(bench.limiter.admit(USER, "", near=False, say=say))

    policy = (b"ratelimit-policy", b'"default";q=3;w=3600')
    assert seen == [[policy, (b"ratelimit", b'"default";r=%d;t=%d' % pair)] for pair in ((2, 1200), (1, 2400))]
    assert say[2:] == [policy, (b"ratelimit", b'"default";r=0;t=3600')]
    assert bench.admit(ADMIN)[1] == []


@pytest.mark.proves("S35")
def test_when_to_come_again(bench: Bench) -> None:
    """It is told, and true: a second earlier is too early."""
    bench.passed(3, USER)
    bench.clock.advance(100.5)
    with pytest.raises(LimitExceeded, match=r"More than 3/hour calls are not allowed\. Try again in 1100 s") as caught:
        bench.admit(USER)
    assert caught.value.seconds == 1100

    bench.clock.advance(1099)
    assert bench.passed(1, USER) == 0
    bench.clock.advance(1)
    assert bench.passed(2, USER) == 1


def test_as_much_at_once_as_may(bench: Bench) -> None:
    """More waits until it has ended; what is refused for that costs nothing of the rate, and ends nothing."""
    first, _ = bench.admit(KEY)
    with pytest.raises(LimitExceeded, match="More than 1 calls at once are not allowed to this key") as caught:
        bench.admit(KEY)
    assert caught.value.seconds == 1

    for _ in range(2):
        bench.end(first)
    second, _ = bench.admit(KEY)
    with pytest.raises(LimitExceeded, match="at once"):
        bench.admit(KEY)
    bench.end(second)
    with pytest.raises(LimitExceeded, match="More than 2/hour calls"):
        bench.admit(KEY)


def test_a_call_over_the_rate_takes_no_room(bench: Bench) -> None:
    """When calls are allowed again, one can go on."""
    assert bench.passed(5, KEY) == 2
    bench.clock.advance(3600)
    assert bench.passed(5, KEY) == 2


def test_a_key_without_a_rate() -> None:
    """It is limited in what goes on at once."""
    bench = Bench(Policy(None, None, None))
    caller = Principal("key:k2", frozenset(), "key", "k2", None, 2)
    admissions = [bench.admit(caller)[0] for _ in range(2)]
    with pytest.raises(LimitExceeded, match="More than 2 calls at once"):
        bench.admit(caller)

    assert bench.admit(USER)[1] == []
    for admission in admissions:
        bench.end(admission)
    assert bench.passed(50, caller) == 50


@pytest.mark.proves("S33")
def test_a_worker_that_knows_of_no_others_enforces_its_part() -> None:
    """Of the rate, of tries, and of what may go on at once; one of each at least."""
    policy = Policy(Rate(600, 3600), None, None, workers=4)
    caller = Principal("key:k2", frozenset(), "key", "k2", Rate(3, 3600), 9)

    assert Bench(policy).passed(700, USER) == 150
    assert Bench(policy).passed(5, caller) == 1
    crowded = Bench(policy)
    for _ in range(2):
        crowded.admit(Principal("key:k3", frozenset(), "key", "k3", None, 9))
    with pytest.raises(LimitExceeded, match="at once"):
        crowded.admit(Principal("key:k3", frozenset(), "key", "k3", None, 9))
    tries = Bench(policy)
    for _ in range(2):
        tries.throttle(Rate(8, 3600))
    with pytest.raises(LimitExceeded):
        tries.throttle(Rate(8, 3600))


@pytest.mark.proves("S57")
def test_who_exceeds_a_limit_is_told_of_once_a_minute(bench: Bench) -> None:
    """By name: for the audit."""
    bench.passed(20, USER)
    bench.passed(20, NOBODY, "192.0.2.7")
    first = list(bench.exceeded)
    bench.clock.advance(TOLD_SECONDS - 1)
    bench.passed(20, USER)
    assert first == bench.exceeded == ["user:ada@example.org", "address:192.0.2.7"]

    bench.clock.advance(1)
    bench.passed(20, USER)
    assert bench.exceeded == [*first, "user:ada@example.org"]


def test_tries_that_are_counted(bench: Bench) -> None:
    """Too many are refused; those that were none are given back."""
    rate = Rate(2, 900)
    bench.throttle(rate)
    undo = bench.throttle(rate)
    with pytest.raises(LimitExceeded, match=r"Too many tries\. Try again in 450 s"):
        bench.throttle(rate)

    undo()
    bench.settle()
    bench.throttle(rate)
    with pytest.raises(LimitExceeded):
        bench.throttle(rate)


@pytest.mark.proves("S36")
def test_while_the_store_is_away_this_worker_counts() -> None:
    """Its part of the limit, and says so each time."""
    bench = Bench(Policy(Rate(6, 3600), None, None, workers=2), shared=True)
    bench.store.away = True

    assert bench.passed(10, USER) == 3
    assert bench.lost == ["counted here"] * 10


@pytest.mark.proves("S36")
def test_while_the_store_is_away_nobody_may_try_passwords() -> None:
    """A guesser who can break the store must gain nothing by it."""
    bench = Bench(shared=True)
    bench.store.away = True
    for _ in range(2):
        with pytest.raises(Busy, match="Nobody can log in while the store of limits is away"):
            bench.throttle(Rate(100, 900))

    assert bench.lost == ["refused", "refused"]


@pytest.mark.proves("S36")
def test_a_store_that_comes_back() -> None:
    """Is asked again a second after it failed, and then each time."""
    bench = Bench(shared=True)
    bench.passed(1, USER)
    bench.store.away = True
    bench.passed(1, USER)
    bench.store.away = False
    bench.clock.advance(AGAIN_SECONDS - 0.1)
    bench.passed(1, USER)
    assert bench.lost == ["counted here"] * 2

    bench.clock.advance(0.1)
    assert bench.passed(5, USER) == 2
    assert bench.lost == ["counted here"] * 2
    bench.throttle(Rate(1, 900))


def test_a_store_that_is_away_is_asked_by_one_call_a_second() -> None:
    """Whoever comes at the same time does not wait for it, too."""
    bench = Bench(shared=True)
    bench.store.away = True
    bench.passed(1, USER)
    asked = bench.store.asked
    bench.clock.advance(AGAIN_SECONDS)
    answer = asyncio.Event()

    async def slow(ask: Ask) -> Any:  # noqa: ANN401 - never
        del ask
        bench.store.asked += 1
        await answer.wait()
        raise LimitsLost

    bench.store.take = slow  # type: ignore[method-assign]

    async def main() -> None:
        first = asyncio.create_task(bench.limiter.admit(USER, "", near=False, say=[]))
        await asyncio.sleep(0)
        await asyncio.wait_for(bench.limiter.admit(USER, "", near=False, say=[]), 5)
        assert (bench.store.asked, first.done()) == (asked + 1, False)
        answer.set()
        await first

    asyncio.run(main())


def test_what_ends_while_the_store_is_away() -> None:
    """Costs nobody anything: its lease ends by itself."""
    bench = Bench(shared=True)
    admission, _ = bench.admit(KEY)
    bench.store.away = True
    bench.end(admission)
    bench.store.away = False

    with pytest.raises(LimitExceeded, match="at once"):
        bench.admit(KEY)
