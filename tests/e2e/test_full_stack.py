"""The parts together: replicas, balancer, database and cache agree with one another, and with what they promise."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.e2e.helpers import (
    PATIENCE,
    Deployment,
    ask,
    everywhere,
    expect,
    expect_problem,
    known,
    new_name,
    promote,
    register,
)
from tests.fakes.onnx_models import linear
from tests.inputs import DENVER
from tests.live import until

from seatrial.server.core.chain import faults
from seatrial.server.storage.database import open_database
from seatrial.server.storage.registry import SqlRegistry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LINEAR: bytes = linear().SerializeToString()
READ = ("/", "/health", "/health/live", "/health/ready", "/models", "/models/digits:1", "/models/digits:1/golden",
        "/models/digits:1/proofs", "/models/digits/history", "/metrics", "/openapi.json", "/docs", "/redoc",
        "/.well-known/jwks.json")  # fmt: skip


def replicas(deployment: Deployment) -> list[str]:
    """The URL of each replica, by which a test passes the balancer."""
    return [replica.url for replica in deployment.parts().replicas]


def test_the_system_says_how_it_is(deployment: Deployment) -> None:
    """Healthy as a whole, with the state of the database and of the cache; alive, and ready."""
    with deployment.user() as http:
        health = expect(http.get("/health"), 200)
        live = expect(http.get("/health/live"), 200)
        ready = expect(http.get("/health/ready"), 200)

    assert (health["status"], health["model_loaded"]) == ("healthy", True)
    assert health["checks"]["database"] == "ok"
    assert live == {"status": "alive"}
    assert ready["status"] == "ready"


def test_every_endpoint_is_there(deployment: Deployment) -> None:
    """Each that can be read answers with 200; each that changes something wants credentials of a stranger."""
    with deployment.caller() as http, deployment.caller("") as stranger:
        for path in READ:
            expect(http.get(path), 200)
        schema = expect(http.get("/openapi.json"), 200)
        writing = [
            (method.upper(), path)
            for path, methods in schema["paths"].items()
            for method, operation in methods.items()
            if operation["x-seatrial-scope"] in {"models:write", "models:promote", "proofs:write", "account"}
        ]
        for method, path in writing:
            place = path.format(model_id="digits:1", model_name="digits", key_id="abc")
            expect_problem(stranger.request(method, place), 401, "unauthenticated")

    assert len(writing) >= 9


def test_what_a_replica_acknowledged_is_in_the_database(deployment: Deployment) -> None:
    """The rows are there with the ledger whole, by the time that the answer is; and the other replica tells of them."""
    stack, name = deployment.parts(), new_name()
    one, other = replicas(deployment)
    headers = {"Authorization": f"Bearer {deployment.key}"}
    with httpx2.Client(base_url=one, headers=headers, timeout=PATIENCE) as http:
        made = register(http, name, LINEAR)
    registry = SqlRegistry(open_database(stack.database_url))
    kept = registry.get(f"{name}:1")
    entries, head, _ = registry.whole()
    registry.close()
    until(lambda: httpx2.get(f"{other}/models/{name}:1").status_code == 200, "the other replica knows", PATIENCE)

    assert kept.manifest.digest == made["digest"]
    assert list(faults(entries, head)) == []
    assert entries[-1].name == name


@pytest.mark.load  # which has the machine for itself: Redis is waited for only so long
def test_what_one_replica_computed_another_finds_in_redis(deployment: Deployment) -> None:
    """Of a model whose answers are worth it: computed once, then found by the other, with the same answer."""
    deployment.parts()
    name = new_name()
    manifest = '[execution]\nmode = "threads"\n'
    with deployment.caller() as http:
        register(http, name, LINEAR, manifest=manifest)
        promote(http, f"{name}:1", "staging")
        everywhere(http, f"{name}:1", {"x": [0.0] * 4})
    body = {"model_id": f"{name}:1", "data": {"x": [3.0, 1.0, 4.0, 1.0]}}
    first, second = (httpx2.post(f"{url}/predict", json=body, timeout=PATIENCE) for url in replicas(deployment))

    assert (expect(first, 200)["cached"], expect(second, 200)["cached"]) == (False, True)
    assert first.json()["prediction"] == second.json()["prediction"]


def test_replicas_agree_on_what_serves(deployment: Deployment) -> None:
    """Within a second after a promotion both list the same versions with the same digests in the same stages."""
    name = new_name()
    with deployment.caller() as http:
        register(http, name, LINEAR)
        for stage in ("staging", "production"):
            promote(http, f"{name}:1", stage)
    urls = replicas(deployment)

    def agreed() -> bool:
        lists = [httpx2.get(f"{url}/models").json() for url in urls]
        stages = [{model["model_id"]: (model["digest"], model["stage"]) for model in listed} for listed in lists]
        return stages[0] == stages[1] and stages[0][f"{name}:1"][1] == "production"

    until(agreed, "both replicas tell the same", PATIENCE)


STAGES = ("staging", "production")


def moved(http: httpx2.Client, model_id: str, stage: str) -> bool:
    """Whether a version could be moved; it cannot where somebody else has just put theirs in its place."""
    params = {"new_stage": stage, "override": "true", "reason": "an end-to-end test"}
    answer = http.post(f"/models/{model_id}/promote", params=params)
    if answer.status_code == 409:
        expect_problem(answer, 409, "stage-conflict")
        return False
    expect(answer, 200)
    return True


def test_promotions_at_once_end_with_one_in_production(deployment: Deployment) -> None:
    """Eight people, each with a version, who want it to serve and try until it did: one does, seven are archived."""
    name = new_name()
    with deployment.caller() as http:
        for _ in range(8):
            register(http, name, LINEAR)

        def to_production(number: int) -> int:
            with deployment.caller() as own:
                until(lambda: all(moved(own, f"{name}:{number}", stage) for stage in STAGES), "it is in production")
            return number

        with ThreadPoolExecutor(8) as people:
            done = list(people.map(to_production, range(1, 9)))
        history = expect(http.get(f"/models/{name}/history"), 200)
        last = [entry["model_id"] for entry in history if entry["to"] == "production"][-1]

        def stages() -> dict[str, str]:
            listed = expect(http.get("/models", params={"model_name": name}), 200)
            return {model["model_id"]: model["stage"] for model in listed}

        wanted = {f"{name}:{number}": "archived" for number in range(1, 9)} | {last: "production"}
        until(lambda: all(stages() == wanted for _ in range(10)), "both replicas tell what the ledger says", PATIENCE)

    assert done == list(range(1, 9))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/health", None),
        ("GET", "/models", None),
        ("GET", "/models/geoclimate:1", None),
        ("POST", "/predict", {"model_name": "geoclimate", "data": DENVER}),
        ("POST", "/predict/batch", {"model_name": "geoclimate", "data": [DENVER] * 3}),
        ("POST", "/predict", {"model_name": "geoclimate", "data": {}}),
    ],
)
def test_answers_are_what_the_schema_says(deployment: Deployment, method: str, path: str, body: object) -> None:
    """Each member of an answer, of a failure too, has the type that /openapi.json tells."""
    with deployment.user() as http:
        schema = expect(http.get("/openapi.json"), 200)
        answer = http.request(method, path, json=body)
    pattern = re.sub(r"[a-z]+:1$", "{model_id}", path)
    content = schema["paths"][pattern][method.lower()]["responses"][str(answer.status_code)]["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    told = {**content[kind]["schema"], "components": schema["components"]}

    jsonschema.Draft202012Validator(told).validate(answer.json())


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"", 400, "invalid-json"),
        (b"{", 400, "invalid-json"),
        (b"[1, 2", 400, "invalid-json"),
        (b'{"data": NaN}', 400, "invalid-json"),
        (b"\xff\xfe", 400, "invalid-json"),
        (b"[]", 422, "invalid-input"),
        (b'"text"', 422, "invalid-input"),
        (b'{"data": null}', 422, "invalid-input"),
        (b'{"data": [[], {}]}', 422, "invalid-input"),
    ],
)
def test_what_cannot_be_read_is_told(deployment: Deployment, content: bytes, status: int, slug: str) -> None:
    """Through the balancer as directly: a problem, and the next request is answered."""
    with deployment.user() as http:
        expect_problem(
            http.post("/predict", content=content, headers={"Content-Type": "application/json"}), status, slug
        )
        ask(http, known("geoclimate")[1])


@pytest.mark.load
@pytest.mark.shared
@pytest.mark.parametrize("seconds", [4, pytest.param(10, marks=pytest.mark.long)])
def test_a_steady_load_is_answered_rightly(deployment: Deployment, tmp_path: Path, seconds: int) -> None:
    """A hundred requests a second, whoever is slow: no failure and no wrong answer."""
    rate = 100
    done = deployment.seatrial(
        tmp_path, "trial", "open", "--rate", str(rate), "--duration", f"{seconds}s", "--out", "load", "--json"
    )  # fmt: skip
    report = json.loads(done.stdout)

    assert (report["total"]["requests"], report["total"]["failures"]) == (rate * seconds, 0)
