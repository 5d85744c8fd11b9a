"""A hundred people log in at once, again and again, while fifty users predict: what they feel of it.

Windows with logins and windows without take turns. Each login hashes a password, which takes a core for tens of
milliseconds and 19 MiB; few are hashed at once, in threads that stand back, and those who cannot wait are told to come
again. Run it with `scripts/bench logins`. It needs Linux and two cores: one has the server, the other everybody else.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from benchmarks import harness
from benchmarks.swap import Seen, user

from seatrial.server.access.passwords import Passwords
from seatrial.server.core.clock import wall
from seatrial.server.services.accounts import AccountService
from seatrial.server.storage.opening import open_registry
from seatrial.server.storage.secrets import SECRET_KEY, own_secret
from seatrial.trials.core.client import Clock, client, run, without_garbage_collection
from seatrial.trials.core.target import Target

SERVER_CORE, USERS_CORE = 0, 1
WINDOW_S = 4.0
PASSWORD = "quite a long one"  # noqa: S105 - of nobody
TOLD = """{windows} windows of {window_s:g} s each way under {users} users: {answers} predictions, {failures} failed.
{logins} logins, {at_once} at once: {statuses}; half of those let in within {login_p50_ms:.0f} ms.
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


async def log_in(session: aiohttp.ClientSession, url: str, address: str) -> tuple[int, float]:
    """The status of a login, and how long it took."""
    asked = time.perf_counter()
    async with session.post(f"{url}/auth/login", json={"email": address, "password": PASSWORD}) as answer:
        await answer.read()
        return answer.status, time.perf_counter() - asked


async def measure(
    target: Target, people: Sequence[str], windows: int, users: int
) -> tuple[Seen, list[tuple[float, bool]], list[tuple[int, float]]]:
    """What the users saw; when each window began, and whether people logged in; and how their logins went."""
    seen, marks, logins, until = Seen(), [], [], asyncio.Event()
    clock = Clock.start()
    async with (
        client(target, clock, "user", 30.0) as sender,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=len(people))) as session,
        without_garbage_collection(),
    ):
        asking = [asyncio.create_task(user(sender, seen, until, seed)) for seed in range(users)]
        await asyncio.sleep(WINDOW_S)
        for number in range(windows * 2):
            busy = number % 4 in {1, 2}  # without, with, with, without
            marks.append((clock.at(time.perf_counter()), busy))
            ends = time.perf_counter() + WINDOW_S
            while busy and time.perf_counter() < ends:
                logins += await asyncio.gather(*(log_in(session, target.url, address) for address in people))
            await asyncio.sleep(max(0.0, ends - time.perf_counter()))
        until.set()
        await asyncio.gather(*asking)
    return seen, marks, logins


def report(
    seen: Seen, marks: Sequence[tuple[float, bool]], logins: Sequence[tuple[int, float]], at_once: int
) -> dict[str, Any]:
    """The figures."""
    ends = [*(begun for begun, _ in marks[1:]), marks[-1][0] + WINDOW_S]
    p99: dict[bool, list[float]] = {True: [], False: []}
    for (begun, busy), end in zip(marks, ends, strict=True):
        inside = [(done - asked) * 1000 for asked, done, _ in seen.answers if begun <= asked < end]
        p99[busy].append(float(np.percentile(inside, 99)))
    ratio, low, high = harness.interval([a / b for a, b in zip(p99[True], p99[False], strict=True)])
    let_in = [seconds * 1000 for status, seconds in logins if status == 200]
    return {
        "windows": len(marks) // 2,
        "window_s": WINDOW_S,
        "answers": len(seen.answers),
        "failures": len(seen.failures),
        "logins": len(logins),
        "at_once": at_once,
        "statuses": dict(Counter(status for status, _ in logins)),
        "login_p50_ms": statistics.median(let_in),
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
    options = parser.parse_args()
    port = harness.free_port()
    url = f"http://127.0.0.1:{port}"
    os.sched_setaffinity(0, {USERS_CORE})
    with tempfile.TemporaryDirectory() as folder:
        env = {"SEATRIAL_DATA_DIR": folder, "SEATRIAL_LOG_LEVEL": "error"}
        command = [sys.executable, "-m", "seatrial", "serve", "--port", str(port)]
        with harness.pinned(command, SERVER_CORE, f"{url}/health/ready", env):
            people = make_people(Path(folder), options.people)
            token = Path(folder, "admin.token").read_text(encoding="ascii").strip()
            seen, marks, logins = run(measure(Target(url, token), people, options.windows, options.users))
    found = report(seen, marks, logins, options.people)
    print(TOLD.format(users=options.users, **found))
    print(f"kept in {harness.write('logins', {'users': options.users, **found})}")
    return 1 if seen.failures else 0


if __name__ == "__main__":
    sys.exit(main())
