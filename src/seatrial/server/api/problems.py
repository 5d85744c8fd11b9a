"""From errors to answers: the only place that knows status codes."""

import http
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from seatrial.contracts.gate import GateDecision
from seatrial.contracts.problem import MAX_LISTED, MEDIA_TYPE, Fault, Problem
from seatrial.server.core import errors
from seatrial.server.inference.faults import fault_of

KINDS: dict[type[Exception], tuple[str, str, int]] = {
    errors.InvalidJSON: ("invalid-json", "The body cannot be read", 400),
    errors.InvalidHeader: ("invalid-header", "A header cannot be read", 400),
    errors.UnknownHost: ("unknown-host", "The host is not served here", 400),
    errors.InvalidRequest: ("invalid-request", "The request cannot be read", 400),
    errors.HeadTooLarge: ("head-too-large", "The head of the request is too large", 431),
    errors.ModelRefused: ("model-refused", "The model cannot be registered", 422),
    errors.InvalidInput: ("invalid-input", "The input is not acceptable", 422),
    errors.Unauthenticated: ("unauthenticated", "Credentials are needed", 401),
    errors.AccountNeeded: ("account-needed", "An account is needed", 403),
    errors.Forbidden: ("forbidden", "A scope is missing", 403),
    errors.RegistrationClosed: ("registration-closed", "Nobody can register here", 403),
    errors.UnknownKey: ("unknown-key", "There is no such key", 404),
    errors.LimitExceeded: ("limit-exceeded", "Too many calls", 429),
    errors.UnknownModel: ("unknown-model", "There is no such model", 404),
    errors.ModelNotLoaded: ("model-not-loaded", "The model is not being served", 409),
    errors.StageConflict: ("stage-conflict", "It cannot go there from where it stands", 409),
    errors.TrialConflict: ("trial-conflict", "The trial cannot be had", 409),
    errors.ProofRefused: ("proof-refused", "The proof does not agree with what was seen here", 409),
    errors.GateRefused: ("gate-refused", "It is not proven for this stage", 409),
    errors.StorageFull: ("storage-full", "There is no room to keep this", 507),
    errors.StorageUnavailable: ("storage-unavailable", "Nothing can be kept now", 503),
    errors.TooManyVersions: ("too-many-versions", "The model has too many versions", 409),
    errors.BodyTooLarge: ("body-too-large", "The body is too large", 413),
    errors.UnsupportedMediaType: ("unsupported-media-type", "The body is of a type that is not read", 415),
    errors.QueueFull: ("queue-full", "Too many requests wait for the model", 503),
    errors.Busy: ("busy", "The server is busy", 503),
    errors.NotReady: ("not-ready", "The server is not ready", 503),
    errors.DeadlineExceeded: ("deadline-exceeded", "The time is up", 504),
    errors.InspectionFailed: ("inspection-failed", "The file could not be inspected", 500),
    errors.InferenceFailed: ("inference-failed", "The model failed", 500),
}
"""Slug, title and status of each error; the slug is the end of the problem's `type`."""

INTERNAL = ("internal-error", "The server failed", 500)
BY_STATUS = {
    404: ("unknown-route", "There is no such route", 404),
    405: ("wrong-method", "The method is not allowed", 405),
}
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")

Headers = dict[str, str]


def problem_of(error: Exception, path: str, request_id: str) -> tuple[Problem, Headers]:
    """The problem for an error, and the headers that go with it. An unknown error tells nothing of itself."""
    slug, title, status = next((KINDS[kind] for kind in type(error).__mro__ if kind in KINDS), INTERNAL)
    detail = _detail(error)
    faults: Sequence[Fault] = error.faults if isinstance(error, errors.InvalidInput) else ()
    total = error.total if isinstance(error, errors.InvalidInput) else 0
    place = quote(path, safe="/:@")
    return Problem(slug, title, status, detail, place, request_id, tuple(faults), total, _extra(error)), _headers(error)


def _detail(error: Exception) -> str:
    """What is told of an error; of a database, its disk and our own processes, no more than that."""
    match error:
        case errors.StorageFull():
            return "There is no room left where the server keeps its state. Nothing was changed; predictions go on."
        case errors.StorageUnavailable():
            return "The server's database or disk cannot be used now. Nothing was changed; predictions go on."
        case errors.InspectionFailed():
            return "The server could not begin to inspect the file, which says nothing of the file. The log says why."
        case errors.SeatrialError():
            return str(error)
    return "An unexpected error was logged under this request id."


def _headers(error: Exception) -> Headers:
    """What goes with an error beside its body."""
    headers: Headers = {}
    match error:
        case errors.Unauthenticated():
            headers["WWW-Authenticate"] = 'Bearer realm="seatrial"'
        case errors.Forbidden():
            headers["WWW-Authenticate"] = f'Bearer realm="seatrial", error="insufficient_scope", scope="{error.scope}"'
        case errors.BodyTooLarge() | errors.StorageFull():  # a body may still be coming
            headers["Connection"] = "close"
        case errors.UnsupportedMediaType():
            headers.update(error.accepted)
        case errors.DeadlineExceeded(phase="receive"):
            headers["Connection"] = "close"
        case errors.LimitExceeded() | errors.Busy():
            headers["Retry-After"] = str(error.seconds)
        case errors.NotReady():
            headers["Retry-After"] = "1"
        case errors.StorageUnavailable():
            headers["Retry-After"] = "2"
    return headers


def _extra(error: Exception) -> dict[str, Any] | None:
    """Further members of its body."""
    match error:
        case errors.NotReady():
            return {"reasons": error.reasons}
        case errors.ProofRefused():
            return {"checks": error.checks}
        case errors.GateRefused():
            return {"gate": error.decision}
        case errors.InvalidJSON():
            return {"offset": error.offset}
    return None


def gate_problem(request: Request, decision: GateDecision) -> Response:
    """What a promotion would be answered with, by whoever only asks."""
    error = errors.GateRefused(decision)
    return _response(request, *problem_of(error, request.url.path, request.state.request_id))


def render(problem: Problem) -> bytes:
    """The body of a problem answer."""
    return orjson.dumps(problem.as_dict())


def install(app: FastAPI) -> None:
    """Answer every error of FastAPI's routes as a problem."""

    async def seatrial_error(request: Request, error: Exception) -> Response:
        request.state.cause = error
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
        if status == 405:  # noqa: PLR2004 - HTTP
            headers["Allow"] = _allowed(request)
        return _response(request, problem, headers)

    app.add_exception_handler(errors.SeatrialError, seatrial_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, seatrial_error)


def _allowed(request: Request) -> str:
    """Every method that the path takes: of its routes each knows only its own."""
    asked = [(method, {**request.scope, "method": method}) for method in METHODS]
    takes = [method for method, scope in asked if any(r.matches(scope)[0] is Match.FULL for r in request.app.routes)]
    return ", ".join([*takes, *(["HEAD"] if "GET" in takes else [])])


def _response(request: Request, problem: Problem, headers: Headers) -> Response:
    request.state.refused = problem.slug
    return Response(render(problem), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def _fault(entry: dict[str, Any]) -> Fault:
    """A pydantic error as a fault. The pointer leaves out `body`; a query parameter's begins with `/query`."""
    return fault_of(entry, *(part for part in entry["loc"] if part != "body"))
