"""A real Prometheus, configured as it is deployed, reads a whole stack: dashboard and alerts get what they ask for."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml  # type: ignore[import-untyped]
from tests.e2e.helpers import Deployment, ask, everywhere, expect, known, new_name, promote, register
from tests.fakes.onnx_models import linear
from tests.live import PATIENCE, environment, free_port, until
from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PROGRAM = shutil.which("prometheus") or ""
CONFIGURATION = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "seatrial.json"
VARIABLES = {"$instance": ".*", "$__rate_interval": "10s"}
OF_BAD_DAYS = ('status=~"5.."', "seatrial_departed_total", "seatrial_proven_seconds", "seatrial_limits_lost_total")
"""What a dashboard has no figures of while nothing has failed, nobody has hung up, and no model was proven."""
Sample = dict[str, Any]


class Prometheus:
    """A process that scrapes a stack every second; its data is in a folder of the test."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        port = free_port()
        self._log = folder / "prometheus.log"
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)
        self._configure(folder, stack)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=series",
                ],
                cwd=folder,
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _configure(self, folder: Path, stack: Stack) -> None:
        """What is deployed, but for the places, and how often."""
        replicas = [replica.url.removeprefix("http://") for replica in stack.replicas]
        places = {"api-1:8000": replicas[0], "api-2:8000": replicas[1], "balancer:8404": stack.balancer.stats}
        found = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text(encoding="utf-8"))
        for job in found["scrape_configs"]:
            for targets in job["static_configs"]:
                targets["targets"] = [places[target] for target in targets["targets"]]
        found["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(found), encoding="utf-8")
        shutil.copy(CONFIGURATION / "alerts.yml", folder)

    def ready(self) -> bool:
        """Whether it answers questions."""
        assert self._process.poll() is None, self.log()
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx2.ConnectError:
            return False

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - a document
        """The data of an answer, which has to be a good one."""
        answer = self._http.get(path, params=parameters)
        document = answer.json()
        assert (answer.status_code, document["status"]) == (200, "success"), (parameters, document)
        assert not document.get("warnings"), document
        return document["data"]

    def query(self, expression: str) -> list[Sample]:
        """The samples of an expression, now."""
        found: list[Sample] = self.get("/api/v1/query", query=expression)["result"]
        return found

    def values(self, expression: str, label: str) -> dict[str, float]:
        """The same, by the value of a label."""
        return {sample["metric"].get(label, ""): float(sample["value"][1]) for sample in self.query(expression)}

    def log(self) -> str:
        """What it said."""
        return self._log.read_text(encoding="utf-8")

    def close(self) -> None:
        """End it."""
        self._http.close()
        self._process.terminate()
        self._process.wait(PATIENCE)


@contextmanager
def scraping(folder: Path, stack: Stack) -> Iterator[Prometheus]:
    """A Prometheus that reads a stack; it ends afterwards, and its log is shown where a test fails."""
    prometheus = Prometheus(folder, stack)
    try:
        until(prometheus.ready, "Prometheus is ready")
        yield prometheus
    finally:
        prometheus.close()
        print(prometheus.log())  # noqa: T201 - pytest shows it where a test fails


@pytest.fixture(scope="module")
def prometheus(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that reads the stack of this module."""
    if not PROGRAM:
        pytest.skip("needs Prometheus: apt-get install prometheus")
    with scraping(tmp_path_factory.mktemp("prometheus"), deployment.parts()) as started:
        yield started


def dashboard() -> list[str]:
    """Every query of the dashboard, as Grafana sends it."""
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]
    for name, value in VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found


@pytest.fixture(scope="module")
def queued(deployment: Deployment) -> str:
    """A version that is run in threads, wherever it is fast: requests for it wait in a queue."""
    with deployment.caller() as http:
        name = new_name()
        register(http, name, linear().SerializeToString(), manifest='[execution]\nmode = "threads"\n')
        promote(http, f"{name}:1", "staging")
        everywhere(http, f"{name}:1", {"x": [0.0] * 4})
    return f"{name}:1"


def use(deployment: Deployment) -> None:
    """Ask for predictions, one of them refused."""
    with deployment.caller("") as http:
        for name in ("digits", "geoclimate"):
            for question in known(name)[:3]:
                ask(http, question)
        assert http.post("/predict", json={"data": {}}).status_code == 422


def test_everything_is_read(deployment: Deployment, prometheus: Prometheus) -> None:
    """Both replicas, each by itself, and the balancer, which says of both that they are up."""
    until(lambda: list(prometheus.values("up", "instance").values()) == [1, 1, 1], "all three are up")
    serving = prometheus.values('haproxy_server_status{proxy="replicas",state="UP"}', "server")

    assert serving == {"api-1": 1, "api-2": 1}
    assert set(prometheus.values('up{job="seatrial"}', "instance")) == {
        replica.url.removeprefix("http://") for replica in deployment.parts().replicas
    }
    assert prometheus.values('count by (model) (seatrial_model_info{stage="production"})', "model") == {
        "digits:1": 2,
        "geoclimate:1": 2,
    }


def test_every_query_of_the_dashboard_is_answered(deployment: Deployment, prometheus: Prometheus, queued: str) -> None:
    """Without an error or a warning; with figures, but for what has not happened here."""
    wanted = [expression for expression in dashboard() if not any(part in expression for part in OF_BAD_DAYS)]

    def unanswered() -> list[str]:
        use(deployment)
        with deployment.caller("") as http:
            expect(http.post("/predict", json={"model_id": queued, "data": {"x": [1.0] * 4}}), 200)
        return [expression for expression in wanted if not prometheus.query(expression)]

    until(lambda: not unanswered(), "every query has figures")
    for expression in set(dashboard()) - set(wanted):
        assert prometheus.query(expression) == [], expression


def test_the_figures_are_those_of_what_was_asked(deployment: Deployment, prometheus: Prometheus) -> None:
    """The sum over both replicas, which the balancer shares them out to, is what callers have sent."""
    total = 'sum by (model) (seatrial_predicted_examples_total{model="digits:1"})'

    def counted() -> float:
        return prometheus.values(total, "model").get("digits:1", 0.0)

    def settled() -> bool:
        with deployment.caller("") as http:
            texts = [http.get(f"{replica.url}/metrics").text for replica in deployment.parts().replicas]
        told = sum(float(line.split()[-1]) for text in texts for line in text.splitlines() if line.startswith(
            'seatrial_predicted_examples_total{model="digits:1"}'))  # fmt: skip
        return told == counted()

    use(deployment)
    until(settled, "Prometheus has read the last prediction")
    before = counted()
    use(deployment)
    until(lambda: counted() == before + 3, "three more are counted")


def test_the_alerts_are_loaded_and_none_fires(prometheus: Prometheus) -> None:
    """Each rule is evaluated without an error."""
    written = yaml.safe_load((CONFIGURATION / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    names = [rule.get("alert") or rule["record"] for group in written for rule in group["rules"]]

    def loaded() -> list[dict[str, Any]]:
        return [rule for group in prometheus.get("/api/v1/rules")["groups"] for rule in group["rules"]]

    until(lambda: all(rule["health"] != "unknown" for rule in loaded()), "every rule was evaluated")
    assert sorted(rule["name"] for rule in loaded()) == sorted(names)
    assert [(rule["name"], rule.get("lastError")) for rule in loaded() if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in loaded() if rule.get("state", "inactive") != "inactive"] == []


def test_the_autoscaler_gets_a_figure_of_each_replica(prometheus: Prometheus) -> None:
    """By the query that its adapter sends, with the labels of this deployment in the place of those of pods."""
    (rule,) = yaml.safe_load((CONFIGURATION / "adapter.yml").read_text(encoding="utf-8"))["rules"]
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "instance").replace("<<.LabelMatchers>>", 'job="seatrial"')
    query = query.replace("<<.Series>>", rule["seriesQuery"].partition("{")[0])

    assert prometheus.values(query, "instance").keys() == prometheus.values('up{job="seatrial"}', "instance").keys()


def test_a_replica_that_is_gone_is_seen(deployment: Deployment, prometheus: Prometheus) -> None:
    """Within seconds, with its name; in a minute somebody is woken. It is over when another is in its place."""
    stack = deployment.parts()
    gone = stack.replicas[1].url.removeprefix("http://")
    stack.kill(1)
    alert = 'ALERTS{alertname="SeatrialReplicaDown"}'
    until(lambda: prometheus.values(alert, "instance") == {gone: 1}, "the alert has begun")
    assert prometheus.values('up{job="seatrial"} == 0', "instance") == {gone: 0}
    stack.start(1)
    stack.wait_until_whole()

    until(lambda: prometheus.query(alert) == [], "the alert is over")
