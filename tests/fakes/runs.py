"""Records of runs that never were: users who think and wait, and a server that answers as told."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from seatrial.contracts.record import Beat, Generator, Machine, Run, Sample

START = 1_000_000.0
MACHINE = Machine(
    cpu="a processor", cores=2, memory_gib=8, system="Linux 6", python="3.11.7", seatrial="0.1.0", digest="sha256:m"
)
GOOD_GENERATOR = Generator(
    kind="locust", processes=1, ceiling_rps=3000.0, lag_p99_ms=0.3, cpu=0.1, steal=0.0, late_starts=0
)
ANSWER = Sample(
    intended=START,
    start=START,
    latency_ms=5.0,
    endpoint="POST /predict",
    status=200,
    bytes=100,
    user="MNISTAPIUser",
    model="digits",
    ok=True,
    fault="",
)


def run(
    plan: str = "high", *, users: int = 100, duration_s: float = 60.0, generator: Generator = GOOD_GENERATOR
) -> Run:
    """A closed loop of one class with a think time of 2 s; ten users are started a second."""
    beats = tuple(Beat(time=START + t, users=min(users, 10 * t), cpu=0.1) for t in range(int(duration_s) + 1))
    return Run(
        verb="load",
        plan=plan,
        target="http://127.0.0.1:1",
        started=START,
        ended=START + duration_s + 1,
        duration_s=duration_s,
        generator=generator,
        machine=MACHINE,
        users=users,
        spawn_rate=10,
        classes=("MNISTAPIUser",),
        cadence_ms={"MNISTAPIUser": 2000.0},
        beats=beats,
        min_samples=59,
    )


def steady(second: float) -> float:
    """About 5 ms, whenever it is."""
    return 5.0 + (second * 7919 % 1)


def stalled(second: float) -> float:
    """As `steady`, but between 30 s and 40 s nobody is answered."""
    return (40 - second) * 1000 if 30 <= second < 40 else steady(second)


def closed_loop(of: Run, latency_ms: Callable[[float], float], seed: int = 1) -> Iterator[Sample]:
    """What its users ask: each waits for the answer, then thinks 1 to 3 s. `latency_ms` is by second of the run."""
    chance = random.Random(seed)  # noqa: S311 - think times, not cryptography
    for user in range(of.users):
        moment = user / of.spawn_rate
        while moment < of.duration_s:
            latency = latency_ms(moment)
            yield replace(ANSWER, intended=START + moment, start=START + moment, latency_ms=latency)
            moment += latency / 1000 + chance.uniform(1, 3)


def open_loop(rate: float, seconds: float) -> tuple[Run, list[Sample]]:
    """Arrivals at a constant rate, each answered at once."""
    count = int(rate * seconds)
    samples = [
        replace(ANSWER, intended=START + index / rate, start=START + index / rate, user="open")
        for index in range(count)
    ]
    facts = replace(
        run("open", users=0, duration_s=seconds),
        verb="open",
        offered_rps=rate,
        classes=(),
        cadence_ms={},
        beats=(),
        generator=replace(GOOD_GENERATOR, kind="open loop", in_time=count),
    )
    return facts, samples


def bench() -> tuple[Run, list[Sample]]:
    """Two benchmarks of 300 requests, 10 ms each, one after the other."""
    samples = [
        replace(ANSWER, intended=at, start=at, latency_ms=10.0, endpoint=name, user="bench")
        for at, name in (
            (START + index / 100, "GET /health" if index < 300 else "POST /predict") for index in range(600)
        )
    ]
    facts = replace(
        run("bench", users=0, duration_s=6),
        verb="bench",
        classes=(),
        cadence_ms={},
        beats=(),
        min_samples=1,
        generator=replace(GOOD_GENERATOR, kind="closed loop", lag_p99_ms=None),
    )
    return facts, samples


def pairs(ratio: float, count: int = 10) -> Iterator[Sample]:
    """Blocks of 60 requests, of a champion that takes 4 ms and of a candidate, each with 1 % noise."""
    chance = random.Random(3)  # noqa: S311 - noise, not cryptography
    for pair in range(1, count + 1):
        for side, latency in (("champion", 4.0), ("candidate", 4.0 * ratio)):
            for _ in range(60):
                yield replace(ANSWER, latency_ms=latency * chance.gauss(1, 0.01), user=f"{side} {pair}")
