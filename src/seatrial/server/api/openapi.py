"""What the schema says of every route: its problems and its examples."""

from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from seatrial.contracts.problem import MEDIA_TYPE
from seatrial.server.api.guard import policies_of
from seatrial.server.api.schemas import ProblemView

Responses = dict[int | str, dict[str, Any]]

_TEXTS = {
    400: "The request cannot be read: not JSON, a bad header, or an unknown host.",
    401: "Credentials are needed, or are not valid.",
    403: "The credentials lack a scope.",
    404: "There is no such model.",
    409: "It is not so now: not served, not proven, or not where it can be moved from. The detail says which.",
    413: "The body is larger than the limit.",
    415: "The body is not of the type that is read, or is compressed.",
    422: "The input is not acceptable; `errors` says what and where.",
    429: "The caller has used up their limit; `Retry-After` says when one more call is allowed.",
    500: "The server or the model failed; the log has the request id.",
    503: "Not now: not ready (`reasons` says why), too much to do, or without its database; the detail says which.",
    504: "The deadline passed; the detail names the phase.",
    507: "There is no room to keep it; nothing was changed.",
}

TAGS = [
    {"name": "predict", "description": "Ask a model."},
    {"name": "models", "description": "What is served."},
    {"name": "gate", "description": "Prove a version, promote it, roll back."},
    {"name": "access", "description": "Accounts, and keys for programs."},
    {"name": "operate", "description": "Is it well, and what does it do?"},
]

DESCRIPTION = """Seatrial serves ML models, and lets none into production that has not proven itself under load.

Errors are RFC 9457 problem details; every answer carries `X-Request-ID`."""

PREDICT_EXAMPLES: dict[str, Any] = {
    "climate": {
        "summary": "Climate: Denver in 2050",
        "value": {"data": {"latitude": 39.7, "longitude": -105.0, "year": 2050, "scenario": "A1B"}},
    },
    "digit": {
        "summary": "Digit: a blank image",
        "value": {"data": {"image": [[0.0] * 28] * 28}, "return_probabilities": True},
    },
}

BATCH_EXAMPLES: dict[str, Any] = {
    "climate": {
        "summary": "Climate: Denver in 2090, twice",
        "value": {
            "data": [
                {"latitude": 39.7, "longitude": -105.0, "year": 2090, "scenario": scenario}
                for scenario in ("A1B", "E1")
            ]
        },
    },
}


def problems(*statuses: int) -> Responses:
    """The problem answers of a route, for its `responses`."""
    schema = {"$ref": f"#/components/schemas/{ProblemView.__name__}"}
    return {status: {"description": _TEXTS[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


_documents: dict[str, type[BaseModel]] = {}


def body_of(kind: type[BaseModel]) -> dict[str, Any]:
    """What the schema says of a body that a route reads itself, for its `openapi_extra`."""
    _documents[kind.__name__] = kind
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class DocumentedAPI(FastAPI):
    """FastAPI whose schema tells the truth about errors: problems everywhere, and none that cannot happen.

    It also tells what each operation asks for, as `x-seatrial-scope`: a scope, `own` (any credentials), `account`
    (those of a person) or `none`.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - of FastAPI
        super().__init__(**settings)
        self._policies: dict[tuple[str, str], str] = {}

    def include(self, router: APIRouter) -> None:
        """Serve the routes of a router; raises `TypeError` for one that does not say who may call it."""
        self._policies |= policies_of(router)
        self.include_router(router)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document; made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document["components"]["schemas"]
            ours: dict[str, type[BaseModel]] = {**_documents, ProblemView.__name__: ProblemView}
            for name, kind in ours.items():
                schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[name] = schema
            for path in document["paths"].values():
                for operation in path.values():
                    _drop_foreign_errors(operation["responses"])
            for (method, place), policy in self._policies.items():
                if place in document["paths"]:
                    document["paths"][place][method.lower()]["x-seatrial-scope"] = policy
            for foreign in ("HTTPValidationError", "ValidationError"):
                schemas.pop(foreign, None)
        return super().openapi()


def _drop_foreign_errors(responses: dict[str, Any]) -> None:
    """FastAPI adds its own 422 to every route with parameters; ours stands where a 422 can happen."""
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]
