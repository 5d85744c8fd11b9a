"""Ten minutes at half of what it can: what becomes of the memory and the descriptors of the server.

Run it with `scripts/bench soak`. It needs Linux, two cores and wrk.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, asking, server, write_bodies

from seatrial.trials.core.client import Clock, client, run
from seatrial.trials.core.models import bundled
from seatrial.trials.core.questions import predictions
from seatrial.trials.core.target import Target

CALLERS = 32
EVERY_S = 2.0
SETTLE_S = 60.0
"""What is there at first is not counted: caches fill, and the allocator learns."""


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def slope_per_hour(moments: list[float], values: list[float]) -> float:
    """Of the line that fits best."""
    return float(np.polyfit(np.array(moments) / 3600, values, 1)[0])


async def load(target: Target, rate: float, seconds: float, watch: Callable[[], None]) -> tuple[int, int, float]:
    """Known digits at a steady rate, by the clock; how many were asked, how many failed, and the p99 in ms."""
    known, clock, took, failed = predictions(bundled("digits")), Clock.start(), [], 0
    async with client(target, clock, "soak", 30.0) as sender:
        begin = time.perf_counter()

        async def caller(number: int) -> None:
            nonlocal failed
            for turn in range(number, int(rate * seconds), CALLERS):
                due = begin + turn / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                sample = await sender.ask(known[turn % len(known)], due)
                took.append(np.float32(sample.latency_ms))
                failed += not sample.ok

        async def watching() -> None:
            while True:
                watch()
                await asyncio.sleep(EVERY_S)

        watcher = asyncio.create_task(watching())
        await asyncio.gather(*map(caller, range(CALLERS)))
        watcher.cancel()
    return len(took), failed, float(np.percentile(np.array(took), 99))


def main() -> int:
    """Measure, print, keep; 1 if an answer failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    seconds = options.minutes * 60
    os.sched_setaffinity(0, {GENERATOR_CORE})
    rows: list[tuple[float, float, int]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with server(folder / "data") as ours:
            env = {**asking(ours, write_bodies(folder / "bodies")), "CACHED": "any"}
            peak = harness.run_wrk(ours.url, ours.pid, GENERATOR_CORE, 5.0, CALLERS, env).requests_per_second
            cpu, begin = harness.cpu_seconds(ours.pid), time.monotonic()

            def watch() -> None:
                descriptors = len(list(Path(f"/proc/{ours.pid}/fd").iterdir()))
                rows.append((time.monotonic() - begin, resident_mb(ours.pid), descriptors))

            asked, failed, p99 = run(load(Target(ours.url, ours.key), peak / 2, seconds, watch))
            cpu = (harness.cpu_seconds(ours.pid) - cpu) / (time.monotonic() - begin)
    counted = [row for row in rows if row[0] >= min(SETTLE_S, seconds / 4)]
    moments, memory, descriptors = (list(column) for column in zip(*counted, strict=True))
    found = {
        "minutes": options.minutes,
        "rate": round(peak / 2),
        "asked": asked,
        "failed": failed,
        "p99_ms": p99,
        "cpu": cpu,
        "resident_mb": [memory[0], memory[-1]],
        "resident_mb_per_hour": slope_per_hour(moments, memory),
        "descriptors": [min(descriptors), max(descriptors)],
        "descriptors_per_hour": slope_per_hour(moments, descriptors),
    }
    print(f"{options.minutes:g} min at {found['rate']} requests/s ({cpu:.0%} of a core)")
    print(f"{asked} asked, {failed} failed, p99 {p99:.1f} ms")
    print(
        f"resident {memory[0]:.1f} to {memory[-1]:.1f} MB, {found['resident_mb_per_hour']:+.2f} MB an "
        f"hour; descriptors {min(descriptors)} to {max(descriptors)}, {found['descriptors_per_hour']:+.2f} an hour"
    )
    harness.write("soak", found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
