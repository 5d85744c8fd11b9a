"""How near the prediction lane comes to the ceiling (`bare.py`): the same model, body, core and generator.

Both servers share one core, the generator has another; blocks alternate (ABBA); 1 000 distinct images rotate. Ours
checks an API key and counts its calls. Run it with `scripts/bench`. It needs Linux, two cores and wrk.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from benchmarks import harness

from seatrial import zoo

SERVER_CORE, GENERATOR_CORE = 0, 1
IMAGES = 1000


def write_bodies(path: Path) -> None:
    """1 000 distinct digits: the golden images, each moved about and dimmed a little."""
    golden = json.loads((zoo.ROOT / "digits" / "golden.json").read_bytes())
    images = [np.array(case["input"]["image"], np.float32).reshape(28, 28) for case in golden["cases"]]
    chance = np.random.default_rng(1)
    with path.open("w", encoding="ascii") as file:
        for index in range(IMAGES):
            dim = np.float32(chance.uniform(0.8, 1.0))
            moved = np.roll(images[index % len(images)] * dim, chance.integers(-2, 3, 2), axis=(0, 1))
            pixels = [float(str(pixel)) for pixel in moved.ravel()]
            file.write(json.dumps({"data": {"image": pixels}}, separators=(",", ":")) + "\n")


def a_key(data: Path) -> str:
    """A key that is checked, counted and never refused, as those of programs are."""
    command = [sys.executable, "-m", "seatrial", "keys", "create", "--name", "bench", "--scopes", "predict"]
    command += ["--rate-limit", "1000000/second", "--data-dir", str(data)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def measure(pairs: int, seconds: float, connections: int) -> list[tuple[harness.Block, harness.Block]]:
    """Interleaved blocks: ours and the bare one."""
    with tempfile.TemporaryDirectory() as folder:
        bodies, data = Path(folder) / "bodies", Path(folder) / "data"
        write_bodies(bodies)
        ports = (harness.free_port(), harness.free_port())
        ours, bare = (f"http://127.0.0.1:{port}" for port in ports)
        serve = [sys.executable, "-m", "seatrial", "serve", "--port", str(ports[0]), "--data-dir", str(data)]
        ceiling = [sys.executable, str(harness.ROOT / "bare.py"), str(ports[1])]
        with (
            harness.pinned(serve, SERVER_CORE, f"{ours}/health/ready") as our_pid,
            harness.pinned(ceiling, SERVER_CORE, ours) as bare_pid,
        ):
            env = {"BODIES": str(bodies), "AUTHORIZATION": f"Bearer {a_key(data)}", "ROUTE": "/predict"}

            def block(url: str, pid: int, length: float = seconds) -> harness.Block:
                return harness.run_wrk(url, pid, GENERATOR_CORE, length, connections, env)

            block(ours, our_pid, 1)
            block(bare, bare_pid, 1)
            return harness.interleave(lambda: block(ours, our_pid), lambda: block(bare, bare_pid), pairs)


def main() -> int:
    """Measure, print, keep; 1 if a block had errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a block")
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    pairs = measure(options.pairs, options.seconds, options.connections)
    ratio = harness.interval([a.requests_per_second / b.requests_per_second for a, b in pairs])
    cost = harness.interval([a.cpu_us / b.cpu_us for a, b in pairs])
    print(f"{'':24}{'Seatrial':>12}{'ceiling':>12}")
    for label, field in (("requests/s", "requests_per_second"), ("CPU us/request", "cpu_us"), ("p99 ms", "p99_ms")):
        ours, bare = (
            statistics.median(getattr(block, field) for block in blocks) for blocks in zip(*pairs, strict=True)
        )
        print(f"{label:24}{ours:12.1f}{bare:12.1f}")
    print(f"of the ceiling: {ratio[0]:.3f} ({ratio[1]:.3f} to {ratio[2]:.3f}), {len(pairs)} interleaved pairs")
    print(f"CPU of the ceiling: {cost[0]:.3f} ({cost[1]:.3f} to {cost[2]:.3f})")
    errors = sum(block.errors for pair in pairs for block in pair)
    path = harness.write(
        "ceiling", {"ratio": ratio, "cpu_ratio": cost, "errors": errors, "pairs": harness.as_rows(pairs)}
    )
    print(f"{errors} errors; kept in {path.relative_to(harness.ROOT.parent)}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
