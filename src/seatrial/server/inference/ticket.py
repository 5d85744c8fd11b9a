"""What waits for a model: examples, by when they are of use, and who hears how they went."""

import asyncio
import time
from collections.abc import Callable

from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.model import InferResult
from seatrial.server.inference.runtime import Array
from seatrial.server.inference.signature import Arrays

Done = Callable[[InferResult | Exception], None]
"""Hears once, in the event loop, how an example went; is not to raise."""

Leave = Callable[[], None]
"""Says that a caller is gone; `Done` hears `ClientGone`, unless it has heard before."""


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

    `begun` is when its run began, 0 before. `alone`: it was in a run that failed, and is run again by itself.
    """

    __slots__ = ("alone", "arrays", "begun")

    def __init__(self, arrays: Arrays, deadline: Deadline, done: Done) -> None:
        super().__init__(deadline, done)
        self.arrays = arrays
        self.begun = 0.0
        self.alone = False

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
