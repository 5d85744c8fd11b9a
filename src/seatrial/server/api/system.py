"""The routes that say what the server is, and how it is."""

from collections.abc import Callable
from typing import Annotated, Any, Protocol

import orjson
from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import RedirectResponse

from seatrial.server.api.guard import ANYBODY, Guard, needs
from seatrial.server.api.negotiate import prefers
from seatrial.server.api.openapi import problems
from seatrial.server.api.schemas import HealthView, LiveView, MetricsView, ReadyView, RootView

Report = Callable[[], dict[str, Any]]
Accept = Annotated[str, Header(include_in_schema=False)]

LINKS = {
    "docs": "/docs",
    "redoc": "/redoc",
    "openapi": "/openapi.json",
    "health": "/health",
    "models": "/models",
    "predict": "/predict",
    "predict_batch": "/predict/batch",
    "metrics": "/metrics",
}


class MetricsSource(Protocol):
    """Where `/metrics` reads; telemetry implements it."""

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text for Prometheus, and its content type."""

    def as_json(self) -> dict[str, Any]:
        """The same numbers as one object."""


def system_routes(guard: Guard, version: str, metrics: MetricsSource, health: Report, ready: Report) -> APIRouter:
    """`GET /`, `/health`, `/health/live`, `/health/ready` and `/metrics`."""
    router = APIRouter(tags=["operate"])

    @router.get(
        "/",
        summary="What this is",
        response_model=RootView,
        responses={307: {"description": "A browser is sent to the documentation."}, **problems(400, 500)},
        dependencies=ANYBODY,
    )
    async def root(response: Response, accept: Accept = "*/*") -> Any:  # noqa: ANN401 - a redirect, or what the model says
        """Name, version and links; a browser is sent to `/docs`."""
        if prefers(accept, "text/html", "application/json"):
            return RedirectResponse("/docs", headers={"Vary": "Accept"})
        response.headers["Vary"] = "Accept"
        return {"name": "seatrial", "version": version, "links": LINKS}

    @router.get(
        "/health", summary="Healthy?", response_model=HealthView, responses=problems(500, 503), dependencies=ANYBODY
    )
    async def read_health() -> dict[str, Any]:
        """The state of the whole: 200 while predictions work."""
        return health()

    @router.get(
        "/health/ready", summary="Ready?", response_model=ReadyView, responses=problems(500, 503), dependencies=ANYBODY
    )
    async def read_ready() -> dict[str, Any]:
        """200 only when every production model is loaded, warmed and verified; 503 names what is not."""
        return ready()

    @router.get(
        "/health/live", summary="Alive?", response_model=LiveView, responses=problems(500), dependencies=ANYBODY
    )
    async def live() -> dict[str, str]:
        """200 unless only a restart helps."""
        return {"status": "alive"}

    text = {"schema": {"type": "string"}}
    content = {"text/plain": text, "application/openmetrics-text": text}

    @router.get(
        "/metrics",
        summary="Metrics",
        response_model=MetricsView,
        responses={200: {"content": content}, **problems(400, 401, 403, 500)},
        dependencies=[Depends(needs("read", guard))],
    )
    async def read_metrics(accept: Accept = "*/*") -> Response:
        """Metrics for Prometheus; the same numbers as one object for `Accept: application/json`."""
        if prefers(accept, "application/json", "text/plain"):
            return Response(orjson.dumps(metrics.as_json()), media_type="application/json", headers={"Vary": "Accept"})
        body, content_type = metrics.exposition(accept)
        return Response(body, headers={"Content-Type": content_type, "Vary": "Accept"})

    return router
