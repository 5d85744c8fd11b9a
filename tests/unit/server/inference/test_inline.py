"""Examples that the event loop runs: together where they came together, and each with its own answer."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_model
from tests.fakes.observe import RecordingObserver
from tests.fakes.runtime import WAIT_SECONDS, EchoRuntime, FailingRuntime

from seatrial.server.core import clock
from seatrial.server.core.errors import DeadlineExceeded, InferenceFailed
from seatrial.server.inference.calibration import Calibration
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.engine import Engine
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.runtime import Array, Runtime, Stop
from seatrial.server.inference.signature import Arrays

TOGETHER = 4


class PickyRuntime(EchoRuntime):
    """An echo that fails where a negative number is among its examples."""

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Fail, or echo."""
        output = super().run(arrays, stop)
        if (output < 0).any():
            raise InferenceFailed("negative")
        return output


def inline(runtime: Runtime, together: int = TOGETHER) -> LoadedModel:
    return replace(a_model(a_manifest(), runtime), calibration=Calibration((), "inline", together))


def example(value: float) -> Arrays:
    return {"x": np.array([value], np.float32), "y": np.array([0], np.float32)}


def in_time() -> Deadline:
    return Deadline(WAIT_SECONDS, clock.monotonic(), clock.monotonic)


@contextmanager
def an_engine(limit: int = 10_000) -> Iterator[Engine]:
    """One that remembers nothing."""
    engine = Engine(1, limit, RecordingObserver())
    yield engine
    engine.close()


def ask(
    *values: float, model: LoadedModel, deadlines: Mapping[float, Deadline] | None = None, limit: int = 10_000
) -> list[InferResult | BaseException]:
    """What becomes of examples that come in one turn."""

    async def all_at_once() -> list[InferResult | BaseException]:
        calls = [engine.infer(model, example(value), (deadlines or {}).get(value, in_time())) for value in values]
        return await asyncio.gather(*calls, return_exceptions=True)

    with an_engine(limit) as engine:
        return asyncio.run(all_at_once())


def answers(outcomes: list[InferResult | BaseException]) -> list[float | str]:
    """Values, or the names of errors."""
    return [
        outcome.output.item() if isinstance(outcome, InferResult) else type(outcome).__name__ for outcome in outcomes
    ]


@pytest.mark.parametrize(
    ("count", "runs"),
    [(1, [1]), (2, [2]), (TOGETHER - 1, [3]), (TOGETHER, [4]), (TOGETHER + 1, [4, 1]), (3 * TOGETHER, [4, 4, 4])],
)
def test_what_came_together_runs_together_and_each_gets_its_own_row(count: int, runs: list[int]) -> None:
    """No run has more examples than the model may have."""
    runtime = EchoRuntime()
    outcomes = ask(*map(float, range(count)), model=inline(runtime))

    assert answers(outcomes) == list(range(count))
    assert runtime.runs == runs
    assert {outcome.rows for outcome in outcomes if isinstance(outcome, InferResult)} == {1}


def test_ten_thousand_at_once_get_their_own_rows() -> None:
    """Nothing is mixed up."""
    runtime = EchoRuntime()
    values = np.random.default_rng(1).permutation(10_000).astype(float).tolist()

    assert answers(ask(*values, model=inline(runtime, 32))) == values
    assert len(runtime.runs) == 313


def test_others_are_heard_between_runs() -> None:
    """What does not fit into one run waits until the event loop has been round."""
    runtime = EchoRuntime()
    seen: list[int] = []

    async def main() -> None:
        model = inline(runtime)
        calls = [asyncio.ensure_future(engine.infer(model, example(value), in_time())) for value in range(3 * TOGETHER)]
        while not all(call.done() for call in calls):
            seen.append(len(runtime.runs))
            await asyncio.sleep(0)

    with an_engine() as engine:
        asyncio.run(main())
    assert {1, 2} <= set(seen)


def test_models_do_not_share_runs() -> None:
    """Each model runs its own."""
    one, other = EchoRuntime(), EchoRuntime()

    async def main() -> list[InferResult]:
        models = [inline(one), inline(other)]
        return await asyncio.gather(
            *(engine.infer(models[value % 2], example(value), in_time()) for value in range(TOGETHER))
        )

    with an_engine() as engine:
        assert [result.output.item() for result in asyncio.run(main())] == [0, 1, 2, 3]
    assert (one.runs, other.runs) == ([2], [2])


