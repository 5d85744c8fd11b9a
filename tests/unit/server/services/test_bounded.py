"""Work in few threads, with a short queue."""

import asyncio
import os
import sys
import threading

import pytest

from seatrial.server.core.errors import Busy
from seatrial.server.services.bounded import NICE, NICEST, BoundedExecutor

WHAT = "Too much of it."


async def until_true(fact: threading.Event) -> None:
    await asyncio.to_thread(fact.wait, 10)


class Work:
    """Counts how much of it goes on at once; goes on until it is let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.running = self.most = 0
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> int:
        """Go on for a while."""
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            if self.running == 2:
                self.begun.set()
        self.go.wait(10)
        with self._lock:
            self.running -= 1
        return 7


@pytest.mark.proves("S8")
def test_no_more_at_once_than_there_are_threads() -> None:
    """A few wait, and what comes then is refused at once; when there is room, it is not."""
    work = Work()

    async def main() -> list[int | BaseException]:
        executor = BoundedExecutor(WHAT, threads=2, waiting=3)
        tasks = [asyncio.create_task(executor.run(work)) for _ in range(12)]
        await until_true(work.begun)
        refused = [task for task in tasks if task.done()]
        work.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert len(refused) == 7
        assert await executor.run(lambda: "again") == "again"
        executor.close()
        return answers

    answers = asyncio.run(main())
    assert answers[:5] == [7] * 5
    assert [(type(answer), str(answer)) for answer in answers[5:]] == [(Busy, f"{WHAT} Try again in 1 s.")] * 7
    assert work.most == 2


def test_work_that_fails_makes_room() -> None:
    """Its error is told to whoever asked for it."""

    async def main() -> None:
        executor = BoundedExecutor(WHAT, threads=1, waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await executor.run(lambda: 1 // 0)
        executor.close()

    asyncio.run(main())


def niceness_of(executor: BoundedExecutor) -> int:
    async def main() -> int:
        return await executor.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    try:
        return asyncio.run(main())
    finally:
        executor.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads do not stand back alone")
def test_the_threads_stand_back() -> None:
    """Alone: the server's others do not."""
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert niceness_of(BoundedExecutor(WHAT, threads=1, waiting=0)) == min(before + NICE, NICEST)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads do not stand back alone")
def test_the_threads_of_a_server_that_stands_back_itself() -> None:
    """Only the administrator may come forward again, so they stand back further."""
    found: list[int] = []

    def nice_server() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)  # a thread inherits from whoever starts it
        found.append(niceness_of(BoundedExecutor(WHAT, threads=1, waiting=0)))

    server = threading.Thread(target=nice_server)
    server.start()
    server.join()

    assert found == [NICEST]
