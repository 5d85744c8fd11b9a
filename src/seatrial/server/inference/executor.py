"""Runs arrays through a model: a single cheap example in the event loop, everything else in a bounded thread pool."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from seatrial.server.core.errors import DeadlineExceeded
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.runtime import Array
from seatrial.server.inference.signature import Arrays

Result = TypeVar("Result")

CHUNK = 128
"""Most examples in one run: bounds the memory of a run, and the work that goes on after a deadline."""


class Executor:
    """The threads of one worker process; lives as long as the server."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="infer")

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def call(self, function: Callable[[], Result], deadline: Deadline) -> Result:
        """What `function` returns, from a thread; past the deadline `DeadlineExceeded` in the phase `parse`."""
        future = self._threads.submit(function)
        try:
            async with asyncio.timeout(max(deadline.remaining(), 0.0)):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DeadlineExceeded("parse", deadline.seconds) from None

    def run_inline(self, model: LoadedModel, arrays: Arrays, deadline: Deadline) -> InferResult:
        """Run one example now, in the calling thread."""
        deadline.check("queue")
        begin = time.perf_counter()
        output = model.runtime.run(arrays)
        seconds = time.perf_counter() - begin
        return InferResult(model, output, 1, 0.0, seconds, seconds)

    async def run(self, model: LoadedModel, arrays: Arrays, batch_size: int, deadline: Deadline) -> InferResult:
        """Run any number of examples in the threads, at most `batch_size` in one run.

        Past the deadline the caller gets `DeadlineExceeded` at once; runs that have not begun never do.
        """
        rows = len(next(iter(arrays.values())))
        size = min(batch_size, CHUNK)
        chunks = [{name: array[i : i + size] for name, array in arrays.items()} for i in range(0, rows, size)]
        submitted = time.perf_counter()
        runs = [self._threads.submit(_timed_run, model, chunk, deadline) for chunk in chunks]
        try:
            async with asyncio.timeout(max(deadline.remaining(), 0.0)):
                done = await asyncio.gather(*map(asyncio.wrap_future, runs))
        except TimeoutError:
            raise DeadlineExceeded(_phase(runs), deadline.seconds) from None
        finally:
            for run in runs:
                run.cancel()
        begun = min(begin for _, begin, _ in done)
        output = done[0][0] if len(done) == 1 else np.concatenate([part for part, _, _ in done])
        busy = sum(seconds for _, _, seconds in done)
        return InferResult(model, output, rows, begun - submitted, busy, time.perf_counter() - submitted)


def _timed_run(model: LoadedModel, chunk: Arrays, deadline: Deadline) -> tuple[Array, float, float]:
    """One run in a thread: its output, when it began, and how long it took."""
    deadline.check("queue")
    begin = time.perf_counter()
    output = model.runtime.run(chunk)
    return output, begin, time.perf_counter() - begin


def _phase(runs: list[Future[tuple[Array, float, float]]]) -> str:
    """Where the time went: `queue` as long as no run had begun."""
    begun = (run.running() or (run.done() and not run.cancelled() and run.exception() is None) for run in runs)
    return "infer" if any(begun) else "queue"
