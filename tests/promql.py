"""What an expression of PromQL asks for, and what a server has, so that neither goes without the other."""

import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.inprocess import serving
from tests.inputs import DENVER

from seatrial.server.inference.pool import Snapshot
from seatrial.server.telemetry.metrics import Metrics

NAME = re.compile(r"\b((?:seatrial|process)_[a-z_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*[=!]~?\s*\"")
BY = re.compile(r"(?:by|on) \(([^)]*)\)")
OF_PROMETHEUS = {"instance", "job", "le"}
"""Labels that Prometheus itself adds, or a histogram has."""


def metrics_of_a_server(folder: Path) -> dict[str, set[str]]:
    """The labels of each metric, by its name, of a server to which everything has happened."""
    with serving(folder) as client:
        client.post("/predict", json={"data": DENVER})
        client.post("/predict/batch", json={"data": [DENVER]})
        client.get("/nowhere")
        texts = [client.get("/metrics").text]
    other = Metrics("0", lambda: 0.0, lambda *_: None)  # of what does not happen to a server that is well
    other.limits_lost("refused")
    other.departed("/predict")
    other.serving(Snapshot(), {"digits:2": 0.004})
    texts.append(other.exposition("*/*")[0].decode())
    found: dict[str, set[str]] = {}
    for family in (family for text in texts for family in text_string_to_metric_families(text)):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        if not family.samples:  # a gauge of queues that there are none of
            found.setdefault(family.name + ("_total" if family.type == "counter" else ""), set())
    return found


def asked(expressions: Iterable[str]) -> set[str]:
    """The names of metrics of ours in expressions."""
    return {name for expression in expressions for name, _ in NAME.findall(expression)}


def strange_labels(expression: str, metrics: dict[str, set[str]]) -> set[str]:
    """What an expression matches or groups by that the metrics in it do not have; those of Prometheus itself aside."""
    strange: set[str] = set()
    for name, matchers in NAME.findall(expression):
        wanted = set(MATCHER.findall(matchers))
        for labels in BY.findall(expression):
            wanted |= {label.strip() for label in labels.split(",")}
        if metrics[name]:
            strange |= wanted - metrics[name] - OF_PROMETHEUS
    return strange
