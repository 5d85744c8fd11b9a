"""Prometheus metrics: what is counted, and the two views of it.

With several workers the supervisor sets PROMETHEUS_MULTIPROC_DIR before they start; prometheus_client then keeps the
values in files there, and a scrape of any worker answers with the sums.
"""

import os
import resource
import sys
from collections import Counter as CountOf
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from seatrial.server.core.clock import Monotonic, timestamp
from seatrial.server.core.observe import Times
from seatrial.server.inference.pool import Snapshot
from seatrial.server.inference.runtime import Array
from seatrial.server.telemetry.workers import WorkersCollector

BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01,
    0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Seconds. Most answers take well under a millisecond, so that is where the buckets are."""
FINE_BUCKETS = (0.00001, 0.000025, 0.00005, *BUCKETS)
"""Seconds in one stage of an answer."""
RUN_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Examples in a run."""
STAGES = {
    "parse": "Time to read a prediction's body and choose its model",
    "queue": "Time before a prediction's first run began",
    "inference": "Time in the model's runtime",
    "encode": "Time to write a prediction's answer",
}
"""Each a histogram by model, in the order of `Times`."""

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
QUANTILES = (0.5, 0.95, 0.99)
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


FOLD_SECONDS = 0.1
"""How long a prediction may stay uncounted. A scrape counts first, so only other workers can see the lag."""

Later = Callable[[float, Callable[[], None]], object]
"""Calls a function after so many seconds; an event loop's `call_later`."""


class Watched(Protocol):
    """What can be seen of an engine; `inference.engine.Engine` in a running server."""

    limit: int
    """Requests that may wait for a model."""

    def depths(self) -> Mapping[str, int]:
        """Requests that wait, by model."""

    def resting(self) -> Mapping[str, bool]:
        """Whether answers are not looked for, by model."""


