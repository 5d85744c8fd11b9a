"""Run the benchmarks of a target; with a champion, also in blocks of both in turn. It leaves records only."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from pathlib import Path

from seatrial.contracts.proof import Side
from seatrial.contracts.record import WARM_UP, Generator, Run, Sample
from seatrial.contracts.slo import Slo
from seatrial.grading import versus
from seatrial.grading.regrade import PAIRS, WARM_UP_REQUESTS
from seatrial.grading.toml import WrongFile
from seatrial.trials.bench.suite import Benchmark, benchmarks
from seatrial.trials.core import probe
from seatrial.trials.core.client import Client, Clock, client, run, without_garbage_collection
from seatrial.trials.core.live import Progress, Window
from seatrial.trials.core.machine import cpu_times, fingerprint, steal_since
from seatrial.trials.core.target import Target
from seatrial.trials.measure import pairs, records
from seatrial.trials.measure.gone import require_still_there

TIMEOUT_S = 30.0
WARM_UP_S = 1.0
_Suites = tuple[Sequence[Benchmark], Sequence[Benchmark]]
"""What the champion is asked, and what the candidate is."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How a champion is compared: `pairs` of blocks of `block_s` seconds, in the order ABBA."""

    pairs: int = 10
    block_s: float = 5.0


@dataclass
class _State:
    """What was measured so far."""

    progress: Progress
    began: float = field(default_factory=time.time)
    ended: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    blocks: list[Sample] = field(default_factory=list)
    used: list[tuple[float, float]] = field(default_factory=list)
    window: Window = field(default_factory=Window)

    def add(self, samples: Sequence[Sample]) -> None:
        """Keep the requests of a benchmark."""
        self.samples += samples
        for sample in samples:
            self.window.add(sample.start, sample.latency_ms, ok=sample.ok)

    def tell(self, phase: str) -> None:
        """Say what is being measured."""
        self.progress(self.window.live(phase, time.time() - self.began))


def run_bench(
    target: Target, champion: Target | None, slo: Slo, folder: Path, options: BenchOptions, progress: Progress
) -> Run:
    """Measure every benchmark; with a champion, also what the SLO file states `versus_champion`.

    Raises:
        CouldNotRun: a target accepts no connection.
        WrongFile: there is a champion, and nothing in which to compare with it.
    """
    suite = benchmarks(target)
    compared: _Suites = ((), ())
    if champion:
        compared = _compared(benchmarks(champion), slo), _compared(suite, slo)
    for needed in (target, champion) if champion else (target,):
        probe.require(needed)
    state = _State(progress)
    before = cpu_times()
    run(_measure(state, target, champion, (suite, compared), options))
    records.write_samples(folder / records.FILE_NAME, state.samples)
    if champion:
        records.write_samples(folder / pairs.FILE_NAME, state.blocks)
        require_still_there(champion, folder / pairs.FILE_NAME)
    require_still_there(target, folder / records.FILE_NAME)
    generator = Generator(
        kind="closed loop",
        processes=1,
        cpu=_share(state.used),
        steal=steal_since(before),
    )
    return Run(
        verb="bench",
        plan="bench",
        target=target.url,
        model=target.model,
        trial=target.trial,
        started=state.began,
        ended=time.time(),
        duration_s=state.ended - state.began,
        generator=generator,
        machine=fingerprint(),
        subjects=probe.models(target),
        changed=(f"against {champion.model or champion.url}",) if champion else (),
        min_samples=1,
    )


def _compared(suite: Iterable[Benchmark], slo: Slo) -> list[Benchmark]:
    """The benchmarks that the SLO file wants compared."""
    wanted = {objective.endpoint for objective in versus.stated(slo, "bench")}
    chosen = [benchmark for benchmark in suite if benchmark.name in wanted or None in wanted]
    if not chosen:
        stated = ", ".join(sorted(str(name) for name in wanted)) or "none"
        offered = ", ".join(benchmark.name for benchmark in suite)
        raise WrongFile(
            "--against: the SLO file states versus_champion for no benchmark of this target; "
            f"expected some of {offered}; received {stated}"
        )
    return chosen


async def _measure(
    state: _State,
    target: Target,
    champion: Target | None,
    suites: tuple[Sequence[Benchmark], _Suites],
    options: BenchOptions,
) -> None:
    suite, compared = suites
    clock = Clock.start()
    state.began = time.time()
    async with client(target, clock, "bench", TIMEOUT_S) as sender, without_garbage_collection():
        for benchmark in suite:
            state.tell(benchmark.name)
            warm_up = await _run(sender, replace(benchmark, samples=WARM_UP_REQUESTS, callers=1))
            state.samples += [replace(sample, user=WARM_UP) for sample in warm_up]
            before = _clocks()
            state.add(await _run(sender, benchmark))
            if benchmark.callers == 1:
                state.used.append(_since(before))
        state.ended = time.time()
    if champion:
        async with (
            client(_in_pairs(champion), clock, "bench", TIMEOUT_S) as first,
            client(_in_pairs(target), clock, "bench", TIMEOUT_S) as second,
            without_garbage_collection(),
        ):
            await _interleave(state, first, second, compared, options)


def _in_pairs(target: Target) -> Target:
    """The server counts what is asked in turn apart from the rest."""
    return replace(target, trial=f"{target.trial}/{PAIRS}") if target.trial else target


def _clocks() -> tuple[float, float]:
    """Seconds that passed, and seconds that this process worked."""
    return time.perf_counter(), time.process_time()


def _since(before: tuple[float, float]) -> tuple[float, float]:
    passed, worked = _clocks()
    return passed - before[0], worked - before[1]


def _share(used: Sequence[tuple[float, float]]) -> float | None:
    """The share of a core that one caller took. Ten keep a client as busy as the server: that counts against it."""
    passed = sum(seconds for seconds, _ in used)
    return sum(worked for _, worked in used) / passed if passed else None


async def _run(sender: Client, benchmark: Benchmark) -> list[Sample]:
    """Ask as often as the benchmark says, from as many callers."""
    found: list[Sample] = []
    turns = count()

    async def call() -> None:
        while (turn := next(turns)) < benchmark.samples:
            found.append(await sender.ask(benchmark.questions[turn % len(benchmark.questions)]))

    await asyncio.gather(*(call() for _ in range(benchmark.callers)))
    return found


async def _interleave(
    state: _State, champion: Client, candidate: Client, suites: _Suites, options: BenchOptions
) -> None:
    """Blocks in the order ABBA ABBA, so that what the machine does in the meantime falls on both alike.

    The first of each, pair 0, warms both up.
    """
    sides: list[tuple[Side, Client, Sequence[Benchmark]]] = [
        ("champion", champion, suites[0]),
        ("candidate", candidate, suites[1]),
    ]
    for pair in range(options.pairs + 1):
        state.tell(f"pair {pair} of {options.pairs}")
        for side, sender, suite in sides:
            before = _clocks()
            block = await _block(sender, suite, options.block_s if pair else WARM_UP_S)
            if pair:
                state.used.append(_since(before))
            state.blocks += [replace(sample, user=pairs.caller(side, pair)) for sample in block]
        if pair:
            sides.reverse()


async def _block(sender: Client, suite: Sequence[Benchmark], seconds: float) -> list[Sample]:
    """Ask each benchmark's questions in turn, one caller, for so long."""
    found: list[Sample] = []
    turns = [cycle(benchmark.questions) for benchmark in suite]
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        for asked in turns:
            found.append(await sender.ask(next(asked)))  # noqa: PERF401 - one after the other is the point
    return found
