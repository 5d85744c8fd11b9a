"""Predict: choose the model, and run it."""

import asyncio
from collections.abc import Callable

from seatrial.server.core.errors import ModelNotLoaded, UnknownModel
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.executor import Executor
from seatrial.server.inference.inline import Done, InlineRuns
from seatrial.server.inference.model import InferResult, LoadedModel
from seatrial.server.inference.pool import Pool, select
from seatrial.server.inference.signature import Arrays
from seatrial.server.inference.types import InferRequest
from seatrial.server.registry.ports import Registry


class Predictor:
    """What a prediction needs; lives as long as the server."""

    def __init__(self, pool: Pool, executor: Executor, registry: Registry) -> None:
        self._pool = pool
        self._executor = executor
        self._registry = registry
        self._inline = InlineRuns()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, request: InferRequest, deadline: Deadline, done: Done) -> None:
        """Answer one example by `done`; what is plainly wrong is raised at once, as `predict` does."""
        model, arrays = self._select(request, batch=False)
        if model.inline:
            self._inline.add(model, arrays, deadline, done)
            return
        task = asyncio.get_running_loop().create_task(self._run(model, arrays, deadline, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, model: LoadedModel, arrays: Arrays, deadline: Deadline, done: Done) -> None:
        try:
            outcome: InferResult | Exception = await self._executor.run(model, arrays, 1, deadline)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            outcome = error
        done(outcome)

    async def predict(self, request: InferRequest, deadline: Deadline) -> InferResult:
        """Answer one example.

        Raises:
            InvalidInput, UnknownModel, ModelNotLoaded, DeadlineExceeded, InferenceFailed: see `core.errors`.
        """
        model, arrays = self._select(request, batch=False)
        if model.inline:
            return await self._inline.run(model, arrays, deadline)
        return await self._executor.run(model, arrays, 1, deadline)

    async def predict_batch(self, request: InferRequest, deadline: Deadline) -> InferResult:
        """Answer a batch, all or nothing; raises as `predict` does."""
        model, arrays = self._select(request, batch=True)
        return await self._executor.run(model, arrays, request.batch_size, deadline)

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

        request, model, arrays = await self._executor.call(prepare, deadline)
        size = request.batch_size if batch else 1
        return request, await self._executor.run(model, arrays, size, deadline)

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
