"""Predict: choose the model, and run it."""

from collections.abc import Callable

from seatrial.server.core.errors import ModelNotLoaded, UnknownModel
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.engine import Engine, waited
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.pool import Pool, select
from seatrial.server.inference.signature import Arrays
from seatrial.server.inference.ticket import Done, Leave
from seatrial.server.inference.types import InferRequest
from seatrial.server.registry.ports import Registry
from seatrial.server.services.asked import Asked, Question


class Predictor:
    """What a prediction needs; lives as long as the server."""

    def __init__(self, pool: Pool, engine: Engine, registry: Registry) -> None:
        self._pool = pool
        self._engine = engine
        self._registry = registry
        self._asked = Asked()

    def recall(self, body: bytes) -> tuple[Question, InferResult] | None:
        """What a body asks that was asked before, byte for byte, and the answer, where that is remembered."""
        question = self._asked.find(body, self._pool.snapshot)
        model = question.model if question is not None else None
        if question is None or model is None:
            return None
        result = self._engine.recall(model, question.name)
        if result is None:
            self._asked.forget(body)
            return None
        return question, result

    def begin(self, request: InferRequest, deadline: Deadline, done: Done, body: bytes = b"") -> Leave | None:
        """Answer one example by `done`, as `Engine.begin` does; what is plainly wrong is raised at once.

        `body`, where it is given, is what the request was read from.
        """
        snapshot = self._pool.snapshot
        model, arrays = self._select(request, batch=False)
        question, found = self._look(request, model, arrays, deadline)
        if found is None:
            return self._engine.begin(model, arrays, deadline, done, question)
        if body and question is not None:
            asked = Question(model, question, probabilities=request.return_probabilities)
            self._asked.note(body, snapshot, asked)
        done(found)
        return None

    def _look(
        self, request: InferRequest, model: LoadedModel, arrays: Arrays, deadline: Deadline
    ) -> tuple[bytes | None, InferResult | None]:
        """What names the example where answers are remembered, `None` where it is to be computed; and the answer."""
        question = None if request.fresh else self._engine.question(model, arrays)
        found = self._engine.recall(model, question) if question is not None else None
        if found is not None:
            deadline.check("queue")
        return question, found

    async def predict(self, request: InferRequest, deadline: Deadline) -> InferResult:
        """Answer one example.

        Raises:
            InvalidInput, UnknownModel, ModelNotLoaded, QueueFull, DeadlineExceeded, InferenceFailed: see `core.errors`.
        """
        return await waited(lambda done: self.begin(request, deadline, done))

    async def predict_batch(self, request: InferRequest, deadline: Deadline) -> InferResult:
        """Answer a batch, all or nothing; raises as `predict` does."""
        model, arrays = self._select(request, batch=True)
        return await self._engine.infer_bulk(model, arrays, request.batch_size, deadline)

    async def predict_large(
        self, read: Callable[[], InferRequest], deadline: Deadline, *, batch: bool
    ) -> tuple[InferRequest, InferResult]:
        """Read, check and answer a body so large that reading it in the event loop would hold up everybody else.

        Args:
            read: gives the request; called in a thread. What it raises, this raises.
            deadline: of the request.
            batch: whether it is one of `/predict/batch`.
        """

        def prepare() -> tuple[InferRequest, LoadedModel, Arrays]:
            request = read()
            return request, *self._select(request, batch=batch)

        request, model, arrays = await self._engine.read(prepare, deadline)
        if batch:
            return request, await self._engine.infer_bulk(model, arrays, request.batch_size, deadline)
        question, found = self._look(request, model, arrays, deadline)
        if found is None:
            found = await self._engine.infer(model, arrays, deadline, question)
        return request, found

    def _select(self, request: InferRequest, *, batch: bool) -> tuple[LoadedModel, Arrays]:
        try:
            return select(self._pool.snapshot, request, batch=batch)
        except ModelNotLoaded:
            raise self._absent(request) from None

    def _absent(self, request: InferRequest) -> Exception:
        """Why the named model does not answer: it does not exist, or it exists and is not loaded."""
        if request.model_id is not None:
            version = self._registry.get(request.model_id)
            reason = self._pool.snapshot.failures.get(version.model_id, f"it is in the stage '{version.stage}'")
            return ModelNotLoaded(f"The model '{version.model_id}' is not being served: {reason}")
        if request.model_name is None:
            return ModelNotLoaded("No model is in production here.")
        if any(version.name == request.model_name for version in self._registry.versions()):
            return ModelNotLoaded(f"The model '{request.model_name}' has no production version that is being served.")
        return UnknownModel(f"There is no model '{request.model_name[:100]}'.")