def test_whoever_is_late_never_runs_and_the_others_do() -> None:
    """The time is up before the run: 504 in the phase `queue`."""
    time = ManualClock()
    late = Deadline(1, time(), time)
    time.advance(1)
    runtime = EchoRuntime()
    outcomes = ask(1.0, 2.0, 3.0, model=inline(runtime), deadlines={2.0: late})

    assert answers(outcomes) == [1, "DeadlineExceeded", 3]
    assert isinstance(outcomes[1], DeadlineExceeded)
    assert outcomes[1].phase == "queue"
    assert runtime.runs == [2]


def test_nothing_runs_where_all_are_late() -> None:
    """Not even an empty run."""
    time = ManualClock()
    late = Deadline(1, time(), time)
    time.advance(1)
    runtime = EchoRuntime()

    assert answers(ask(1.0, model=inline(runtime), deadlines={1.0: late})) == ["DeadlineExceeded"]
    assert runtime.runs == []


def test_only_who_brings_a_fault_gets_it() -> None:
    """Where a run fails each of it is run alone."""
    runtime = PickyRuntime()

    assert answers(ask(1.0, -2.0, 3.0, model=inline(runtime))) == [1, "InferenceFailed", 3]
    assert runtime.runs == [3, 1, 1, 1]
    assert answers(ask(1.0, 2.0, model=inline(FailingRuntime()))) == ["InferenceFailed"] * 2


def test_a_caller_who_leaves_harms_nobody() -> None:
    """Half of them leave before the run: the others get their answers."""

    async def main() -> list[float]:
        model = inline(EchoRuntime())
        calls = [asyncio.ensure_future(engine.infer(model, example(value), in_time())) for value in range(TOGETHER)]
        await asyncio.sleep(0)  # now they wait
        for call in calls[::2]:
            call.cancel()
        await asyncio.wait(calls)
        return [call.result().output.item() for call in calls[1::2]]

    with an_engine() as engine:
        assert asyncio.run(main()) == [1, 3]


def test_times_add_up() -> None:
    """The wait and the run are parts of the whole."""
    (outcome,) = ask(1.0, model=inline(EchoRuntime()))

    assert isinstance(outcome, InferResult)
    assert outcome.queue_seconds >= 0
    assert outcome.infer_seconds > 0
    assert outcome.wall_seconds == pytest.approx(outcome.queue_seconds + outcome.infer_seconds)


@pytest.mark.parametrize(("limit", "count", "refused"), [(1, 1, 0), (1, 2, 1), (4, 4, 0), (4, 5, 1), (4, 9, 5)])
def test_no_more_wait_than_may(limit: int, count: int, refused: int) -> None:
    """The rest is refused at once, and who waits is answered."""
    outcomes = ask(*map(float, range(count)), model=inline(EchoRuntime()), limit=limit)

    assert answers(outcomes) == [*range(count - refused), *["QueueFull"] * refused]


class SlowRuntime(EchoRuntime):
    """An echo that takes two milliseconds, as a model may that is run in the event loop."""

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Work, and echo."""
        end = clock.monotonic() + 0.002
        while clock.monotonic() < end:
            pass
        return super().run(arrays, stop)


def test_who_is_put_off_is_told_in_time_and_may_leave() -> None:
    """More wait than are run in a turn: a deadline is met between runs, and who hangs up is out of it at once."""
    runtime = SlowRuntime()
    model, heard = inline(runtime, 1), list[str]()

    async def main() -> None:
        patient = [asyncio.ensure_future(engine.infer(model, example(value), in_time())) for value in range(100)]
        await asyncio.sleep(0)
        short = Deadline(0.03, clock.monotonic(), clock.monotonic)
        told = asyncio.Event()

        def late(outcome: InferResult | Exception) -> None:
            heard.append(f"{type(outcome).__name__} {outcome}")
            told.set()

        engine.begin(model, example(-1), short, late)
        leave = engine.begin(model, example(-2), in_time(), lambda outcome: heard.append(type(outcome).__name__))
        assert leave
        leave()
        leave()
        await asyncio.wait_for(told.wait(), WAIT_SECONDS)
        assert len(runtime.runs) < 100  # while others go on
        await asyncio.gather(*patient)

    with an_engine() as engine:
        asyncio.run(main())
    assert heard == ["ClientGone", "DeadlineExceeded The deadline of 0.03 s passed in the phase 'queue'."]
    assert len(runtime.runs) == 100
