"""Predictions, from a decoded request to a checked result."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_model, a_version
from tests.fakes.observe import RecordingObserver
from tests.fakes.registry import MemoryRegistry
from tests.fakes.runtime import WAIT_SECONDS, EchoRuntime, FailingRuntime

from seatrial.server.core import clock
from seatrial.server.core.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelNotLoaded,
    SeatrialError,
    UnknownModel,
)
from seatrial.server.inference.answers import Answers
from seatrial.server.inference.calibration import Calibration, Cost
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.engine import Engine
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.pool import Pool, Snapshot
from seatrial.server.inference.types import InferRequest
from seatrial.server.registry.model import Stage
from seatrial.server.services.predict import Predictor

PLANE = a_manifest(name="plane")
REGISTRY = MemoryRegistry(
    [
        a_version(PLANE),
        a_version(PLANE, 2, Stage.DEV),
        a_version(PLANE, 3, Stage.ARCHIVED),
        a_version(a_manifest(name="broken")),
        a_version(a_manifest(name="young"), 1, Stage.DEV),
    ]
)
POINT = {"x": 1, "y": 2}


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Two threads for each model."""
    engine = Engine(2, 512, RecordingObserver())
    yield engine
    engine.close()


def a_predictor(engine: Engine, *models: LoadedModel) -> Predictor:
    pool = Pool()
    pool.swap(
        Snapshot(
            by_id={model.model_id: model for model in models},
            production={model.name: model for model in models},
            defaults=models,
            failures={"broken:1": "The model file is gone."},
        )
    )
    return Predictor(pool, engine, REGISTRY)


def in_time() -> Deadline:
    return Deadline(WAIT_SECONDS, clock.monotonic(), clock.monotonic)


def ask(predictor: Predictor, request: InferRequest, *, batch: bool = False) -> InferResult:
    return asyncio.run((predictor.predict_batch if batch else predictor.predict)(request, in_time()))


def begun(predictor: Predictor, deadline: Deadline) -> InferResult | Exception:
    """What a caller hears who does not wait."""

    async def main() -> InferResult | Exception:
        heard: asyncio.Future[InferResult | Exception] = asyncio.get_running_loop().create_future()
        predictor.begin(InferRequest(POINT), deadline, heard.set_result)
        return await asyncio.wait_for(heard, WAIT_SECONDS)

    return asyncio.run(main())


@pytest.mark.parametrize("inline", [True, False])
def test_whoever_does_not_wait_hears_how_it_went(engine: Engine, *, inline: bool) -> None:
    """The answer, a failure of the runtime, or that the time was up: once, whatever runs it."""
    good = a_model(PLANE, inline=inline)
    time = ManualClock()
    late = Deadline(1, time(), time)
    time.advance(2)

    answer = begun(a_predictor(engine, good), in_time())
    assert isinstance(answer, InferResult)
    assert (answer.model, answer.rows, answer.output.tolist()) == (good, 1, [3.0])
    failing = a_predictor(engine, a_model(PLANE, FailingRuntime(), inline=inline))
    assert isinstance(begun(failing, in_time()), InferenceFailed)
    assert isinstance(begun(a_predictor(engine, good), late), DeadlineExceeded)


def test_what_no_model_answers_is_said_at_once(engine: Engine) -> None:
    """Before anybody has to wait."""
    with pytest.raises(ModelNotLoaded):
        begun(a_predictor(engine), in_time())


@pytest.mark.parametrize("inline", [True, False])
def test_one_example_is_answered(engine: Engine, *, inline: bool) -> None:
    """In the event loop or in a thread, the answer is the same."""
    model = a_model(PLANE, inline=inline)
    result = ask(a_predictor(engine, model), InferRequest(POINT))

    assert (result.model, result.rows, result.output.tolist()) == (model, 1, [3.0])


def test_a_batch_is_answered_in_runs_of_its_batch_size(engine: Engine) -> None:
    """It goes to the threads, also where the model is cheap."""
    runtime = EchoRuntime()
    predictor = a_predictor(engine, a_model(PLANE, runtime, inline=True))
    result = ask(predictor, InferRequest([POINT, [4, 5], {"x": 6, "y": 7}], batch_size=2), batch=True)

    assert (result.rows, result.output.tolist()) == (3, [3.0, 9.0, 13.0])
    assert sorted(runtime.runs) == [1, 2]


@pytest.mark.parametrize(
    ("request_", "error", "reason"),
    [
        (InferRequest(POINT, model_id="none:1"), UnknownModel, "There is no model 'none:1'."),
        (InferRequest(POINT, model_id="plane:9"), UnknownModel, "There is no model 'plane:9'."),
        (InferRequest(POINT, model_id="plane"), UnknownModel, "There is no model 'plane'. A model_id is name:version"),
        (InferRequest(POINT, model_name="none"), UnknownModel, "There is no model 'none'."),
        (InferRequest(POINT, model_name="n" * 500), UnknownModel, f"There is no model '{'n' * 100}'."),
        (InferRequest(POINT, model_id="plane:2"), ModelNotLoaded, "it is in the stage 'dev'"),
        (InferRequest(POINT, model_id="plane:3"), ModelNotLoaded, "it is in the stage 'archived'"),
        (InferRequest(POINT, model_id="broken:1"), ModelNotLoaded, "not being served: The model file is gone."),
        (InferRequest(POINT, model_name="broken"), ModelNotLoaded, "has no production version that is being served"),
        (InferRequest(POINT, model_name="young"), ModelNotLoaded, "has no production version that is being served"),
        (InferRequest({"x": 1}), InvalidInput, "No production model accepts this input"),
    ],
)
@pytest.mark.parametrize("batch", [False, True])
def test_a_request_that_no_model_answers(
    engine: Engine, request_: InferRequest, error: type[SeatrialError], reason: str, *, batch: bool
) -> None:
    """A model that does not exist, one that is not served, and an input that fits none are three errors."""
    with pytest.raises(error) as caught:
        ask(a_predictor(engine, a_model(PLANE)), request_, batch=batch)

    assert reason in str(caught.value)


