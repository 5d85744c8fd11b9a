"""The stack of `deploy/compose.yaml` in containers, from images that are built here of Debian's packages."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.fakes.wire import possible
from tests.live import free_port, until

ROOT = Path(__file__).resolve().parents[2]
FILES = ("-f", "deploy/compose.yaml", "-f", "deploy/compose.offline.yaml")
IMAGE = "localhost/seatrial:tested"
REPLICAS = ("api-1", "api-2")
START_S = 120.0
BUILD_S = 900.0
KEPT = "24h"
"""How long layers of builds before are kept for builds to come."""


def podman(*arguments: str, check: bool = True, errors: int = subprocess.PIPE) -> str:
    """What a command of the engine prints; with `errors=subprocess.STDOUT` on either of its streams."""
    command = [shutil.which("podman") or "podman", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False, timeout=BUILD_S)
    assert not check or done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def engine() -> str:
    """The engine's version, with the base images there; skips where there is none, or where none can run."""
    if sys.platform != "linux" or os.geteuid() or not (shutil.which("podman") or shutil.which("apt-get")):
        pytest.skip("needs podman, and root: scripts/containers installs it on Debian")
    if not possible():
        pytest.skip("containers cannot be run here: no network namespace can be made")
    made = subprocess.run(
        [str(ROOT / "scripts" / "containers"), "images"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_S,
    )
    assert made.returncode == 0, made.stderr
    version: str = json.loads(podman("version", "--format", "json"))["Client"]["Version"]
    return version


@dataclass
class Composed:
    """A stack in containers: where it answers, and how its containers are called."""

    project: str
    url: str
    prometheus: str
    variables: dict[str, str]

    def compose(self, *arguments: str) -> str:
        """What a command of podman-compose prints."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("podman-compose")), "-p", self.project, *FILES, *arguments],
            cwd=ROOT, env={**os.environ, **self.variables}, capture_output=True, text=True, check=False,
            timeout=BUILD_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.project}_{service}_1"

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of it."""
        found: list[dict[str, Any]] = json.loads(podman("inspect", self.container(service)))
        return found[0]

    def is_ready(self, service: str) -> bool:
        """Whether its health check holds."""
        command = [shutil.which("podman") or "podman", "healthcheck", "run", self.container(service)]
        return subprocess.run(command, capture_output=True, check=False, timeout=START_S).returncode == 0

    def token(self) -> str:
        """The operator's."""
        return podman("exec", self.container("api-1"), "cat", "/var/lib/seatrial/admin.token").strip()

    def answers(self) -> bool:
        """Whether a prediction is answered."""
        try:
            answer = httpx2.post(f"{self.url}/predict", json={"data": [39.7, -105, 2050, "A1B"]}, timeout=10)
        except httpx2.TransportError:
            return False
        return answer.status_code == 200

    def up(self) -> set[str]:
        """The targets of Prometheus that it could scrape last."""
        try:
            found = httpx2.get(f"{self.prometheus}/api/v1/query", params={"query": "up == 1"}, timeout=10).json()
        except httpx2.TransportError:
            return set()
        return {row["metric"]["instance"] for row in found["data"]["result"]}

    def remove(self) -> None:
        """Everything that was made, whatever state it is in."""
        for name in podman("ps", "--all", "--format", "{{.Names}}").split():
            if name.startswith(f"{self.project}_"):
                said = podman("logs", "--tail", "40", name, check=False, errors=subprocess.STDOUT)
                print(f"--- {name}\n{said}")  # noqa: T201 - for a test that fails
        podman("pod", "rm", "--force", f"pod_{self.project}", check=False)
        for volume in podman("volume", "ls", "--quiet").split():
            if volume.startswith(f"{self.project}_"):
                podman("volume", "rm", "--force", volume, check=False)
        podman("network", "rm", "--force", f"{self.project}_default", check=False)
        old = ("--filter", "label=org.opencontainers.image.title=Seatrial", "--filter", f"until={KEPT}")
        podman("image", "prune", "--force", *old, check=False)


@pytest.fixture(scope="module")
def composed(engine: str) -> Iterator[Composed]:
    """A stack that serves; nothing is left of it afterwards but images."""
    assert engine
    project, port, prometheus = f"st{secrets.token_hex(3)}", free_port(), free_port()
    variables = {
        "SEATRIAL_PORT": str(port),
        "PROMETHEUS_PORT": str(prometheus),
        "SEATRIAL_IMAGE": IMAGE,
        "SEATRIAL_ANONYMOUS_RATE_LIMIT": "",
        "SUBNET": f"10.{secrets.randbelow(100) + 100}.{secrets.randbelow(256)}.0/24",
    }
    stack = Composed(project, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{prometheus}", variables)
    try:
        stack.compose("up", "--build", "-d")
        until(stack.answers, "a prediction is answered", START_S)
        until(lambda: all(map(stack.is_ready, REPLICAS)), "both replicas are ready", START_S)
        yield stack
    finally:
        stack.remove()
