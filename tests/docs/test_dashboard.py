"""The dashboard asks for metrics that the server has, by labels that they have, and leaves none of its own out."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.inprocess import serving
from tests.inputs import DENVER

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "seatrial.json"
NAME = re.compile(r"\b((?:seatrial|process)_[a-z_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*[=!]~?\s*\"")
BY = re.compile(r"by \(([^)]*)\)")
OF_PROMETHEUS = {"instance", "job", "le"}
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


def expressions() -> list[str]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each metric of a server that has been asked all kinds of things."""
    with serving(tmp_path_factory.mktemp("data")) as client:
        client.post("/predict", json={"data": DENVER})
        client.post("/predict/batch", json={"data": [DENVER]})
        client.get("/nowhere")
        text = client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        if not family.samples:  # a counter that nothing was counted in
            suffix = "_total" if family.type == "counter" else ""
            found.setdefault(family.name + suffix, set())
    return found


def test_every_metric_that_it_asks_for_is_there(metrics: dict[str, set[str]]) -> None:
    """Also the parts of histograms."""
    asked = {name for expression in expressions() for name, _ in NAME.findall(expression)}

    assert asked - metrics.keys() == set()


def test_every_metric_of_ours_is_on_it(metrics: dict[str, set[str]]) -> None:
    """A figure that nobody sees is of no use."""
    asked = " ".join(expressions())
    ours = {name for name in metrics if name.startswith("seatrial_")}
    families = {
        next((name.removesuffix(part) for part in HISTOGRAM_PARTS if name.endswith(part)), name) for name in ours
    }

    assert {family for family in families if family not in asked} == set()


def test_it_asks_by_labels_that_the_metrics_have(metrics: dict[str, set[str]]) -> None:
    """Those of Prometheus itself aside."""
    for expression in expressions():
        for name, matchers in NAME.findall(expression):
            wanted = set(MATCHER.findall(matchers))
            for labels in BY.findall(expression):
                wanted |= {label.strip() for label in labels.split(",")}
            if metrics[name]:
                assert wanted - OF_PROMETHEUS <= metrics[name] | OF_PROMETHEUS, expression


def test_no_two_panels_are_on_the_same_place() -> None:
    """Each has an id and a place of its own."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= covered
    assert len({panel["id"] for panel in panels}) == len(panels)
