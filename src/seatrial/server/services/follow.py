"""Follow the registry: what other processes change in it, this worker knows within a second."""

import asyncio
from collections.abc import Callable

from seatrial.server.registry.mirror import Mirror

FOLLOW_SECONDS = 0.5
"""How long a worker waits between two looks."""


class Follower:
    """Keeps a worker's copy of the registry new; lives as long as the worker.

    Args:
        mirror: the copy.
        close: hangs up from the source.
        say: hears (event, detail) when the source is lost, and when it is back.
    """

    def __init__(self, mirror: Mirror, close: Callable[[], None], say: Callable[[str, str], None]) -> None:
        self.mirror = mirror
        self._close = close
        self._say = say
        self._changed: Callable[[], None] = lambda: None
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, changed: Callable[[], None]) -> None:
        """Read the registry and go on following it; `changed` is called in a thread, now and after every change."""
        self._changed = changed
        await asyncio.to_thread(self._look, first=True)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Hang up, once what runs is over."""
        self._stopped.set()
        if self._task:
            await self._task
        await asyncio.to_thread(self._close)

    async def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                await asyncio.wait_for(self._stopped.wait(), FOLLOW_SECONDS)
            except TimeoutError:
                await asyncio.to_thread(self._look)

    def _look(self, *, first: bool = False) -> None:
        before = self.mirror.fault
        if self.mirror.refresh() or first:
            self._changed()
        if not first:
            self._tell(before)

    def _tell(self, before: str) -> None:
        if self.mirror.fault and not before:
            self._say("database_lost", self.mirror.fault)
        elif before and not self.mirror.fault:
            self._say("database_back", "")
