"""From errors to answers: the only place that knows status codes."""

import http
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from seatrial.contracts.problem import MAX_LISTED, MEDIA_TYPE, Fault, Problem, pointer
from seatrial.server.core import errors
from seatrial.server.inference.faults import describe

KINDS: dict[type[Exception], tuple[str, str, int]] = {
    errors.InvalidJSON: ("invalid-json", "The body cannot be read", 400),
    errors.InvalidHeader: ("invalid-header", "A header cannot be read", 400),
    errors.UnknownHost: ("unknown-host", "The host is not served here", 400),
    errors.ModelRefused: ("model-refused", "The model cannot be registered", 422),
    errors.InvalidInput: ("invalid-input", "The input is not acceptable", 422),
    errors.Unauthenticated: ("unauthenticated", "Credentials are needed", 401),
    errors.Forbidden: ("forbidden", "A scope is missing", 403),
    errors.UnknownModel: ("unknown-model", "There is no such model", 404),
    errors.ModelNotLoaded: ("model-not-loaded", "The model is not being served", 409),
    errors.TooManyVersions: ("too-many-versions", "The model has too many versions", 409),
    errors.BodyTooLarge: ("body-too-large", "The body is too large", 413),
    errors.UnsupportedMediaType: ("unsupported-media-type", "The body is of a type that is not read", 415),
    errors.Busy: ("busy", "The server is busy", 503),
    errors.StorageUnavailable: ("database-unavailable", "The database cannot be used", 503),
    errors.NotReady: ("not-ready", "The server is not ready", 503),
    errors.DeadlineExceeded: ("deadline-exceeded", "The time is up", 504),
    errors.InferenceFailed: ("inference-failed", "The model failed", 500),
}
"""Slug, title and status of each error; the slug is the end of the problem's `type`."""

INTERNAL = ("internal-error", "The server failed", 500)
BY_STATUS = {
    404: ("unknown-route", "There is no such route", 404),
    405: ("wrong-method", "The method is not allowed", 405),
}

Headers = dict[str, str]


def problem_of(error: Exception, path: str, request_id: str) -> tuple[Problem, Headers]:
    """The problem for an error, and the headers that go with it. An unknown error tells nothing of itself."""
    slug, title, status = next((KINDS[kind] for kind in type(error).__mro__ if kind in KINDS), INTERNAL)
    detail = _detail(error)
    faults: Sequence[Fault] = error.faults if isinstance(error, errors.InvalidInput) else ()
    total = error.total if isinstance(error, errors.InvalidInput) else 0
    extra: dict[str, Any] | None = None
    headers: Headers = {}
    match error:
        case errors.Unauthenticated():
            headers["WWW-Authenticate"] = 'Bearer realm="seatrial"'
        case errors.Forbidden():
            headers["WWW-Authenticate"] = f'Bearer realm="seatrial", error="insufficient_scope", scope="{error.scope}"'
        case errors.BodyTooLarge():
            headers["Connection"] = "close"
        case errors.UnsupportedMediaType():
            headers.update(error.accepted)
        case errors.DeadlineExceeded(phase="receive"):
            headers["Connection"] = "close"
        case errors.Busy():
            headers["Retry-After"] = str(error.seconds)
        case errors.StorageUnavailable():
            headers["Retry-After"] = "5"
        case errors.NotReady():
            headers["Retry-After"] = "1"
            extra = {"reasons": error.reasons}
        case errors.InvalidJSON():
            extra = {"offset": error.offset}
    return Problem(
        slug, title, status, detail, quote(path, safe="/:@"), request_id, tuple(faults), total, extra
    ), headers


def _detail(error: Exception) -> str:
    """What the caller hears; the text of a database's error is the operator's, and may name hosts."""
    match error:
        case errors.StorageUnavailable():
            return "The database cannot be used now; nothing was changed."
        case errors.SeatrialError():
            return str(error)
    return "An unexpected error was logged under this request id."


def render(problem: Problem) -> bytes:
    """The body of a problem answer."""
    return orjson.dumps(problem.as_dict())


def install(app: FastAPI) -> None:
    """Answer every error of FastAPI's routes as a problem."""

    async def seatrial_error(request: Request, error: Exception) -> Response:
        return _response(request, *problem_of(error, request.url.path, request.state.request_id))

    async def validation_error(request: Request, error: Exception) -> Response:
        faults = [_fault(entry) for entry in error.errors()] if isinstance(error, RequestValidationError) else []
        invalid = errors.InvalidInput("The request has parts that are wrong.", faults[:MAX_LISTED], len(faults))
        return await seatrial_error(request, invalid)

    async def http_error(request: Request, error: Exception) -> Response:
        if isinstance(error.__cause__, errors.SeatrialError):
            return await seatrial_error(request, error.__cause__)
        status = error.status_code if isinstance(error, HTTPException) else 500
        slug, title, _ = BY_STATUS.get(status, ("http-error", http.HTTPStatus(status).phrase, status))
        path = request.url.path
        detail = {
            404: f"There is no route {path[:200]}. GET / names what there is.",
            405: f"{request.method} is not allowed on {path[:200]}.",
        }.get(status, title)
        problem = Problem(slug, title, status, detail, quote(path, safe="/:@"), request.state.request_id)
        headers = dict(getattr(error, "headers", None) or {})
        if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(_methods(request)))
        return _response(request, problem, headers)

    app.add_exception_handler(errors.SeatrialError, seatrial_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, seatrial_error)


def _methods(request: Request) -> set[str]:
    """The methods of all routes of a path; the framework tells those of the first."""
    here = (route for route in _each(request.app.routes) if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in here for method in getattr(route, "methods", None) or ()}


def _each(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    """Routes, and those of the routers among them."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from _each(router.routes)


def _response(request: Request, problem: Problem, headers: Headers) -> Response:
    request.state.refused = problem.slug
    return Response(render(problem), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def _fault(entry: dict[str, Any]) -> Fault:
    """A pydantic error as a fault. The pointer leaves out `body`; a query parameter's begins with `/query`."""
    place = [part for part in entry["loc"] if part != "body"]
    expected = entry.get("ctx", {}).get("expected") or entry["msg"]
    return Fault(pointer(*place), entry["msg"], str(expected), describe(entry.get("input")))
