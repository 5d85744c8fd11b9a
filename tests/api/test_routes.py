"""The routes, their methods, and what the server says of itself and its models."""

import hashlib
import json
import re
from datetime import datetime
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.inprocess import faults, problem
from tests.inputs import GOOD

import seatrial
from seatrial import zoo

ROUTES = {
    "/": {"GET"},
    "/health": {"GET"},
    "/health/live": {"GET"},
    "/health/ready": {"GET"},
    "/predict": {"POST"},
    "/predict/batch": {"POST"},
    "/models": {"GET", "POST"},
    "/models/digits:1": {"GET"},
    "/models/digits:1/golden": {"GET"},
    "/models/digits:1/trials": {"POST"},
    "/models/digits:1/proofs": {"GET", "POST"},
    "/models/digits:1/gate": {"GET"},
    "/models/digits:1/promote": {"POST"},
    "/models/digits/rollback": {"POST"},
    "/models/digits/history": {"GET"},
    "/metrics": {"GET"},
    "/auth/register": {"POST"},
    "/auth/login": {"POST"},
    "/auth/refresh": {"POST"},
    "/auth/logout": {"POST"},
    "/auth/password": {"POST"},
    "/auth/me": {"GET"},
    "/auth/keys": {"GET", "POST"},
    "/auth/keys/{key_id}": {"DELETE"},
    "/auth/keys/{key_id}/rotate": {"POST"},
    "/.well-known/jwks.json": {"GET"},
    "/openapi.json": {"GET"},
    "/docs": {"GET"},
    "/redoc": {"GET"},
}
MODELS = ["digits:1", "geoclimate:1"]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.proves("S44")
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_is_405_with_allow(client: TestClient, path: str, method: str) -> None:
    """Each route has its methods; the answer to another one says which."""
    if method in ROUTES[path]:
        assert client.request(method, path).status_code != 405
        return
    response = client.request(method, path)
    problem(response, 405, "wrong-method")

    assert set(response.headers["allow"].split(", ")) - {"HEAD"} == ROUTES[path]


@pytest.mark.parametrize("path", ["/nowhere", "/predict/", "/models/", "/Predict", "/predict/stream", "/v2/models"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_route_is_404(client: TestClient, path: str, method: str) -> None:
    """There is no guessing, and no redirect for a slash too many."""
    answer = problem(client.request(method, path), 404, "unknown-route")

    assert path in answer["detail"]


def test_a_path_of_other_characters_is_only_repeated_in_its_escaped_form(client: TestClient) -> None:
    """`instance` is a URI reference whatever was asked for."""
    answer = client.get("/%3Cscript%3E%20%22%C3%BC").json()

    assert answer["instance"] == "/%3Cscript%3E%20%22%C3%BC"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.5", "", "text/plain"])
def test_the_root_says_what_this_is(client: TestClient, accept: str) -> None:
    """A program such as curl gets name, version and links, and every link answers."""
    response = client.get("/", headers={"Accept": accept})
    answer = response.json()

    assert response.status_code == 200
    assert (answer["name"], answer["version"]) == ("seatrial", seatrial.__version__)
    assert answer["links"] == {
        "docs": "/docs",
        "redoc": "/redoc",
        "openapi": "/openapi.json",
        "health": "/health",
        "models": "/models",
        "predict": "/predict",
        "predict_batch": "/predict/batch",
        "metrics": "/metrics",
    }
    assert set(answer["links"].values()) <= set(ROUTES)


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "text/*", "text/html;q=0.9, application/json;q=0.8"])
def test_a_browser_is_sent_to_the_documentation(client: TestClient, accept: str) -> None:
    """Who prefers HTML is sent to /docs."""
    response = client.get("/", headers={"Accept": accept})

    assert (response.status_code, response.headers["location"]) == (307, "/docs")


@pytest.mark.parametrize("accept", ["*/*", BROWSER])
def test_the_root_says_that_it_varies(client: TestClient, accept: str) -> None:
    """A cache must not give the browser's answer to curl, or the other way round."""
    assert client.get("/", headers={"Accept": accept}).headers["vary"] == "Accept"


