"""Who asks the same at the same time waits for one run; and what other workers know is not run at all."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.fakes.answers import MemoryAnswers
from tests.fakes.models import a_manifest, a_model
from tests.fakes.observe import RecordingObserver
from tests.fakes.runtime import BlockingRuntime, EchoRuntime, FailingRuntime
from tests.unit.server.inference.test_threaded import answers as told
from tests.unit.server.inference.test_threaded import begun, example, in_seconds, in_time, settled

from seatrial.server.core import clock
from seatrial.server.core.errors import DeadlineExceeded
from seatrial.server.inference.answers import Answers
from seatrial.server.inference.calibration import Calibration, Cost
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.engine import Engine
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.runtime import Runtime

SHORT = 0.05


class Server:
    """An engine that remembers, and one model that costs a second, it says."""

    def __init__(
        self,
        runtime: Runtime | None = None,
        *,
        inline: bool = False,
        shared: MemoryAnswers | None = None,
        limit: int = 512,
    ) -> None:
        self.runtime = runtime or EchoRuntime()
        self.observer = RecordingObserver()
        self.engine = Engine(1, limit, self.observer, Answers(1000, 60, clock.monotonic), shared)
        calibration = Calibration((Cost(1, 1.0),), "inline" if inline else "threads", 8)
        self.model = replace(a_model(a_manifest(), self.runtime), calibration=calibration)

    async def ask(
        self, value: float, deadline: Deadline | None = None, model: LoadedModel | None = None
    ) -> InferResult:
        """As a prediction asks: for what is remembered first."""
        model, arrays = model or self.model, example(value)
        question = self.engine.question(model, arrays)
        assert question is not None
        return self.engine.recall(model, question) or await self.engine.infer(
            model, arrays, deadline or in_time(), question
        )

    def run(self, main: Callable[[], object]) -> object:
        """Let callers ask, and end."""
        try:
            return asyncio.run(main())  # type: ignore[arg-type]
        finally:
            self.engine.close()


@pytest.mark.proves("R17")
@pytest.mark.parametrize("inline", [False, True])
def test_a_hundred_who_ask_the_same_at_once_cost_one_run(*, inline: bool) -> None:
    """Each hears the answer; whoever asks later too."""
    server = Server(inline=inline)

    async def main() -> list[InferResult]:
        at_once = await asyncio.gather(*(server.ask(7) for _ in range(100)))
        return [*at_once, await server.ask(7)]

    results: list[InferResult] = server.run(main)  # type: ignore[assignment]
    assert [result.output.item() for result in results] == [7] * 101
    assert [result.cache for result in results] == ["miss", *["joined"] * 99, "hit"]
    assert [result.cached for result in results] == [False, *[True] * 100]
    assert server.runtime.runs == [1]  # type: ignore[attr-defined]
    assert server.observer.looks == [("echo:1", what) for what in ("miss", *["joined"] * 99, "hit")]


@pytest.mark.parametrize("inline", [False, True])
def test_different_questions_are_not_mixed_up(*, inline: bool) -> None:
    """Many at once, some of them twice."""
    server = Server(inline=inline)
    values = [float(value % 300) for value in range(500)]

    async def main() -> list[float]:
        return [result.output.item() for result in await asyncio.gather(*map(server.ask, values))]

    assert server.run(main) == values
    assert sum(server.runtime.runs) == 300  # type: ignore[attr-defined]


def test_who_asked_first_may_leave() -> None:
    """The others get the answer; where all leave, nothing runs, and whoever comes then has it run."""
    runtime = BlockingRuntime()
    server = Server(runtime)

    async def main() -> list[object]:
        first = asyncio.create_task(server.ask(0))
        await begun(runtime)
        same = [asyncio.create_task(server.ask(5)) for _ in range(3)]
        nobody = [asyncio.create_task(server.ask(6)) for _ in range(2)]
        await settled()
        for task in (same[0], *nobody):
            task.cancel()
        await settled()
        again = asyncio.create_task(server.ask(6))
        await settled()
        runtime.released.set()
        return list(told(await asyncio.gather(first, *same, *nobody, again, return_exceptions=True)))

    assert server.run(main) == [0, "CancelledError", 5, 5, "CancelledError", "CancelledError", 6]
    assert runtime.runs == [1, 2]


def test_each_has_a_deadline_of_their_own() -> None:
    """Who came first has the shortest; who has more time gets the answer."""
    runtime = BlockingRuntime()
    server = Server(runtime)

    async def main() -> tuple[str, float]:
        busy = asyncio.create_task(server.ask(0))
        await begun(runtime)
        late = asyncio.create_task(server.ask(5, in_seconds(SHORT)))
        await settled()
        patient = asyncio.create_task(server.ask(5))
        with pytest.raises(DeadlineExceeded) as caught:
            await late
        runtime.released.set()
        await busy
        return caught.value.phase, (await patient).output.item()

    assert server.run(main) == ("queue", 5)


def test_a_failure_is_everybodys_and_is_not_remembered() -> None:
    """Whoever asks again has it run again."""
    server = Server(FailingRuntime())

    async def main() -> list[object]:
        at_once = await asyncio.gather(*(server.ask(1) for _ in range(3)), return_exceptions=True)
        server.runtime = EchoRuntime()
        return [*told(at_once), (await server.ask(1, model=replace(server.model, runtime=server.runtime))).cache]

    assert server.run(main) == [*["InferenceFailed"] * 3, "miss"]


def test_who_is_refused_leaves_nothing_behind() -> None:
    """The same may be asked again once there is room."""
    runtime = BlockingRuntime()
    server = Server(runtime, limit=1)

    async def main() -> list[object]:
        tasks = [asyncio.create_task(server.ask(0))]
        await begun(runtime)
        tasks += [asyncio.create_task(server.ask(value)) for value in (1, 2, 2, 1)]
        await settled()
        runtime.released.set()
        outcomes = told(await asyncio.gather(*tasks, return_exceptions=True))
        return [*outcomes, (await server.ask(2)).output.item()]

    assert server.run(main) == [0, 1, "QueueFull", "QueueFull", 1, 2]


def test_what_one_worker_gave_another_need_not_run() -> None:
    """Nor ask about it twice."""
    shared = MemoryAnswers()
    one, other = Server(shared=shared), Server(shared=shared)

    async def ask(server: Server) -> list[tuple[float, str]]:
        results = [*await asyncio.gather(server.ask(3), server.ask(3)), await server.ask(3)]
        return [(result.output.item(), result.cache) for result in results]

    assert one.run(lambda: ask(one)) == [(3, "miss"), (3, "joined"), (3, "hit")]
    assert other.run(lambda: ask(other)) == [(3, "hit"), (3, "hit"), (3, "hit")]
    assert (one.runtime.runs, other.runtime.runs) == ([1], [])  # type: ignore[attr-defined]
    assert ("echo:1", "shared") in other.observer.looks


@pytest.mark.parametrize("value", [b"garbage", b"", b"<f4|\0"])
def test_what_no_model_can_have_said_is_not_believed(value: bytes) -> None:
    """It is run, and right."""
    shared = MemoryAnswers()
    one, other = Server(shared=shared), Server(shared=shared)
    one.run(lambda: one.ask(3))
    shared.kept = dict.fromkeys(shared.kept, value)

    async def main() -> float:
        return float((await other.ask(3)).output.item())

    assert other.run(main) == 3
    assert other.runtime.runs == [1]  # type: ignore[attr-defined]


def test_nobody_asks_others_about_cheap_models() -> None:
    """They are quicker."""
    shared = MemoryAnswers()
    server = Server(inline=True, shared=shared)
    shared.asked = lambda: pytest.fail("it was asked")
    server.run(lambda: server.ask(3))

    assert shared.kept == {}


def test_who_leaves_while_others_are_asked_never_runs() -> None:
    """Nor does who is late then; and where the queue is full by then, it is said."""
    shared, runtime = MemoryAnswers(), BlockingRuntime()
    server = Server(runtime, shared=shared, limit=1)

    async def main() -> list[object]:
        busy = asyncio.create_task(server.ask(0))
        await begun(runtime)
        tasks = [asyncio.create_task(server.ask(value)) for value in (1, 2, 3)]

        def leave() -> None:
            tasks[2].cancel()

        shared.asked = leave
        await settled()
        runtime.released.set()
        return list(told(await asyncio.gather(busy, *tasks, return_exceptions=True)))

    assert server.run(main) == [0, 1, "QueueFull", "CancelledError"]
    assert runtime.runs == [1, 1]
