"""How many requests a second each load generator sends from one core, to a no-op route on the other; turn by turn.

Locust: users without a pause, as `seatrial trial load` has them. Open loop: the client of `seatrial trial open`, at its
limit and with `--rate`; what was sent in time is what counts. Run it with `scripts/bench generators`. It needs Linux
and two cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, SERVER_CORE

from seatrial.trials.core.client import measure_ceiling
from seatrial.trials.core.models import bundled
from seatrial.trials.core.noop import noop_server
from seatrial.trials.core.questions import Question, expect_ok, predictions
from seatrial.trials.core.target import Target, Weighted
from seatrial.trials.load.openloop.engine import OpenLoad, run_open

USERS = 32
LOCUSTFILE = harness.ROOT / "busy_users.py"


def locust(url: str, seconds: int) -> float:
    """Requests a second of one Locust process."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--json", "--host", url]
    flags = ["-u", str(USERS), "-r", str(USERS), "-t", f"{seconds}s", "--loglevel", "ERROR"]
    done = subprocess.run([*command, *flags], check=True, capture_output=True, text=True)
    (row,) = json.loads(done.stdout)
    return float(row["num_requests"] / (row["last_request_timestamp"] - row["start_time"]))


def open_loop(url: str, rate: float, seconds: float) -> tuple[float, float]:
    """Requests a second that were sent in time, and the share of a core that it took."""
    question = predictions(bundled("digits"))[0]
    asked = Question("POST /", "POST", "/", expect_ok, question.body, "", question.headers)
    with tempfile.TemporaryDirectory() as folder:
        target = Target(url, requests=(Weighted(asked, 1),))
        run = run_open(OpenLoad(rate, seconds), target, Path(folder), lambda _: None)
    return (run.generator.in_time or 0) / seconds, run.generator.cpu or 0.0


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="length of a turn")
    parser.add_argument("--rate", type=float, default=5000, help="of the open loop")
    options = parser.parse_args()
    rows = []
    os.sched_setaffinity(0, {SERVER_CORE})  # which the server inherits
    with noop_server() as url:
        os.sched_setaffinity(0, {GENERATOR_CORE})
        for _ in range(options.turns):
            sent, cpu = open_loop(url, options.rate, options.seconds)
            limit = asyncio.run(measure_ceiling(predictions(bundled("digits"))[0], url))
            rows.append({"locust": locust(url, options.seconds), "open": sent, "open_cpu": cpu, "client": limit})
    found = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    busy = f"{found['open_cpu']:.0%} of a core"
    print(f"Locust                     {found['locust']:8.0f} requests/s")
    print(f"open loop, at its limit    {found['client']:8.0f} requests/s")
    print(f"open loop, --rate {options.rate:<8g} {found['open']:8.0f} requests/s in time, {busy}")
    path = harness.write("generators", {"turns": rows})
    print(f"medians of {options.turns} turns; kept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