def test_health_tells_the_state_of_the_whole(client: TestClient) -> None:
    """The whole answer of /health where all is well."""
    response = client.get("/health")
    answer = response.json()

    assert response.status_code == 200
    assert datetime.fromisoformat(answer.pop("timestamp")).tzinfo
    assert answer.pop("uptime_seconds") >= 0
    assert answer == {
        "status": "healthy",
        "version": seatrial.__version__,
        "model_loaded": True,
        "models": dict.fromkeys(MODELS, "ready"),
        "checks": {"database": "ok", "cache": "not configured"},
    }


def test_live_and_ready_say_so(client: TestClient) -> None:
    """The whole answers of /health/live and /health/ready where all is well."""
    live, ready = client.get("/health/live"), client.get("/health/ready")

    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "models": dict.fromkeys(MODELS, "ready"), "ledger": {"follows": 2, "newest": 2}},
    )


def test_the_uptime_moves(client: TestClient) -> None:
    """`uptime_seconds` never goes back."""
    first, second = (client.get("/health").json()["uptime_seconds"] for _ in range(2))

    assert first <= second


def manifest_of(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((zoo.ROOT / name / "manifest.json").read_bytes())
    return document


def summary_of(name: str) -> dict[str, Any]:
    """What the list says of a bundled model."""
    manifest = manifest_of(name)
    return {
        "model_id": f"{name}:1",
        "model_name": name,
        "model_version": 1,
        "stage": "production",
        "task": manifest["task"],
        "description": manifest["description"],
        "digest": "sha256:" + hashlib.sha256((zoo.ROOT / name / "model.onnx").read_bytes()).hexdigest(),
        "reason": "bundled",
        "loaded": True,
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["digits", "geoclimate"]),
        ("?model_name=digits", ["digits"]),
        ("?model_name=nobody", []),
        ("?stage=production", ["digits", "geoclimate"]),
        ("?stage=staging", []),
        ("?stage=dev", []),
        ("?stage=archived", []),
        ("?model_name=geoclimate&stage=production", ["geoclimate"]),
        ("?model_name=geoclimate&stage=dev", []),
        ("?unknown=1", ["digits", "geoclimate"]),
    ],
)
def test_models_are_listed_and_filtered(client: TestClient, query: str, names: list[str]) -> None:
    """/models is an array of every version, by name, or of those of a name or a stage."""
    response = client.get(f"/models{query}")
    listed = response.json()

    assert response.status_code == 200
    assert all(datetime.fromisoformat(entry.pop("registered_at")).tzinfo for entry in listed)
    assert listed == [summary_of(name) for name in names]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("?stage=prod", "/query/stage"),
        ("?stage=", "/query/stage"),
        ("?stage=Production", "/query/stage"),
        (f"?model_name={'x' * 65}", "/query/model_name"),
    ],
)
def test_a_wrong_filter_is_422(client: TestClient, query: str, pointer: str) -> None:
    """A stage that does not exist is not an empty list."""
    answer = problem(client.get(f"/models{query}"), 422, "invalid-input")

    assert [fault[0] for fault in faults(answer)] == [pointer]


@pytest.mark.parametrize("name", GOOD)
def test_a_model_tells_all_that_is_known(client: TestClient, name: str) -> None:
    """The whole answer of /models/{model_id}."""
    response = client.get(f"/models/{name}:1")
    answer = response.json()
    manifest = manifest_of(name)

    assert response.status_code == 200
    assert {key: answer[key] for key in summary_of(name)} == summary_of(name)
    assert answer["metrics"] == manifest["metrics"]
    assert {key: answer["manifest"][key] for key in ("name", "task", "digest", "licence", "golden")} == {
        key: manifest[key] for key in ("name", "task", "digest", "licence", "golden")
    }
    assert [spec["name"] for spec in answer["manifest"]["inputs"]] == [spec["name"] for spec in manifest["inputs"]]
    assert datetime.fromisoformat(answer["registered_at"]).tzinfo
    assert answer["serving_config"]["runtime"] == "onnxruntime"
    assert {"runtime_version", "threads", "mode"} <= answer["serving_config"].keys()
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", answer["serving_config_digest"])
    assert (answer["proofs"], answer["failure"]) == ([], None)
    assert [cost["examples"] for cost in answer["execution"]] == [1, 2, 4, 8, 16, 32, 64]
    assert all(cost["run_ms"] > 0 and cost["example_us"] > 0 for cost in answer["execution"])
    assert answer["serving_config"]["max_batch"] in {1, 2, 4, 8, 16, 32, 64}


