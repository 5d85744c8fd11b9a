"""How near the prediction lane comes to the ceiling (`bare.py`): the same model, body, core and generator.

Both servers share one core, the generator has another; blocks alternate (ABBA); 1 000 distinct images rotate. Ours
checks an API key and counts its calls. Run it with `scripts/bench`. It needs Linux, two cores and wrk.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, SERVER_CORE, asking, server, write_bodies
from tests.live import free_port


def measure(pairs: int, seconds: float, connections: int) -> list[tuple[harness.Block, harness.Block]]:
    """Interleaved blocks: ours and the bare one."""
    with tempfile.TemporaryDirectory() as folder:
        bodies = write_bodies(Path(folder) / "bodies")
        port = free_port()
        bare = f"http://127.0.0.1:{port}"
        ceiling = [sys.executable, str(harness.ROOT / "bare.py"), str(port)]
        with (
            server(Path(folder) / "data", CACHE_SIZE="0") as ours,
            harness.pinned(ceiling, SERVER_CORE, bare) as bare_pid,
        ):
            env = asking(ours, bodies)

            def block(url: str, pid: int, length: float = seconds) -> harness.Block:
                return harness.run_wrk(url, pid, GENERATOR_CORE, length, connections, env)

            block(ours.url, ours.pid, 1)
            block(bare, bare_pid, 1)
            return harness.interleave(lambda: block(ours.url, ours.pid), lambda: block(bare, bare_pid), pairs)


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
    print(f"{errors} errors; kept in {path}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
