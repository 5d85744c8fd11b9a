"""Answers that are being computed: who asks the same meanwhile waits for the same run."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from seatrial.server.core.errors import ClientGone
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.model import InferResult
from seatrial.server.inference.signature import Arrays
from seatrial.server.inference.ticket import Caller, Ticket


class Flight:
    """One run and all who wait for it; lives until it has landed, or everybody has left.

    `ticket` is what is run; its deadline is the latest of theirs. `drop` lets go of whatever it waits for.
    """

    def __init__(self, arrays: Arrays, deadline: Deadline, land: Callable[[InferResult | Exception], None]) -> None:
        self.ticket = Ticket(arrays, deadline, land)
        self.drop: Callable[[], None] | None = None
        self._callers: list[Caller] = []

    def board(self, caller: Caller) -> None:
        """Wait for it too."""
        self._callers.append(caller)
        if caller.deadline.remaining() > self.ticket.deadline.remaining():
            self.ticket.deadline = caller.deadline

    def left(self) -> None:
        """Somebody left. Where nobody is left, nothing is run."""
        if not any(caller.waits for caller in self._callers):
            self.ticket.tell(ClientGone())
            if self.drop is not None:
                self.drop()

    def tell(self, outcome: InferResult | Exception) -> None:
        """Let everybody hear; each waited for a time of their own."""
        for caller, told in zip(self._callers, self._told(outcome), strict=True):
            caller.tell(told)

    def _told(self, outcome: InferResult | Exception) -> Iterator[InferResult | Exception]:
        for number, caller in enumerate(self._callers):
            if isinstance(outcome, Exception):
                yield outcome
                continue
            before = caller.since - self.ticket.since
            times = max(0.0, outcome.queue_seconds - before), outcome.wall_seconds - before
            found = outcome.cache if outcome.cache == "hit" or not number else "joined"
            yield replace(outcome, queue_seconds=times[0], wall_seconds=times[1], cache=found)


class Flights:
    """Those of one worker, by what is asked; used in its event loop only."""

    def __init__(self) -> None:
        self._open: dict[bytes, Flight] = {}

    def find(self, key: bytes) -> Flight | None:
        """The one that computes this."""
        return self._open.get(key)

    def open(self, key: bytes, arrays: Arrays, deadline: Deadline, keep: Callable[[InferResult], None]) -> Flight:
        """Begin one; `keep` hears the answer once it is there."""

        def land(outcome: InferResult | Exception) -> None:
            del self._open[key]
            if isinstance(outcome, InferResult):
                if outcome.cache == "off":
                    outcome.cache = "miss"
                keep(outcome)
            flight.tell(outcome)

        flight = self._open[key] = Flight(arrays, deadline, land)
        return flight

    def forget(self, key: bytes) -> None:
        """One that could not begin."""
        del self._open[key]
