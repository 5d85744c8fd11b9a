"""What waits for a model: examples, by when they are of use, and who hears how they went."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from seatrial.server.core.errors import ClientGone, DeadlineExceeded
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.model import InferResult
from seatrial.server.inference.runtime import Array
from seatrial.server.inference.signature import Arrays

Done = Callable[[InferResult | Exception], None]
"""Hears once, in the event loop, how an example went; is not to raise."""

Leave = Callable[[], None]
"""Says that a caller is gone; `Done` hears `ClientGone`, unless it has heard before."""

Drop = Callable[[], None]
"""Lets go of what nobody waits for."""


class Caller:
    """Somebody who waits; lives until they have heard."""

    __slots__ = ("deadline", "done", "since", "timer")

    def __init__(self, deadline: Deadline, done: Done) -> None:
        self.deadline = deadline
        self.done: Done | None = done
        self.since = time.perf_counter()
        self.timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether they have not heard yet."""
        return self.done is not None

    def tell(self, outcome: InferResult | Exception) -> None:
        """Let them hear. Whatever goes wrong in telling one does not keep others from hearing."""
        done, self.done = self.done, None
        if self.timer is not None:
            self.timer.cancel()
        if done is None:
            return
        try:
            done(outcome)
        except Exception as error:  # noqa: BLE001 - it is told to whom the event loop tells such things
            told = {"message": "an answer could not be given", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)


class Ticket(Caller):
    """One example, in arrays with a leading axis of 1.

    `begun` is when its run began, 0 before.
    """

    __slots__ = ("arrays", "begun")

    def __init__(self, arrays: Arrays, deadline: Deadline, done: Done) -> None:
        super().__init__(deadline, done)
        self.arrays = arrays
        self.begun = 0.0

    @property
    def phase(self) -> str:
        """Where it is: in the `queue`, or in `infer`."""
        return "infer" if self.begun else "queue"


class BulkTicket(Ticket):
    """Any number of examples, run in pieces of `size`.

    `next` is the first example of which no run has begun, `left` how many have no answer yet; `outputs` has the answers
    by their first example.
    """

    __slots__ = ("infer_seconds", "left", "next", "outputs", "rows", "size")

    def __init__(self, arrays: Arrays, size: int, deadline: Deadline, done: Done) -> None:
        super().__init__(arrays, deadline, done)
        self.rows = self.left = len(next(iter(arrays.values())))
        self.size = size
        self.next = 0
        self.outputs: dict[int, Array] = {}
        self.infer_seconds = 0.0


def attend(caller: Caller, ticket: Ticket, drop: Drop) -> Leave | None:
    """Tell a caller in time that they are late; what this returns says that they left. Either drops what they wait for.

    Args:
        caller: waits.
        ticket: is waited for.
        drop: lets go of it.
    """
    if not caller.waits:
        return None

    def late() -> None:
        if caller.waits:
            caller.tell(DeadlineExceeded(ticket.phase, caller.deadline.seconds))
            drop()

    caller.timer = asyncio.get_running_loop().call_later(max(0.0, caller.deadline.remaining()), late)
    return partial(gone, caller, drop)


def gone(caller: Caller, drop: Drop) -> None:
    """Somebody left."""
    if caller.waits:
        caller.tell(ClientGone())
        drop()


def in_time(ticket: Ticket) -> bool:
    """Whether somebody waits for it, and its time is not up; who is late is told."""
    if ticket.waits and ticket.deadline.remaining() <= 0:
        ticket.tell(DeadlineExceeded(ticket.phase, ticket.deadline.seconds))
    return ticket.waits


def joined(tickets: Sequence[Ticket]) -> Arrays:
    """The examples of several, one after the other."""
    first = tickets[0].arrays
    if len(tickets) == 1:
        return first
    return {name: np.concatenate([ticket.arrays[name] for ticket in tickets]) for name in first}
