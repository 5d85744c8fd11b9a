"""Lets requests that cost the event loop a while begin one after the other, with everybody else's work in between."""

import asyncio


class Pace:
    """One begins in each turn of the event loop; used in one loop at a time."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for a turn of one's own, in the order of coming."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a lock belongs to the loop that it was first waited for in
            self._loop, self._lock = loop, asyncio.Lock()
        async with self._lock:
            await asyncio.sleep(0)
