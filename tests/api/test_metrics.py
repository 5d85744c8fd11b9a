"""GET /metrics: Prometheus text, OpenMetrics, and the same numbers as one JSON object."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.testclient import TestClient
from tests.inprocess import caller, serving
from tests.inputs import BLANK, DENVER
from tests.live import until

from seatrial.grading.histogram import Histogram
from seatrial.server.app import prepare
from seatrial.server.registry.evidence import Submitted, Tally, Trial
from seatrial.server.settings import Settings
from seatrial.server.storage.opening import reach_registry

PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server that has answered: 3 predictions and a batch of 5 by geoclimate, and some refusals."""
    with serving(tmp_path_factory.mktemp("data")) as started:
        for _ in range(3):
            started.post("/predict", json={"data": DENVER})
        started.post("/predict/batch", json={"data": [DENVER] * 5})
        started.post("/predict", content=b"{")
        started.post("/predict", json={"data": {}})
        started.get("/models/nobody:1")
        started.get("/nowhere/at/all")
        started.get("/nowhere/else")
        started.put("/models")
        caller(started.app, peer=("192.0.2.1", 1)).get("/models")
        started.get("/models", headers={"Host": "evil.example"})
        yield started


def numbers(response: httpx2.Response) -> Numbers:
    """Our own samples of a text answer."""
    parse = parse_openmetrics if response.headers["content-type"].startswith("application/openmetrics") else parse_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(response.text)
        for sample in family.samples
    }


def json_numbers(document: dict[str, Any]) -> Numbers:
    """Every sample of the JSON view."""
    return {
        (sample["name"], tuple(sorted(sample["labels"].items()))): sample["value"]
        for samples in document["metrics"].values()
        for sample in samples
    }


def steady(found: Numbers) -> Numbers:
    """The samples that reading the metrics does not change."""
    return {
        (name, labels): value
        for (name, labels), value in found.items()
        if name.startswith("seatrial_") and name != "seatrial_uptime_seconds" and ("route", "/metrics") not in labels
    }


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "image/png"])
def test_text_is_the_default(asked: TestClient, accept: str) -> None:
    """Who does not prefer another form gets the Prometheus text format."""
    response = asked.get("/metrics", headers={"Accept": accept})

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert numbers(response)


@pytest.mark.parametrize("accept", [PROMETHEUS, "application/openmetrics-text; version=1.0.0"])
def test_openmetrics_is_given_to_who_asks(asked: TestClient, accept: str) -> None:
    """Prometheus' own Accept header gets OpenMetrics, which ends as it must."""
    response = asked.get("/metrics", headers={"Accept": accept})

    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.text.endswith("# EOF\n")
    assert steady(numbers(response)) == steady(numbers(asked.get("/metrics")))


def test_the_json_view_has_the_same_numbers(asked: TestClient) -> None:
    """Every sample of the text is in the JSON view, with the same value, and no other one is."""
    document = asked.get("/metrics", headers={"Accept": "application/json"}).json()
    text = numbers(asked.get("/metrics"))

    assert steady(json_numbers(document)) == steady(text)
    assert {name for name, _ in json_numbers(document)} == {name for name, _ in text}


def test_the_json_view_sums_up(asked: TestClient) -> None:
    """The totals of the JSON view are sums of the samples below."""
    document = asked.get("/metrics", headers={"Accept": "application/json"}).json()
    counts = [
        (int(dict(labels)["status"]), value)
        for (name, labels), value in json_numbers(document).items()
        if name == "seatrial_requests_total"
    ]

    assert datetime.fromisoformat(document["timestamp"]).tzinfo
    assert document["uptime_seconds"] > 0
    assert (document["total_models"], document["production_models"]) == (2, 2)
    assert document["requests_total"] == sum(value for _, value in counts)
    assert document["errors_total"] == sum(value for status, value in counts if status >= 400) == 8
    assert document["server_errors_total"] == 0


def test_the_json_view_tells_of_each_model(asked: TestClient) -> None:
    """Counts and latency quantiles by model; no quantile where there was no prediction."""
    models = asked.get("/metrics", headers={"Accept": "application/json"}).json()["models"]
    latency = models["geoclimate:1"].pop("latency_ms")

    assert models["geoclimate:1"] == {"predictions": 4, "examples": 8}
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert models["digits:1"] == {
        "predictions": 0,
        "examples": 0,
        "latency_ms": {"p50": None, "p95": None, "p99": None},
    }


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        ({"route": "/predict", "method": "POST", "status": "200"}, 3),
        ({"route": "/predict/batch", "method": "POST", "status": "200"}, 1),
        ({"route": "/predict", "method": "POST", "status": "400"}, 1),
        ({"route": "/predict", "method": "POST", "status": "422"}, 1),
        ({"route": "/models/{model_id}", "method": "GET", "status": "404"}, 1),
        ({"route": "unmatched", "method": "GET", "status": "404"}, 2),
        ({"route": "/models", "method": "PUT", "status": "405"}, 1),
        ({"route": "/models", "method": "GET", "status": "401"}, 1),
        ({"route": "unmatched", "method": "GET", "status": "400"}, 1),
    ],
)
def test_answers_are_counted_by_route(asked: TestClient, labels: dict[str, str], count: int) -> None:
    """Each answer counts under the pattern of its route, never under its raw path."""
    found = numbers(asked.get("/metrics"))

    assert found["seatrial_requests_total", tuple(sorted(labels.items()))] == count


