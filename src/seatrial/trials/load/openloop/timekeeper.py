"""Keeps the time of an open loop, in a thread: an event loop's own timers are a millisecond coarse."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

TICK_S = 0.0004
"""The shortest time between two looks at the clock: what is due in between is told together, late by as much."""
AWAKE_S = 0.001
AWAKE_SHARE = 0.2
"""Where that takes at most this share of a core, the thread is awake so long before a moment: a processor that sleeps
takes most of a millisecond to come back."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Moments in seconds after `began` (by `time.perf_counter`), in order, of which about `rate` come in a second."""

    began: float
    offsets: Iterable[float]
    rate: float


@contextmanager
def keeping_time(
    schedule: Schedule, due: Callable[[list[float]], object], over: Callable[[], object]
) -> Iterator[None]:
    """Tell of moments when they have come, some together, and of the end: from a thread, which ends with this."""
    stopped = threading.Event()
    thread = threading.Thread(target=_keep, args=(schedule, due, over, stopped), name="arrivals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _keep(
    schedule: Schedule, due: Callable[[list[float]], object], over: Callable[[], object], stopped: threading.Event
) -> None:
    awake = AWAKE_S if schedule.rate * AWAKE_S <= AWAKE_SHARE else 0.0
    waiting: list[float] = []
    woken = 0.0
    for offset in schedule.offsets:
        moment = schedule.began + offset
        if moment > time.perf_counter():
            if waiting:
                due(waiting)
                waiting = []
            if not _wait_until(max(moment, woken + TICK_S), awake, stopped):
                return
            woken = time.perf_counter()
        waiting.append(moment)
    if waiting:
        due(waiting)
    over()


def _wait_until(moment: float, awake: float, stopped: threading.Event) -> bool:
    """Whether the moment came before the end; `awake` seconds of the wait are not slept."""
    ahead = moment - awake - time.perf_counter()
    if ahead > 0 and stopped.wait(ahead):
        return False
    while awake and time.perf_counter() < moment:
        time.sleep(0)  # lets the loop have the interpreter
    return True
