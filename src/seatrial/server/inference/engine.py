"""The prediction engine: from arrays to answers, in the event loop or in threads, bounded, and never twice at once."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from seatrial.server.core.errors import Busy, DeadlineExceeded
from seatrial.server.core.observe import Observer
from seatrial.server.core.tasks import Tasks
from seatrial.server.inference.answers import Answers, SharedAnswers, pack, unpack
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.flights import Flight, Flights
from seatrial.server.inference.inline import InlineRuns
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.signature import Arrays
from seatrial.server.inference.threaded import ThreadedRuns
from seatrial.server.inference.ticket import BulkTicket, Caller, Done, Drop, Leave, Ticket, attend, gone

READS_WAITING = 32
"""How many large bodies may wait to be read."""
MOST_THREADS = 256
"""Of all models together; they are begun as they are needed."""

Result = TypeVar("Result")


class Engine:
    """What runs models in one worker; lives as long as the server, used in its event loop only.

    Args:
        width: how many runs of one model go on at once in threads; as many threads read large bodies.
        limit: how many requests may wait for one model.
        observer: hears of runs and of the cache.
        answers: those given before; `None` remembers nothing.
        shared: those that other workers gave.
    """

    def __init__(
        self,
        width: int,
        limit: int,
        observer: Observer,
        answers: Answers | None = None,
        shared: SharedAnswers | None = None,
    ) -> None:
        self.limit = limit
        self._width = width
        self._observer = observer
        self._answers = answers
        self._shared = shared
        self._asking = Tasks()
        self._flights = Flights()
        self._reading = 0
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="infer")
        self._readers = ThreadPoolExecutor(width, thread_name_prefix="read")
        self._inline = InlineRuns(limit, observer.ran)
        self._threaded: dict[LoadedModel, ThreadedRuns] = {}

    def close(self) -> None:
        """End what runs, and the threads."""
        for runs in self._threaded.values():
            runs.end()
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def stop(self) -> None:
        """`close`, and hang up on the shared store."""
        self.close()
        if self._shared is not None:
            await self._shared.close()

    @property
    def shared_state(self) -> str | None:
        """How the shared store is; `None` where there is none."""
        return self._shared.state if self._shared is not None else None

    def depths(self) -> Mapping[str, int]:
        """How many requests wait for each model that is run in threads."""
        depths: dict[str, int] = {}
        for model, runs in self._threaded.items():
            depths[model.model_id] = depths.get(model.model_id, 0) + runs.depth
        return depths

    def resting(self) -> Mapping[str, bool]:
        """For each model whose answers were looked for: whether that did not pay, and is left for a while."""
        return self._answers.resting() if self._answers is not None else {}

    def question(self, model: LoadedModel, arrays: Arrays) -> bytes | None:
        """What names this example of a model where answers are remembered; `None` where looking for it does not pay."""
        answers = self._answers
        return answers.key(model, arrays) if answers is not None and answers.pay(model, arrays) else None

    def recall(self, model: LoadedModel, question: bytes) -> InferResult | None:
        """The answer that was given before."""
        found = self._answers.find(model, question) if self._answers is not None else None
        if found is None:
            return None
        self._observer.cached(model.model_id, "hit")
        return InferResult(model, found, 1, 0.0, 0.0, 0.0, cache="hit")

    def begin(
        self, model: LoadedModel, arrays: Arrays, deadline: Deadline, done: Done, question: bytes | None = None
    ) -> Leave | None:
        """Answer one example by `done`, perhaps at once; who leaves before says so by what this returns.

        Args:
            model: that answers.
            arrays: the example, each with a leading axis of 1.
            deadline: of the request; `done` hears `DeadlineExceeded` in time.
            done: hears once.
            question: of `question`; who asks the same meanwhile gets the same answer, which is remembered. With `None`
                it is computed for this request alone.

        Raises:
            QueueFull: as many wait as may; with a question `done` hears it.
        """
        if question is not None and self._answers is not None:
            return self._join(self._answers, model, question, arrays, Caller(deadline, done))
        ticket = Ticket(arrays, deadline, done)
        drop = self._run(model, ticket)
        # What is run at the end of this turn needs no timer; where it is put off it gets one then.
        return partial(gone, ticket, drop) if model.inline else attend(ticket, ticket, drop)

    def begin_bulk(self, model: LoadedModel, arrays: Arrays, size: int, deadline: Deadline, done: Done) -> Leave | None:
        """Answer any number of examples, at most `size` in a run; as `begin`, but not from the cache."""
        ticket = BulkTicket(arrays, min(size, model.calibration.chunk), deadline, done)
        return attend(ticket, ticket, self._run_threaded(model, ticket))

    async def infer(
        self, model: LoadedModel, arrays: Arrays, deadline: Deadline, question: bytes | None = None
    ) -> InferResult:
        """`begin`, for those who can wait; to be cancelled is to leave."""
        return await waited(lambda done: self.begin(model, arrays, deadline, done, question))

    async def infer_bulk(self, model: LoadedModel, arrays: Arrays, size: int, deadline: Deadline) -> InferResult:
        """`begin_bulk`, for those who can wait; to be cancelled is to leave."""
        return await waited(lambda done: self.begin_bulk(model, arrays, size, deadline, done))

    async def read(self, function: Callable[[], Result], deadline: Deadline) -> Result:
        """What `function` returns, from a thread.

        Past the deadline `DeadlineExceeded` in the phase `parse`; `Busy` where as many wait to be read as may.
        """
        if self._reading >= self._width + READS_WAITING:
            raise Busy("Too many large bodies are being read at this moment.", 1)
        asked = [function]  # the pool would keep a body that nobody waits for any more
        self._reading += 1
        try:
            future = self._readers.submit(_taken, asked)
            async with asyncio.timeout(max(deadline.remaining(), 0.0)):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DeadlineExceeded("parse", deadline.seconds) from None
        finally:
            self._reading -= 1
            asked.clear()

    def _run(self, model: LoadedModel, ticket: Ticket) -> Drop:
        """Have it run; what this returns takes it back."""
        if model.inline:
            self._inline.add(model, ticket)
            return partial(self._inline.leave, model, ticket)
        return self._run_threaded(model, ticket)

    def _run_threaded(self, model: LoadedModel, ticket: Ticket) -> Drop:
        runs = self._threaded.get(model)
        if runs is None:
            over = partial(self._threaded.pop, model, None)
            runs = ThreadedRuns(model, self._threads, self._width, self.limit, self._observer.ran, over)
            self._threaded[model] = runs
        runs.add(ticket)
        self._observer.waiting(model.model_id)
        return partial(runs.leave, ticket)

    def _join(
        self, answers: Answers, model: LoadedModel, question: bytes, arrays: Arrays, caller: Caller
    ) -> Leave | None:
        """Wait for an answer that is being computed, or have it computed."""
        flight = self._flights.find(question)
        if flight is not None:
            self._observer.cached(model.model_id, "joined")
            flight.board(caller)
        else:
            self._observer.cached(model.model_id, "miss")
            keep = partial(self._keep, answers, question)
            flight = self._flights.open(question, arrays, caller.deadline, keep)
            flight.board(caller)
            if self._shared is not None and answers.shared_pays(model):
                self._ask_shared(self._shared, answers, model, question, flight)
            else:
                self._take_off(model, flight)
        return attend(caller, flight.ticket, flight.left)

    def _take_off(self, model: LoadedModel, flight: Flight) -> None:
        """Have it run; where that is refused everybody aboard hears it."""
        try:
            flight.drop = self._run(model, flight.ticket)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            flight.ticket.tell(error)

    def _ask_shared(
        self, shared: SharedAnswers, answers: Answers, model: LoadedModel, question: bytes, flight: Flight
    ) -> None:
        """Have it run unless other workers know the answer."""

        async def ask() -> None:
            value = await shared.get(question)
            found = unpack(model, value) if value is not None else None
            answers.note_shared(model, found=found is not None)
            ticket = flight.ticket
            if not ticket.waits:
                return
            if found is not None:
                self._observer.cached(model.model_id, "shared")
                seconds = time.perf_counter() - ticket.since
                ticket.tell(InferResult(model, found, 1, seconds, 0.0, seconds, cache="hit"))
                return
            self._take_off(model, flight)

        task = self._asking.begin(ask())

        def drop() -> None:
            task.cancel()

        flight.drop = drop

    def _keep(self, answers: Answers, question: bytes, result: InferResult) -> None:
        answers.put(question, result.output)
        if self._shared is not None and result.cache == "miss" and answers.shared_pays(result.model):
            value = pack(result.output)
            if value is not None:
                self._shared.put(question, value)


def _taken(asked: list[Callable[[], Result]]) -> Result:
    return asked.pop()()


async def waited(begin: Callable[[Done], Leave | None]) -> InferResult:
    """What `begin` lets its `Done` hear; to be cancelled is to leave."""
    future: asyncio.Future[InferResult] = asyncio.get_running_loop().create_future()

    def settle(outcome: InferResult | Exception) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    leave = begin(settle)
    try:
        return await future
    except asyncio.CancelledError:
        if leave is not None:
            leave()
        raise
