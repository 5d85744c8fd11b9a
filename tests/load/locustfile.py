"""Seatrial's users for Locust itself: its web UI, its command line, many machines. See README.md beside this file.

locust -f tests/load/locustfile.py --host http://127.0.0.1:8000
"""

import os
from collections import defaultdict
from typing import Any

import numpy as np
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from seatrial.trials.load.swarm.users import (
    APIStressUser,
    GeoClimateUser,
    MNISTAPIUser,
    RealisticUser,
    StressTestUser,
)

__all__ = ["APIStressUser", "GeoClimateUser", "MNISTAPIUser", "RealisticUser", "StressTestUser"]

latencies: dict[str, list[float]] = defaultdict(list)
failures: dict[str, int] = defaultdict(int)


@events.init_command_line_parser.add_listener
def default_host(parser: LocustArgumentParser) -> None:
    """SEATRIAL_TARGET is where to send requests, unless --host says so."""
    parser.set_defaults(host=os.environ.get("SEATRIAL_TARGET"))


@events.request.add_listener
def count(name: str, response_time: float, exception: BaseException | None, **_: object) -> None:
    """Keep what Locust rounds: parts of milliseconds."""
    latencies[name].append(response_time)
    failures[name] += exception is not None


@events.report_to_master.add_listener
def send(data: dict[str, Any], **_: object) -> None:
    """A worker gives what it has kept to its master."""
    data["seatrial"] = {name: (list(values), failures[name]) for name, values in latencies.items()}
    latencies.clear()
    failures.clear()


@events.worker_report.add_listener
def receive(data: dict[str, Any], **_: object) -> None:
    """The master adds it up."""
    for name, (values, failed) in data.get("seatrial", {}).items():
        latencies[name].extend(values)
        failures[name] += failed


@events.quitting.add_listener
def summarise(environment: Environment, **_: object) -> None:
    """Print a line for each endpoint, and one for all."""
    if isinstance(environment.runner, WorkerRunner) or not latencies:
        return
    print(f"\n{'Seatrial: measured, in ms':<28}{'requests':>10}{'failed':>8}{'p50':>9}{'p95':>9}{'p99':>9}")
    rows = [(name, latencies[name], failures[name]) for name in sorted(latencies)]
    everything = [value for _, values, _ in rows for value in values]
    for name, values, failed in [*rows, ("all", everything, sum(failures.values()))]:
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        print(f"{name:<28}{len(values):>10}{failed:>8}{p50:>9.2f}{p95:>9.2f}{p99:>9.2f}")
