"""Follow the registry: what other processes change in it, this worker knows within a second."""

import asyncio
import math
import threading
from collections.abc import Callable, Collection

from seatrial.server.core.clock import Monotonic
from seatrial.server.registry.mirror import Mirror, View

FOLLOW_SECONDS = 0.5
"""How long a worker waits between two looks."""
BESIDE_SECONDS = 0.4
"""The same for what is followed beside: keys that were revoked are refused within a second, by a busy machine too."""
RETRY_SECONDS = 10.0
"""How long it waits before it tries again to load what failed."""
STOP_SECONDS = 3.0
"""How long a stop waits for a look that is going on."""

Serve = Callable[[View], bool]
"""Serves what a view says; whether all of it could be loaded."""


class Follower:
    """Keeps a worker's copy of the registry new, and what it serves with it; lives as long as the worker.

    Args:
        mirror: the copy.
        say: hears (event, detail) when the source is lost or back, and when a look failed.
        clock: measures.
        write: writes down what this worker counts under the trials that are open; called at each look.
        beside: follows what does not wait until models are loaded; called in a thread of its own.
    """

    def __init__(
        self,
        mirror: Mirror,
        say: Callable[[str, str], None],
        clock: Monotonic,
        write: Callable[[Collection[str]], None] = lambda _: None,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        self.mirror = mirror
        self._write = write
        self._beside = beside
        self._fault_beside = ""
        self._say = say
        self._clock = clock
        self.serve: Serve = lambda _: True
        self._looking = threading.Lock()
        self._looked = -math.inf
        self._again: float | None = None
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    async def start(self, serve: Serve) -> None:
        """Read the registry, serve it, and go on following it in threads, in which `serve` is called."""
        self.serve = serve
        for look, seconds in ((self._look_beside, BESIDE_SECONDS), (self.look, FOLLOW_SECONDS)):
            await asyncio.to_thread(look)
            # They end with the process, whatever they wait for: a source that is gone holds up no stop.
            thread = threading.Thread(target=self._follow, args=(look, seconds), name="follow", daemon=True)
            thread.start()
            self._threads.append(thread)

    async def stop(self) -> None:
        """Follow no more, once what runs is over or has taken too long."""
        self._stopped.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, STOP_SECONDS)

    def _follow(self, look: Callable[[], None], seconds: float) -> None:
        while not self._stopped.wait(seconds):
            look()

    def look(self) -> None:
        """Compare once; also called by who has just changed something here, so that it is seen in the next answer.

        Whatever goes wrong is told, and does not end the following.
        """
        with self._looking:
            self._look()

    def catch_up(self) -> None:
        """Look, for somebody who misses what another worker may have got a moment ago; not where the source is lost."""
        came = self._clock()
        with self._looking:
            if not self.mirror.fault and self._looked < came:
                self._look()

    def _look(self) -> None:
        began, before = self._clock(), self.mirror.fault
        try:
            self.mirror.refresh(self._prepare)
            if self._again is not None and self._clock() >= self._again:
                self._prepare(self.mirror.view)
            if not self.mirror.fault:
                self._write(self.mirror.view.trials)
        except Exception as error:  # noqa: BLE001 - a worker that no longer follows would serve the past for ever
            self.mirror.fault = f"{type(error).__name__}: {error}"
        self._looked = began
        if self.mirror.fault != before:
            self._say("database_lost" if self.mirror.fault else "database_back", self.mirror.fault)

    def _look_beside(self) -> None:
        """The same for what is followed beside; called by one at a time."""
        before, self._fault_beside = self._fault_beside, ""
        try:
            self._beside()
        except Exception as error:  # noqa: BLE001 - the same
            self._fault_beside = f"{type(error).__name__}: {error}"
        if self._fault_beside != before:
            self._say("access_lost" if self._fault_beside else "access_back", self._fault_beside)

    def _prepare(self, view: View) -> None:
        self._again = None if self.serve(view) else self._clock() + RETRY_SECONDS
