"""What the schema says of every route: its problems and its examples."""

from typing import Any

from seatrial.contracts.problem import MEDIA_TYPE
from seatrial.server.api.schemas import ProblemView

Responses = dict[int | str, dict[str, Any]]

_TEXTS = {
    400: "The request cannot be read: not JSON, a bad header, or an unknown host.",
    401: "Credentials are needed, or are not valid.",
    403: "The credentials lack a scope.",
    404: "There is no such model.",
    409: "The model is not being served.",
    413: "The body is larger than the limit.",
    415: "The body is not JSON, or is compressed.",
    422: "The input is not acceptable; `errors` says what and where.",
    500: "The server or the model failed; the log has the request id.",
    503: "The server is not ready; `reasons` says why.",
    504: "The deadline passed; the detail names the phase.",
}

TAGS = [
    {"name": "predict", "description": "Ask a model."},
    {"name": "models", "description": "What is served."},
    {"name": "operate", "description": "Is it well, and what does it do?"},
]

DESCRIPTION = """Seatrial serves ML models, and lets none into production that has not proven itself under load.

Errors are RFC 9457 problem details; every answer carries `X-Request-ID`."""

PREDICT_EXAMPLES: dict[str, Any] = {
    "climate": {
        "summary": "Mean air temperature in Denver's grid cell, 2050, scenario A1B",
        "value": {"data": {"latitude": 39.7, "longitude": -105.0, "year": 2050, "scenario": "A1B"}},
    },
    "digit": {
        "summary": "An image without ink, 28 x 28",
        "value": {"data": {"image": [[0.0] * 28] * 28}, "return_probabilities": True},
    },
}

BATCH_EXAMPLES: dict[str, Any] = {
    "climate": {
        "summary": "One place, two scenarios",
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
