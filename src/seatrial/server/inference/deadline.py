"""One deadline for a request, over everything that is done for it."""

from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import DeadlineExceeded


class Deadline:
    """The moment, on the monotonic clock, after which the answer is of no use; lives as long as its request."""

    __slots__ = ("_clock", "at", "seconds")

    def __init__(self, seconds: float, started: float, clock: Monotonic) -> None:
        self.seconds = seconds
        self.at = started + seconds
        self._clock = clock

    def check(self, phase: str) -> None:
        """Raise `DeadlineExceeded` naming the phase when the time is up."""
        if self._clock() >= self.at:
            raise DeadlineExceeded(phase, self.seconds)

    def remaining(self) -> float:
        """Seconds left; negative when it is over."""
        return self.at - self._clock()
