"""From one caller to 256, against the ceiling; and what a second worker brings where the generator leaves room for it.

Run it with `scripts/bench scaling`. It needs Linux, two cores and wrk.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.ceiling import measure
from benchmarks.ours import Ours, asking, server, write_bodies

CONNECTIONS = (1, 4, 16, 32, 64, 128, 256)


def workers(pairs: int, seconds: float) -> list[tuple[harness.Block, harness.Block]]:
    """Two workers and one, each with all cores, beside the generator."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bodies = write_bodies(folder / "bodies")
        with (
            server(folder / "two", None, WORKERS="2", CACHE_SIZE="0") as two,
            server(folder / "one", None, CACHE_SIZE="0") as one,
        ):

            def block(ours: Ours) -> harness.Block:
                return harness.run_wrk(ours.url, ours.pid, None, seconds, 32, asking(ours, bodies))

            return harness.interleave(lambda: block(two), lambda: block(one), pairs)


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3, help="for each number of connections")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a block")
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    for connections in options.connections:
        pairs = measure(options.pairs, options.seconds, connections)
        ratio = harness.interval([a.requests_per_second / b.requests_per_second for a, b in pairs])
        row = {
            "connections": connections,
            "ratio": ratio,
            "requests_per_second": statistics.median(a.requests_per_second for a, _ in pairs),
            "p99_ms": statistics.median(a.p99_ms for a, _ in pairs),
            "ceiling_p99_ms": statistics.median(b.p99_ms for _, b in pairs),
            "errors": sum(block.errors for pair in pairs for block in pair),
        }
        found.append(row)
        rate = f"{row['requests_per_second']:8.0f} requests/s, p99 {row['p99_ms']:.1f} ms"
        print(f"{connections:4} connections: {rate},", end=" ")
        print("{:.2f} ({:.2f} to {:.2f}) of the ceiling".format(*ratio))
    pairs = workers(max(3, options.pairs), options.seconds)
    gain = harness.interval([a.requests_per_second / b.requests_per_second for a, b in pairs])
    print("two workers and the generator on two cores: {:.2f} ({:.2f} to {:.2f}) times one".format(*gain))
    harness.write("scaling", {"connections": found, "two_workers": gain, "pairs": harness.as_rows(pairs)})
    return 1 if any(row["errors"] for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
