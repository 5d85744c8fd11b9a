"""Where counts are kept that several workers share."""

from typing import NamedTuple, Protocol

from seatrial.server.limits.bucket import Taken
from seatrial.server.limits.rate import Rate


class LimitsLost(Exception):
    """The store of the counts cannot be asked now."""


class Ask(NamedTuple):
    """One call of a caller: `name` is whose, `rate` and `concurrency` what they may do; none of it is no limit."""

    name: str
    rate: Rate | None = None
    concurrency: int | None = None


class Granted(NamedTuple):
    """What became of it: `taken` of its rate, `lease` to give back in the end; neither where it is `full`."""

    taken: Taken | None = None
    lease: str = ""
    full: bool = False
    """Whether as much of the caller's goes on as may at once."""


class SharedLimits(Protocol):
    """Counts that all workers see. Each method raises `LimitsLost`."""

    async def take(self, ask: Ask) -> Granted:
        """Let one call begin, or not."""

    async def end(self, ask: Ask, lease: str) -> None:
        """It has ended."""

    async def give_back(self, ask: Ask) -> None:
        """Undo a call of its rate."""

    async def close(self) -> None:
        """Hang up."""
