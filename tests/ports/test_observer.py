"""What every observer hears (`core.observe.Observer`), and keeps apart."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.clock import ManualClock
from tests.fakes.observe import RecordingObserver
from tests.fakes.timer import ManualTimer

from seatrial.server.core.observe import Observer, Times
from seatrial.server.telemetry.metrics import Metrics

TIMES = Times(0.0001, 0.0, 0.001, 0.0001, 0.002)


class View(Protocol):
    """What an observer has heard, as numbers."""

    observer: Observer

    def answers(self) -> dict[tuple[str, str, str], float]:
        """By route, method and status; a prediction is an answer with 200."""

    def examples(self) -> dict[str, float]:
        """By model."""

    def refusals(self) -> dict[str, float]:
        """By reason."""

    def runs(self) -> dict[str, tuple[float, float]]:
        """By model: how many, and of how many examples together."""

    def looks(self) -> dict[tuple[str, str], float]:
        """By model and what was found."""

    def departures(self) -> dict[str, float]:
        """By route."""


@dataclass
class OfRecords:
    """The view of the recording fake."""

    observer: RecordingObserver = field(default_factory=RecordingObserver)

    def answers(self) -> dict[tuple[str, str, str], float]:
        """See `View`."""
        told = Counter((route, method, str(status)) for route, method, status, _ in self.observer.answers)
        predicted = Counter((route, "POST", "200") for route, *_ in self.observer.predictions)
        return dict(told + predicted)

    def examples(self) -> dict[str, float]:
        """See `View`."""
        total: Counter[str] = Counter()
        for _, model_id, rows, _ in self.observer.predictions:
            total[model_id] += rows
        return dict(total)

    def refusals(self) -> dict[str, float]:
        """See `View`."""
        return dict(Counter(self.observer.refusals))

    def runs(self) -> dict[str, tuple[float, float]]:
        """See `View`."""
        models = {model for model, _ in self.observer.runs}
        sizes = {model: [size for name, size in self.observer.runs if name == model] for model in models}
        return {model: (len(each), sum(each)) for model, each in sizes.items()}

    def looks(self) -> dict[tuple[str, str], float]:
        """See `View`."""
        return dict(Counter(self.observer.looks))

    def departures(self) -> dict[str, float]:
        """See `View`."""
        return dict(Counter(self.observer.departures))


@dataclass
class OfMetrics:
    """The view of the metrics, through what Prometheus reads."""

    observer: Metrics = field(default_factory=lambda: Metrics("1", ManualClock(), ManualTimer()))

    def _samples(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        text = self.observer.exposition("text/plain")[0].decode()
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    def answers(self) -> dict[tuple[str, str, str], float]:
        """See `View`."""
        counted = self._samples("seatrial_requests_total", "route", "method", "status")
        return {(route, method, status): value for (route, method, status), value in counted.items()}

    def examples(self) -> dict[str, float]:
        """See `View`."""
        return {model: value for (model,), value in self._samples("seatrial_predicted_examples_total", "model").items()}

    def refusals(self) -> dict[str, float]:
        """See `View`."""
        return {reason: value for (reason,), value in self._samples("seatrial_refusals_total", "reason").items()}

    def runs(self) -> dict[str, tuple[float, float]]:
        """See `View`."""
        counts = self._samples("seatrial_run_examples_count", "model")
        sums = self._samples("seatrial_run_examples_sum", "model")
        return {model: (counts[model,], value) for (model,), value in sums.items()}

    def looks(self) -> dict[tuple[str, str], float]:
        """See `View`."""
        counted = self._samples("seatrial_cache_lookups_total", "model", "result")
        return {(model, result): value for (model, result), value in counted.items()}

    def departures(self) -> dict[str, float]:
        """See `View`."""
        return {route: value for (route,), value in self._samples("seatrial_departed_total", "route").items()}


@pytest.fixture(params=[OfRecords, OfMetrics])
def view(request: pytest.FixtureRequest) -> View:
    """Each implementation."""
    made: View = request.param()
    return made


def test_a_new_observer_has_heard_nothing(view: View) -> None:
    """Nothing is counted before it happens."""
    assert (view.answers(), view.examples(), view.refusals()) == ({}, {}, {})


def test_answers_are_kept_apart_by_route_method_and_status(view: View) -> None:
    """The same answer twice counts two."""
    for answer in (("/models", "GET", 200), ("/models", "GET", 200), ("/models", "GET", 401), ("/", "HEAD", 200)):
        view.observer.answered(*answer, 0.01)

    assert view.answers() == {("/models", "GET", "200"): 2, ("/models", "GET", "401"): 1, ("/", "HEAD", "200"): 1}


def test_a_prediction_is_an_answer_with_examples(view: View) -> None:
    """It is told once, and counts for its route and for its model."""
    view.observer.predicted("/predict", "digits:1", 1, TIMES)
    view.observer.predicted("/predict/batch", "digits:1", 500, TIMES)
    view.observer.predicted("/predict", "geoclimate:1", 1, TIMES)

    assert view.answers() == {("/predict", "POST", "200"): 2, ("/predict/batch", "POST", "200"): 1}
    assert view.examples() == {"digits:1": 501, "geoclimate:1": 1}


def test_refusals_are_kept_apart_by_reason(view: View) -> None:
    """They do not count as answers: those are told besides."""
    for reason in ("invalid-input", "invalid-input", "unknown-host"):
        view.observer.refused(reason)

    assert view.refusals() == {"invalid-input": 2, "unknown-host": 1}
    assert view.answers() == {}


def test_runs_looks_and_departures_are_kept_apart(view: View) -> None:
    """None of them is an answer."""
    for model, examples in (("digits:1", 1), ("digits:1", 8), ("other:2", 128)):
        view.observer.ran(model, examples)
    for model, found in (("digits:1", "hit"), ("digits:1", "miss"), ("digits:1", "hit"), ("other:2", "joined")):
        view.observer.cached(model, found)
    view.observer.waiting("digits:1")
    for route in ("/predict", "/predict", "/predict/batch"):
        view.observer.departed(route)

    assert view.runs() == {"digits:1": (2, 9), "other:2": (1, 128)}
    assert view.looks() == {("digits:1", "hit"): 2, ("digits:1", "miss"): 1, ("other:2", "joined"): 1}
    assert view.departures() == {"/predict": 2, "/predict/batch": 1}
    assert (view.answers(), view.examples()) == ({}, {})


def test_calls_never_raise(view: View) -> None:
    """Odd values are no reason to fail a request that was answered."""
    view.observer.answered("unmatched", "BREW", 0, 0.0)
    view.observer.answered('/\n"{}', "GET", 599, 1e9)
    view.observer.predicted("/predict", "a:1", 0, Times(0.0, -1e-9, 0.0, 0.0, -1e-9))
    view.observer.refused("")

    assert sum(view.answers().values()) == 3
