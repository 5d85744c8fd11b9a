"""A worker's copy of accounts and keys: as new as its last refresh, and there when the database is not."""

import threading
from collections.abc import Callable
from math import inf

from seatrial.server.access.ports import AccessSource
from seatrial.server.access.view import AccessView
from seatrial.server.core.clock import Wall

NOTED_SECONDS = 60.0
"""How exactly the last use of a key is kept."""


class AccessMirror:
    """Lives as long as the worker. The source is not read where its `stamp` is known, and the same as before."""

    def __init__(self, source: AccessSource, clock: Wall, stamp: Callable[[], int | None] = lambda: None) -> None:
        self._source = source
        self._stamp = stamp
        self._stamped: int | None = None
        self._clock = clock
        self._generation: int | None = None
        self._refreshing = threading.Lock()
        self._used: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self.view = AccessView()

    def refresh(self) -> None:
        """Follow the source, called in a thread; raises `StorageUnavailable`, and the copy stays."""
        with self._refreshing:
            stamp = self._stamp()
            if stamp is not None and stamp == self._stamped:
                return
            self._stamped = None
            generation = self._source.generation()
            if generation != self._generation:
                self.view = AccessView(self._source.accounts(), self._source.api_keys(), self._source.signing_keys())
                self._generation = generation
            self._stamped = stamp

    def write_used(self) -> None:
        """Keep when keys were last used; called in a thread, by one at a time. Raises `StorageUnavailable`."""
        used = self._used.copy()
        due = {key_id: at for key_id, at in used.items() if at - self._written.get(key_id, -inf) >= NOTED_SECONDS}
        if due:
            self._source.note_used(due)
            self._written.update(due)

    def note_used(self, key_id: str) -> None:
        """A key was used now; called in the event loop."""
        self._used[key_id] = self._clock()
