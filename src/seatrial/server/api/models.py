"""The routes that say what is served."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import StringConstraints

from seatrial.contracts.gate import ProofSummary
from seatrial.server.api.guard import Guard, needs
from seatrial.server.api.openapi import problems
from seatrial.server.api.schemas import GoldenView, ModelSummary, ModelView
from seatrial.server.core.errors import UnknownModel
from seatrial.server.inference.pool import Pool
from seatrial.server.registry.ports import Artifacts, Registry
from seatrial.server.services.models import describe_model, golden_of, list_models

ModelName = Annotated[str, StringConstraints(max_length=64)]


def model_routes(
    guard: Guard,
    registry: Registry,
    artifacts: Artifacts,
    pool: Pool,
    proofs: Callable[[str], Sequence[ProofSummary]],
    catch_up: Callable[[], None],
) -> APIRouter:
    """`GET /models`, `/models/{model_id}` and `/models/{model_id}/golden`.

    `proofs` tells those of a version. `catch_up` lets this worker see what is newer than its copy of the registry: who
    was given a version by another worker a moment ago is told of it here.
    """
    router = APIRouter(tags=["models"], dependencies=[Depends(needs("read", guard))])

    def know(model_id: str) -> None:
        try:
            registry.get(model_id)
        except UnknownModel:
            catch_up()

    @router.get(
        "/models",
        summary="List the versions",
        response_model=list[ModelSummary],
        responses=problems(400, 401, 403, 422, 500),
    )
    async def models(
        model_name: Annotated[ModelName | None, Query(description="Only versions of this model.")] = None,
        stage: Annotated[
            Literal["dev", "staging", "production", "archived"] | None,
            Query(description="Only versions in this stage."),
        ] = None,
    ) -> list[dict[str, Any]]:
        """Every version of every model, by name and version."""
        return list_models(registry, pool, model_name, stage)

    @router.get(
        "/models/{model_id}",
        summary="One version",
        response_model=ModelView,
        responses=problems(400, 401, 403, 404, 500),
    )
    def model(model_id: str) -> dict[str, Any]:
        """Manifest, figures, stage, serving configuration and proofs of one version."""
        know(model_id)
        return {**describe_model(registry, pool, model_id), "proofs": proofs(model_id)}

    @router.get(
        "/models/{model_id}/golden",
        summary="Its golden answers",
        response_model=GoldenView,
        responses=problems(400, 401, 403, 404, 500),
    )
    def golden(model_id: str) -> Response:
        """Known inputs, the answers recorded when the model was made, and the truth."""
        know(model_id)
        content = orjson.dumps(golden_of(registry, artifacts, model_id))  # in this thread: it may be of megabytes
        return Response(content, media_type="application/json")

    return router
