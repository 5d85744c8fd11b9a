"""Answers that are being computed: who asks the same meanwhile waits for the same run."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from seatrial.server.core.errors import ClientGone, DeadlineExceeded
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.model import Found, InferResult
from seatrial.server.inference.signature import Arrays
from seatrial.server.inference.ticket import Caller, Ticket


class Flight:
    """One run and all who wait for it; lives until it has landed, or everybody has left.

    `ticket` is what is run; its deadline is the latest of theirs. `drop` lets go of whatever it waits for.
    """

    def __init__(self, arrays: Arrays, deadline: Deadline, land: Callable[[InferResult | Exception], None]) -> None:
        self.ticket = Ticket(arrays, deadline, land)
        self.drop: Callable[[], None] = _nothing
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
            if caller.deadline.remaining() <= 0:
                yield DeadlineExceeded(self.ticket.phase, caller.deadline.seconds)
            elif not number:
                yield outcome
            else:  # who joins waits, and nothing is run for them
                wall = max(0.0, outcome.wall_seconds - (caller.since - self.ticket.since))
                found: Found = "hit" if outcome.cache == "hit" else "joined"
                yield replace(outcome, queue_seconds=wall, infer_seconds=0.0, wall_seconds=wall, cache=found)


def _nothing() -> None:
    """There is nothing to let go of yet."""


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
            if isinstance(outcome, InferResult) and outcome.cache == "off":
                outcome.cache = "miss"
            flight.tell(outcome)
            if isinstance(outcome, InferResult):
                keep(outcome)

        flight = self._open[key] = Flight(arrays, deadline, land)
        return flight
