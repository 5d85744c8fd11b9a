"""Runs a model in threads: at once where one is free, and together what has gathered while none was.

Nobody waits for company on an idle machine. While all threads of a model are busy its callers gather, and the next run
takes as many of them as pay. Single examples go before batches, which take turns among themselves, a piece at a time.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from seatrial.server.core.errors import Busy, QueueFull
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.runtime import Array, Stop
from seatrial.server.inference.signature import Arrays
from seatrial.server.inference.ticket import BulkTicket, Ticket, in_time, joined

QUEUE_BYTES = 256 * 2**20
"""How much memory the inputs of waiting requests may take, for each model."""
LONGEST_WAIT = 60
"""Most seconds that a refused caller is told to wait."""

Ran = Callable[[str, int], None]
"""Hears of each run that gave answers: the model, and how many examples it had."""


class _Piece(NamedTuple):
    """Examples of one ticket in a run; all of them, or those from `start` to `stop`."""

    ticket: Ticket
    start: int
    stop: int


class _Run:
    """One call of the runtime, and what ends it."""

    __slots__ = ("pieces", "stop")

    def __init__(self, pieces: list[_Piece]) -> None:
        self.pieces = pieces
        self.stop = Stop()

    @property
    def rows(self) -> int:
        return sum(piece.stop - piece.start for piece in self.pieces)

    def arrays(self) -> Arrays:
        first = self.pieces[0]
        if len(self.pieces) > 1:
            return joined([piece.ticket for piece in self.pieces])
        return {name: array[first.start : first.stop] for name, array in first.ticket.arrays.items()}


class ThreadedRuns:
    """The queue of one model and what runs of it; lives as long as something does. Used in one event loop only.

    Args:
        model: that is run.
        threads: which run it, shared with other models.
        width: how many of its runs go on at once, so that a slow model does not keep the threads from others.
        limit: how many requests may wait; batches may be half of them.
        ran: hears of runs.
        over: hears when nothing runs and nobody waits any more; then this is of no more use.
    """

    def __init__(
        self,
        model: LoadedModel,
        threads: ThreadPoolExecutor,
        width: int,
        limit: int,
        ran: Ran,
        over: Callable[[], object],
    ) -> None:
        self._over = over
        self._model = model
        self._threads = threads
        self._width = width
        self._limit = limit
        self._ran = ran
        self._single: dict[Ticket, None] = {}  # in their order; whoever leaves is out of it at once
        self._bulk: dict[BulkTicket, None] = {}
        self._again: deque[Ticket] = deque()
        self._bytes = 0
        self._runs: set[_Run] = set()

    @property
    def depth(self) -> int:
        """How many requests wait, wholly or in part."""
        return len(self._single) + len(self._bulk) + len(self._again)

    @property
    def idle(self) -> bool:
        """Whether nothing waits, and nothing runs."""
        return not self._runs and not self.depth

    def add(self, ticket: Ticket) -> None:
        """Run it, at once or later; raises `QueueFull`."""
        size = _bytes(ticket)
        if len(self._runs) >= self._width and self._full(ticket, size):
            raise QueueFull(self._model.model_id, self.depth, self._seconds())
        if isinstance(ticket, BulkTicket):
            self._bulk[ticket] = None
        else:
            self._single[ticket] = None
        self._bytes += size
        self._go()

    def end(self) -> None:
        """End what runs: nobody is there any more."""
        for run in self._runs:
            run.stop.set()

    def leave(self, ticket: Ticket) -> None:
        """Nobody waits for it any more: it never runs, and a run that is of no use to anybody is ended."""
        waiting: dict[Ticket, None] | dict[BulkTicket, None] = (
            self._bulk if isinstance(ticket, BulkTicket) else self._single
        )
        if ticket in waiting:
            del waiting[ticket]  # type: ignore[arg-type]
            self._bytes -= _bytes(ticket)
        for run in self._runs:
            if not any(piece.ticket.waits for piece in run.pieces):
                run.stop.set()
        self._rest()

    def _rest(self) -> None:
        if self.idle:
            self._over()

    def _full(self, ticket: Ticket, size: int) -> bool:
        if self.depth and self._bytes + size > QUEUE_BYTES:
            return True
        bulk = isinstance(ticket, BulkTicket) and len(self._bulk) >= max(1, self._limit // 2)
        return bulk or self.depth >= self._limit

    def _seconds(self) -> int:
        """In how many seconds, at the latest rate, nobody of those who wait now will."""
        examples = len(self._single) + sum(ticket.rows - ticket.next for ticket in self._bulk)
        wait = examples * self._model.calibration.each / self._width
        return max(1, min(math.ceil(wait), LONGEST_WAIT))

    def _go(self) -> None:
        while len(self._runs) < self._width and (pieces := self._next()):
            run = _Run(pieces)
            self._runs.add(run)
            begun = time.perf_counter()
            for piece in pieces:
                piece.ticket.begun = piece.ticket.begun or begun
            try:
                self._threads.submit(self._execute, run, asyncio.get_running_loop())
            except RuntimeError:  # the system has no more threads; the run may still stand in the queue of others
                self._refuse(run)

    def _refuse(self, run: _Run) -> None:
        """It is not run, or for nobody."""
        self._runs.discard(run)
        run.stop.set()
        for piece in run.pieces:
            piece.ticket.tell(Busy("No thread can be had for the model at this moment.", 1))
            self.leave(piece.ticket)

    def _next(self) -> list[_Piece]:
        """What the next run has; nothing where nobody waits. Whoever's time is up is told, and is not in it."""
        while self._again:
            ticket = self._again.popleft()
            if in_time(ticket):
                return [_Piece(ticket, 0, 1)]
        pieces: list[_Piece] = []
        while self._single and len(pieces) < self._model.calibration.batch:
            ticket = next(iter(self._single))
            del self._single[ticket]
            self._bytes -= _bytes(ticket)
            if in_time(ticket):
                pieces.append(_Piece(ticket, 0, 1))
        while self._bulk and not pieces:
            pieces = self._next_of_bulk()
        return pieces

    def _next_of_bulk(self) -> list[_Piece]:
        """A piece of the batch whose turn it is; the next one is another's."""
        ticket = next(iter(self._bulk))
        del self._bulk[ticket]
        alive = in_time(ticket)
        start = ticket.next
        ticket.next = min(start + ticket.size, ticket.rows)
        if alive and ticket.next < ticket.rows:
            self._bulk[ticket] = None
        else:
            self._bytes -= _bytes(ticket)
        return [_Piece(ticket, start, ticket.next)] if alive else []

    def _execute(self, run: _Run, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread."""
        begun = time.perf_counter()
        try:
            outcome: Array | Exception = self._model.runtime.run(run.arrays(), run.stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            outcome = error
        seconds = time.perf_counter() - begun
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._ended, run, outcome, begun, seconds)
        del outcome, run  # an error holds this frame, and this frame would hold it

    def _ended(self, run: _Run, outcome: Array | Exception, begun: float, seconds: float) -> None:
        if run not in self._runs:  # it was refused, and run all the same
            return
        self._runs.discard(run)
        alone = len(run.pieces) == 1
        if isinstance(outcome, Exception) and not alone:  # each by itself: who brought the fault gets it
            self._again.extend(piece.ticket for piece in run.pieces)
        self._go()  # before anybody is told: a thread works while the loop writes answers
        if not isinstance(outcome, Exception):
            self._ran(self._model.model_id, run.rows)
            self._give(run, outcome, begun, seconds)
        elif alone:
            ticket = run.pieces[0].ticket
            ticket.tell(outcome)
            self.leave(ticket)
        self._rest()

    def _give(self, run: _Run, output: Array, begun: float, seconds: float) -> None:
        """Each caller gets its own rows."""
        end = time.perf_counter()
        for row, piece in enumerate(run.pieces):
            ticket = piece.ticket
            if isinstance(ticket, BulkTicket):
                self._collect(ticket, piece.start, output, seconds)
            else:
                times = begun - ticket.since, seconds, end - ticket.since
                ticket.tell(InferResult(self._model, output[row : row + 1], 1, *times, len(run.pieces)))

    def _collect(self, ticket: BulkTicket, start: int, output: Array, seconds: float) -> None:
        ticket.outputs[start] = output
        ticket.left -= len(output)
        ticket.infer_seconds += seconds
        if ticket.left:
            return
        parts = [ticket.outputs[place] for place in sorted(ticket.outputs)]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        times = ticket.begun - ticket.since, ticket.infer_seconds, time.perf_counter() - ticket.since
        ticket.tell(InferResult(self._model, whole, ticket.rows, *times, min(ticket.size, ticket.rows)))


def _bytes(ticket: Ticket) -> int:
    return sum(array.nbytes for array in ticket.arrays.values())
