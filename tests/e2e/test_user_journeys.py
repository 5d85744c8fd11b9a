"""What people come for, from beginning to end, on a whole stack or on the deployment at `SEATRIAL_TARGET`."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.helpers import (
    PATIENCE,
    TARGET,
    Deployment,
    ask,
    everywhere,
    expect,
    expect_problem,
    known,
    new_name,
    promote,
    register,
    stage_of,
)
from tests.fakes.onnx_models import answers, linear
from tests.inputs import BLANK, DENVER
from tests.live import server_process, until

from seatrial.trials.core.models import bundled

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROW = [1.0, 2.0, 3.0, 4.0]
MANIFEST = """
description = "What a house is worth, by four numbers."
licence = "MIT"
[[inputs]]
name = "x"
min = 0
max = 100
description = "rooms, area, age, distance"
[output]
units = "EUR"
[metrics]
r2 = 0.93
"""


def right(weights: tuple[float, ...], row: list[float]) -> float:
    """What ONNX's own reference makes of it."""
    return answers(linear(weights), [row])[0][0]


@pytest.mark.load
@pytest.mark.long
def test_a_data_scientist_brings_a_model_and_proves_it(deployment: Deployment, tmp_path: Path) -> None:
    """Registered with what the graph cannot tell, and described; refused by the gate, proven, and let into staging."""
    name = new_name()
    with deployment.caller() as http:
        made = register(http, name, linear().SerializeToString(), manifest=MANIFEST)
        shown = expect(http.get(f"/models/{name}:1"), 200)
        golden = expect(http.get(f"/models/{name}:1/golden"), 200)
        refused = expect_problem(
            http.post("/predict", json={"model_id": f"{name}:1", "data": ROW}), 409, "model-not-loaded"
        )
        proven = deployment.seatrial(tmp_path, "trial", "prove", "--model", f"{name}:1", "--submit", "--json")
        assert proven.returncode == 0, proven.stderr + proven.stdout
        gate = json.loads(proven.stdout)
        expect(http.post(f"/models/{name}:1/promote", params={"new_stage": "staging"}), 200)
        answered = everywhere(http, f"{name}:1", ROW)

    assert (made["model_id"], made["stage"]) == (f"{name}:1", "dev")
    assert (shown["manifest"]["output"]["units"], shown["manifest"]["licence"]) == ("EUR", "MIT")
    assert shown["metrics"] == {"r2": 0.93}
    assert shown["digest"] == made["digest"]
    assert golden["cases"]
    assert "dev" in refused["detail"]
    assert (gate["allowed"], [proof["need"] for proof in gate["proofs"]]) == (True, ["load.smoke", "golden"])
    assert answered["prediction"] == pytest.approx(right((1.0, 2.0, 3.0, 4.0), ROW))


def test_an_ml_engineer_gets_a_model_through_the_gate(deployment: Deployment) -> None:
    """Refused with a table of what is missing; moved by the operator's word, which the ledger keeps; then it serves."""
    name, weights = new_name(), (1.0, 2.0, 3.0, 4.0)
    with deployment.caller() as http:
        register(http, name, linear(weights).SerializeToString())
        refused = expect(http.post(f"/models/{name}:1/promote", params={"new_stage": "staging"}), 409)
        gate = expect(http.get(f"/models/{name}:1/gate"), 409)["gate"]
        promote(http, f"{name}:1", "staging")
        in_staging = everywhere(http, f"{name}:1", {"x": ROW})
        promote(http, f"{name}:1", "production")
        serving = everywhere(http, f"{name}:1", {"x": ROW})
        history = expect(http.get(f"/models/{name}/history"), 200)

    assert gate["allowed"] is False
    assert refused["gate"]["checks"] == gate["checks"]
    assert in_staging["prediction"] == serving["prediction"] == pytest.approx(right(weights, ROW))
    assert [entry["action"] for entry in history] == ["register", "refuse", "promote", "promote"]
    assert [entry["gate"] for entry in history[2:]] == ["override"] * 2


def test_an_api_consumer_finds_out_how_to_ask(deployment: Deployment) -> None:
    """From the schema and the list of models to an answer; a mistake is told by its place, and mended."""
    with deployment.user() as http:
        schema = expect(http.get("/openapi.json"), 200)
        served = expect(http.get("/models", params={"stage": "production"}), 200)
        mistaken = {"model_name": "geoclimate", "data": {**DENVER, "latitude": 95, "year": "soon"}}
        wrong = expect_problem(http.post("/predict", json=mistaken), 422, "invalid-input")
        answer = http.post(
            "/predict", json={"model_name": "geoclimate", "data": DENVER}, headers={"X-Request-ID": "me-1"}
        )
        document = expect(answer, 200)
        ask(http, known("digits")[0])

    assert "/predict" in schema["paths"]
    assert {"digits:1", "geoclimate:1"} <= {model["model_id"] for model in served}
    assert [(fault["pointer"], fault["received"]) for fault in wrong["errors"]] == [
        ("/data/latitude", "95"), ("/data/year", '"soon"'),
    ]  # fmt: skip
    assert answer.headers["x-request-id"] == "me-1"
    assert answer.headers["server-timing"].startswith("parse;dur=")
    assert (document["units"], document["model_id"]) == ("degrees Celsius", "geoclimate:1")


