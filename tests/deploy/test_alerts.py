"""The alerts: Prometheus takes them, they fire when they should, and they ask for what a server has."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tests.promql import asked, metrics_of_a_server, strange_labels

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool") or ""
RECORDED = re.compile(r"\bseatrial:[a-z0-9_:]+")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="needs promtool: apt-get install prometheus")


def promtool(*arguments: str, folder: Path = PROMETHEUS) -> str:
    """What it says; it has to be content."""
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(name: str) -> Any:  # noqa: ANN401 - a document
    return yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each metric."""
    return metrics_of_a_server(tmp_path_factory.mktemp("data"))


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    """All of them, and the configuration that names them."""
    assert f"SUCCESS: {len(rules())} rules found" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


@needs_promtool
def test_prometheus_takes_what_finds_the_pods(tmp_path: Path) -> None:
    """But for the discovery itself, which Debian's Prometheus is built without."""
    found = read("kubernetes.yml")
    (job,) = found["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    tmp_path.joinpath("prometheus.yml").write_text(yaml.safe_dump(found), encoding="utf-8")

    assert "SUCCESS" in promtool("check", "config", "--syntax-only", "prometheus.yml", folder=tmp_path)


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then() -> None:
    """By series that are written down in `alerts.test.yml`, and by what each alert says then."""
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")


def test_each_alert_is_seen_to_fire_and_to_be_silent() -> None:
    """An alert that nobody saw fire is a hope; one that always does is worse."""
    cases = [case for test in read("alerts.test.yml")["tests"] for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}

    assert fired == silent == alerts().keys()


def test_every_metric_that_an_alert_asks_for_is_there(metrics: dict[str, set[str]]) -> None:
    """With the labels that it asks by, and the rules that it builds on are recorded."""
    expressions = [rule["expr"] for rule in rules()]
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    assert asked(expressions) - metrics.keys() == set()
    assert [each for each in expressions if strange_labels(each, metrics)] == []
    assert {name for expression in expressions for name in RECORDED.findall(expression)} == recorded


def test_every_alert_says_what_is_wrong_and_how_urgent_it_is() -> None:
    """A page wakes somebody; a ticket waits for the morning. Each is told in the guide."""
    guide = (PROMETHEUS.parents[1] / "docs" / "how-to" / "watch-a-server.md").read_text(encoding="utf-8")
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert f"`{name}`" in guide, name


QUEUES = """
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{ series: 'seatrial_uptime_seconds{{namespace="seatrial", pod="a"}}', values: "60 120" }}
      - {{ series: 'seatrial_uptime_seconds{{namespace="seatrial", pod="b"}}', values: "60 120" }}
      - {{ series: 'seatrial_uptime_seconds{{namespace="other", pod="c"}}', values: "60 120" }}
      - {{ series: 'seatrial_queue_depth{{namespace="seatrial", pod="a", model="digits:1"}}', values: "5 5" }}
      - {{ series: 'seatrial_queue_depth{{namespace="seatrial", pod="a", model="geoclimate:1"}}', values: "7 7" }}
    promql_expr_test:
      - expr: {query}
        eval_time: 1m
        exp_samples:
          - {{ labels: '{{pod="a"}}', value: 12 }}
          - {{ labels: '{{pod="b"}}', value: 0 }}
"""


@needs_promtool
def test_every_pod_has_a_figure_for_the_autoscaler(tmp_path: Path) -> None:
    """The queues of all its models together; of a pod in which nobody has waited yet it is none."""
    (rule,) = read("adapter.yml")["rules"]
    query = rule["metricsQuery"]
    for name, value in {
        "<<.GroupBy>>": "pod",
        "<<.LabelMatchers>>": 'namespace="seatrial",pod=~"a|b"',
        "<<.Series>>": rule["seriesQuery"].partition("{")[0],
    }.items():
        query = query.replace(name, value)
    tmp_path.joinpath("queues.yml").write_text(QUEUES.format(query=query), encoding="utf-8")

    assert "SUCCESS" in promtool("test", "rules", "queues.yml", folder=tmp_path)


def test_the_adapter_asks_for_metrics_that_there_are(metrics: dict[str, set[str]]) -> None:
    """Under a name that is one of them, too."""
    (rule,) = read("adapter.yml")["rules"]

    assert asked([rule["seriesQuery"], rule["metricsQuery"]]) | {rule["name"]["as"]} <= metrics.keys()
