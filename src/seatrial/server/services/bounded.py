"""Work that takes a core for a while, such as hashing passwords: little of it at once, and a short queue."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar

from seatrial.server.core.errors import Busy

Result = TypeVar("Result")

NICE, NICEST = 12, 19
"""How far this work stands back behind predictions, where the system knows that of threads; and how far it can.

Further is better for predictions on a core of their own, and worse where others keep the core busy: a thread that
stands back and holds the interpreter holds up the event loop."""
RETRY_SECONDS = 1


class Do(Protocol):
    """Has a thread do something."""

    def __call__(self, function: Callable[[], Result], /) -> "asyncio.Future[Result]":
        """What it returns."""


class BoundedExecutor:
    """A few threads that stand back, and at most so much that waits for them; lives as long as the server.

    Args:
        what: is too much, for the text.
        threads: of these.
        waiting: how much may wait; what comes then is refused with `Busy`.
    """

    def __init__(self, what: str, threads: int, waiting: int) -> None:
        self._what = what
        self._room = threads + waiting
        self._inside = 0
        self._free = asyncio.Semaphore(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bounded", initializer=_stand_back)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Do]:
        """Wait until a thread is free, and keep it: what this gives has it do something, and returns what that returns.

        Raises `Busy` at once where too much waits already.
        """
        if self._inside >= self._room:
            raise Busy(self._what, RETRY_SECONDS)
        self._inside += 1
        try:
            async with self._free:
                yield partial(asyncio.get_running_loop().run_in_executor, self._threads)
        finally:
            self._inside -= 1

    async def run(self, function: Callable[[], Result]) -> Result:
        """What `function` returns; raises as `turn` does."""
        async with self.turn() as do:
            return await do(function)

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _stand_back() -> None:
    if sys.platform == "linux":  # elsewhere this would be of the whole process
        thread = threading.get_native_id()
        nice = os.getpriority(os.PRIO_PROCESS, thread) + NICE  # a server that stands back itself may not come forward
        os.setpriority(os.PRIO_PROCESS, thread, min(nice, NICEST))
