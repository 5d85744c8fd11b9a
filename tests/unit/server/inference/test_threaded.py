"""Models that threads run: at once where one is free, together where none was, bounded, and dropped in time."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_model
from tests.fakes.observe import RecordingObserver
from tests.fakes.runtime import WAIT_SECONDS, BlockingRuntime, EchoRuntime, FailingRuntime

from seatrial.server.core import clock
from seatrial.server.core.errors import ClientGone, DeadlineExceeded, InferenceFailed, QueueFull
from seatrial.server.inference.calibration import CHUNK, Calibration, Cost
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.engine import READS_WAITING, Engine
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.runtime import Array, Runtime, Stop
from seatrial.server.inference.signature import Arrays
from seatrial.server.inference.threaded import QUEUE_BYTES

SHORT = 0.05
"""Seconds after which a deadline passes in tests that wait for it."""
TOGETHER = 4
Outcomes = list[InferResult | BaseException]


@contextmanager
def an_engine(width: int = 1, limit: int = 512) -> Iterator[Engine]:
    """One that remembers nothing; with one thread for each model a second run waits for the first."""
    engine = Engine(width, limit, RecordingObserver())
    yield engine
    engine.close()


@pytest.fixture(name="engine")
def one_thread() -> Iterator[Engine]:
    """One thread for each model."""
    with an_engine() as engine:
        yield engine


def examples(rows: int) -> Arrays:
    return {"x": np.arange(rows, dtype=np.float32), "y": np.arange(rows, dtype=np.float32) * 1000}


def example(value: float) -> Arrays:
    return {"x": np.array([value], np.float32), "y": np.array([0], np.float32)}


def in_seconds(seconds: float) -> Deadline:
    return Deadline(seconds, clock.monotonic(), clock.monotonic)


def in_time() -> Deadline:
    return in_seconds(WAIT_SECONDS)


def model_of(runtime: Runtime, together: int = TOGETHER, seconds: float = 0.0) -> LoadedModel:
    costs = (Cost(1, seconds),)
    return replace(a_model(a_manifest(), runtime), calibration=Calibration(costs, "threads", together))


def run(engine: Engine, runtime: Runtime, rows: int, batch_size: int) -> InferResult:
    return asyncio.run(engine.infer_bulk(model_of(runtime), examples(rows), batch_size, in_time()))


def answers(outcomes: Outcomes) -> list[float | str]:
    """Values, or the names of errors."""
    return [
        outcome.output.item() if isinstance(outcome, InferResult) else type(outcome).__name__ for outcome in outcomes
    ]


async def begun(runtime: BlockingRuntime) -> None:
    assert await asyncio.to_thread(runtime.begun.wait, WAIT_SECONDS)


async def settled() -> None:
    """Everything that can happen without waiting has happened."""
    for _ in range(10):
        await asyncio.sleep(0)


def while_one_runs(
    engine: Engine,
    runtime: BlockingRuntime,
    values: list[float],
    meanwhile: Callable[[list[asyncio.Task[InferResult]]], Awaitable[None]] | None = None,
    model: LoadedModel | None = None,
) -> Outcomes:
    """What becomes of examples that come while the only thread is busy with example 0."""

    async def main() -> Outcomes:
        asked = model or model_of(runtime)
        tasks = [asyncio.create_task(engine.infer(asked, example(0), in_time()))]
        await begun(runtime)
        tasks += [asyncio.create_task(engine.infer(asked, example(value), in_time())) for value in values]
        await settled()
        if meanwhile:
            await meanwhile(tasks)
        runtime.released.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(main())


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
def test_a_batch_runs_in_chunks(engine: Engine, rows: int, batch_size: int, chunks: list[int]) -> None:
    """No run has more than `batch_size` examples, nor more than the model may have; the first ones run first."""
    runtime = EchoRuntime()
    result = run(engine, runtime, rows, batch_size)

    assert runtime.runs == chunks
    assert (result.rows, result.output.tolist()) == (rows, [1001.0 * row for row in range(rows)])


@settings(max_examples=50)
@given(rows=st.integers(1, 400), batch_size=st.integers(1, 10_000), threads=st.integers(1, 4))
def test_batch_size_and_threads_never_change_answers(rows: int, batch_size: int, threads: int) -> None:
    """The output has a row for each example, in the order of the input."""
    with an_engine(threads) as engine:
        output = run(engine, EchoRuntime(), rows, batch_size).output

    assert np.array_equal(output, np.arange(rows, dtype=np.float32) * 1001)


def test_times_add_up(engine: Engine) -> None:
    """The whole is at least the wait and the longest run; the wait is not negative."""
    result = run(engine, EchoRuntime(), 300, 1000)

    assert result.queue_seconds >= 0
    assert result.infer_seconds > 0
    assert result.wall_seconds >= result.queue_seconds


@pytest.mark.parametrize(
    ("count", "runs"),
    [(1, [1, 1]), (3, [1, 3]), (TOGETHER, [1, 4]), (TOGETHER + 1, [1, 4, 1]), (3 * TOGETHER, [1, 4, 4, 4])],
)
def test_who_comes_first_runs_at_once_and_what_gathers_runs_together(
    engine: Engine, count: int, runs: list[int]
) -> None:
    """Nobody waits on an idle machine; no run has more examples than the model may have."""
    runtime = BlockingRuntime()
    values = [float(value) for value in range(1, count + 1)]

    assert answers(while_one_runs(engine, runtime, values)) == [0, *values]
    assert runtime.runs == runs


@pytest.mark.proves("R13")
def test_a_model_that_is_stuck_keeps_no_other_waiting(engine: Engine) -> None:
    """Each model has threads of its own."""
    stuck, quick = BlockingRuntime(), EchoRuntime()

    async def other(tasks: list[asyncio.Task[InferResult]]) -> None:
        results = [await engine.infer(model_of(quick), example(value), in_time()) for value in range(20)]
        assert [result.output.item() for result in results] == list(range(20))
        assert not tasks[0].done()

    assert answers(while_one_runs(engine, stuck, [1.0], other)) == [0, 1]


def test_ten_thousand_at_once_get_their_own_rows() -> None:
    """Nothing is mixed up, on as many threads as there are."""
    runtime = EchoRuntime()
    values = np.random.default_rng(1).permutation(10_000).astype(float).tolist()

    async def main() -> list[InferResult]:
        model = model_of(runtime, 32)
        return await asyncio.gather(*(engine.infer(model, example(value), in_time()) for value in values))

    with an_engine(2, 10_000) as engine:
        assert [result.output.item() for result in asyncio.run(main())] == values
    assert sum(runtime.runs) == 10_000
    assert max(runtime.runs) == 32


@pytest.mark.parametrize(("limit", "count", "refused"), [(1, 1, 0), (1, 2, 1), (4, 4, 0), (4, 5, 1), (4, 9, 5)])
def test_no_more_wait_than_may(limit: int, count: int, refused: int) -> None:
    """One runs; of the others as many wait as may, and the rest is refused at once."""
    runtime = BlockingRuntime()
    values = [float(value) for value in range(1, count + 1)]

    with an_engine(1, limit) as engine:
        outcomes = while_one_runs(engine, runtime, values)
    assert answers(outcomes) == [0, *values[: count - refused], *["QueueFull"] * refused]


@pytest.mark.parametrize(("seconds", "told"), [(0.0001, 1), (0.5, 3), (100.0, 60)])
def test_who_is_refused_is_told_when_those_who_wait_will_be_through(seconds: float, told: int) -> None:
    """By what an example costs; within reason."""
    runtime = BlockingRuntime()
    with an_engine(1, 5) as engine:
        outcomes = while_one_runs(engine, runtime, [1.0] * 6, model=model_of(runtime, seconds=seconds))
    refused = outcomes[-1]

    assert isinstance(refused, QueueFull)
    assert refused.seconds == told
    assert str(refused) == f"The queue of the model 'echo:1' is full: 5 requests wait. Try again in {told} s."


@pytest.mark.proves("R12")
def test_single_examples_go_before_batches_which_are_shed_first() -> None:
    """A batch that goes on lets them in between its pieces; batches may be half of what waits."""
    runtime = BlockingRuntime()
    order: list[str] = []

    async def named(name: str, call: Awaitable[InferResult]) -> None:
        try:
            await call
        except QueueFull:
            name += " refused"
        order.append(name)

    async def main() -> None:
        model = model_of(runtime, 1)
        first = named("first", engine.infer_bulk(model, examples(4), 1, in_time()))
        tasks = [asyncio.create_task(first)]
        await begun(runtime)
        others = [
            named("second", engine.infer_bulk(model, examples(1), 1, in_time())),
            named("third", engine.infer_bulk(model, examples(1), 1, in_time())),
            named("single", engine.infer(model, example(7), in_time())),
            named("single", engine.infer(model, example(8), in_time())),
        ]
        tasks += [asyncio.create_task(other) for other in others]
        await settled()
        runtime.released.set()
        await asyncio.gather(*tasks)

    with an_engine(1, 4) as engine:
        asyncio.run(main())
    assert order == ["third refused", "single", "single", "second", "first"]


def test_what_waits_takes_only_so_much_memory() -> None:
    """One large request may wait; not many."""
    runtime = BlockingRuntime()
    large = {"x": np.zeros((1, QUEUE_BYTES // 16), np.float64), "y": np.zeros((1, 1), np.float64)}

    async def main() -> Outcomes:
        model = model_of(runtime)
        tasks = [asyncio.create_task(engine.infer(model, large, in_time())) for _ in range(4)]
        await begun(runtime)
        await settled()
        runtime.released.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with an_engine() as engine:
        assert answers(asyncio.run(main())) == [0, 0, "QueueFull", "QueueFull"]
        again = engine.infer(model_of(runtime), large, in_time())
        assert answers([asyncio.run(again)]) == [0]


class PickyRuntime(BlockingRuntime):
    """An echo that fails where a negative number is among its examples."""

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Fail, or echo."""
        output = super().run(arrays, stop)
        if (output < 0).any():
            raise InferenceFailed("negative")
        return output


