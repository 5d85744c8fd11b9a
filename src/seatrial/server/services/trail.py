"""Deeds that are told to the audit a moment later, since whoever did them is not to wait for the database."""

from collections import deque
from collections.abc import Callable

from seatrial.server.access.audit import Deed
from seatrial.server.access.ports import Audit

MOST = 10_000
"""How many deeds wait at most while the database is away; then the oldest are lost, and the log has them."""


class Trail:
    """Lives as long as the worker. `say` hears of each deed at once, for the log."""

    def __init__(self, audit: Audit, say: Callable[[Deed], None]) -> None:
        self._audit = audit
        self._say = say
        self._waiting: deque[Deed] = deque(maxlen=MOST)

    def note(self, deed: Deed) -> None:
        """Something was done."""
        self._say(deed)
        self._waiting.append(deed)

    def flush(self) -> None:
        """Write what waits, called in a thread; raises `StorageUnavailable`, and the rest waits on."""
        while self._waiting:
            deed = self._waiting[0]
            self._audit.note(deed)
            self._waiting.popleft()
