"""Counts that several workers share, in memory; they can be away."""

from itertools import count

from tests.fakes.clock import ManualClock

from seatrial.server.limits.bucket import Buckets, Slots
from seatrial.server.limits.ports import Ask, Granted, LimitsLost


class MemoryLimits:
    """Implements `limits.ports.SharedLimits`; `asked` counts calls of `take`."""

    def __init__(self, clock: ManualClock) -> None:
        self._buckets = Buckets(clock)
        self._slots = Slots()
        self._leases: set[str] = set()
        self._numbers = count(1)
        self.away = False
        self.asked = 0

    async def take(self, ask: Ask) -> Granted:
        """See `SharedLimits.take`."""
        self.asked += 1
        self._reach()
        if ask.concurrency and not self._slots.take(ask.name, ask.concurrency):
            return Granted(full=True)
        taken = self._buckets.take(ask.name, ask.rate) if ask.rate else None
        if not ask.concurrency:
            return Granted(taken)
        if taken and taken.wait:
            self._slots.give_back(ask.name)
            return Granted(taken)
        lease = str(next(self._numbers))
        self._leases.add(lease)
        return Granted(taken, lease)

    async def end(self, ask: Ask, lease: str) -> None:
        """See `SharedLimits.end`."""
        self._reach()
        if lease in self._leases:
            self._leases.remove(lease)
            self._slots.give_back(ask.name)

    async def give_back(self, ask: Ask) -> None:
        """See `SharedLimits.give_back`."""
        self._reach()
        if ask.rate:
            self._buckets.give_back(ask.name, ask.rate)

    async def close(self) -> None:
        """See `SharedLimits.close`."""

    def _reach(self) -> None:
        if self.away:
            raise LimitsLost
