"""The executor: chunks, their order, and deadlines."""

import asyncio
import threading
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_model
from tests.fakes.runtime import WAIT_SECONDS, BlockingRuntime, EchoRuntime, FailingRuntime

from seatrial.server.core import clock
from seatrial.server.core.errors import DeadlineExceeded, InferenceFailed
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.executor import CHUNK, Executor
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.runtime import Array, Runtime, Stop
from seatrial.server.inference.signature import Arrays

SHORT = 0.05
"""Seconds after which a deadline passes in tests that wait for it."""


@pytest.fixture
def executor() -> Iterator[Executor]:
    """One thread, so that a second run waits for the first."""
    executor = Executor(1)
    yield executor
    executor.close()


def examples(rows: int) -> Arrays:
    return {"x": np.arange(rows, dtype=np.float32), "y": np.arange(rows, dtype=np.float32) * 1000}


def in_seconds(seconds: float) -> Deadline:
    return Deadline(seconds, clock.monotonic(), clock.monotonic)


def model_of(runtime: Runtime) -> LoadedModel:
    return a_model(a_manifest(), runtime)


def run(executor: Executor, runtime: Runtime, rows: int, batch_size: int) -> InferResult:
    return asyncio.run(executor.run(model_of(runtime), examples(rows), batch_size, in_seconds(WAIT_SECONDS)))


@pytest.mark.parametrize(
    ("rows", "batch_size", "chunks"),
    [
        (1, 1000, [1]),
        (5, 2, [2, 2, 1]),
        (4, 2, [2, 2]),
        (3, 1, [1, 1, 1]),
        (CHUNK, 10_000, [CHUNK]),
        (CHUNK + 1, 10_000, [CHUNK, 1]),
        (2 * CHUNK + 7, 1000, [CHUNK, CHUNK, 7]),
    ],
)
def test_a_batch_runs_in_chunks(executor: Executor, rows: int, batch_size: int, chunks: list[int]) -> None:
    """No run has more than `batch_size` examples, nor more than 128; the first ones run first."""
    runtime = EchoRuntime()
    result = run(executor, runtime, rows, batch_size)

    assert runtime.runs == chunks
    assert (result.rows, result.output.tolist()) == (rows, [1001.0 * row for row in range(rows)])


@settings(max_examples=50)
@given(rows=st.integers(1, 400), batch_size=st.integers(1, 10_000), threads=st.integers(1, 4))
def test_batch_size_and_threads_never_change_answers(rows: int, batch_size: int, threads: int) -> None:
    """The output has a row for each example, in the order of the input."""
    executor = Executor(threads)
    try:
        output = run(executor, EchoRuntime(), rows, batch_size).output
    finally:
        executor.close()

    assert np.array_equal(output, np.arange(rows, dtype=np.float32) * 1001)


def test_times_add_up(executor: Executor) -> None:
    """The whole is at least the wait and the longest run; the wait is not negative."""
    result = run(executor, EchoRuntime(), 300, 1000)

    assert result.queue_seconds >= 0
    assert result.infer_seconds > 0
    assert result.wall_seconds >= result.queue_seconds


def test_a_run_past_its_deadline_is_left_behind(executor: Executor) -> None:
    """The caller hears of the deadline while the run goes on; runs that have not begun never do."""
    runtime = BlockingRuntime()

    async def caller() -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await executor.run(model_of(runtime), examples(3), 1, in_seconds(SHORT))
        assert caught.value.phase == "infer"
        assert runtime.runs == []

    asyncio.run(caller())
    runtime.released.set()
    executor.close()

    assert runtime.runs == [1]


class EndlessRuntime(EchoRuntime):
    """A runtime that goes on until it is stopped; `ended` tells that it was."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ended = threading.Event(), threading.Event()

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Wait for the stop, as `Runtime.run` has to hear of it."""
        del arrays
        assert stop is not None
        with stop.ending(self.ended.set):
            self.begun.set()
            assert self.ended.wait(WAIT_SECONDS), "nobody stopped the run"
        raise InferenceFailed("The model failed on this input.")


