"""One replica behind the balancer and two: requests a second, in interleaved blocks.

The balancer of one block sends everything to one replica, that of the other to both; PostgreSQL and Redis stand behind
them, and each request's key is counted in Redis. All of it shares the machine, generator included: what two replicas
gain here is what the machine has left. Run it with `scripts/bench replicas`. It needs Linux, wrk and HAProxy.
"""

import argparse
import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from benchmarks import harness
from benchmarks.ours import write_bodies
from tests.stack import Balancer, running_stack

CONNECTIONS = 32


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a block")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, running_stack(Path(temporary)) as stack:
        key = stack.make_key()
        bodies = write_bodies(Path(temporary) / "bodies")
        env = {"BODIES": str(bodies), "AUTHORIZATION": f"Bearer {key}", "ROUTE": "/predict", "CACHED": "any"}
        alone = Balancer(Path(temporary), (stack.replicas[0].port,) * 2, log_name="haproxy-alone.log")
        with closing(alone):
            alone.wait_until_up()

            def block(balancer: Balancer) -> harness.Block:
                return harness.run_wrk(balancer.url, os.getpid(), None, options.seconds, CONNECTIONS, env)

            pairs = harness.interleave(lambda: block(stack.balancer), lambda: block(alone), options.pairs)
    ratio = harness.interval([two.requests_per_second / one.requests_per_second for two, one in pairs])
    errors = sum(found.errors for pair in pairs for found in pair)
    two, one = (sorted(pair[side].requests_per_second for pair in pairs)[len(pairs) // 2] for side in (0, 1))
    print(f"one replica {one:.0f} requests/s, two {two:.0f}: {ratio[0]:.2f} times ({ratio[1]:.2f} to {ratio[2]:.2f})")
    print(f"{errors} errors, {len(pairs)} pairs, {os.cpu_count()} cores for all of it")
    harness.write("replicas", {"ratio": ratio, "one": one, "two": two, "cores": os.cpu_count(), "errors": errors})
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
