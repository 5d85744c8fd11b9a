"""What every observer hears (`core.observe.Observer`), and keeps apart."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.clock import ManualClock
from tests.fakes.observe import RecordingObserver
from tests.fakes.timer import ManualTimer

from seatrial.server.core.observe import Observer
from seatrial.server.telemetry.metrics import Metrics


class View(Protocol):
    """What an observer has heard, as numbers."""

    observer: Observer

    def answers(self) -> dict[tuple[str, str, str], float]:
        """By route, method and status; a prediction is an answer with 200."""

    def examples(self) -> dict[str, float]:
        """By model."""

    def refusals(self) -> dict[str, float]:
        """By reason."""


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
        for _, model_id, rows, _, _ in self.observer.predictions:
            total[model_id] += rows
        return dict(total)

    def refusals(self) -> dict[str, float]:
        """See `View`."""
        return dict(Counter(self.observer.refusals))


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
    view.observer.predicted("/predict", "digits:1", 1, 0.001, 0.002)
    view.observer.predicted("/predict/batch", "digits:1", 500, 0.1, 0.2)
    view.observer.predicted("/predict", "geoclimate:1", 1, 0.001, 0.002)

    assert view.answers() == {("/predict", "POST", "200"): 2, ("/predict/batch", "POST", "200"): 1}
    assert view.examples() == {"digits:1": 501, "geoclimate:1": 1}


def test_refusals_are_kept_apart_by_reason(view: View) -> None:
    """They do not count as answers: those are told besides."""
    for reason in ("invalid-input", "invalid-input", "unknown-host"):
        view.observer.refused(reason)

    assert view.refusals() == {"invalid-input": 2, "unknown-host": 1}
    assert view.answers() == {}


def test_calls_never_raise(view: View) -> None:
    """Odd values are no reason to fail a request that was answered."""
    view.observer.answered("unmatched", "BREW", 0, 0.0)
    view.observer.answered('/\n"{}', "GET", 599, 1e9)
    view.observer.predicted("/predict", "a:1", 0, 0.0, -1e-9)
    view.observer.refused("")

    assert sum(view.answers().values()) == 3
