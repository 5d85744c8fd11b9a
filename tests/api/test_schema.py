"""Schemathesis asks a live server whatever /openapi.json allows and forbids; every answer must be one it describes."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

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

from seatrial.grading.spec import read_slo
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.storage.opening import open_registry
from seatrial.trials import verbs
from seatrial.trials.core.target import Target
from seatrial.trials.gate.keeper import begin_trial

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
    ("GET", "/models/{model_id}/proofs"),
    ("POST", "/models/{model_id}/proofs"),
    ("GET", "/models/{model_id}/gate"),
    ("POST", "/models/{model_id}/promote"),
    ("POST", "/models/{model_name}/rollback"),
    ("GET", "/models/{model_name}/history"),
    ("POST", "/predict"),
    ("POST", "/predict/batch"),
    ("POST", "/auth/register"),
    ("POST", "/auth/login"),
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("POST", "/auth/password"),
    ("GET", "/auth/me"),
    ("GET", "/auth/keys"),
    ("POST", "/auth/keys"),
    ("POST", "/auth/keys/{key_id}/rotate"),
    ("DELETE", "/auth/keys/{key_id}"),
    ("GET", "/.well-known/jwks.json"),
]
SERVED = {"model_id": "digits:1", "model_name": "digits", "key_id": "Nobodys1"}
Schema = Any
"""What Schemathesis makes of a schema; its class is of its own."""

every_operation = pytest.mark.parametrize(("method", "path"), OPERATIONS)
bounded = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=20,
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
    """What the server says of itself."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def operator(server: ServerProcess) -> dict[str, str]:
    """The credentials of somebody who may do everything."""
    return {"Authorization": f"Bearer {server.token}"}


def served(path: str) -> dict[str, str]:
    """The parameters of a path, of a model that there is; and of a key that there is not."""
    return {name: value for name, value in SERVED.items() if f"{{{name}}}" in path}


def test_every_operation_is_asked(schema: Schema) -> None:
    """The table of this file has all that the schema describes."""
    described = [result.ok() for result in schema.get_all_operations()]

    assert sorted((operation.method.upper(), operation.path) for operation in described) == sorted(OPERATIONS)


@pytest.mark.proves("S31")
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
    """No server error; status, content type and body are those that are documented for the route.

    To the operator, for whatever model, and for one that there is.
    """
    operation = schema[path][method]

    @bounded
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if "{" in path and data.draw(st.booleans()):
            case.path_parameters = served(path)
        case.call_and_validate(checks=CHECKS, headers=operator)

    ask()


@pytest.mark.proves("S31")
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
        path_parameters=served(path),
        body={"data": [DENVER] if path.endswith("batch") else DENVER}
        if method == "POST"
        else schemathesis.core.NOT_SET,
        media_type="application/json" if method == "POST" else None,
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


class Fresh(NamedTuple):
    """A server of its own, on which nobody has tried anything, and whose gate only warns: what is promoted moves."""

    server: ServerProcess
    schema: Schema

    def answer(self, method: str, path: str, status: int, **parts: Any) -> Any:  # noqa: ANN401 - of Schemathesis
        """What the operator is answered, which must be as described."""
        case = self.schema[path][method].Case(**parts)
        response = case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {self.server.token}"})
        assert response.status_code == status
        return response.json()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fresh]:
    with server_process(tmp_path, "--gate", "warn") as started:
        yield Fresh(started, schemathesis.openapi.from_url(f"{started.url}/openapi.json"))


def test_what_a_version_goes_through_is_as_described(fresh: Fresh) -> None:
    """A proof that is taken, and refused when it comes again; a promotion, the way back, and the ledger of both."""
    data, token = fresh.server.folder / "data", fresh.server.token
    with closing(open_registry(None, data)) as registry:
        second = replace(registry.get("geoclimate:1"), version=2, stage=Stage.STAGING)
        registry.add(second, Note("local:test", "new"))
    version, name = {"model_id": "geoclimate:2"}, {"model_name": "geoclimate"}
    proof = golden_proof(replace(verbs.find_target(fresh.server.url, token, None), model="geoclimate:2"), data.parent)
    proofs, handed_in = "/models/{model_id}/proofs", {"body": proof, "media_type": "application/json"}

    taken = fresh.answer("POST", proofs, 201, path_parameters=version, **handed_in)
    again = fresh.answer("POST", proofs, 409, path_parameters=version, **handed_in)
    better = {"new_stage": "production", "reason": "[better]"}
    promoted = fresh.answer("POST", "/models/{model_id}/promote", 200, path_parameters=version, query=better)
    worse = {"reason": "worse"}
    back = fresh.answer("POST", "/models/{model_name}/rollback", 200, path_parameters=name, query=worse)
    history = fresh.answer("GET", "/models/{model_name}/history", 200, path_parameters=name)

    assert (taken["proof"]["need"], taken["proof"]["outcome"]) == ("golden", "pass")
    assert again["checks"][-1]["step"] == "trial is open"
    assert fresh.answer("GET", proofs, 200, path_parameters=version) == [taken["proof"]]
    assert (promoted["gate"]["allowed"], promoted["gate"]["champion"]) == (False, "geoclimate:1")
    assert (back["model_id"], back["replayed"]["cases"]) == ("geoclimate:1", 100)
    assert [tuple(entry[key] for key in ("model_id", "action", "to", "why", "gate")) for entry in history[2:]] == [
        ("geoclimate:1", "promote", "archived", "[better]", "warn"),
        ("geoclimate:2", "promote", "production", "[better]", "warn"),
        ("geoclimate:2", "rollback", "staging", "worse", "warn"),
        ("geoclimate:1", "rollback", "production", "worse", "warn"),
    ]
    assert [entry["proofs"] for entry in history[2:]] == [[taken["proof"]], [taken["proof"]], [], []]


def golden_proof(target: Target, folder: Path) -> Any:  # noqa: ANN401 - a JSON document
    """The `proof.json` of its known answers, asked for under a trial."""
    verbs.golden((target.model,), begin_trial(target), read_slo("default"), folder, lambda _: None)
    return json.loads((folder / "proof.json").read_bytes())
