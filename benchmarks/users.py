"""A hundred people who ask for digits for a minute, as Locust plays them; and the same of a server that does nothing.

The second tells how much of what is measured is the generator's own. Run it with `scripts/bench users`. It needs Linux
and two cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, server

from seatrial.trials.core.noop import noop_server

USERS = 100
PLAN = """
schema = "seatrial/plan/v1"
name = "users"
users = {users}
spawn_rate = 25
duration = "{seconds}s"
classes = ["MNISTAPIUser"]
"""


def total(url: str, key: str, seconds: int, folder: Path) -> dict[str, Any]:
    """All that they asked, as `seatrial trial load` measured it."""
    plan = folder.with_suffix(".toml")
    plan.write_text(PLAN.format(users=USERS, seconds=seconds), encoding="utf-8")
    command = ["taskset", "-c", str(GENERATOR_CORE), sys.executable, "-m", "seatrial", "trial", "load", str(plan)]
    command += ["--target", url, "--api-key", key, "--out", str(folder), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)["total"]
    return found


def main() -> int:
    """Measure, print, keep; 1 if an answer failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with noop_server() as url:
            floor = total(url, "", min(options.seconds, 20), folder / "floor")
        with server(folder / "data") as ours:
            run = total(ours.url, ours.key, options.seconds, folder / "run")
    found = {
        "users": USERS,
        "seconds": options.seconds,
        "requests": run["requests"],
        "failures": run["failures"],
        "p50_ms": run["measured"]["p50_ms"],
        "p99_ms": run["measured"]["p99_ms"],
        "floor_p99_ms": floor["measured"]["p99_ms"],
    }
    print("{users} users, {seconds} s: {requests} requests, {failures} failed".format(**found))
    print(
        "p50 {p50_ms:.2f}, p99 {p99_ms:.2f} ms; of a server that does nothing p99 {floor_p99_ms:.2f} ms".format(**found)
    )
    harness.write("users", found)
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
