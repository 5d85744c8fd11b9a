"""The engine of the open loop: sends each request when it is due, and knows how well it did."""

import asyncio
import random
import resource
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import psutil

from seatrial.contracts.record import Beat, Generator, Run, Sample
from seatrial.trials.core import probe
from seatrial.trials.core.client import Client, Clock, client, measure_ceiling, run, without_garbage_collection
from seatrial.trials.core.live import Progress, Window
from seatrial.trials.core.machine import cpu_times, fingerprint, steal_since
from seatrial.trials.core.noop import noop_server
from seatrial.trials.core.questions import Question, predictions
from seatrial.trials.core.target import Target, Weighted
from seatrial.trials.load.openloop.arrivals import Arrivals, due_times
from seatrial.trials.load.openloop.timekeeper import Schedule, keeping_time
from seatrial.trials.measure.gone import require_still_there
from seatrial.trials.measure.records import FILE_NAME, compress, encode

MOST_IN_FLIGHT = 4096
"""Requests that may wait for answers at once; more of them wait to be sent, and are late."""
SPARE_FILES = 64
"""Open files that are left for other things than connections."""
LATE_S = 0.001
LOOK_S = 0.25
BEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """What to send: `rate` requests a second for `duration_s`, each given up after `timeout_s`."""

    rate: float
    duration_s: float
    arrivals: Arrivals = "constant"
    timeout_s: float = 30.0
    seed: int = 1
    most_in_flight: int = MOST_IN_FLIGHT


@dataclass
class _State:
    """What has happened so far."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    records: BinaryIO
    memory: probe.MemoryWatch
    began: float = 0.0
    room: int = MOST_IN_FLIGHT
    in_flight: int = 0
    due: int = 0
    in_time: int = 0
    late: int = 0
    lags_ms: list[float] = field(default_factory=list)
    backlog: deque[tuple[float, Question]] = field(default_factory=deque)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    window: Window = field(default_factory=Window)
    beats: list[Beat] = field(default_factory=list)
    faults: set[str] = field(default_factory=set)


def run_open(load: OpenLoad, target: Target, folder: Path, progress: Progress) -> Run:
    """Send an open load to the target; records go to `folder`.

    Raises:
        CouldNotRun: the target accepts no connection, or is gone at the end.
    """
    probe.require(target)
    subjects = probe.models(target)
    questions = questions_for(target)
    before = cpu_times()
    plain = folder / "samples.jsonl"
    with plain.open("wb") as records:
        ceiling, state = run(_measure(load, target, questions, records, progress))
    steal = steal_since(before)
    compress([plain], folder / FILE_NAME)
    plain.unlink()
    require_still_there(target, folder / FILE_NAME)
    cpu = [beat.cpu for beat in state.beats]
    generator = Generator(
        kind="open loop",
        processes=1,
        ceiling_rps=ceiling,
        lag_p99_ms=float(np.percentile(state.lags_ms, 99)) if state.lags_ms else None,
        cpu=sum(cpu) / len(cpu) if cpu else None,
        steal=steal,
        in_time=state.in_time,
        late_starts=state.late,
        faults=tuple(sorted(state.faults)),
    )
    started = state.clock.at(state.began)
    return Run(
        verb="open",
        plan="open",
        target=target.url,
        model=target.model,
        trial=target.trial,
        started=started,
        ended=time.time(),
        duration_s=load.duration_s,
        generator=generator,
        machine=fingerprint(),
        offered_rps=state.due / load.duration_s,
        beats=tuple(state.beats),
        memory=tuple(state.memory.readings),
        subjects=subjects,
        min_samples=1,
    )


def questions_for(target: Target) -> tuple[Weighted, ...]:
    """What to ask: the requests of a target file, or else the known inputs of a model of each task."""
    return target.requests or tuple(
        Weighted(item, 1) for model in target.models.either() for item in predictions(model)
    )


async def _measure(
    load: OpenLoad, target: Target, questions: Sequence[Weighted], records: BinaryIO, progress: Progress
) -> tuple[float, _State]:
    progress(Window().live("measuring the generator", 0.0, load.duration_s))
    with noop_server() as noop:
        ceiling = await measure_ceiling(questions[0].question, noop)
    loop = asyncio.get_running_loop()
    state = _State(loop, Clock.start(), records, probe.MemoryWatch(target), room=_room(load.most_in_flight))
    async with client(target, state.clock, "open", load.timeout_s) as sender, without_garbage_collection():
        state.began = time.perf_counter()
        watching = [asyncio.create_task(_beat(state)), asyncio.create_task(_read_memory(state.memory))]
        telling = asyncio.create_task(_tell(state, load, progress))
        try:
            await _send(state, load, sender, _drawn(questions, load.seed))
            while state.tasks:
                await asyncio.wait(state.tasks)
        finally:
            state.backlog.clear()
            unfinished = (*watching, telling, *state.tasks)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
    return ceiling, state


def _room(most: int) -> int:
    """How many requests may wait at once: our own limit of open files must not look like a fault of the target."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return most
    return max(1, min(most, limit - psutil.Process().num_fds() - SPARE_FILES))