def test_a_batch_is_answered_row_by_row_or_not_at_all(deployment: Deployment) -> None:
    """Five hundred images, as each alone; with one bad row none, and its place; an empty batch is no batch."""
    model = bundled("digits")
    cases = [model.golden.cases[number % len(model.golden.cases)] for number in range(500)]
    rows = [case.input["image"] for case in cases]
    with deployment.user() as http:
        done = expect(http.post("/predict/batch", json={"model_name": "digits", "data": rows}), 200)
        alone = [ask(http, question)["prediction"] for question in known("digits")]
        bad = [*rows[:7], [*rows[7][:-1], 2.0], *rows[8:]]
        refused = expect_problem(
            http.post("/predict/batch", json={"model_name": "digits", "data": bad}), 422, "invalid-input"
        )
        empty = expect_problem(
            http.post("/predict/batch", json={"model_name": "digits", "data": []}), 422, "invalid-input"
        )

    assert done["predictions"] == [alone[number % len(alone)] for number in range(500)]
    assert done["input_shape"] == [500, 784]
    assert [fault["pointer"] for fault in refused["errors"]] == ["/data/7/783"]
    assert [fault["pointer"] for fault in empty["errors"]] == ["/data"]


def test_a_version_replaces_another_and_gives_way_again(deployment: Deployment) -> None:
    """Two versions of a name: the second takes over, the first is archived; rolled back, the first serves again."""
    name, old, new = new_name(), (1.0, 2.0, 3.0, 4.0), (4.0, 3.0, 2.0, 1.0)
    body = {"model_name": name, "data": {"x": ROW}}
    with deployment.caller() as http:

        def stages() -> list[str]:
            return [stage_of(http, f"{name}:{number}") for number in (1, 2)]

        for number, weights in enumerate((old, new), 1):
            register(http, name, linear(weights).SerializeToString())
            for stage in ("staging", "production"):
                promote(http, f"{name}:{number}", stage)
            everywhere(http, f"{name}:{number}", {"x": ROW})
        until(lambda: stages() == ["archived", "production"], "the second has replaced the first", PATIENCE)
        second = expect(http.post("/predict", json=body), 200)
        expect(http.post(f"/models/{name}/rollback", params={"reason": "an end-to-end test"}), 200)
        everywhere(http, f"{name}:1", {"x": ROW})
        until(lambda: stages() == ["production", "staging"], "the first has replaced the second", PATIENCE)
        first = expect(http.post("/predict", json=body), 200)
        history = expect(http.get(f"/models/{name}/history"), 200)

    assert (second["model_id"], second["prediction"]) == (f"{name}:2", pytest.approx(right(new, ROW)))
    assert (first["model_id"], first["prediction"]) == (f"{name}:1", pytest.approx(right(old, ROW)))
    assert [entry["action"] for entry in history if entry["model_id"] == f"{name}:2"] == [
        "register", "promote", "promote", "rollback",
    ]  # fmt: skip


def test_mistakes_do_not_cost_the_next_request(deployment: Deployment) -> None:
    """On one connection: each wrong request is told what is wrong with it, and a right one after it is answered."""
    question = known("digits")[3]
    with deployment.user() as http:
        for body, status, slug in (
            ({"data": BLANK, "model_name": "nobody"}, 404, "unknown-model"),
            ({"data": BLANK, "model_id": "digits:99"}, 404, "unknown-model"),
            ({"data": [0.0] * 783, "model_name": "digits"}, 422, "invalid-input"),
            ({"model_name": "digits"}, 422, "invalid-input"),
            ({"data": BLANK, "model_name": "digits", "colour": "red"}, 422, "invalid-input"),
        ):
            expect_problem(http.post("/predict", json=body), status, slug)
            ask(http, question)
        expect_problem(http.get("/nowhere"), 404, "unknown-route")
        expect_problem(http.put("/predict", json={}), 405, "wrong-method")
        ask(http, question)


def test_many_at_once_get_each_their_own_answer(deployment: Deployment) -> None:
    """Twenty people with different questions, a hundred each: every answer is the right one to what was asked."""
    images, places = known("digits"), known("geoclimate")

    def person(number: int) -> int:
        with deployment.user() as http:
            asked = [(images, places)[(number + turn) % 2] for turn in range(100)]
            for turn, questions in enumerate(asked):
                ask(http, questions[(number * 7 + turn) % len(questions)])
        return len(asked)

    with ThreadPoolExecutor(20) as people:
        done = sum(people.map(person, range(20)))

    assert done == 2000


@pytest.mark.load
@pytest.mark.parametrize("shortened", [("--duration", "9s"), pytest.param((), marks=pytest.mark.long)])
def test_a_newcomer_has_a_graded_report_in_a_minute(
    request: pytest.FixtureRequest, tmp_path: Path, shortened: tuple[str, ...]
) -> None:
    """`seatrial serve`, a first prediction, a smoke load, and a report that says pass; here, or at the target."""
    arguments = ("trial", "load", "smoke", *shortened, "--out", "first", "--json")
    if TARGET:
        deployment: Deployment = request.getfixturevalue("deployment")
        done = deployment.seatrial(tmp_path, *arguments)
    else:
        with server_process(tmp_path) as server:
            local = Deployment(server.url, "", "", None)
            with local.caller() as http:
                ask(http, known("geoclimate")[0])
            done = local.seatrial(tmp_path, *arguments)
    report = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert report["verdict"]["outcome"] == "pass"
    assert (tmp_path / "first" / "report.html").read_text("utf-8").startswith("<!doctype html>")