@pytest.mark.parametrize("name", GOOD)
def test_golden_answers_are_told(client: TestClient, name: str) -> None:
    """/models/{model_id}/golden gives the cases of the file, with digest and tolerance."""
    answer = client.get(f"/models/{name}:1/golden").json()
    golden = json.loads((zoo.ROOT / name / "golden.json").read_bytes())

    assert (answer["model_id"], answer["digest"]) == (f"{name}:1", summary_of(name)["digest"])
    assert (answer["tolerance"], answer["cases"]) == (golden["tolerance"], golden["cases"])


@pytest.mark.parametrize(
    "model_id",
    ["digits", "digits:2", "digits:0", "digits:01", "digits:-1", "digits:x", "digits:", ":1", "DIGITS:1", "nobody:1"],
)
@pytest.mark.parametrize("rest", ["", "/golden", "/gate", "/proofs"])
def test_any_other_model_id_is_404(client: TestClient, model_id: str, rest: str) -> None:
    """A model_id is name:version; any other form is an unknown model."""
    answer = problem(client.get(f"/models/{model_id}{rest}"), 404, "unknown-model")

    assert model_id in answer["detail"]


def test_the_schema_has_exactly_the_routes(client: TestClient) -> None:
    """/openapi.json describes every route of the contract, and nothing else."""
    paths = client.get("/openapi.json").json()["paths"]
    described = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    pages = {"/docs", "/redoc", "/openapi.json"}
    contract = {(path, method) for path, methods in ROUTES.items() if path not in pages for method in methods}

    assert described == {
        (path.replace("digits:1", "{model_id}").replace("digits/", "{model_name}/"), method)
        for path, method in contract
    }


def test_the_examples_of_the_schema_work(client: TestClient) -> None:
    """Whatever the documentation shows as a request is answered."""
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/predict", "/predict/batch"):
        examples = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]

        assert examples
        for example in examples.values():
            assert client.post(path, json=example["value"]).status_code == 200, example


def test_every_problem_of_the_schema_is_one_shape(client: TestClient) -> None:
    """Each refusal that OpenAPI names is problem+json with one schema, and each route names what it can refuse."""
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            refusals = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}

            assert "500" in refusals, path
            for answer in refusals.values():
                assert answer["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemView"}}
                }


POLICY = "default-src 'none'"


@pytest.mark.proves("S46")
@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_documentation_comes_from_our_own_files(client: TestClient, page: str) -> None:
    """A page references only paths of this server, every one of which answers, and a policy forbids the rest."""
    response = client.get(page)
    references = re.findall(r'(?:src|href|spec-url)="([^"]*)"', response.text)

    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(references) >= 3
    assert "//" not in response.text.replace("</", "")
    for reference in references:
        assert reference.startswith("/")
        assert client.get(reference).status_code == 200, reference
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "script-src 'self';" in policy


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_page_has_no_script_of_its_own(client: TestClient, page: str) -> None:
    """The policy allows no inline script, so there is none."""
    assert not re.findall(r"<script(?![^>]*\bsrc=)|\bon\w+=", client.get(page).text)


@pytest.mark.parametrize(
    "path", ["/docs/assets/../pages.py", "/docs/assets/..%2fpages.py", "/docs/assets/", "/docs/assets"]
)
def test_only_assets_are_files(client: TestClient, path: str) -> None:
    """Nothing outside of the folder of assets is served, and no folder is listed."""
    assert client.get(path).status_code == 404