def test_only_who_brings_a_fault_gets_it(engine: Engine) -> None:
    """Where a run fails each of it is run alone."""
    runtime = PickyRuntime()

    assert answers(while_one_runs(engine, runtime, [1.0, -2.0, 3.0])) == [0, 1, "InferenceFailed", 3]
    assert runtime.runs == [1, 3, 1, 1, 1]


def test_a_failure_of_one_run_is_the_failure_of_the_batch(engine: Engine) -> None:
    """All or nothing: the error of the runtime reaches the caller."""
    with pytest.raises(InferenceFailed):
        run(engine, FailingRuntime(), 300, 10)


def test_callers_who_leave_harm_nobody_and_never_run(engine: Engine) -> None:
    """Half of those who wait leave: the others get their answers, from a run without those."""
    runtime = BlockingRuntime()

    async def leave(tasks: list[asyncio.Task[InferResult]]) -> None:
        for task in tasks[2::2]:
            task.cancel()
        await settled()
        assert engine.depths() == {"echo:1": 2}

    outcomes = while_one_runs(engine, runtime, [1.0, 2.0, 3.0, 4.0], leave)
    assert answers(outcomes) == [0, 1, "CancelledError", 3, "CancelledError"]
    assert runtime.runs == [1, 2]


def test_half_of_a_run_may_leave_while_it_goes_on(engine: Engine) -> None:
    """It is not ended, and the others get their own rows."""
    runtime = BlockingRuntime()
    hold, stopped = threading.Event(), list[bool]()

    class Second(EchoRuntime):
        """Lets the first run through, and holds the second."""

        def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
            output = runtime.run(arrays, stop)
            if len(output) > 1:
                hold.set()
                assert self.go_on.wait(WAIT_SECONDS)
                assert stop is not None
                stopped.append(stop.is_set())
            return output

        go_on = threading.Event()

    model = model_of(Second())

    async def leave(tasks: list[asyncio.Task[InferResult]]) -> None:
        runtime.released.set()
        assert await asyncio.to_thread(hold.wait, WAIT_SECONDS)
        for task in tasks[1::2]:
            task.cancel()
        await settled()
        Second.go_on.set()

    outcomes = while_one_runs(engine, runtime, [1.0, 2.0, 3.0, 4.0], leave, model)
    assert answers(outcomes) == [0, "CancelledError", 2, "CancelledError", 4]
    assert (runtime.runs, stopped) == ([1, 4], [False])


