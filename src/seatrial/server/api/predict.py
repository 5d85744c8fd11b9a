"""The prediction routes as FastAPI sees them: their schema, and the same answers by the slow road.

In a running server `api.lane` answers these routes before FastAPI is asked.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response
from fastapi.routing import APIRoute

from seatrial.contracts.record import TRIAL_HEADER
from seatrial.server.access.authenticate import require
from seatrial.server.api.body import read_body
from seatrial.server.api.guard import Guard, needs
from seatrial.server.api.openapi import BATCH_EXAMPLES, PREDICT_EXAMPLES, problems
from seatrial.server.api.schemas import BatchAnswer, BatchRequest, PredictAnswer, PredictRequest
from seatrial.server.core.clock import Monotonic
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.types import InferRequest
from seatrial.server.services.predict import Predictor
from seatrial.server.wire import native, strict_json

PROBLEMS = problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 504)


class _StrictRequest(Request):
    """A request whose JSON is read by the letter, and whose missing content type means JSON."""

    async def json(self) -> Any:  # noqa: ANN401 - JSON is any of these
        return strict_json.loads(await self.body())


def predict_routes(guard: Guard, predictor: Predictor, clock: Monotonic) -> APIRouter:
    """`POST /predict` and `POST /predict/batch`."""

    class GuardedRoute(APIRoute):
        """Checks the headers, reads the body within its limits, and parses it strictly."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                headers = dict(request.scope["headers"])
                client = request.scope["client"]
                require(await guard.identify(headers, client[0] if client else None), "predict")
                guard.check_body(headers)
                request.state.deadline = Deadline(guard.timeout(headers), clock(), clock)
                body = await read_body(request.receive, guard.max_body_bytes, request.state.deadline)
                strict = _StrictRequest({**request.scope, "headers": _as_json(headers)}, request.receive)
                strict._body = body  # noqa: SLF001 - where Starlette keeps a body that has been read
                if not body:
                    strict_json.loads(body)
                return await handle(strict)

            return guarded

    router = APIRouter(tags=["predict"], route_class=GuardedRoute, dependencies=[Depends(needs("predict", guard))])

    @router.post(
        "/predict",
        summary="Ask about one example",
        response_model=PredictAnswer,
        response_model_exclude_unset=True,
        responses=PROBLEMS,
    )
    async def predict(
        request: Request, body: Annotated[PredictRequest, Body(openapi_examples=PREDICT_EXAMPLES)]
    ) -> Response:
        """Ask a model about one example.

        With neither `model_id` nor `model_name` the production model whose inputs fit the data answers.
        """
        trial = request.headers.get(TRIAL_HEADER)
        wanted = InferRequest(body.data, body.model_id, body.model_name, body.return_probabilities, trial=trial)
        result = await predictor.predict(wanted, request.state.deadline)
        return _json(native.encode(result, batch=False, probabilities=body.return_probabilities))

    @router.post(
        "/predict/batch",
        summary="Ask about a batch",
        response_model=BatchAnswer,
        response_model_exclude_unset=True,
        responses=PROBLEMS,
    )
    async def predict_batch(
        request: Request, body: Annotated[BatchRequest, Body(openapi_examples=BATCH_EXAMPLES)]
    ) -> Response:
        """Ask a model about 1 to 10 000 examples; all are answered, or none."""
        trial = request.headers.get(TRIAL_HEADER)
        wanted = InferRequest(
            body.data, body.model_id, body.model_name, body.return_probabilities, body.batch_size, trial
        )
        result = await predictor.predict_batch(wanted, request.state.deadline)
        return _json(native.encode(result, batch=True, probabilities=body.return_probabilities))

    return router


def _as_json(headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return list({**headers, b"content-type": b"application/json"}.items())


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
