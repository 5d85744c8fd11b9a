"""Our server beside others, on one core each in turn: the same model, images, generator; one thread of ONNX Runtime.

Each peer is installed into an environment of its own below `benchmarks/.peers/`, and started as its makers document
it, with one worker. Ours has everything on; they have nothing on. Blocks alternate (ABBA). Run it with `scripts/bench
peers`. It needs Linux, two cores, wrk, and a package index; PyTriton also needs the system's own Python 3.11.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, SERVER_CORE, asking, images, server, write_bodies
from tests.live import free_port

HERE = harness.ROOT / "peers"
HOMES = harness.ROOT / ".peers"
CONNECTIONS = 32
RUNTIME = "onnxruntime>=1.20"
QUIET = {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "1"}
"""Nobody is told that they run."""


@dataclass(frozen=True)
class Peer:
    """Another server.

    `packages` are what pip installs; `command` starts it, with `{bin}` for its environment and `{port}`; `up` is a path
    that answers once it is there, `route` where it is asked. `oip`: it is asked in the Open Inference Protocol.
    """

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    version_of: str
    route: str = "/predict"
    up: str = "/"
    oip: bool = False
    python: str = sys.executable
    files: Mapping[str, Any] | None = None
    stoppable: bool = True
    """Whether it can stand still while ours is measured; one that takes that for a death of its parts idles on."""


def with_fastapi(way: str, mode: str) -> Peer:
    """A service as one writes it by hand, in the event loop or in threads."""
    packages = ("fastapi==0.139.0", "uvicorn[standard]==0.40.0")
    command = ("{bin}/python", f"{HERE}/with_fastapi.py", "{port}", mode)
    return Peer(f"FastAPI, {way}, pydantic", packages, command, "fastapi", up="/docs")


PEERS = {
    "fastapi": with_fastapi("async def", "async"),
    "fastapi-threads": with_fastapi("def", "threads"),
    "litserve": Peer(
        "LitServe",
        ("litserve==0.2.19",),
        ("{bin}/python", f"{HERE}/with_litserve.py", "{port}"),
        "litserve",
        up="/health",
    ),
    "mlserver": Peer(
        "MLServer, no parallel workers",
        ("mlserver==1.7.1",),
        ("{bin}/mlserver", "start", "{folder}"),
        "mlserver",
        route="/v2/models/digits/infer",
        up="/v2/health/ready",
        oip=True,
        files={
            "settings.json": {
                "http_port": 0,
                "grpc_port": 0,
                "metrics_port": 0,
                "host": "127.0.0.1",
                "parallel_workers": 0,
                "debug": False,
                "metrics_endpoint": None,
            },
            "model-settings.json": {"name": "digits", "implementation": "with_mlserver.Digits"},
        },
    ),
    "pytriton": Peer(
        "PyTriton: Triton's HTTP front end, Python backend, one core",
        ("nvidia-pytriton",),
        ("{bin}/python", f"{HERE}/with_pytriton.py", "{port}"),
        "nvidia-pytriton",
        route="/v2/models/digits/infer",
        up="/v2/health/ready",
        oip=True,
        python="/usr/bin/python3.11",
        stoppable=False,
    ),
    "bentoml": Peer(
        "BentoML",
        ("bentoml",),
        (
            "{bin}/bentoml",
            "serve",
            "with_bentoml:Digits",
            "--working-dir",
            str(HERE),
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
        ),
        "bentoml",
        up="/livez",
    ),
    "ray": Peer(
        "Ray Serve", ("ray[serve]",), ("{bin}/python", f"{HERE}/with_ray.py", "{port}"), "ray", up="/-/healthz"
    ),
}


def environment(name: str, peer: Peer) -> Path:
    """The peer's own environment, made where it is not there yet; its folder of programs."""
    home = HOMES / ("fastapi" if name == "fastapi-threads" else name)
    if not (home / "done").exists():
        print(f"installing {', '.join(peer.packages)}", file=sys.stderr)
        subprocess.run([peer.python, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
        subprocess.run([*pip, RUNTIME, "numpy", *peer.packages], check=True, stderr=subprocess.DEVNULL)
        (home / "done").touch()
    return home / "bin"


def version(programs: Path, package: str) -> str:
    """Of an installed package."""
    ask = f"import importlib.metadata as m; print(m.version('{package}'))"
    return subprocess.run([programs / "python", "-c", ask], check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def running(peer: Peer, programs: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """A peer that answers: its URL, and its first process."""
    port = free_port()
    folder.mkdir()
    for name, document in (peer.files or {}).items():
        free = {key: free_port() for key in ("grpc_port", "metrics_port") if key in document}
        told = {**document, **free, **({"http_port": port} if "http_port" in document else {})}
        (folder / name).write_text(json.dumps(told), encoding="utf-8")
    names = {"bin": str(programs), "port": str(port), "folder": str(folder)}
    command = [part.format(**names) for part in peer.command]
    env = {**QUIET, "PYTHONPATH": str(HERE), "PATH": f"{programs}:{os.environ['PATH']}"}
    url = f"http://127.0.0.1:{port}"
    with harness.pinned(command, SERVER_CORE, url + peer.up, env) as pid:
        yield url, pid


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """While ours has the core it has it alone: some of them never rest. A process and all that it has started stops."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(processes):
            process.resume()


def write_oip(path: Path) -> Path:
    """The same images in the Open Inference Protocol."""
    with path.open("w", encoding="ascii") as file:
        for image in images():
            tensor = {"name": "image", "shape": [1, 784], "datatype": "FP32", "data": image}
            file.write(json.dumps({"inputs": [tensor]}, separators=(",", ":")) + "\n")
    return path


def compare(name: str, folder: Path, pairs: int, seconds: float) -> dict[str, Any]:
    """Interleaved blocks of ours and one peer."""
    peer = PEERS[name]
    programs = environment(name, peer)
    bodies = write_bodies(folder / "bodies")
    theirs = write_oip(folder / "oip") if peer.oip else bodies
    with (
        server(folder / f"data-{name}", CACHE_SIZE="0") as ours,
        running(peer, programs, folder / name) as (url, pid),
    ):
        env = {"BODIES": str(theirs), "AUTHORIZATION": "", "ROUTE": peer.route}

        def us() -> harness.Block:
            with standing_still(pid) if peer.stoppable else nullcontext():
                return run_ours()

        def run_ours() -> harness.Block:
            return harness.run_wrk(ours.url, ours.pid, GENERATOR_CORE, seconds, CONNECTIONS, asking(ours, bodies))

        def them() -> harness.Block:
            return harness.run_wrk(url, pid, GENERATOR_CORE, seconds, CONNECTIONS, env)

        us()
        them()
        found = harness.interleave(us, them, pairs)
    return {
        "name": peer.name,
        "version": version(programs, peer.version_of),
        "requests_per_second": statistics.median(b.requests_per_second for _, b in found),
        "cpu_us": statistics.median(b.cpu_us for _, b in found),
        "p99_ms": statistics.median(b.p99_ms for _, b in found),
        "times": harness.interval([a.requests_per_second / b.requests_per_second for a, b in found]),
        "errors": sum(a.errors for a, _ in found),
        "their_errors": sum(b.errors for _, b in found),
        "pairs": harness.as_rows(found),
    }


def keep(found: Sequence[dict[str, Any]]) -> None:
    """Beside what is kept of others."""
    file = harness.RESULTS / "peers.json"
    before = json.loads(file.read_text(encoding="utf-8"))["peers"] if file.exists() else []
    names = {row["name"] for row in found}
    rows = [*(row for row in before if row["name"] not in names), *found]
    harness.write("peers", {"connections": CONNECTIONS, "peers": rows})


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="PEER", help=f"some of: {', '.join(PEERS)}; default: all")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a block")
    options = parser.parse_args()
    names: Sequence[str] = options.names or list(PEERS)
    found = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            row = compare(name, Path(folder), options.pairs, options.seconds)
        found.append(row)
        print(
            "{name} {version}: {requests_per_second:.0f} requests/s, {cpu_us:.0f} us, p99 {p99_ms:.1f} ms;".format(
                **row
            ),
            end=" ",
        )
        print("ours {:.1f} ({:.1f} to {:.1f}) times;".format(*row["times"]), f"{row['their_errors']} errors")
    keep(found)
    return 1 if any(row["errors"] for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