def _drawn(questions: Sequence[Weighted], seed: int) -> Iterator[Question]:
    # a stream of its own: with that of the arrivals, which question comes would follow from the gap before it
    chance = random.Random(f"questions {seed}")  # noqa: S311 - which question comes next, not cryptography
    asked, weights = [item.question for item in questions], list(accumulate(item.weight for item in questions))
    while True:
        yield from chance.choices(asked, cum_weights=weights, k=1000)


async def _send(state: _State, load: OpenLoad, sender: Client, questions: Iterator[Question]) -> None:
    """Start each request when it is due."""
    done = asyncio.Event()

    def start(due_by_now: list[float]) -> None:
        now = time.perf_counter()
        state.due += len(due_by_now)
        if now <= state.began + load.duration_s + LATE_S:
            state.in_time += len(due_by_now)
        for due in due_by_now:
            state.lags_ms.append((now - due) * 1000)
            state.backlog.append((due, next(questions)))
        _start_waiting(state, sender)

    later = state.loop.call_soon_threadsafe
    offsets = due_times(load.arrivals, load.rate, load.duration_s, load.seed)
    schedule = Schedule(state.began, offsets, load.rate)
    with keeping_time(schedule, lambda due: later(start, due), lambda: later(done.set)):
        await done.wait()


def _start_waiting(state: _State, sender: Client) -> None:
    """Send what is due, as long as there is room. Who would have given up by now is a failure, and is not sent."""
    while state.backlog and state.in_flight < state.room:
        due, question = state.backlog.popleft()
        if time.perf_counter() - due > sender.timeout_s:
            _count(state, sender.give_up(question, due))
            continue
        state.in_flight += 1
        state.tasks.add(state.loop.create_task(_ask(state, sender, question, due)))


async def _ask(state: _State, sender: Client, question: Question, due: float) -> None:
    try:
        _count(state, await sender.ask(question, due))
    except Exception as error:  # noqa: BLE001 - a request that left no record must not go unseen
        state.faults.add(f"{question.endpoint} was not recorded: {type(error).__name__}: {error}"[:200])
    finally:
        state.in_flight -= 1
        state.tasks.discard(cast("asyncio.Task[None]", asyncio.current_task(state.loop)))
    if state.backlog:
        _start_waiting(state, sender)


def _count(state: _State, sample: Sample) -> None:
    state.records.write(encode(sample))
    state.late += sample.start - sample.intended > LATE_S
    state.window.add(sample.start, sample.latency_ms, ok=sample.ok)


async def _beat(state: _State) -> None:
    process = psutil.Process()
    process.cpu_percent()
    while True:
        await asyncio.sleep(BEAT_S)
        state.beats.append(Beat(time=time.time(), users=state.in_flight, cpu=process.cpu_percent() / 100))


async def _read_memory(memory: probe.MemoryWatch) -> None:
    while memory.served:
        if memory.due:
            await asyncio.to_thread(memory.read_if_due)
        await asyncio.sleep(LOOK_S)


async def _tell(state: _State, load: OpenLoad, progress: Progress) -> None:
    while True:
        elapsed = time.perf_counter() - state.began
        progress(state.window.live("load", elapsed, load.duration_s, state.in_flight))
        await asyncio.sleep(LOOK_S)
