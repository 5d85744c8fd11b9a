"""What the routes of the gate make of odd input: an answer that says what was expected, and no entry in the ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.inprocess import faults, problem, serving
from tests.live import operator_token

PROMOTE = "/models/digits:1/promote"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Somebody who may do everything, and a gate that asks for nothing."""
    folder: Path = tmp_path_factory.mktemp("data")
    with serving(folder, setting={"gate": "off"}) as client:
        client.headers["Authorization"] = f"Bearer {operator_token(folder)}"
        yield client


@pytest.mark.parametrize("path", [f"{PROMOTE}?new_stage=production&", "/models/digits/rollback?"])
@pytest.mark.parametrize("reason", ["a%00b", "a%0Ab", "%1B%5B2J", "%C2%9B2J", "%7F", "x" * 501])
def test_a_reason_is_one_short_line(operator: TestClient, path: str, reason: str) -> None:
    """It is read in terminals, and a database keeps no NUL."""
    answer = problem(operator.post(f"{path}reason={reason}"), 422, "invalid-input")

    assert [fault[0] for fault in faults(answer)] == ["/query/reason"]


@pytest.mark.parametrize("reason", ["", "%ED%A0%80", "%FF", "x" * 500, "%5B/x%5D%20'%3B--", "%F0%9F%9A%A2%20%C3%BC"])
def test_any_other_text_is_a_reason(operator: TestClient, reason: str) -> None:
    """Bytes that are no text are replaced; brackets, quotes and ships stay."""
    assert operator.post(f"{PROMOTE}?new_stage=production&reason={reason}").status_code == 200


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/query/new_stage"),
        ("new_stage=", "/query/new_stage"),
        ("new_stage=dev", "/query/new_stage"),
        ("new_stage=archived", "/query/new_stage"),
        ("new_stage=Production", "/query/new_stage"),
        ("new_stage=production&override=perhaps", "/query/override"),
        ("new_stage=production&override=true", "/query/reason"),
        ("new_stage=production&override=true&reason=%20%20", "/query/reason"),
    ],
)
def test_a_wrong_parameter_is_named(operator: TestClient, query: str, pointer: str) -> None:
    """Where to is said and known; who overrides says why."""
    answer = problem(operator.post(f"{PROMOTE}?{query}"), 422, "invalid-input")

    assert [fault[0] for fault in faults(answer)] == [pointer]


@pytest.mark.parametrize("name", ["nobody", "digits:1", "DIGITS", "%00", "digits%00", "%FF", "-", "a" * 65, "a" * 5000])
@pytest.mark.parametrize(("method", "rest"), [("GET", "history"), ("POST", "rollback")])
def test_any_other_name_is_404(operator: TestClient, name: str, method: str, rest: str) -> None:
    """No database is asked about what is no name."""
    answer = problem(operator.request(method, f"/models/{name}/{rest}"), 404, "unknown-model")

    assert len(answer["detail"]) < 200


@pytest.mark.parametrize("model_id", ["nobody:1", "digits", "digits:2", "digits:01", "digits:1%00", "%FF:1"])
@pytest.mark.parametrize("rest", ["trials", "proofs", "promote?new_stage=staging"])
def test_any_other_version_is_404(operator: TestClient, model_id: str, rest: str) -> None:
    """Before anything else is looked at."""
    problem(operator.post(f"/models/{model_id}/{rest}", json={}), 404, "unknown-model")


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 400, "invalid-json"),
        (b"{", 400, "invalid-json"),
        (b'{"_type": NaN}', 400, "invalid-json"),
        (b"[" * 100_000, 400, "invalid-json"),
        (b"null", 422, "invalid-input"),
        (b"[]", 422, "invalid-input"),
        (b"{}", 422, "invalid-input"),
        (b'{"predicate": {"run": {"trial": "\\u0000"}}}', 422, "invalid-input"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_proof_is_refused(operator: TestClient, body: bytes, status: int, slug: str) -> None:
    """As JSON, or as a proof; the latter with the places."""
    answer = problem(operator.post("/models/digits:1/proofs", content=body), status, slug)

    assert bool(answer["errors"]) == (status == 422)


@pytest.mark.parametrize(
    ("headers", "status", "slug"),
    [
        ({"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
        ({"X-Request-Timeout": "soon"}, 400, "invalid-header"),
    ],
)
def test_the_body_of_a_proof_is_read_as_every_body(
    operator: TestClient, headers: dict[str, str], status: int, slug: str
) -> None:
    """JSON in UTF-8, not compressed, in its time."""
    problem(operator.post("/models/digits:1/proofs", content=b"{}", headers=headers), status, slug)


def test_a_proof_is_bounded(tmp_path: Path) -> None:
    """As every body is."""
    with serving(tmp_path, setting={"max_body_bytes": 1000}) as client:
        client.headers["Authorization"] = f"Bearer {operator_token(tmp_path)}"

        problem(client.post("/models/digits:1/proofs", content=b" " * 1001), 413, "body-too-large")


def test_nothing_of_it_came_into_the_ledger(operator: TestClient) -> None:
    """Digits was registered, and never moved."""
    history = operator.get("/models/digits/history").json()

    assert [(entry["action"], entry["to"]) for entry in history] == [("register", "production")]
