"""What a server does when a model, the time or a part of itself fails, and when it is told to stop."""

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.api.doubles import PATIENCE, Behaviour, ForgedArtifacts, Gate, LostRegistry, Stage, honest
from tests.inprocess import converse, problem, serving
from tests.inputs import BLANK, DENVER, GOOD, Json

from seatrial import zoo
from seatrial.server.core.errors import InferenceFailed
from seatrial.server.inference.runtime import Array
from seatrial.server.registry.model import Stage as ModelStage
from seatrial.server.services.health import Lifecycle
from seatrial.server.storage.bundled import read_bundled

ASKED = [("/predict", DENVER), ("/predict/batch", [DENVER])]
SECRET = "/srv/secret/model.onnx"  # noqa: S105 - a path that an answer must not show


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def staged(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server with one inference thread and 5 seconds for a request, whose models do what the stage says."""
    setting = {"workers": 256, "request_timeout": 5, "cache_size": 0}
    with serving(tmp_path_factory.mktemp("data"), setting=setting, load=stage.load) as started:
        yield started


@pytest.fixture
def behave(stage: Stage) -> Iterator[Callable[[Behaviour], None]]:
    """Sets what the models do; they are honest again afterwards."""

    def set_behaviour(behaviour: Behaviour) -> None:
        stage.behaviour = behaviour

    yield set_behaviour
    stage.behaviour = honest


def crash(_: Callable[[], Array]) -> Array:
    raise RuntimeError(f"segment 7 of {SECRET} is corrupt")


def refuse(_: Callable[[], Array]) -> Array:
    raise InferenceFailed("The model failed on this input.")


def fill(value: float) -> Behaviour:
    return lambda answer: np.full_like(answer(), value)


@pytest.mark.proves("S44")
@pytest.mark.parametrize(("path", "data"), ASKED)
@pytest.mark.parametrize(
    ("behaviour", "slug"),
    [
        (crash, "internal-error"),
        (refuse, "inference-failed"),
        (fill(math.nan), "inference-failed"),
        (fill(math.inf), "inference-failed"),
        (fill(-math.inf), "inference-failed"),
    ],
    ids=["an unexpected error", "a refusal of the runtime", "NaN", "infinity", "minus infinity"],
)
def test_a_model_that_fails_is_500_and_tells_nothing(
    staged: TestClient,
    behave: Callable[[Behaviour], None],
    path: str,
    data: Json,
    behaviour: Behaviour,
    slug: str,
) -> None:
    """No path, stack or text of the error leaves the server; the next request is answered."""
    behave(behaviour)
    response = staged.post(path, json={"data": data}, headers={"X-Request-ID": "failing"})
    answer = problem(response, 500, slug)
    behave(honest)

    assert answer["request_id"] == "failing"
    for word in ("secret", "segment", "Traceback", "RuntimeError", ".py"):
        assert word not in response.text
    assert staged.post(path, json={"data": data}).status_code == 200


@pytest.mark.proves("S44")
def test_a_failure_of_another_route_is_500_and_tells_nothing(tmp_path: Path) -> None:
    """A store that is gone makes /models fail with a problem, while /predict goes on."""
    registry = LostRegistry([item.as_version(1, ModelStage.PRODUCTION) for item in read_bundled(zoo.folders())])
    with serving(tmp_path, ledger=registry, artifacts=ForgedArtifacts()) as started:
        registry.lost = True
        response = started.get("/models", headers={"X-Request-ID": "lost"})
        answer = problem(response, 500, "internal-error")

        assert answer["request_id"] == "lost"
        assert "SELECT" not in response.text
        assert "registry.db" not in response.text
        assert started.post("/predict", json={"data": DENVER}).status_code == 200
        assert started.get("/metrics", headers={"Accept": "application/json"}).json()["server_errors_total"] == 1


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_time_that_passes_while_the_body_comes_is_504(staged: TestClient, path: str) -> None:
    """A caller who never finishes is answered 504, naming the phase `receive`."""
    sent, _ = converse(
        staged.app, path, [{"type": "http.request", "body": b"{", "more_body": True}], {b"x-request-timeout": b"0.05"}
    )
    answer = json.loads(sent[1]["body"])

    assert (sent[0]["status"], answer["type"]) == (504, "urn:seatrial:problem:deadline-exceeded")
    assert "'receive'" in answer["detail"]


def test_time_that_passes_before_a_prediction_is_504(staged: TestClient) -> None:
    """A deadline that is over when the model would run is answered 504, naming the phase `queue`; the model is idle."""
    response = staged.post("/predict", json={"data": DENVER}, headers={"X-Request-Timeout": "1e-9"})

    assert "'queue'" in problem(response, 504, "deadline-exceeded")["detail"]


def test_time_that_passes_while_the_model_runs_is_504(staged: TestClient, behave: Callable[[Behaviour], None]) -> None:
    """A run that takes too long is answered 504 on time, naming the phase `infer` and the deadline."""
    gate = Gate()
    behave(gate)
    response = staged.post("/predict/batch", json={"data": [DENVER]}, headers={"X-Request-Timeout": "0.05"})
    gate.open()

    detail = problem(response, 504, "deadline-exceeded")["detail"]
    assert "'infer'" in detail
    assert "0.05 s" in detail


def test_time_that_passes_in_the_queue_is_504(staged: TestClient, behave: Callable[[Behaviour], None]) -> None:
    """A batch whose turn does not come in time is 504, naming the phase `queue`; the one before it is answered."""
    gate = Gate()
    behave(gate)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(staged.post, "/predict/batch", json={"data": [DENVER]})
        assert gate.reached.wait(PATIENCE)
        second = staged.post("/predict/batch", json={"data": [DENVER]}, headers={"X-Request-Timeout": "0.05"})
        gate.open()

        assert "'queue'" in problem(second, 504, "deadline-exceeded")["detail"]
        assert first.result().status_code == 200


def test_a_longer_wish_is_clamped_to_the_setting(tmp_path: Path) -> None:
    """X-Request-Timeout over SEATRIAL_REQUEST_TIMEOUT gives no more than the setting does."""
    stage, gate = Stage(), Gate()
    with serving(tmp_path, setting={"request_timeout": 0.05}, load=stage.load) as started:
        stage.behaviour = gate
        response = started.post("/predict/batch", json={"data": [DENVER]}, headers={"X-Request-Timeout": "1000"})
        gate.open()

    assert "0.05 s" in problem(response, 504, "deadline-exceeded")["detail"]


def test_other_requests_go_on_while_a_model_runs(staged: TestClient, behave: Callable[[Behaviour], None]) -> None:
    """A long batch does not hold up the event loop."""
    gate = Gate()
    behave(gate)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(staged.post, "/predict/batch", json={"data": [DENVER]})
        assert gate.reached.wait(PATIENCE)

        assert staged.get("/health/ready").status_code == 200
        assert not first.done()
        gate.open()
        assert first.result().status_code == 200


@pytest.fixture(scope="module")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server whose `digits` does not reproduce its golden answers."""
    with serving(tmp_path_factory.mktemp("data"), artifacts=ForgedArtifacts("digits")) as started:
        yield started


def test_a_model_that_fails_its_golden_answers_degrades_health(degraded: TestClient) -> None:
    """/health is 200 as long as predictions work, says `degraded`, and says why."""
    response = degraded.get("/health")
    answer = response.json()

    assert (response.status_code, answer["status"], answer["model_loaded"]) == (200, "degraded", True)
    assert answer["models"]["geoclimate:1"] == "ready"
    assert answer["models"]["digits:1"].startswith("Golden inference: 100 of 100 answers differ")


@pytest.mark.proves("S53")
def test_a_model_that_fails_its_golden_answers_makes_unready(degraded: TestClient) -> None:
    """/health/ready is 503 and names the model, and only it."""
    response = degraded.get("/health/ready")
    answer = problem(response, 503, "not-ready")

    assert list(answer["reasons"]) == ["digits:1"]
    assert "digits:1" in answer["detail"]
    assert int(response.headers["retry-after"]) >= 1
    assert degraded.get("/health/live").status_code == 200


@pytest.mark.parametrize("named", [{"model_id": "digits:1"}, {"model_name": "digits"}])
@pytest.mark.parametrize(("path", "data"), [("/predict", BLANK), ("/predict/batch", [BLANK])])
def test_a_model_that_is_not_loaded_is_409(
    degraded: TestClient,
    path: str,
    data: Json,
    named: dict[str, str],
) -> None:
    """The model exists, but does not answer."""
    answer = problem(degraded.post(path, json={"data": data, **named}), 409, "model-not-loaded")

    assert "digits" in answer["detail"]


def test_the_other_model_goes_on(degraded: TestClient) -> None:
    """What loaded is served; what did not is no candidate."""
    assert degraded.post("/predict", json={"data": DENVER}).json()["model_id"] == "geoclimate:1"

    answer = problem(degraded.post("/predict", json={"data": BLANK}), 422, "invalid-input")
    assert "digits" not in answer["detail"]


def test_a_model_that_is_not_loaded_can_be_looked_at(degraded: TestClient) -> None:
    """/models tells that it is not loaded, and why; its golden cases can be read."""
    answer = degraded.get("/models/digits:1").json()

    assert (answer["loaded"], answer["serving_config"], answer["serving_config_digest"]) == (False, None, None)
    assert answer["failure"].startswith("Golden inference: 100 of 100 answers differ")
    assert [model["loaded"] for model in degraded.get("/models").json()] == [False, True]
    assert len(degraded.get("/models/digits:1/golden").json()["cases"]) == 100
    metrics = degraded.get("/metrics", headers={"Accept": "application/json"}).json()
    assert (metrics["total_models"], list(metrics["models"])) == (1, ["geoclimate:1"])


def test_with_no_model_left_nothing_is_healthy(tmp_path: Path) -> None:
    """/health and /health/ready are 503, predictions 409, and the process lives on."""
    with serving(tmp_path, artifacts=ForgedArtifacts("digits", "geoclimate")) as started:
        for path in ("/health", "/health/ready"):
            answer = problem(started.get(path), 503, "not-ready")
            assert list(answer["reasons"]) == ["digits:1", "geoclimate:1"]
        for path, data in ASKED:
            problem(started.post(path, json={"data": data}), 409, "model-not-loaded")
            problem(started.post(path, json={"data": data, "model_name": "digits"}), 409, "model-not-loaded")
        assert started.get("/health/live").json() == {"status": "alive"}


def test_with_no_model_at_all_nothing_is_ready(tmp_path: Path) -> None:
    """Readiness is never true on an empty set."""
    with serving(tmp_path, ledger=LostRegistry([])) as started:
        for path in ("/health", "/health/ready"):
            assert "models" in problem(started.get(path), 503, "not-ready")["reasons"]
        problem(started.post("/predict", json={"data": DENVER}), 409, "model-not-loaded")


@pytest.mark.parametrize(
    ("order", "expected"), [(("geoclimate", "digits"), "geoclimate"), ((), "geoclimate"), (("nobody",), "geoclimate")]
)
def test_default_models_do_not_hide_the_others(tmp_path: Path, order: tuple[str, ...], expected: str) -> None:
    """SEATRIAL_DEFAULT_MODELS orders; a production model that is not among them still answers what fits it alone."""
    with serving(tmp_path, setting={"default_models": order}) as started:
        assert started.post("/predict", json={"data": GOOD[expected]}).json()["model_name"] == expected
        assert started.post("/predict", json={"data": GOOD["digits"]}).json()["model_name"] == "digits"


@pytest.fixture(scope="module")
def draining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server that has been told to stop, and still listens."""
    lifecycles: list[Lifecycle] = []
    with serving(
        tmp_path_factory.mktemp("data"), on_start=lambda lifecycle, _: lifecycles.append(lifecycle)
    ) as started:
        assert started.get("/health/ready").status_code == 200
        (lifecycle,) = lifecycles
        lifecycle.draining = True
        yield started


def test_a_draining_server_is_not_ready(draining: TestClient) -> None:
    """503 says that the server is stopping; it is alive and healthy all the same."""
    assert problem(draining.get("/health/ready"), 503, "not-ready")["reasons"] == {"server": "stopping"}
    assert draining.get("/health").status_code == 200
    assert draining.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/predict", 200),
        ("POST", "/predict/batch", 422),
        ("GET", "/models", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/health/ready", 503),
    ],
)
def test_a_draining_server_answers_and_closes(draining: TestClient, method: str, path: str, status: int) -> None:
    """Every answer is given as before, and its connection is not kept."""
    response = draining.request(method, path, json={"data": DENVER} if method == "POST" else None)

    assert (response.status_code, response.headers["connection"]) == (status, "close")


def test_a_server_that_goes_on_keeps_connections(client: TestClient) -> None:
    """Without a stop nothing is closed."""
    assert "connection" not in client.post("/predict", json={"data": DENVER}).headers
