"""Tasks that nobody waits for."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Those of one owner, kept until they end: the event loop alone would let go of them."""

    def __init__(self) -> None:
        self._going: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many go on."""
        return len(self._going)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin one, in the event loop that runs."""
        task = asyncio.get_running_loop().create_task(work)
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        return task

    async def ended(self) -> None:
        """Once all that go on now have ended."""
        await asyncio.gather(*self._going)
