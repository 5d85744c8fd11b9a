"""Metrics: what is counted, the two views of it, and the sums of several workers."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_model
from tests.fakes.timer import ManualTimer

from seatrial.server.core.observe import Times
from seatrial.server.inference.pool import Snapshot
from seatrial.server.telemetry.metrics import BUCKETS, FOLD_SECONDS, MULTIPROCESS, STAGES, Metrics, quantile_ms

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
A, B = a_model(a_manifest(name="a")), a_model(a_manifest(name="b"), version=2)
SNAPSHOT = Snapshot(by_id={"a:1": A, "b:2": B}, production={"a": A})


def some_metrics(clock: ManualClock | None = None, timer: ManualTimer | None = None) -> Metrics:
    return Metrics("1.2.3", clock or ManualClock(), timer or ManualTimer())


def scraped(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.exposition("text/plain")[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def times(infer: float, total: float) -> Times:
    """Where the seconds of a prediction went, but for the smaller stages."""
    return Times(0.0, 0.0, infer, 0.0, total)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return scraped(metrics)[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize(
    ("buckets", "q", "milliseconds"),
    [
        ([], 0.5, None),
        ([(0.1, 0), (float("inf"), 0)], 0.5, None),
        ([(0.1, 10), (float("inf"), 10)], 0.5, 50),
        ([(0.1, 10), (float("inf"), 10)], 0.99, 99),
        ([(0.1, 10), (0.2, 10), (float("inf"), 10)], 1.0, 100),
        ([(0.1, 0), (0.2, 10), (float("inf"), 10)], 0.5, 150),
        ([(0.1, 5), (0.2, 10), (float("inf"), 10)], 0.5, 100),
        ([(0.1, 5), (0.2, 10), (float("inf"), 10)], 0.75, 150),
        ([(0.1, 2), (0.2, 2), (0.4, 4), (float("inf"), 4)], 0.75, 300),
        ([(0.1, 0), (float("inf"), 10)], 0.5, 100),
        ([(0.1, 9), (float("inf"), 10)], 0.95, 100),
        ([(0.001, 1), (float("inf"), 1)], 0.5, 0.5),
        ([(0.003, 3), (float("inf"), 3)], 1 / 3, 1),
    ],
)
def test_quantiles_are_linear_within_a_bucket(
    buckets: list[tuple[float, float]], q: float, milliseconds: float | None
) -> None:
    """Without data there is none; beyond the last bound, that bound is all that is known."""
    assert quantile_ms(buckets, q) == milliseconds


@given(
    counts=st.lists(st.integers(0, 50), min_size=len(BUCKETS) + 1, max_size=len(BUCKETS) + 1),
    qs=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)).map(sorted),
)
def test_quantiles_rise_with_their_rank(counts: list[int], qs: list[float]) -> None:
    """A higher quantile is never below a lower one, and none is beyond the bounds."""
    sums = [float(sum(counts[: index + 1])) for index in range(len(counts))]
    low, high = (quantile_ms(list(zip([*BUCKETS, float("inf")], sums, strict=True)), q) for q in qs)

    if not sums[-1]:
        assert low is high is None
    else:
        assert low is not None
        assert high is not None
        assert 0 <= low <= high <= BUCKETS[-1] * 1000


def test_answers_are_counted_by_route_method_and_status() -> None:
    """Their time goes to the histogram of the route."""
    metrics = some_metrics()
    metrics.answered("/models", "GET", 200, 0.25)
    metrics.answered("/models", "GET", 200, 0.5)
    metrics.answered("/models", "GET", 401, 0.125)
    metrics.refused("unauthenticated")

    assert value(metrics, "seatrial_requests_total", route="/models", method="GET", status="200") == 2
    assert value(metrics, "seatrial_requests_total", route="/models", method="GET", status="401") == 1
    assert value(metrics, "seatrial_request_seconds_count", route="/models") == 3
    assert value(metrics, "seatrial_request_seconds_sum", route="/models") == 0.875
    assert value(metrics, "seatrial_refusals_total", reason="unauthenticated") == 1


def test_predictions_are_counted_by_route_and_model() -> None:
    """A prediction is an answer with 200, and has examples and two times."""
    metrics = some_metrics()
    metrics.predicted("/predict", "a:1", 1, times(0.25, 0.5))
    metrics.predicted("/predict/batch", "a:1", 40, times(0.5, 0.75))
    metrics.predicted("/predict", "b:2", 1, times(0.125, 0.25))

    assert value(metrics, "seatrial_requests_total", route="/predict", method="POST", status="200") == 2
    assert value(metrics, "seatrial_request_seconds_sum", route="/predict") == 0.75
    assert value(metrics, "seatrial_predicted_examples_total", model="a:1") == 41
    assert value(metrics, "seatrial_prediction_seconds_count", model="a:1") == 2
    assert value(metrics, "seatrial_prediction_seconds_sum", model="a:1") == 1.25
    assert value(metrics, "seatrial_inference_seconds_sum", model="a:1") == 0.75
    assert value(metrics, "seatrial_inference_seconds_count", model="b:2") == 1


def test_each_stage_has_its_own_histogram() -> None:
    """The stages are not mixed up, and microseconds can be told apart."""
    metrics = some_metrics()
    metrics.predicted("/predict", "a:1", 1, Times(0.00002, 0.5, 0.00004, 0.25, 1.0))

    sums = [value(metrics, f"seatrial_{stage}_seconds_sum", model="a:1") for stage in STAGES]
    assert sums == [0.00002, 0.5, 0.00004, 0.25]
    assert value(metrics, "seatrial_parse_seconds_bucket", model="a:1", le="2.5e-05") == 1
    assert value(metrics, "seatrial_inference_seconds_bucket", model="a:1", le="2.5e-05") == 0
    assert value(metrics, "seatrial_inference_seconds_bucket", model="a:1", le="5e-05") == 1


class WatchedEngine:
    """Queues and a cache, as a test wants them."""

    limit = 512

    def __init__(self) -> None:
        self.waiting = {"a:1": 3}
        self.rests = {"a:1": True, "b:2": False}

    def depths(self) -> dict[str, int]:
        """See `Engine.depths`."""
        return self.waiting

    def resting(self) -> dict[str, bool]:
        """See `Engine.resting`."""
        return self.rests


def test_queues_are_shown_as_they_are_now_beside_their_limit() -> None:
    """And which models' answers are not looked for."""
    metrics, engine = some_metrics(), WatchedEngine()
    metrics.watch(engine)

    assert value(metrics, "seatrial_queue_depth", model="a:1") == 3
    assert value(metrics, "seatrial_queue_limit", model="a:1") == 512
    assert [value(metrics, "seatrial_cache_resting", model=model) for model in ("a:1", "b:2")] == [1, 0]
    engine.waiting = {"a:1": 0}
    assert value(metrics, "seatrial_queue_depth", model="a:1") == 0