def test_a_run_past_its_deadline_is_ended(executor: Executor) -> None:
    """Its thread is free for the next."""
    runtime = EndlessRuntime()

    async def caller() -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await executor.run(model_of(runtime), examples(1), 1, in_seconds(SHORT))
        assert caught.value.phase == "infer"
        assert (await executor.run(model_of(EchoRuntime()), examples(1), 1, in_seconds(WAIT_SECONDS))).rows == 1

    asyncio.run(caller())
    assert runtime.ended.is_set()


def test_a_stop_that_came_first_ends_what_begins_after_it() -> None:
    """Whichever of the two comes first; and what is over hears of nothing."""
    stop, heard = Stop(), list[str]()
    with stop.ending(lambda: heard.append("over")):
        pass
    stop.set()
    with stop.ending(lambda: heard.append("late")):
        assert heard == ["late"]
    assert stop.is_set()


def test_a_run_that_never_began_ends_in_the_queue(executor: Executor) -> None:
    """Behind a long run of another request the time passes in the phase `queue`, and the run is dropped."""
    first, second = BlockingRuntime(), EchoRuntime()

    async def callers() -> str:
        running = asyncio.create_task(executor.run(model_of(first), examples(1), 1, in_seconds(WAIT_SECONDS)))
        assert await asyncio.to_thread(first.begun.wait, WAIT_SECONDS)
        with pytest.raises(DeadlineExceeded) as caught:
            await executor.run(model_of(second), examples(2), 1, in_seconds(SHORT))
        first.released.set()
        assert (await running).rows == 1
        return caught.value.phase

    assert (asyncio.run(callers()), second.runs) == ("queue", [])


def test_a_deadline_that_passed_before_the_call_is_met_in_the_queue(executor: Executor) -> None:
    """Nothing runs."""
    runtime, time = EchoRuntime(), ManualClock()
    deadline = Deadline(1, time(), time)
    time.advance(5)

    with pytest.raises(DeadlineExceeded) as caught:
        asyncio.run(executor.run(model_of(runtime), examples(1), 1, deadline))
    assert (caught.value.phase, runtime.runs) == ("queue", [])


def test_a_caller_that_leaves_drops_its_work(executor: Executor) -> None:
    """When the awaiting task is cancelled, runs that have not begun never do."""
    runtime = BlockingRuntime()

    async def caller() -> None:
        task = asyncio.create_task(executor.run(model_of(runtime), examples(3), 1, in_seconds(WAIT_SECONDS)))
        assert await asyncio.to_thread(runtime.begun.wait, WAIT_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(caller())
    runtime.released.set()
    executor.close()

    assert runtime.runs == [1]


def test_a_failure_of_one_run_is_the_failure_of_the_batch(executor: Executor) -> None:
    """All or nothing: the error of the runtime reaches the caller."""
    with pytest.raises(InferenceFailed):
        run(executor, FailingRuntime(), 300, 10)


class CountingRuntime(EchoRuntime):
    """An echo that notes how many runs go side by side, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self.active = 0
        self.lock = threading.Lock()

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Count, and echo."""
        with self.lock:
            self.active += 1
            self.peak = max(self.peak, self.active)
        output = super().run(arrays, stop)
        with self.lock:
            self.active -= 1
        return output


def test_threads_are_bounded() -> None:
    """No more runs go side by side than the executor has threads, and closing it ends them."""
    before = set(threading.enumerate())
    executor, runtime = Executor(2), CountingRuntime()
    run(executor, runtime, 400, 1)
    executor.close()

    assert (len(runtime.runs), runtime.peak <= 2) == (400, True)
    assert set(threading.enumerate()) <= before


def test_what_is_called_runs_in_a_thread(executor: Executor) -> None:
    """The event loop's own thread stays free; results and errors come back."""

    def fail() -> None:
        raise InferenceFailed("no")

    assert asyncio.run(executor.call(threading.get_ident, in_seconds(WAIT_SECONDS))) != threading.get_ident()
    with pytest.raises(InferenceFailed, match="no"):
        asyncio.run(executor.call(fail, in_seconds(WAIT_SECONDS)))


def test_a_call_past_its_deadline_is_given_up(executor: Executor) -> None:
    """The caller is told at once, and in which phase."""
    released = threading.Event()
    try:
        with pytest.raises(DeadlineExceeded) as caught:
            asyncio.run(executor.call(lambda: released.wait(WAIT_SECONDS), in_seconds(SHORT)))
    finally:
        released.set()
    assert caught.value.phase == "parse"
