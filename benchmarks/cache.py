"""What the cache costs and what it saves: ours with and without it, on one core, in interleaved blocks.

Unique: no body is sent twice, so nothing can be found. Repeated: a hundred bodies rotate, so all but the first are.
Mixed: every other body is new. Half of what that costs is what hits cost, the rest is what misses do: looking, running
and keeping.
Run it with `scripts/bench cache`. It needs Linux, two cores and wrk.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, Ours, asking, server, write_bodies

from seatrial.server.inference.answers import REST_SECONDS

CONNECTIONS = 32
REPEATED = 100


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a block")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        many, few = write_bodies(folder / "many"), write_bodies(folder / "few", REPEATED)
        with server(folder / "on") as on, server(folder / "off", CACHE_SIZE="0") as off:
            seed = iter(range(1, 1_000_000))

            def unique(ours: Ours) -> harness.Block:
                env = {**asking(ours, many), "UNIQUE": str(next(seed))}
                return harness.run_wrk(ours.url, ours.pid, GENERATOR_CORE, options.seconds, CONNECTIONS, env)

            def repeated(ours: Ours, cached: str, seconds: float = options.seconds) -> harness.Block:
                env = {**asking(ours, few), "CACHED": cached}
                return harness.run_wrk(ours.url, ours.pid, GENERATOR_CORE, seconds, CONNECTIONS, env)

            def mixed(ours: Ours) -> harness.Block:
                env = {**asking(ours, few), "UNIQUE": str(next(seed)), "UNIQUE_EVERY": "2", "CACHED": "0.51"}
                return harness.run_wrk(ours.url, ours.pid, GENERATOR_CORE, options.seconds, CONNECTIONS, env)

            print("unique: with the cache / without", file=sys.stderr)
            cost = harness.interleave(lambda: unique(on), lambda: unique(off), options.pairs)
            print("repeated: with the cache / without", file=sys.stderr)
            repeated(on, "any", REST_SECONDS + 2)  # until it looks again, and finds
            gain = harness.interleave(lambda: repeated(on, "1"), lambda: repeated(off, "0"), options.pairs)
            print("repeated / mixed, both with the cache", file=sys.stderr)
            hits = harness.interleave(lambda: repeated(on, "1"), lambda: mixed(on), options.pairs)
    errors = sum(block.errors for pair in (*cost, *gain, *hits) for block in pair)
    found = {
        "unique_rate": harness.interval([a.requests_per_second / b.requests_per_second for a, b in cost]),
        "unique_cpu": harness.interval([a.cpu_us / b.cpu_us for a, b in cost]),
        "hit_cpu": harness.interval([a.cpu_us / (2 * b.cpu_us - a.cpu_us) for a, b in hits]),
        "hit_cpu_without": harness.interval([a.cpu_us / b.cpu_us for a, b in gain]),
        "hit_rate": harness.interval([a.requests_per_second / b.requests_per_second for a, b in gain]),
    }
    told = {name: "{:.3f} ({:.3f} to {:.3f})".format(*found[name]) for name in found}
    print(
        f"unique traffic, with the cache / without: {told['unique_rate']} of the requests/s, {told['unique_cpu']} CPU"
    )
    print(
        f"a hit / a miss: {told['hit_cpu']} of the CPU; / a prediction without a cache: {told['hit_cpu_without']}, "
        f"{told['hit_rate']} times the requests/s; {len(cost)} pairs each"
    )
    path = harness.write(
        "cache",
        {
            **found,
            "errors": errors,
            "unique": harness.as_rows(cost),
            "repeated": harness.as_rows(gain),
            "mixed": harness.as_rows(hits),
        },
    )
    print(f"{errors} errors; kept in {path}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