def test_a_run_past_its_deadline_is_left_behind(engine: Engine) -> None:
    """The caller hears of the deadline while the run goes on; runs that have not begun never do."""
    runtime = BlockingRuntime()

    async def caller() -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await engine.infer_bulk(model_of(runtime), examples(3), 1, in_seconds(SHORT))
        assert caught.value.phase == "infer"
        assert runtime.runs == []

    asyncio.run(caller())
    runtime.released.set()
    engine.close()

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


def test_a_run_past_its_deadline_is_ended(engine: Engine) -> None:
    """Its thread is free for the next."""
    runtime = EndlessRuntime()

    async def caller() -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await engine.infer(model_of(runtime), example(1), in_seconds(SHORT))
        assert caught.value.phase == "infer"
        assert (await engine.infer(model_of(EchoRuntime()), example(1), in_time())).rows == 1

    asyncio.run(caller())
    assert runtime.ended.is_set()


@pytest.mark.proves("R11")
@pytest.mark.parametrize("bulk", [False, True])
def test_a_run_that_everybody_left_is_ended(engine: Engine, *, bulk: bool) -> None:
    """Its slot is free at once; who left hears no more."""
    runtime, heard = EndlessRuntime(), list[InferResult | Exception]()

    async def main() -> float:
        model = model_of(runtime)
        if bulk:
            leave = engine.begin_bulk(model, examples(3), 1, in_time(), heard.append)
        else:
            leave = engine.begin(model, example(1), in_time(), heard.append)
        assert await asyncio.to_thread(runtime.begun.wait, WAIT_SECONDS)
        assert leave
        leave()
        leave()
        assert await asyncio.to_thread(runtime.ended.wait, WAIT_SECONDS)
        return float((await engine.infer(model_of(EchoRuntime()), example(2), in_time())).output.item())

    assert asyncio.run(main()) == 2
    assert [type(outcome) for outcome in heard] == [ClientGone]


