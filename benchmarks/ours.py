"""Our own server, as the benchmarks start it, and what they ask it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks import harness
from tests.live import free_port, operator_token

from seatrial import zoo

SERVER_CORE, GENERATOR_CORE = 0, 1
IMAGES = 1000


@dataclass(frozen=True)
class Ours:
    """A server that runs: where, as which process, and with which key it is asked."""

    url: str
    pid: int
    key: str
    token: str


@contextmanager
def server(
    folder: Path,
    core: int | None = SERVER_CORE,
    command: tuple[str, ...] = ("-m", "seatrial", "serve"),
    **settings: str,
) -> Iterator[Ours]:
    """A server with everything on: a key that is checked and counted, limits, metrics, validation, deadlines.

    Args:
        folder: for its data.
        core: that it has; `None` is all of them.
        command: that Python runs.
        settings: of the environment; without SEATRIAL_ before them.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    known = {"DATA_DIR": str(folder), "LOG_LEVEL": "error", "GATE": "off", **settings}
    env = {f"SEATRIAL_{name}": value for name, value in known.items()}
    with harness.pinned([sys.executable, *command, "--port", str(port)], core, f"{url}/health/ready", env) as pid:
        token = operator_token(folder)
        yield Ours(url, pid, a_key(folder), token)


def a_key(data: Path) -> str:
    """A key that is checked, counted and never refused, as those of programs are."""
    command = [sys.executable, "-m", "seatrial", "keys", "create", "--name", f"bench-{os.getpid()}"]
    command += ["--scopes", "predict,read", "--rate-limit", "1000000/second", "--data-dir", str(data)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def asking(ours: Ours, bodies: Path, route: str = "/predict") -> Mapping[str, str]:
    """The environment of wrk."""
    return {"BODIES": str(bodies), "AUTHORIZATION": f"Bearer {ours.key}", "ROUTE": route}


def images(count: int = IMAGES) -> list[list[float]]:
    """Distinct digits: the golden images, each moved about and dimmed a little. All begin with two empty pixels."""
    golden = json.loads((zoo.ROOT / "digits" / "golden.json").read_bytes())
    known = [np.array(case["input"]["image"], np.float32).reshape(28, 28) for case in golden["cases"]]
    chance = np.random.default_rng(1)
    found = []
    for index in range(count):
        dim = np.float32(chance.uniform(0.8, 1.0))
        moved = np.roll(known[index % len(known)] * dim, chance.integers(-2, 3, 2), axis=(0, 1))
        moved[0, :2] = 0
        found.append([float(str(pixel)) for pixel in moved.ravel()])
    return found


def write_bodies(path: Path, count: int = IMAGES) -> Path:
    """Bodies for `/predict`, one a line."""
    _write(path, ({"data": {"image": image}} for image in images(count)))
    return path


def write_batches(path: Path, rows: int, count: int = 20) -> Path:
    """Bodies for `/predict/batch`, one a line."""
    known = images(rows * count)
    _write(
        path, ({"data": known[place : place + rows], "model_name": "digits"} for place in range(0, len(known), rows))
    )
    return path


def _write(path: Path, documents: Iterator[object]) -> None:
    with path.open("w", encoding="ascii") as file:
        file.writelines(json.dumps(document, separators=(",", ":")) + "\n" for document in documents)
