"""A hundred people log in at once while fifty users predict: what they feel of it.

Windows with logins and windows without take turns. Each login hashes a password, which takes a core for tens of
milliseconds and 19 MiB; few are hashed at once, in threads that stand back, and those who cannot wait are told when to
come again, and do. A window with logins ends when everybody is in. Run it with `scripts/bench logins`. It needs Linux
and two cores: one has the server, the other everybody else. Those who log in are a process that stands back,
so that the users' clocks do not wait for a hundred requests being made.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, server
from benchmarks.swap import Seen, user

from seatrial.server.access.passwords import Passwords
from seatrial.server.core.clock import wall
from seatrial.server.services.accounts import AccountService
from seatrial.server.storage.opening import open_registry
from seatrial.server.storage.secrets import SECRET_KEY, own_secret
from seatrial.trials.core.client import Clock, client, run, without_garbage_collection
from seatrial.trials.core.target import Target

WINDOW_S = 4.0
MOST_TRIES = 50
PASSWORD = "quite a long one"  # noqa: S105 - of nobody
TOLD = """{windows} windows each way under {users} users: {answers} predictions, {failures} failed.
{logins} logins, {at_once} at once: {statuses}; half in within {login_p50_ms:.0f} ms, all within {login_max_ms:.0f} ms.
p99 with logins {p99_with_ms:.2f} ms, without {p99_without_ms:.2f} ms: {ratio:.2f} times ({low:.2f} to {high:.2f})."""


def make_people(folder: Path, count: int) -> list[str]:
    """Accounts, by their addresses."""
    registry = open_registry(None, folder)
    secret = own_secret(folder, SECRET_KEY).encode("ascii")
    service = AccountService(registry.accounts, registry.keys, Passwords(), secret, wall, lambda: None)
    people = [f"user{number}@example.org" for number in range(count)]
    for address in people:
        service.create(address, PASSWORD, "viewer", "local:bench")
    registry.close()
    return people


async def log_in(session: aiohttp.ClientSession, url: str, address: str) -> tuple[list[int], float]:
    """The statuses that somebody got until they were in, and how long that took."""
    asked, statuses = time.perf_counter(), []
    while True:
        async with session.post(f"{url}/auth/login", json={"email": address, "password": PASSWORD}) as answer:
            await answer.read()
            statuses.append(answer.status)
            if answer.status == 200 or len(statuses) == MOST_TRIES:
                return statuses, time.perf_counter() - asked
            await asyncio.sleep(float(answer.headers["Retry-After"]))


async def log_in_when_told(url: str) -> None:
    """The other process: each line of the input names people, who then log in at once; how it went is printed."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            logins = await asyncio.gather(*(log_in(session, url, address) for address in json.loads(line)))
            print(json.dumps(logins), flush=True)


@asynccontextmanager
async def everybody_else(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process for those who log in."""
    command = [sys.executable, "-m", "benchmarks.logins", "--log-in-at", url]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, 19)
    try:
        yield process
    finally:
        if process.stdin:
            process.stdin.close()
        await process.wait()


async def log_in_all(process: asyncio.subprocess.Process, people: Sequence[str]) -> list[tuple[list[int], float]]:
    """Let people log in at once, and wait until everybody is in."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    process.stdin.write(json.dumps(people).encode() + b"\n")
    return [(statuses, seconds) for statuses, seconds in json.loads(await process.stdout.readline())]


async def measure(
    target: Target, people: Sequence[str], windows: int, users: int
) -> tuple[Seen, list[tuple[float, bool]], list[tuple[list[int], float]]]:
    """What the users saw; when each window began, and whether people logged in, then the end; how logins went."""
    seen, marks, logins, until = Seen(), [], [], asyncio.Event()
    clock = Clock.start()
    async with (
        client(target, clock, "user", 30.0) as sender,
        everybody_else(target.url) as process,
        without_garbage_collection(),
    ):
        asking = [asyncio.create_task(user(sender, seen, until, seed)) for seed in range(users)]
        await asyncio.sleep(WINDOW_S)
        for number in range(windows * 2):
            busy = number % 4 in {1, 2}  # without, with, with, without
            marks.append((clock.at(time.perf_counter()), busy))
            if busy:
                logins += await log_in_all(process, people)
            else:
                await asyncio.sleep(WINDOW_S)
        marks.append((clock.at(time.perf_counter()), False))
        until.set()
        await asyncio.gather(*asking)
    return seen, marks, logins


def report(
    seen: Seen, marks: Sequence[tuple[float, bool]], logins: Sequence[tuple[list[int], float]], at_once: int
) -> dict[str, Any]:
    """The figures."""
    p99: dict[bool, list[float]] = {True: [], False: []}
    for (begun, busy), (end, _) in pairwise(marks):
        inside = [(done - asked) * 1000 for asked, done, _ in seen.answers if begun <= asked < end]
        p99[busy].append(float(np.percentile(inside, 99)))
    ratio, low, high = harness.interval([a / b for a, b in zip(p99[True], p99[False], strict=True)])
    took = [seconds * 1000 for statuses, seconds in logins if statuses[-1] == 200]
    return {
        "windows": len(p99[True]),
        "answers": len(seen.answers),
        "failures": len(seen.failures),
        "logins": len(logins),
        "at_once": at_once,
        "statuses": dict(Counter(status for statuses, _ in logins for status in statuses)),
        "login_p50_ms": statistics.median(took),
        "login_max_ms": max(took),
        "p99_with_ms": statistics.median(p99[True]),
        "p99_without_ms": statistics.median(p99[False]),
        "ratio": ratio,
        "low": low,
        "high": high,
    }


def main() -> int:
    """Measure, print, keep; 1 if a prediction failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=10, help="with logins, and as many without")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--people", type=int, default=100, help="who log in at once")
    parser.add_argument("--log-in-at", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.log_in_at:
        asyncio.run(log_in_when_told(options.log_in_at))
        return 0
    os.sched_setaffinity(0, {GENERATOR_CORE})
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as ours:
        people = make_people(Path(folder), options.people)
        seen, marks, logins = run(measure(Target(ours.url, ours.token), people, options.windows, options.users))
    found = report(seen, marks, logins, options.people)
    print(TOLD.format(users=options.users, **found))
    print(f"kept in {harness.write('logins', {'users': options.users, **found})}")
    return 1 if seen.failures else 0


if __name__ == "__main__":
    sys.exit(main())
