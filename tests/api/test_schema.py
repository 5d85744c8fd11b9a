"""Schemathesis asks a live server whatever /openapi.json allows and forbids; every answer must be one it describes."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.inputs import BLANK, DENVER
from tests.live import ServerProcess, server_process

DESCRIBED = [status_code_conformance, content_type_conformance, response_schema_conformance]
CHECKS = [not_a_server_error, *DESCRIBED]
OPERATIONS = [
    ("GET", "/"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/models"),
    ("POST", "/models"),
    ("GET", "/models/{model_id}"),
    ("GET", "/models/{model_id}/golden"),
    ("POST", "/models/{model_id}/trials"),
    ("POST", "/models/{model_id}/proofs"),
    ("GET", "/models/{model_id}/proofs"),
    ("GET", "/models/{model_id}/gate"),
    ("POST", "/models/{model_id}/promote"),
    ("POST", "/models/{model_name}/rollback"),
    ("GET", "/models/{model_name}/history"),
    ("POST", "/predict"),
    ("POST", "/predict/batch"),
]
PLACES = {"model_id": "digits:1", "model_name": "digits"}
QUERIES = {"/models": {"name": "it"}, "/models/{model_id}/promote": {"new_stage": "production"}}
BODIES = {"/predict": {"data": DENVER}, "/predict/batch": {"data": [DENVER]}, "/models/{model_id}/proofs": {}}
Schema = Any
"""What Schemathesis makes of a schema; its class is of its own."""

every_operation = pytest.mark.parametrize(("method", "path"), OPERATIONS)
bounded = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=30,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server process, whose predictions the lane answers."""
    with server_process(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def schema(server: ServerProcess) -> Schema:
    """The schema that it tells."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def operator(server: ServerProcess) -> dict[str, str]:
    """The header of who may write; the gate stands in the way of whatever they try."""
    token = (server.folder / "data" / "admin.token").read_text(encoding="ascii").strip()
    return {"Authorization": f"Bearer {token}"}


def test_every_operation_is_asked(schema: Schema) -> None:
    """The table of this file has all that the schema describes."""
    described = [result.ok() for result in schema.get_all_operations()]

    assert sorted((operation.method.upper(), operation.path) for operation in described) == sorted(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        *((*operation, GenerationMode.POSITIVE) for operation in OPERATIONS),
        *((*operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation[1].startswith(("/m", "/p"))),
    ],
    ids=str,
)
def test_every_answer_is_one_that_the_schema_describes(
    schema: Schema,
    operator: dict[str, str],
    method: str,
    path: str,
    mode: GenerationMode,
) -> None:
    """No server error; status, content type and body are those that are documented for the route."""
    operation = schema[path][method]

    @bounded
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        case.call_and_validate(checks=CHECKS, headers=operator if path.startswith("/models") else None)

    ask()


@every_operation
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Host": "evil.example"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Request-Timeout": "soon"},
        {"X-Request-Timeout": "0.000000001"},
        {"Content-Type": "text/plain"},
        {"Content-Encoding": "gzip"},
        {"Accept": "text/html"},
        {"Accept": "application/openmetrics-text"},
    ],
    ids=lambda headers: " ".join(*headers.items()),
)
def test_every_refusal_by_a_header_is_described(
    schema: Schema,
    method: str,
    path: str,
    headers: dict[str, str],
) -> None:
    """What a header can do to a request is in the schema too."""
    operation = schema[path][method]
    case = operation.Case(
        path_parameters={name: value for name, value in PLACES.items() if f"{{{name}}}" in path},
        query=QUERIES.get(path, {}) if method == "POST" else {},
        body=BODIES.get(path, schemathesis.core.NOT_SET) if method == "POST" else schemathesis.core.NOT_SET,
        media_type="application/json" if method == "POST" and path in BODIES else None,
    )
    case.validate_response(case.call(headers=headers, allow_redirects=False), checks=DESCRIBED)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {"data": DENVER}),
        ("/predict", {"data": BLANK, "return_probabilities": True}),
        ("/predict", {"data": DENVER, "model_id": "nobody:1"}),
        ("/predict/batch", {"data": [DENVER] * 3, "batch_size": 2}),
        ("/predict/batch", {"data": [BLANK], "return_probabilities": True}),
    ],
)
def test_every_prediction_is_as_described(schema: Schema, path: str, body: dict[str, Any]) -> None:
    """The lane's answers, of both kinds of models, are those of the schema."""
    case = schema[path]["POST"].Case(body=body, media_type="application/json")
    case.call_and_validate(checks=CHECKS)
