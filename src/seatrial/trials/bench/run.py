"""Run the benchmarks of a target; with a champion, also in blocks of both in turn, and compare pair by pair."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

import numpy as np

from seatrial.contracts.proof import Comparison, Outcome
from seatrial.contracts.record import Generator, Run, Sample
from seatrial.contracts.slo import Objective, Slo, parse_change
from seatrial.trials.bench.suite import Benchmark, benchmarks
from seatrial.trials.core import probe
from seatrial.trials.core.client import Client, Clock, client, measure_ceiling, run, without_garbage_collection
from seatrial.trials.core.live import Progress, Window
from seatrial.trials.core.machine import cpu_times, fingerprint, steal_since
from seatrial.trials.core.target import Target
from seatrial.trials.measure.histogram import Histogram
from seatrial.trials.measure.records import FILE_NAME, write_samples
from seatrial.trials.measure.statistics import Ratio, ratio_of_pairs

TIMEOUT_S = 30.0
WARM_UP = 20
LEAST_PAIRS = 10


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How a champion is compared: `pairs` of blocks of `block_s` seconds, in the order ABBA."""

    pairs: int = 10
    block_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Bench:
    """The facts of a run, and what became of each objective that is stated against a champion."""

    run: Run
    comparisons: tuple[Comparison, ...]


Blocks = dict[str, list[Histogram]]
"""Latencies by endpoint, a histogram for each block."""


@dataclass
class _State:
    """What was measured so far; `a` is the champion, `b` the candidate."""

    progress: Progress
    began: float = field(default_factory=time.time)
    samples: list[Sample] = field(default_factory=list)
    a: Blocks = field(default_factory=lambda: defaultdict(list))
    b: Blocks = field(default_factory=lambda: defaultdict(list))
    ceiling: float | None = None
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
) -> Bench:
    """Measure every benchmark; with a champion, also what the SLO file states `versus_champion`.

    Raises:
        CouldNotRun: a target accepts no connection.
    """
    for needed in (target, champion) if champion else (target,):
        probe.require(needed)
    stated = [item for item in slo.objective if item.versus_champion and item.applies_to("bench")]
    state = _State(progress)
    before = cpu_times()
    run(_measure(state, target, champion, stated, options))
    write_samples(folder / FILE_NAME, state.samples)
    ended = time.time()
    generator = Generator(
        kind="closed loop",
        processes=1,
        ceiling_rps=state.ceiling,
        steal=steal_since(before),
    )
    facts = Run(
        verb="bench",
        plan="bench",
        target=target.url,
        started=state.began,
        ended=ended,
        duration_s=ended - state.began,
        generator=generator,
        machine=fingerprint(),
        subjects=probe.models(target),
        changed=(f"against {champion.url}",) if champion else (),
        min_samples=1,
    )
    return Bench(facts, tuple(_compared(item, state) for item in stated) if champion else ())


async def _measure(
    state: _State, target: Target, champion: Target | None, stated: Sequence[Objective], options: BenchOptions
) -> None:
    suite = benchmarks(target)
    state.ceiling = await measure_ceiling(suite[0].questions[0])
    clock = Clock.start()
    async with client(target, clock, "bench", TIMEOUT_S) as sender, without_garbage_collection():
        for benchmark in suite:
            state.tell(benchmark.name)
            await _run(sender, Benchmark(benchmark.name, benchmark.questions, WARM_UP))
            state.add(await _run(sender, benchmark))
        if champion:
            async with client(champion, clock, "bench", TIMEOUT_S) as other:
                wanted = {item.endpoint for item in stated}
                chosen = [benchmark for benchmark in suite if benchmark.name in wanted or None in wanted]
                await _interleave(state, other, sender, chosen, options)


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
    state: _State, champion: Client, candidate: Client, suite: Sequence[Benchmark], options: BenchOptions
) -> None:
    """Blocks in the order ABBA ABBA, so that what the machine does in the meantime falls on both alike."""
    await _block(champion, suite, 1.0)
    for pair in range(options.pairs):
        state.tell(f"pair {pair + 1} of {options.pairs}")
        order = [(champion, state.a), (candidate, state.b)]
        for sender, blocks in order if pair % 2 == 0 else reversed(order):
            for name, latencies in (await _block(sender, suite, options.block_s)).items():
                blocks[name].append(latencies)


async def _block(sender: Client, suite: Sequence[Benchmark], seconds: float) -> dict[str, Histogram]:
    """Ask each benchmark's questions in turn, one caller, for so long."""
    latencies: dict[str, list[float]] = {benchmark.name: [] for benchmark in suite}
    turns = [(benchmark.name, cycle(benchmark.questions)) for benchmark in suite]
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        for name, asked in turns:
            sample = await sender.ask(next(asked))
            latencies[name].append(sample.latency_ms)
    return {name: Histogram(np.array(values)) for name, values in latencies.items()}


def _compared(objective: Objective, state: _State) -> Comparison:
    """One objective against the champion, over the pairs of blocks."""
    name = objective.endpoint or "all"
    a, b = (list(_figures(objective, blocks)) for blocks in (state.a, state.b))
    ratio = ratio_of_pairs(a, b)
    limit = parse_change(objective.versus_champion or "<= +10%")
    return Comparison(
        endpoint=name,
        sli=objective.sli,
        pairs=ratio.pairs,
        champion=float(np.median(a)),
        candidate=float(np.median(b)),
        ratio=ratio.ratio,
        low=ratio.low,
        high=ratio.high,
        limit=limit,
        outcome=outcome(ratio, limit),
    )


def _figures(objective: Objective, blocks: Blocks) -> Iterator[float]:
    """The objective's indicator in each block."""
    for number in range(max(map(len, blocks.values()), default=0)):
        whole = Histogram()
        for name, of in blocks.items():
            if objective.endpoint in {None, name}:
                whole.merge(of[number])
        summary = whole.summary()
        if summary:
            yield float(getattr(summary, objective.sli))


def outcome(ratio: Ratio, limit: float) -> Outcome:
    """Effect and confidence: fail if the ratio is over the limit and the interval above 1; pass if that is below it."""
    if ratio.ratio > limit and ratio.low > 1:
        return "fail"
    if ratio.high < limit and ratio.pairs >= LEAST_PAIRS:
        return "pass"
    return "not proven"