def test_a_stop_that_came_first_ends_what_begins_after_it() -> None:
    """Whichever of the two comes first; and what is over hears of nothing."""
    stop, heard = Stop(), list[str]()
    with stop.ending(lambda: heard.append("over")):
        pass
    stop.set()
    with stop.ending(lambda: heard.append("late")):
        assert heard == ["late"]
    assert stop.is_set()


@pytest.mark.proves("R10")
@pytest.mark.parametrize("bulk", [False, True])
def test_what_waits_past_its_deadline_never_runs(engine: Engine, *, bulk: bool) -> None:
    """Behind a long run the time passes in the phase `queue`; who came with it has more time, and runs."""
    runtime = BlockingRuntime()

    async def main() -> tuple[str, list[float]]:
        model = model_of(runtime)
        running = asyncio.create_task(engine.infer(model, example(0), in_time()))
        await begun(runtime)
        patient = asyncio.create_task(engine.infer(model, example(5), in_time()))
        short = in_seconds(SHORT)
        late = engine.infer_bulk(model, examples(2), 1, short) if bulk else engine.infer(model, example(9), short)
        with pytest.raises(DeadlineExceeded) as caught:
            await late
        runtime.released.set()
        return caught.value.phase, [(await task).output.item() for task in (running, patient)]

    assert asyncio.run(main()) == ("queue", [0, 5])
    assert runtime.runs == [1, 1]


def test_a_deadline_that_passed_before_the_call_is_met_in_the_queue(engine: Engine) -> None:
    """Nothing runs."""
    runtime, time = EchoRuntime(), ManualClock()
    deadline = Deadline(1, time(), time)
    time.advance(5)

    with pytest.raises(DeadlineExceeded) as caught:
        asyncio.run(engine.infer_bulk(model_of(runtime), examples(1), 1, deadline))
    assert (caught.value.phase, runtime.runs) == ("queue", [])


def test_a_caller_that_leaves_drops_its_work(engine: Engine) -> None:
    """When the awaiting task is cancelled, runs that have not begun never do."""
    runtime = BlockingRuntime()

    async def caller() -> None:
        task = asyncio.create_task(engine.infer_bulk(model_of(runtime), examples(3), 1, in_time()))
        await begun(runtime)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(caller())
    runtime.released.set()
    engine.close()

    assert runtime.runs == [1]


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
    """No more runs of a model go side by side than it may have, and closing ends the threads."""
    before = set(threading.enumerate())
    runtime = CountingRuntime()
    with an_engine(2) as engine:
        run(engine, runtime, 400, 1)

    assert (len(runtime.runs), runtime.peak <= 2) == (400, True)
    assert set(threading.enumerate()) <= before


def test_what_is_read_is_read_in_a_thread(engine: Engine) -> None:
    """The event loop's own thread stays free; results and errors come back."""

    def fail() -> None:
        raise InferenceFailed("no")

    assert asyncio.run(engine.read(threading.get_ident, in_time())) != threading.get_ident()
    with pytest.raises(InferenceFailed, match="no"):
        asyncio.run(engine.read(fail, in_time()))


