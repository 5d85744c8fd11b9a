"""Runs single cheap examples in the event loop; those that came in one turn of it are run together.

An example costs less among others than alone: a run has a price of its own. Nobody waits for company, though: whoever
came in the same turn would have had to wait for the others anyway.
"""

import asyncio
import time
from functools import partial

from seatrial.server.core.errors import QueueFull
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.threaded import Ran
from seatrial.server.inference.ticket import Ticket, attend, in_time, joined

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
        for ticket in tickets:
            if ticket.timer is None:
                attend(ticket, ticket, partial(self.leave, model, ticket))

    def _run_together(self, model: LoadedModel, queue: list[Ticket]) -> None:
        """One run for all whose time is not up. Where it fails each is run alone: who brought the fault gets it."""
        begin = time.perf_counter()
        alive = [ticket for ticket in queue if in_time(ticket)]
        if not alive:
            return
        try:
            output = model.runtime.run(joined(alive))
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
