"""Deeds that are told to the audit a moment later, since whoever did them is not to wait for the database."""

import threading
from collections import deque
from collections.abc import Callable

from seatrial.server.access.audit import Deed
from seatrial.server.access.ports import Audit

MOST = 10_000
"""How many deeds wait at most while the database is away; then the oldest are lost, and the log has them."""
TOGETHER = 100
"""How many are written at once: a flood of them is not to keep whoever flushes from everything else."""


class Trail:
    """Lives as long as the worker. `say` hears of each deed at once, for the log."""

    def __init__(self, audit: Audit, say: Callable[[Deed], None]) -> None:
        self._audit = audit
        self._say = say
        self._waiting: deque[Deed] = deque(maxlen=MOST)
        self._writing: list[Deed] = []
        self._flushing = threading.Lock()

    def note(self, deed: Deed) -> None:
        """Something was done."""
        self._say(deed)
        self._waiting.append(deed)

    def flush(self) -> None:
        """Write what waits now, called in a thread; raises `StorageUnavailable`, and the rest waits.

        What is being written has left the queue: there, something new might push it out.
        """
        with self._flushing:
            left = len(self._waiting)
            while self._writing or left:
                if not self._writing:
                    self._writing = [self._waiting.popleft() for _ in range(min(left, TOGETHER))]
                    left -= len(self._writing)
                self._audit.note(*self._writing)
                self._writing = []
