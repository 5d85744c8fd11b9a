"""The image, and the stack of `deploy/compose.yaml`: `up`, one request, and what must hold of containers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.containers.conftest import IMAGE, REPLICAS, ROOT, START_S, Composed, podman
from tests.fakes.onnx_models import linear
from tests.live import PATIENCE, until

from seatrial.trials.core.models import bundled
from seatrial.trials.core.questions import Question, predictions

pytestmark = [pytest.mark.containers, pytest.mark.slow]
LINEAR: bytes = linear().SerializeToString()
SUITES = ("test_user_journeys", "test_full_stack", "test_resilience")
MOST_MB = 400
"""Of what the image adds to its base."""


def test_the_image_has_what_it_needs_and_no_more(composed: Composed) -> None:
    """It is small, runs as a user of its own, and has nothing to compile with; its root may be read-only."""
    assert composed.answers()
    size, base = (
        int(podman("image", "inspect", name, "--format", "{{.Size}}")) / 1e6
        for name in (IMAGE, "localhost/python-base:3.11")
    )
    tools = "for tool in gcc cc g++ make ld; do command -v $tool; done; true"
    found = podman("run", "--rm", "--read-only", "--entrypoint", "sh", IMAGE, "-c", tools)
    version = podman("run", "--rm", "--read-only", IMAGE, "--version")

    assert size - base < MOST_MB
    assert found == ""
    assert version.startswith("seatrial ")
    assert podman("image", "inspect", IMAGE, "--format", "{{.Config.User}}").strip() == "10001:10001"


@pytest.mark.parametrize("service", REPLICAS)
def test_a_replica_may_do_no_more_than_it_must(composed: Composed, service: str) -> None:
    """A root that is read-only, no capabilities, nobody's user; its health check holds; nothing is published."""
    found = composed.inspect(service)

    assert composed.is_ready(service)
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert not found["EffectiveCaps"]
    assert found["Config"]["User"] == "10001:10001"
    assert not any(found["HostConfig"]["PortBindings"].values())


def test_only_this_machine_can_reach_it(composed: Composed) -> None:
    """What is published is published on loopback: the balancer, and Prometheus."""
    published = {
        (service, place["HostIp"])
        for service in (*REPLICAS, "postgres", "redis", "balancer", "prometheus")
        for places in composed.inspect(service)["HostConfig"]["PortBindings"].values()
        for place in places or []
    }

    assert published == {("balancer", "127.0.0.1"), ("prometheus", "127.0.0.1")}


def test_both_replicas_answer_rightly(composed: Composed) -> None:
    """Known inputs of both models, by the balancer; each replica has answered some."""
    digits, geoclimate = predictions(bundled("digits")), predictions(bundled("geoclimate"))
    with httpx2.Client(base_url=composed.url, timeout=PATIENCE) as http:

        def ask(question: Question) -> None:
            answer = http.post("/predict", content=question.body, headers={"Content-Type": "application/json"})
            assert not question.check(answer.status_code, answer.content)

        def has_answered(service: str) -> bool:
            asked = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
            text = podman("exec", composed.container(service), "/opt/seatrial/bin/python", "-c", asked)
            return 'seatrial_predicted_examples_total{model="digits:1"}' in text

        def each_has_answered() -> bool:
            ask(digits[0])  # again: the balancer may not have found both before
            return all(map(has_answered, REPLICAS))

        for question in (*digits, *geoclimate):
            ask(question)
        until(each_has_answered, "each replica has answered a digit", START_S)


def test_prometheus_sees_all_of_it(composed: Composed) -> None:
    """Both replicas, and the balancer."""
    until(lambda: composed.up() == {"api-1:8000", "api-2:8000", "balancer:8404"}, "all targets are up", START_S)


@contextmanager
def asked_all_the_while(composed: Composed, folder: Path, seconds: int) -> Iterator[None]:
    """Fifty requests a second, whoever is slow; each has to be answered rightly."""
    command = [
        sys.executable, "-m", "seatrial", "trial", "open", "--rate", "50", "--duration", f"{seconds}s",
        "--target", composed.url, "--out", str(folder / "load"), "--json",
    ]  # fmt: skip
    load = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        until((folder / "load" / "samples.jsonl").exists, "the load has begun", PATIENCE)
        yield
        assert load.poll() is None, "the load had ended before"
    finally:
        output, _ = load.communicate(timeout=seconds + PATIENCE)
    assert '"failures": 0,' in output, output


def test_a_replica_that_is_killed_is_missed_by_nobody(composed: Composed, tmp_path: Path) -> None:
    """Predictions that were lost with it are asked elsewhere; it is started again by its policy, and serves."""
    before = composed.inspect("api-1")["State"]["Pid"]

    def serves_again() -> bool:
        return composed.inspect("api-1")["State"]["Pid"] not in {0, before} and composed.is_ready("api-1")

    with asked_all_the_while(composed, tmp_path, 15):
        os.kill(before, signal.SIGKILL)
        until(serves_again, "it serves again", PATIENCE)


def test_a_cable_that_is_cut_stops_no_prediction(composed: Composed) -> None:
    """PostgreSQL is out of the network: predictions go on, who writes is told to come again, and then may."""
    network, postgres = f"{composed.project}_default", composed.container("postgres")
    headers = {"Authorization": f"Bearer {composed.token()}", "Content-Type": "application/octet-stream"}
    with httpx2.Client(base_url=composed.url, timeout=PATIENCE) as http:

        def write() -> int:
            return http.post("/models", params={"name": "it"}, content=LINEAR, headers=headers).status_code

        assert write() == 201
        podman("network", "disconnect", network, postgres)
        try:
            assert write() == 503
            for question in predictions(bundled("digits"))[:50]:
                answer = http.post("/predict", content=question.body, headers={"Content-Type": "application/json"})
                assert not question.check(answer.status_code, answer.content)
        finally:
            podman("network", "connect", "--alias", "postgres", network, postgres)
        until(lambda: write() == 201, "it writes again", PATIENCE)


@pytest.mark.long
@pytest.mark.load
@pytest.mark.parametrize("suite", SUITES)
def test_the_suites_hold_in_containers(composed: Composed, suite: str) -> None:
    """What is asked of the stack of processes is asked of this one; what breaks parts is skipped."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--no-cov", "-q", "-p", "no:cacheprovider", f"tests/e2e/{suite}.py"],
        cwd=ROOT,
        env={**os.environ, "SEATRIAL_TARGET": composed.url, "SEATRIAL_API_KEY": composed.token()},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-8000:]
