"""The route by which models come in."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import StringConstraints

from seatrial.contracts.manifest import NAME_PATTERN
from seatrial.server.access.audit import Origin
from seatrial.server.access.principal import Principal
from seatrial.server.api.guard import Guard, needs
from seatrial.server.api.openapi import problems
from seatrial.server.api.schemas import ModelView, Reason
from seatrial.server.api.upload import declared, receive_into, sink_for
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import ClientGone
from seatrial.server.inference.pool import Pool
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.mirror import View
from seatrial.server.registry.model import ModelVersion
from seatrial.server.services.models import describe_model
from seatrial.server.services.register import Registrar, read_wish

Registered = Callable[[ModelVersion, str, Origin], None]
"""Hears of a new version: it, who brought it, and from where."""

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
_FILE = {"type": "string", "format": "binary"}
_TEXT = {"type": "string", "description": "JSON, or TOML where that is allowed."}
BODY = {
    "required": True,
    "content": {
        "application/octet-stream": {"schema": _FILE},
        "application/onnx": {"schema": _FILE},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["model"],
                "properties": {"model": _FILE, "manifest": _TEXT, "golden": _TEXT},
            }
        },
    },
}


def register_routes(
    guard: Guard, registrar: Registrar, pool: Pool, max_model_bytes: int, clock: Monotonic, told: Registered
) -> APIRouter:
    """`POST /models`."""
    router = APIRouter(tags=["models"])
    writer = Depends(needs("models:write", guard))

    @router.post(
        "/models",
        summary="Register a version",
        status_code=201,
        response_model=ModelView,
        response_description="The new version; `Location` says where it is.",
        responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 500, 503, 504, 507),
        openapi_extra={"requestBody": BODY},
    )
    async def register(
        request: Request,
        response: Response,
        name: Annotated[Name, Query(description="The model's name; the server assigns the version.")],
        principal: Annotated[Principal, writer],
        reason: Reason = "",
    ) -> Any:  # noqa: ANN401 - what the model says, or nothing to nobody
        """Add an ONNX file as the next version of a name, in `dev`.

        The file is inspected and run once, in a process of its own. What the graph tells need not be in the manifest;
        without golden answers some are recorded.
        """
        headers = dict(request.scope["headers"])
        limits = max_model_bytes, guard.max_body_bytes
        with registrar.admitted(), registrar.store.draft(declared(headers, *limits)) as draft:
            sink = sink_for(headers, draft, *limits)
            try:
                await receive_into(sink, request.receive, guard.request_timeout, clock)
            except ClientGone:
                return Response(status_code=400)  # which nobody reads
            note = Note(principal.name, reason)
            texts = sink.texts.get("manifest"), sink.texts.get("golden")
            wish = await asyncio.to_thread(read_wish, name, note, *texts)
            version = await registrar.register_in_turn(draft, wish)
        told(version, principal.name, guard.origin(request))
        response.headers["Location"] = f"/models/{version.model_id}"
        return await asyncio.to_thread(describe_model, View([version]), pool, version.model_id)

    return router