def test_predictions_are_folded_by_a_timer() -> None:
    """One timer is set for all that come until it goes off, and the next one after it; nothing is counted twice."""
    timer = ManualTimer()
    metrics = some_metrics(timer=timer)
    for _ in range(3):
        metrics.predicted("/predict", "a:1", 1, times(0.25, 0.5))
    assert [seconds for seconds, _ in timer.due] == [FOLD_SECONDS]
    timer.ring()
    metrics.predicted("/predict", "a:1", 1, times(0.25, 0.5))
    assert len(timer.due) == 1
    assert value(metrics, "seatrial_predicted_examples_total", model="a:1") == 4
    timer.ring()

    assert value(metrics, "seatrial_predicted_examples_total", model="a:1") == 4


@given(seconds=st.lists(st.floats(0, 60) | st.sampled_from(BUCKETS), min_size=1, max_size=30))
def test_many_predictions_are_counted_as_one_after_the_other(seconds: list[float]) -> None:
    """The histogram of predictions, counted many at once, is that of answers, counted one by one."""
    metrics = some_metrics()
    for each in seconds:
        metrics.predicted("/predict", "a:1", 1, Times(each, each, each, each, each))
        metrics.answered("/models", "GET", 200, each)
    samples = scraped(metrics)

    def histogram(label: tuple[str, str], name: str) -> list[float]:
        bounds = [*map(str, BUCKETS), "+Inf"]
        return [samples[f"{name}_bucket", tuple(sorted([("le", bound), label]))] for bound in bounds]

    expected = histogram(("route", "/models"), "seatrial_request_seconds")
    assert expected[-1] == len(seconds)
    assert histogram(("model", "a:1"), "seatrial_prediction_seconds") == expected
    for stage in STAGES:
        assert histogram(("model", "a:1"), f"seatrial_{stage}_seconds") == expected
    assert histogram(("route", "/predict"), "seatrial_request_seconds") == expected


def test_the_models_being_served_are_shown() -> None:
    """Each loaded model has digest and stage; a new snapshot replaces the old."""
    metrics = some_metrics()
    metrics.serving(SNAPSHOT)

    assert value(metrics, "seatrial_model_info", model="a:1", digest=A.manifest.digest, stage="production") == 1
    assert value(metrics, "seatrial_model_info", model="b:2", digest=B.manifest.digest, stage="staging") == 1
    metrics.serving(Snapshot())
    assert not [name for name, _ in scraped(metrics) if name == "seatrial_model_info"]


def test_what_a_model_was_proven_with_is_shown_beside_it() -> None:
    """In seconds, by its quantile; of a model that was not proven there is nothing, and the last call counts."""
    metrics = some_metrics()
    metrics.serving(SNAPSHOT, {"a:1": 0.0042})

    assert value(metrics, "seatrial_proven_seconds", model="a:1", quantile="0.95") == 0.0042
    assert len([name for name, _ in scraped(metrics) if name == "seatrial_proven_seconds"]) == 1
    metrics.serving(SNAPSHOT)
    assert not [name for name, _ in scraped(metrics) if name == "seatrial_proven_seconds"]


