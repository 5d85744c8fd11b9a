"""The dashboard asks for metrics that the server has, by labels that they have, and leaves none of its own out."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.promql import asked, metrics_of_a_server, strange_labels

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "seatrial.json"
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


def expressions() -> list[str]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each metric."""
    return metrics_of_a_server(tmp_path_factory.mktemp("data"))


def test_every_metric_that_it_asks_for_is_there(metrics: dict[str, set[str]]) -> None:
    """Also the parts of histograms."""
    assert asked(expressions()) - metrics.keys() == set()


def test_every_metric_of_ours_is_on_it(metrics: dict[str, set[str]]) -> None:
    """A figure that nobody sees is of no use."""
    told = " ".join(expressions())
    ours = {name for name in metrics if name.startswith("seatrial_")}
    families = {
        next((name.removesuffix(part) for part in HISTOGRAM_PARTS if name.endswith(part)), name) for name in ours
    }

    assert {family for family in families if family not in told} == set()


def test_it_asks_by_labels_that_the_metrics_have(metrics: dict[str, set[str]]) -> None:
    """Those of Prometheus itself aside."""
    assert [each for each in expressions() if strange_labels(each, metrics)] == []


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
