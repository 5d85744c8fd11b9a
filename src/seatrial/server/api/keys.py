"""The routes of API keys."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from seatrial.server.access.principal import Principal
from seatrial.server.api.access_schemas import KeyView, MadeKeyView, NewKeyView, RotateView
from seatrial.server.api.document import read_document
from seatrial.server.api.guard import Guard, needs_caller
from seatrial.server.api.openapi import body_of, problems
from seatrial.server.core.clock import Monotonic
from seatrial.server.limits.rate import parse_rate
from seatrial.server.services.keys import KeyService, Wish, key_as_dict


def key_routes(guard: Guard, keys: KeyService, clock: Monotonic) -> APIRouter:
    """`/auth/keys`. A key cannot make or end keys: whoever has stolen one gets no further."""
    router = APIRouter(tags=["access"])
    Person = Annotated[Principal, Depends(needs_caller(guard, "user", "operator"))]  # noqa: N806 - a type

    @router.get(
        "/auth/keys", summary="My keys", response_model=list[KeyView], responses=problems(400, 401, 403, 429, 500, 503)
    )
    def list_keys(caller: Person) -> Any:  # noqa: ANN401 - what the model says
        """The caller's keys, without what makes them keys; with `admin`, everybody's."""
        return [key_as_dict(key) for key in keys.list(caller)]

    @router.post(
        "/auth/keys",
        status_code=201,
        summary="Make a key",
        response_model=MadeKeyView,
        responses=problems(400, 401, 403, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra=body_of(NewKeyView),
    )
    async def make_key(request: Request, caller: Person) -> Any:  # noqa: ANN401 - the same
        """Make a key, which is told only in this answer. It holds no more than its owner does."""
        wish = await read_document(request, guard, NewKeyView, clock)
        secret, key = await run_in_threadpool(partial(keys.create, _wish(wish), caller, guard.origin(request)))
        return {**key_as_dict(key), "key": secret}

    @router.post(
        "/auth/keys/{key_id}/rotate",
        status_code=201,
        summary="Exchange a key",
        response_model=MadeKeyView,
        responses=problems(400, 401, 403, 404, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra=body_of(RotateView),
    )
    async def rotate_key(request: Request, key_id: str, caller: Person) -> Any:  # noqa: ANN401 - the same
        """Make a key like an old one, which is good for a while longer, so that nothing that uses it fails."""
        wish = await read_document(request, guard, RotateView, clock)
        work = partial(keys.rotate, key_id, wish.overlap_seconds, caller, guard.origin(request))
        secret, key = await run_in_threadpool(work)
        return {**key_as_dict(key), "key": secret}

    @router.delete(
        "/auth/keys/{key_id}",
        status_code=204,
        summary="Revoke a key",
        responses=problems(400, 401, 403, 404, 429, 500, 503),
    )
    def revoke_key(request: Request, key_id: str, caller: Person) -> Response:
        """End a key. Every worker refuses it within a second."""
        keys.revoke(key_id, caller, guard.origin(request))
        return Response(status_code=204)

    return router


def _wish(view: NewKeyView) -> Wish:
    return Wish(
        name=view.name,
        scopes=frozenset(view.scopes),
        expires=view.expires_at.timestamp() if view.expires_at else None,
        rate=parse_rate(view.rate_limit) if view.rate_limit else None,
        concurrency=view.concurrency_limit,
    )
