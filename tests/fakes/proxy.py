"""A proxy between two parts, which lets everything through, or slows it, or stands still, or is not there at all."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

from tests.live import between

BLOCK = 2**16
Upstream = Path | int
"""A socket in the file system, or a port of this machine."""


class FaultProxy:
    """Listens on a port of loopback, always the same, in a thread of its own, as long as the `with` block goes on.

    Args:
        upstream: where everything goes.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._delay = 0.0
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self._passing = asyncio.Event()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        self._loop.call_soon_threadsafe(self._passing.set)
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._hang_up())
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def gone(self) -> AbstractContextManager[None]:
        """Connections are refused, and those that are open were cut: as if there were nothing."""
        return between(lambda: self._run(self._hang_up()), lambda: self._run(self._listen()))

    def still(self) -> AbstractContextManager[None]:
        """Whoever connects is accepted, and nothing is ever answered: as if the wire were cut."""
        return between(
            lambda: self._loop.call_soon_threadsafe(self._passing.clear),
            lambda: self._loop.call_soon_threadsafe(self._passing.set),
        )

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """All that passes takes so much longer, each way."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    def cut(self) -> None:
        """Reset what is connected; whoever connects again is let through."""
        self._run(self._reset())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _end(self) -> None:
        """What goes on is over."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _reset(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._passing.wait()
            if isinstance(self._upstream, Path):
                there = await asyncio.open_unix_connection(self._upstream)
            else:
                there = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            self._open.discard(writer)
            writer.transport.abort()
            return
        self._open.add(there[1])
        try:
            await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer))
        finally:
            for end in (writer, there[1]):
                self._open.discard(end)
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while block := await reader.read(BLOCK):
                await self._passing.wait()
                await self._later(lambda block=block: writer.write(block))  # type: ignore[misc]
                await writer.drain()
            await self._later(writer.transport.abort)  # nobody here half closes
        except OSError:
            writer.transport.abort()

    async def _later(self, act: Callable[[], None]) -> None:
        """At once, or after the delay."""
        if not self._delay:
            act()
            return
        done = asyncio.Event()
        self._loop.call_later(self._delay, done.set)
        await done.wait()
        act()