def test_a_server_without_models_says_so(engine: Engine) -> None:
    """The input is not blamed."""
    with pytest.raises(ModelNotLoaded, match="No model is in production here"):
        ask(a_predictor(engine), InferRequest(POINT))


@pytest.mark.parametrize("inline", [True, False])
def test_a_failure_of_the_runtime_reaches_the_caller(engine: Engine, *, inline: bool) -> None:
    """It keeps its type."""
    predictor = a_predictor(engine, a_model(PLANE, FailingRuntime(), inline=inline))

    with pytest.raises(InferenceFailed, match="The model failed on this input"):
        ask(predictor, InferRequest(POINT))


def test_past_its_deadline_nothing_runs(engine: Engine) -> None:
    """Work not begun is dropped."""
    runtime, time = EchoRuntime(), ManualClock()
    deadline = Deadline(1, time(), time)
    time.advance(2)
    predictor = a_predictor(engine, a_model(PLANE, runtime, inline=True))

    with pytest.raises(DeadlineExceeded):
        asyncio.run(predictor.predict(InferRequest(POINT), deadline))
    assert runtime.runs == []


class Remembering:
    """A predictor that remembers, for a model that costs a second, it says; what it has run is in `runtime`."""

    def __init__(self) -> None:
        self.runtime = EchoRuntime()
        self.engine = Engine(1, 512, RecordingObserver(), Answers(100, 60, clock.monotonic))
        calibration = Calibration((Cost(1, 1.0),), "threads", 1)
        self.model = replace(a_model(PLANE, self.runtime), calibration=calibration)
        self.predictor = a_predictor(self.engine, self.model)

    def ask(self, body: bytes, request: InferRequest) -> tuple[str, bool]:
        """How the answer to a body was found: by what it is, else by what it says; and whether with probabilities."""
        known = None if request.fresh else self.predictor.recall(body)
        if known is not None:
            return f"{known[1].cache} by body", known[0].probabilities

        async def main() -> InferResult:
            heard: asyncio.Future[InferResult | Exception] = asyncio.get_running_loop().create_future()
            self.predictor.begin(request, in_time(), heard.set_result, body)
            outcome = await asyncio.wait_for(heard, WAIT_SECONDS)
            assert isinstance(outcome, InferResult)
            return outcome

        return asyncio.run(main()).cache, request.return_probabilities


@pytest.fixture
def remembering() -> Iterator[Remembering]:
    """One that has heard nothing yet."""
    made = Remembering()
    yield made
    made.engine.close()


def test_a_body_that_was_found_once_need_not_be_read_again(remembering: Remembering) -> None:
    """Each with its own wishes; another body that says the same is found by what it says."""
    body, other = b"a", b"b"
    assert [remembering.ask(body, InferRequest(POINT)) for _ in range(4)] == [
        ("miss", False), ("hit", False), ("hit by body", False), ("hit by body", False),
    ]  # fmt: skip
    wish = InferRequest(POINT, return_probabilities=True)
    assert [remembering.ask(other, wish) for _ in range(2)] == [("hit", True), ("hit by body", True)]
    assert remembering.ask(body, InferRequest(POINT)) == ("hit by body", False)
    assert remembering.runtime.runs == [1]


@pytest.mark.parametrize("request_", [InferRequest(POINT, trial="t/1"), InferRequest(POINT, no_cache=True)])
def test_who_wants_it_computed_gets_it_computed(remembering: Remembering, request_: InferRequest) -> None:
    """A trial does; and nothing of it is remembered."""
    assert [remembering.ask(b"a", request_) for _ in range(3)] == [("off", False)] * 3
    assert remembering.runtime.runs == [1, 1, 1]
    assert remembering.ask(b"a", InferRequest(POINT)) == ("miss", False)


@pytest.mark.proves("R18")
def test_no_answer_is_that_of_another_version(remembering: Remembering) -> None:
    """Nor by its body: what was asked of one snapshot says nothing of the next, until it is asked again."""
    for _ in range(3):
        remembering.ask(b"a", InferRequest(POINT))
    runtime = EchoRuntime()
    new = replace(remembering.model, model_id="plane:2", version=2, runtime=runtime)
    pool = remembering.predictor._pool  # noqa: SLF001 - as a promotion does
    pool.swap(replace(pool.snapshot, by_id={"plane:2": new}, production={"plane": new}, defaults=(new,)))

    assert [remembering.ask(b"a", InferRequest(POINT)) for _ in range(3)] == [
        ("miss", False), ("hit", False), ("hit by body", False),
    ]  # fmt: skip
    assert (remembering.runtime.runs, runtime.runs) == ([1], [1])