@pytest.mark.parametrize(
    ("reason", "count"),
    [
        ("invalid-json", 1),
        ("invalid-input", 1),
        ("unknown-model", 1),
        ("unknown-route", 2),
        ("wrong-method", 1),
        ("unauthenticated", 1),
        ("unknown-host", 1),
    ],
)
def test_refusals_are_counted_by_reason(asked: TestClient, reason: str, count: int) -> None:
    """Each refusal counts under the slug of its problem."""
    assert numbers(asked.get("/metrics"))["seatrial_refusals_total", (("reason", reason),)] == count


def test_facts_are_told(asked: TestClient) -> None:
    """Version, loaded models with digest and stage, uptime, and the memory of the process."""
    found = numbers(asked.get("/metrics"))
    names = {name for name, _ in found}
    infos = [dict(labels) for (name, labels) in found if name == "seatrial_model_info"]

    assert {"seatrial_build_info", "seatrial_uptime_seconds", "process_resident_memory_bytes"} <= names
    assert [(info["model"], info["stage"]) for info in infos] == [
        ("digits:1", "production"),
        ("geoclimate:1", "production"),
    ]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", info["digest"]) for info in infos)


def test_reading_metrics_counts_too(asked: TestClient) -> None:
    """A scrape is a request as any other, counted once it is answered."""
    key = ("seatrial_requests_total", (("method", "GET"), ("route", "/metrics"), ("status", "200")))
    first = numbers(asked.get("/metrics"))[key]

    assert numbers(asked.get("/metrics"))[key] == first + 1


def test_two_servers_count_apart(tmp_path: Path) -> None:
    """A second server in the same process starts from nothing."""
    with serving(tmp_path) as fresh:
        fresh.post("/predict", json={"data": {"image": BLANK}})
        document = fresh.get("/metrics", headers={"Accept": "application/json"}).json()

    assert document["requests_total"] == 1
    assert document["models"]["digits:1"]["predictions"] == 1


def proven(client: TestClient) -> Numbers:
    """What the models in production were proven with."""
    found = numbers(client.get("/metrics")).items()
    return {key: round(value, 4) for key, value in found if key[0] == "seatrial_proven_seconds"}


def key_of(model_id: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The series of a model."""
    return "seatrial_proven_seconds", (("model", model_id), ("quantile", "0.95"))


def test_what_a_model_was_proven_with(tmp_path: Path) -> None:
    """It is read at the start, and again when another proof comes; the bundled models come without one."""
    settings, now = Settings(data_dir=tmp_path), time.time()
    prepare(settings)
    with closing(reach_registry(settings.database_url, tmp_path)) as registry:

        def begin(number: int) -> Trial:
            trial = Trial(f"{number:032x}", "digits", 1, now, now + 600, "local:test")
            registry.evidence.open_trial(trial)
            return trial

        def submit(trial: Trial, milliseconds: float) -> None:
            histogram = Histogram(np.array([milliseconds] * 100)).encoded()
            tally = Tally("", "POST /predict", "digits:1", 100, 0, histogram, now, now + 1)
            digest = f"sha256:{trial.trial_id * 2}"
            registry.evidence.submit(
                Submitted(digest, "digits", 1, "load.high", trial.trial_id, time.time(), trial.who, (tally,))
            )

        submit(begin(1), 4.0)
        with serving(tmp_path) as server:
            assert proven(server) == {key_of("digits:1"): 0.004}
            again = begin(2)
            server.post("/predict", json={"data": {"image": BLANK}}, headers={"X-Seatrial-Trial": again.trial_id})
            until(lambda: bool(registry.evidence.tallies(again.trial_id)), "the server counts in the trial")
            submit(again, 6.0)
            until(lambda: proven(server) == {key_of("digits:1"): 0.006}, "the newer proof is told")


def test_the_answer_varies(asked: TestClient) -> None:
    """A cache is told that the form depends on Accept."""
    for accept in ("text/plain", "application/json", PROMETHEUS):
        assert asked.get("/metrics", headers={"Accept": accept}).headers["vary"] == "Accept"
