"""Runs single cheap examples in the event loop; those that came in one turn of it are run together.

An example costs less among others than alone: a run has a price of its own. Nobody waits for company, though: whoever
came in the same turn would have had to wait for the others anyway.
"""

import asyncio
import time

import numpy as np

from seatrial.server.core.errors import DeadlineExceeded, QueueFull
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.threaded import Ran
from seatrial.server.inference.ticket import Ticket

RETRY_SECONDS = 1


class InlineRuns:
    """What waits for the end of this turn of the event loop; lives as long as the worker, used in its loop only.

    Args:
        limit: how many requests may wait for a model.
        ran: hears of runs.
    """

    def __init__(self, limit: int, ran: Ran) -> None:
        self._limit = limit
        self._ran = ran
        self._waiting: dict[LoadedModel, dict[Ticket, None]] = {}

    def depth(self, model: LoadedModel) -> int:
        """How many examples wait for a model."""
        return len(self._waiting.get(model, ()))

    def add(self, model: LoadedModel, ticket: Ticket) -> None:
        """Run one example at the end of this turn; raises `QueueFull`."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        queue = self._waiting.setdefault(model, {})
        if len(queue) >= self._limit:
            raise QueueFull(model.model_id, len(queue), RETRY_SECONDS)
        queue[ticket] = None

    def leave(self, model: LoadedModel, ticket: Ticket) -> None:
        """Nobody waits for it any more."""
        self._waiting.get(model, {}).pop(ticket, None)

    def _run(self) -> None:
        """One run of each model; what is too much for it waits for the next turn, after others have been heard."""
        waiting, self._waiting = self._waiting, {}
        runs = []
        for model, queue in waiting.items():
            tickets = list(queue)
            runs.append((model, tickets[: model.calibration.batch]))
            if left := tickets[model.calibration.batch :]:
                self._waiting[model] = dict.fromkeys(left)
                self._put_off(model, left)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        for model, tickets in runs:
            self._run_together(model, tickets)

    def _put_off(self, model: LoadedModel, tickets: list[Ticket]) -> None:
        """They may have to wait for some turns, so each is told in time where its time is up."""
        loop = asyncio.get_running_loop()
        for ticket in tickets:
            if ticket.timer is None:
                ticket.timer = loop.call_later(max(0.0, ticket.deadline.remaining()), self._late, model, ticket)

    def _late(self, model: LoadedModel, ticket: Ticket) -> None:
        self.leave(model, ticket)
        ticket.tell(DeadlineExceeded(ticket.phase, ticket.deadline.seconds))

    def _run_together(self, model: LoadedModel, queue: list[Ticket]) -> None:
        """One run for all whose time is not up. Where it fails each is run alone: who brought the fault gets it."""
        begin = time.perf_counter()
        alive = []
        for ticket in queue:
            if not ticket.waits:
                continue
            if ticket.deadline.remaining() > 0:
                alive.append(ticket)
            else:
                ticket.tell(DeadlineExceeded("queue", ticket.deadline.seconds))
        if not alive:
            return
        first = alive[0].arrays
        try:
            arrays = (
                first
                if len(alive) == 1
                else {name: np.concatenate([ticket.arrays[name] for ticket in alive]) for name in first}
            )
            output = model.runtime.run(arrays)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            if len(alive) == 1:
                alive[0].tell(error)
                return
            for ticket in alive:
                self._run_together(model, [ticket])
            return
        end = time.perf_counter()
        self._ran(model.model_id, len(alive))
        for row, ticket in enumerate(alive):
            times = begin - ticket.since, end - begin, end - ticket.since
            ticket.tell(InferResult(model, output[row : row + 1], 1, *times, len(alive)))