def test_any_worker_tells_what_was_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not summed over workers: each knows it by itself."""
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    one, other = some_metrics(), some_metrics()
    for metrics in (one, other):
        metrics.serving(SNAPSHOT, {"a:1": 0.0042})

    assert [value(each, "seatrial_proven_seconds", model="a:1", quantile="0.95") for each in (one, other)] == [
        0.0042
    ] * 2


def test_facts_about_the_process() -> None:
    """Version, uptime on the given clock, and resident memory are in every scrape."""
    clock = ManualClock()
    metrics = some_metrics(clock)
    clock.advance(7.5)

    assert value(metrics, "seatrial_build_info", version="1.2.3") == 1
    assert value(metrics, "seatrial_uptime_seconds") == 7.5
    assert value(metrics, "process_resident_memory_bytes") > 1_000_000


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/plain", "text/plain"),
        ("*/*", "text/plain"),
        ("", "text/plain"),
        (OPENMETRICS, "application/openmetrics-text"),
    ],
)
def test_the_format_that_is_asked_for(accept: str, content_type: str) -> None:
    """OpenMetrics where asked for, else the plain text of Prometheus; both can be parsed."""
    metrics = some_metrics()
    metrics.answered("/", "GET", 200, 0.1)
    body, given_type = metrics.exposition(accept)
    parse = parse_openmetrics if "openmetrics" in given_type else parse_text

    assert given_type.startswith(content_type)
    assert "seatrial_requests" in {family.name for family in parse(body.decode())}
    assert b"_created" not in body


def test_the_json_view_of_a_fresh_server() -> None:
    """There are models without predictions, and no quantiles."""
    clock = ManualClock()
    metrics = some_metrics(clock)
    metrics.serving(SNAPSHOT)
    clock.advance(1.23456)
    view = metrics.as_json()
    nothing = {"predictions": 0, "examples": 0, "latency_ms": {"p50": None, "p95": None, "p99": None}}

    assert re.fullmatch(r"\d{4}-.*Z", view.pop("timestamp"))
    del view["metrics"]
    assert view == {
        "uptime_seconds": 1.235,
        "total_models": 2,
        "production_models": 1,
        "requests_total": 0,
        "errors_total": 0,
        "server_errors_total": 0,
        "models": {"a:1": nothing, "b:2": nothing},
    }


def test_the_json_view_counts_answers_errors_and_models() -> None:
    """Errors are answers from 400 on, server errors from 500; quantiles are by model."""
    metrics = some_metrics()
    metrics.serving(SNAPSHOT)
    for status in (200, 200, 307, 400, 404, 499, 500, 503):
        metrics.answered("/models", "GET", status, 0.01)
    for _ in range(10):
        metrics.predicted("/predict/batch", "b:2", 3, times(0.05, 0.08))
    view = metrics.as_json()

    assert (view["requests_total"], view["errors_total"], view["server_errors_total"]) == (18, 5, 2)
    assert view["models"]["b:2"] == {
        "predictions": 10,
        "examples": 30,
        "latency_ms": {"p50": 75.0, "p95": 97.5, "p99": 99.5},
    }
    assert view["models"]["a:1"]["predictions"] == 0


def test_the_json_view_has_the_numbers_of_the_text() -> None:
    """Every sample of one is in the other, except for those that move while they are read."""
    metrics = some_metrics()
    metrics.serving(SNAPSHOT)
    metrics.answered("/", "GET", 404, 0.3)
    metrics.predicted("/predict", "a:1", 1, times(0.1, 0.2))
    metrics.refused("unknown-route")
    listed: list[dict[str, Any]] = [sample for family in metrics.as_json()["metrics"].values() for sample in family]
    view = {(sample["name"], tuple(sorted(sample["labels"].items()))): sample["value"] for sample in listed}
    text = scraped(metrics)

    assert view.keys() == text.keys()
    steady = {key for key in view if key[0].startswith("seatrial_")}
    assert {key: view[key] for key in steady} == {key: text[key] for key in steady}
    assert len(steady) > 100


WORKER = """
import sys
from seatrial.server.core.observe import Times
from seatrial.server.telemetry.metrics import Metrics
metrics = Metrics("1", lambda: 0.0, lambda seconds, call: None)
for _ in range(int(sys.argv[1])):
    metrics.answered("/models", "GET", 200, 0.1)
    metrics.predicted("/predict", "a:1", 2, Times(0, 0, 0.1, 0, 0.1))
view = metrics.as_json()
print(view["requests_total"], view["metrics"]["seatrial_predicted_examples"][0]["value"])
assert "process_resident_memory_bytes" in view["metrics"]
"""


def test_a_scrape_of_any_worker_has_the_sums(tmp_path: Path) -> None:
    """With the supervisor's folder in the environment, workers that come and go add up, also while one more begins."""
    tmp_path.joinpath("counter_1.db").touch()
    environment = os.environ | {MULTIPROCESS: str(tmp_path)}
    seen = [
        subprocess.run(
            [sys.executable, "-c", WORKER, str(count)], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for count in (1, 2, 4)
    ]

    assert seen == [["2", "2.0"], ["6", "6.0"], ["14", "14.0"]]