def test_reading_past_a_deadline_is_given_up(engine: Engine) -> None:
    """The caller is told at once, and in which phase."""
    released = threading.Event()
    try:
        with pytest.raises(DeadlineExceeded) as caught:
            asyncio.run(engine.read(lambda: released.wait(WAIT_SECONDS), in_seconds(SHORT)))
    finally:
        released.set()
    assert caught.value.phase == "parse"


def test_no_more_bodies_wait_to_be_read_than_may(engine: Engine) -> None:
    """The rest is told to come again."""
    released = threading.Event()

    async def main() -> list[str]:
        calls = [engine.read(lambda: released.wait(WAIT_SECONDS), in_time()) for _ in range(READS_WAITING + 3)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await settled()
        refused = [type(task.exception()).__name__ for task in tasks if task.done()]
        waiting = [task for task in tasks if not task.done()]
        released.set()
        assert await asyncio.gather(*waiting) == [True] * (READS_WAITING + 1)
        assert await engine.read(lambda: "again", in_time()) == "again"
        return refused

    assert asyncio.run(main()) == ["Busy", "Busy"]


def test_closing_ends_what_runs() -> None:
    """A stop does not wait for a model that never ends."""
    runtime = EndlessRuntime()
    with an_engine() as engine:

        async def main() -> None:
            engine.begin(model_of(runtime), example(1), in_time(), lambda _: None)
            assert await asyncio.to_thread(runtime.begun.wait, WAIT_SECONDS)
            engine.close()

        asyncio.run(main())
    assert runtime.ended.is_set()


def test_a_model_that_is_idle_is_not_kept(engine: Engine) -> None:
    """Whoever was replaced while others were busy goes with its last run."""
    runtime = BlockingRuntime()
    old = model_of(runtime)

    async def main(old: LoadedModel) -> None:
        running = asyncio.create_task(engine.infer(old, example(1), in_time()))
        await begun(runtime)
        await engine.infer(model_of(EchoRuntime()), example(2), in_time())
        runtime.released.set()
        await running

    asyncio.run(main(old))
    assert engine.depths() == {}
    gone = weakref.ref(old)
    del old
    gc.collect()
    assert gone() is None


def test_where_no_thread_can_be_had_it_is_said_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without threads refuses; whoever comes when it has some is answered, and nobody is told twice."""
    runtime, heard = EchoRuntime(), list[InferResult | Exception]()
    model = model_of(runtime)
    start = threading.Thread.start

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        engine.begin(model, example(1), in_time(), heard.append)
        engine.begin_bulk(model, examples(300), 10, in_time(), heard.append)
        monkeypatch.setattr(threading.Thread, "start", start)
        heard.append(await engine.infer(model, example(2), in_time()))

    asyncio.run(main())
    assert [type(outcome).__name__ for outcome in heard] == ["Busy", "Busy", "InferResult"]


def test_what_failed_is_not_kept_in_memory(engine: Engine) -> None:
    """Neither its inputs: no error holds what holds it."""
    gc.collect()
    gc.disable()
    try:
        arrays = example(1)
        gone = weakref.ref(arrays["x"])

        async def main() -> None:
            heard: list[InferResult | Exception] = []
            over = asyncio.Event()

            def tell(told: InferResult | Exception) -> None:
                heard.append(told)
                over.set()

            engine.begin(model_of(FailingRuntime()), arrays, in_time(), tell)
            await over.wait()

        asyncio.run(main())
        arrays.clear()
        assert gone() is None
    finally:
        gc.enable()


def test_bodies_that_nobody_waits_for_are_let_go(engine: Engine) -> None:
    """Those too that were not read yet."""
    released, body = threading.Event(), np.zeros(3)
    gone = weakref.ref(body)

    async def main(body: Array) -> "asyncio.Future[bool]":
        first = asyncio.ensure_future(engine.read(lambda: released.wait(WAIT_SECONDS), in_time()))
        await settled()
        second = asyncio.ensure_future(engine.read(lambda body=body: body.sum(), in_time()))  # type: ignore[misc]
        await settled()
        second.cancel()
        await asyncio.wait((second,))
        return first

    task = main(body)
    del body
    with asyncio.Runner() as runner:
        first = runner.run(task)
        gc.collect()
        assert not first.done()
        assert gone() is None
        released.set()
        assert runner.get_loop().run_until_complete(first)
