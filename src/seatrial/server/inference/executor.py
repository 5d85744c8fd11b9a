"""Runs arrays through a model in a bounded pool of threads."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from seatrial.server.core.errors import DeadlineExceeded
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.runtime import Array, Stop
from seatrial.server.inference.signature import Arrays

Result = TypeVar("Result")

CHUNK = 128
"""Most examples in one run: bounds the memory of a run, and the work that goes on after a deadline."""


class Executor:
    """The threads of one worker process: some run models, others read large bodies. Lives as long as the server."""

    def __init__(self, threads: int) -> None:
        self._width = threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="infer")
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="read")

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def call(self, function: Callable[[], Result], deadline: Deadline) -> Result:
        """What `function` returns, from a thread; past the deadline `DeadlineExceeded` in the phase `parse`."""
        future = self._readers.submit(function)
        try:
            async with asyncio.timeout(max(deadline.remaining(), 0.0)):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DeadlineExceeded("parse", deadline.seconds) from None

    async def run(self, model: LoadedModel, arrays: Arrays, batch_size: int, deadline: Deadline) -> InferResult:
        """Run any number of examples in the threads, at most `batch_size` in one run.

        Past the deadline the caller gets `DeadlineExceeded` at once; what runs is ended, and the rest never begins.
        """
        rows = len(next(iter(arrays.values())))
        size = min(batch_size, CHUNK)
        share = size * math.ceil(rows / size / self._width)  # whole chunks, and no more parts than threads
        parts = [{name: array[i : i + share] for name, array in arrays.items()} for i in range(0, rows, share)]
        submitted = time.perf_counter()
        gone = Stop()
        runs = [self._threads.submit(_timed_runs, model, part, size, deadline, gone) for part in parts]
        try:
            async with asyncio.timeout(max(deadline.remaining(), 0.0)):
                done = await asyncio.gather(*map(asyncio.wrap_future, runs))
        except TimeoutError:
            raise DeadlineExceeded(_phase(runs), deadline.seconds) from None
        finally:
            gone.set()
            for run in runs:
                run.cancel()
        begun = min(begin for _, begin, _ in done)
        output = done[0][0] if len(done) == 1 else np.concatenate([part for part, _, _ in done])
        busy = sum(seconds for _, _, seconds in done)
        return InferResult(model, output, rows, begun - submitted, busy, time.perf_counter() - submitted)


def _timed_runs(
    model: LoadedModel, part: Arrays, size: int, deadline: Deadline, gone: Stop
) -> tuple[Array, float, float]:
    """Runs of `size` examples in a thread, one after the other: the output, when they began, and how long they took.

    Once `gone` is set nobody waits for them any more: the one that runs is ended, and no further one begins.
    """
    rows = len(next(iter(part.values())))
    begun = time.perf_counter()
    outputs: list[Array] = []
    for i in range(0, rows, size):
        if gone.is_set():
            raise CancelledError
        deadline.check("infer" if outputs else "queue")
        outputs.append(model.runtime.run({name: array[i : i + size] for name, array in part.items()}, gone))
    output = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
    return output, begun, time.perf_counter() - begun


def _phase(runs: list[Future[tuple[Array, float, float]]]) -> str:
    """Where the time went: `queue` as long as no run had begun."""
    begun = (run.running() or (run.done() and not run.cancelled() and run.exception() is None) for run in runs)
    return "infer" if any(begun) else "queue"
