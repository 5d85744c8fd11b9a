"""Runs single cheap examples in the event loop; those that came in one turn of it are run together.

An example costs less among others than alone: a run has a price of its own. Nobody waits for company, though: whoever
came in the same turn would have had to wait for the others anyway.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from seatrial.server.core.errors import DeadlineExceeded
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.signature import Arrays

Done = Callable[[InferResult | Exception], None]
"""Hears once, in the event loop, how an example went; is not to raise."""


class _Waiting(NamedTuple):
    arrays: Arrays
    deadline: Deadline
    done: Done
    since: float


class InlineRuns:
    """What waits for the end of this turn of the event loop; lives as long as the worker, used in its loop only."""

    def __init__(self) -> None:
        self._waiting: dict[LoadedModel, list[_Waiting]] = {}

    def add(self, model: LoadedModel, arrays: Arrays, deadline: Deadline, done: Done) -> None:
        """Run one example, in arrays with a leading axis of 1, at the end of this turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        self._waiting.setdefault(model, []).append(_Waiting(arrays, deadline, done, time.perf_counter()))

    async def run(self, model: LoadedModel, arrays: Arrays, deadline: Deadline) -> InferResult:
        """The same, for those who can wait."""
        future: asyncio.Future[InferResult] = asyncio.get_running_loop().create_future()

        def settle(outcome: InferResult | Exception) -> None:
            if future.cancelled():
                return
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self.add(model, arrays, deadline, settle)
        return await future

    def _run(self) -> None:
        """One run of each model; what is too much for it waits for the next turn, after others have been heard."""
        waiting, self._waiting = self._waiting, {}
        batches = {model: model.calibration.batch for model in waiting}
        left = {model: queue[batches[model] :] for model, queue in waiting.items() if len(queue) > batches[model]}
        if left:
            self._waiting = left
            asyncio.get_running_loop().call_soon(self._run)
        for model, queue in waiting.items():
            _run_together(model, queue[: batches[model]])


def _run_together(model: LoadedModel, queue: list[_Waiting]) -> None:
    """One run for all whose time is not up. Where it fails each is run alone: who brought the fault gets it."""
    begin = time.perf_counter()
    alive = []
    for waiting in queue:
        if waiting.deadline.remaining() > 0:
            alive.append(waiting)
        else:
            _tell(waiting, DeadlineExceeded("queue", waiting.deadline.seconds))
    if not alive:
        return
    first = alive[0].arrays
    try:
        arrays = (
            first
            if len(alive) == 1
            else {name: np.concatenate([waiting.arrays[name] for waiting in alive]) for name in first}
        )
        output = model.runtime.run(arrays)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        if len(alive) == 1:
            _tell(alive[0], error)
            return
        for waiting in alive:
            _run_together(model, [waiting])
        return
    end = time.perf_counter()
    for row, waiting in enumerate(alive):
        times = begin - waiting.since, end - begin, end - waiting.since
        _tell(waiting, InferResult(model, output[row : row + 1], 1, *times))


def _tell(waiting: _Waiting, outcome: InferResult | Exception) -> None:
    """Whatever goes wrong in telling one does not keep the others from hearing."""
    try:
        waiting.done(outcome)
    except Exception as error:  # noqa: BLE001 - it is told to whom the event loop tells such things
        told = {"message": "an answer could not be given", "exception": error}
        asyncio.get_running_loop().call_exception_handler(told)