class Metrics:
    """Implements `core.observe.Observer` over prometheus_client; lives as long as the server.

    Args:
        version: of the server.
        clock: measures uptime.
        later: sets a timer.
    """

    def __init__(self, version: str, clock: Monotonic, later: Later) -> None:
        self._clock = clock
        self._later = later
        self._noted: list[tuple[str, str, int, Times]] = []
        self._runs: list[tuple[str, int]] = []
        self._looks: list[tuple[str, str]] = []
        self._waiting = False
        self._engine: Watched | None = None
        self._queued: set[str] = set()
        self._rested: set[str] = set()
        self._started = clock()
        self._models: dict[str, tuple[str, str]] = {}
        self._proven: dict[str, float] = {}
        disable_created_metrics()  # type: ignore[no-untyped-call]
        own = CollectorRegistry()
        self._requests = Counter(
            "seatrial_requests", "Answers by route, method and status.", ["route", "method", "status"], registry=own
        )
        self._seconds = Histogram(
            "seatrial_request_seconds", "Time to answer, by route.", ["route"], buckets=BUCKETS, registry=own
        )
        self._rows = Counter("seatrial_predicted_examples", "Examples predicted, by model.", ["model"], registry=own)
        self._predictions = Histogram(
            "seatrial_prediction_seconds",
            "Time of a prediction from its first byte to its answer, by model.",
            ["model"],
            buckets=BUCKETS,
            registry=own,
        )
        self._stages = [
            Histogram(f"seatrial_{stage}_seconds", f"{what}, by model.", ["model"], buckets=FINE_BUCKETS, registry=own)
            for stage, what in STAGES.items()
        ]
        self._run_examples = Histogram(
            "seatrial_run_examples", "Examples that were run at once, by model.", ["model"], buckets=RUN_BUCKETS,
            registry=own,
        )  # fmt: skip
        self._depth = _gauge("seatrial_queue_depth", "Requests that wait for a thread, by model.", own)
        self._limit = _gauge("seatrial_queue_limit", "Requests that may wait at most, by model.", own)
        self._lookups = Counter(
            "seatrial_cache_lookups", "Answers looked for in the cache.", ["model", "result"], registry=own
        )
        self._resting = _gauge(
            "seatrial_cache_resting", "Workers that look for no answers, by model: it did not pay.", own
        )
        self._departed = Counter("seatrial_departed", "Callers who hung up before the answer.", ["route"], registry=own)
        self._refusals = Counter("seatrial_refusals", "Requests refused, by reason.", ["reason"], registry=own)
        self._lost = Counter(
            "seatrial_limits_lost",
            "Calls that the shared store of limits could not be asked about, by what was done.",
            ["action"],
            registry=own,
        )
        self._registry = self._visible(own, version)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """See `Observer.answered`."""
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route).observe(seconds)

    def predicted(self, route: str, model_id: str, rows: int, times: Times) -> None:
        """See `Observer.predicted`. Only noted here: counting is done for many at once, within `FOLD_SECONDS`."""
        self._soon()
        self._noted.append((route, model_id, rows, times))

    def ran(self, model_id: str, examples: int) -> None:
        """See `Observer.ran`."""
        self._soon()
        self._runs.append((model_id, examples))

    def cached(self, model_id: str, found: str) -> None:
        """See `Observer.cached`."""
        self._soon()
        self._looks.append((model_id, found))

    def waiting(self, model_id: str) -> None:
        """See `Observer.waiting`."""
        self._queued.add(model_id)
        self._soon()

    def _soon(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._later(FOLD_SECONDS, self.fold)

    def departed(self, route: str) -> None:
        """See `Observer.departed`."""
        self._departed.labels(route).inc()

    def watch(self, engine: Watched) -> None:
        """Show the queues of this engine, and how its cache does."""
        self._engine = engine

    def fold(self) -> None:
        """Count what was noted since the last time."""
        self._waiting = False
        noted, self._noted = self._noted, []
        groups: dict[tuple[str, str], list[tuple[float, ...]]] = {}
        for route, model_id, rows, times in noted:
            groups.setdefault((route, model_id), []).append((rows, *times))
        for (route, model_id), group in groups.items():
            examples, *stages, total = np.array(group).T
            self._requests.labels(route, "POST", "200").inc(len(group))
            self._rows.labels(model_id).inc(int(examples.sum()))
            _observe_all(self._seconds.labels(route), BUCKETS, total)
            _observe_all(self._predictions.labels(model_id), BUCKETS, total)
            for histogram, seconds in zip(self._stages, stages, strict=True):
                _observe_all(histogram.labels(model_id), FINE_BUCKETS, seconds)
        self._fold_engine()

    def _fold_engine(self) -> None:
        """The same for runs, the cache and the queues."""
        runs, self._runs = self._runs, []
        sizes: dict[str, list[int]] = {}
        for model_id, examples in runs:
            sizes.setdefault(model_id, []).append(examples)
        for model_id, counts in sizes.items():
            _observe_all(self._run_examples.labels(model_id), RUN_BUCKETS, np.array(counts))
        looks, self._looks = self._looks, []
        for (model_id, found), count in CountOf(looks).items():
            self._lookups.labels(model_id, found).inc(count)
        if self._engine is not None:
            self._show(self._engine)

    def _show(self, engine: Watched) -> None:
        """How the queues are now, and which models rest; again soon, while that may change without a word."""
        depths, resting = engine.depths(), engine.resting()
        self._queued |= depths.keys()
        self._rested |= resting.keys()
        for model_id in self._queued:
            self._depth.labels(model_id).set(depths.get(model_id, 0))
            self._limit.labels(model_id).set(engine.limit if model_id in depths or model_id in self._models else 0)
        for model_id in self._rested:
            self._resting.labels(model_id).set(resting.get(model_id, False))
        if any(depths.values()) or any(resting.values()):
            self._soon()

    def refused(self, reason: str) -> None:
        """See `Observer.refused`."""
        self._refusals.labels(reason).inc()

    def limits_lost(self, action: str) -> None:
        """See `Observer.limits_lost`."""
        self._lost.labels(action).inc()

    def serving(self, snapshot: Snapshot, proven: Mapping[str, float] = MappingProxyType({})) -> None:
        """Show these models, with digest and stage, and the p95 in seconds that each was proven with."""
        production = {model.model_id: model for model in snapshot.production.values()}
        self._models = {
            model_id: (model.manifest.digest, "production" if model_id in production else "staging")
            for model_id, model in {**snapshot.by_id, **production}.items()
        }
        self._proven = dict(proven)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text for Prometheus and its content type: OpenMetrics where asked for, else the plain format."""
        self.fold()
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def as_json(self) -> dict[str, Any]:
        """The same numbers as one object, with latency quantiles (interpolated within buckets) by model."""
        self.fold()
        families = {family.name: family for family in self._registry.collect()}
        statuses = [(int(s.labels["status"]), s.value) for s in _samples(families, "seatrial_requests", "_total")]
        return {
            "timestamp": timestamp(),
            "uptime_seconds": round(self._clock() - self._started, 3),
            "total_models": len(self._models),
            "production_models": sum(stage == "production" for _, stage in self._models.values()),
            "requests_total": int(sum(count for _, count in statuses)),
            "errors_total": int(sum(count for status, count in statuses if status >= _CLIENT_ERROR)),
            "server_errors_total": int(sum(count for status, count in statuses if status >= _SERVER_ERROR)),
            "models": {model_id: _model_view(families, model_id) for model_id in sorted(self._models)},
            "metrics": {
                family.name: [
                    {"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in family.samples
                ]
                for family in families.values()
            },
        }

    def _visible(self, own: CollectorRegistry, version: str) -> CollectorRegistry:
        """What a scrape reads: our own metrics (of all workers), and facts about this process."""
        shared = os.environ.get(MULTIPROCESS)
        registry = CollectorRegistry() if shared else own
        if shared:
            registry.register(WorkersCollector(Path(shared)))
        registry.register(_Facts(self, version))
        if sys.platform == "linux":
            ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        return registry


def _gauge(name: str, text: str, registry: CollectorRegistry) -> Gauge:
    """By model; the sum over the workers that live."""
    return Gauge(name, text, ["model"], registry=registry, multiprocess_mode="livesum")


def _observe_all(histogram: Histogram, bounds: Sequence[float], values: Array) -> None:
    """`Histogram.observe` for many values: one addition a bucket in the place of one a value.

    prometheus_client has no public way to do this; the values it keeps are those that `observe` itself adds to.
    """
    places = np.searchsorted(bounds, values, side="left")
    for bucket, count in zip(histogram._buckets, np.bincount(places, minlength=len(bounds) + 1), strict=True):  # noqa: SLF001
        if count:
            bucket.inc(int(count))
    histogram._sum.inc(float(values.sum()))  # noqa: SLF001


class _Facts(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self, metrics: Metrics, version: str) -> None:
        self._metrics = metrics
        self._version = version

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield InfoMetricFamily("seatrial_build", "The server's version.", {"version": self._version})
        yield GaugeMetricFamily(
            "seatrial_uptime_seconds",
            "Seconds since this worker started.",
            metrics._clock() - metrics._started,  # noqa: SLF001 - its other half
        )
        yield GaugeMetricFamily(
            "seatrial_worker_pid", "Process id of the worker that answered this scrape.", os.getpid()
        )
        models = GaugeMetricFamily(
            "seatrial_model_info", "1 for each loaded model.", labels=["model", "digest", "stage"]
        )
        for model_id, (digest, stage) in sorted(metrics._models.items()):  # noqa: SLF001 - its other half
            models.add_metric([model_id, digest, stage], 1.0)
        yield models
        proven = GaugeMetricFamily(
            "seatrial_proven_seconds",
            "Time of a prediction in the newest proof of a load.",
            labels=["model", "quantile"],
        )
        for model_id, seconds in sorted(metrics._proven.items()):  # noqa: SLF001 - its other half
            proven.add_metric([model_id, "0.95"], seconds)
        yield proven
        if sys.platform != "linux":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            yield GaugeMetricFamily("process_resident_memory_bytes", "Peak resident memory in bytes.", peak)


def _samples(families: dict[str, Metric], name: str, suffix: str) -> list[Any]:
    """The samples of a family whose name ends so; none where the family does not exist."""
    family = families.get(name)
    return [] if family is None else [sample for sample in family.samples if sample.name == name + suffix]


def _model_view(families: dict[str, Metric], model_id: str) -> dict[str, Any]:
    """Counts and latency quantiles of one model."""
    name = "seatrial_prediction_seconds"
    of_model = [sample for sample in _samples(families, name, "_bucket") if sample.labels["model"] == model_id]
    buckets = sorted((float(sample.labels["le"]), sample.value) for sample in of_model)
    rows = _samples(families, "seatrial_predicted_examples", "_total")
    return {
        "predictions": int(buckets[-1][1]) if buckets else 0,
        "examples": int(sum(sample.value for sample in rows if sample.labels["model"] == model_id)),
        "latency_ms": {f"p{q * 100:.0f}": quantile_ms(buckets, q) for q in QUANTILES},
    }


def quantile_ms(buckets: list[tuple[float, float]], q: float) -> float | None:
    """A quantile from cumulative buckets `(upper bound in s, count)`, linear within its bucket; `None` without data."""
    total = buckets[-1][1] if buckets else 0
    if not total:
        return None
    below_bound, below_count = 0.0, 0.0
    for bound, count in buckets:
        if count >= q * total:
            if bound == float("inf"):
                return round(below_bound * 1000, 4)
            share = (q * total - below_count) / (count - below_count)
            return round((below_bound + share * (bound - below_bound)) * 1000, 4)
        below_bound, below_count = bound, count
    return None
