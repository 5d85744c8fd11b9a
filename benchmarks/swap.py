"""Promote and roll back under load: no request may fail, each answer is of the version in production, and p99 holds.

Fifty users ask one model of digits without a pause but for a short think time, while another version is promoted, and
rolled back, again and again. A swap window begins when a change is asked for and ends a second later, when every worker
follows it; what lies between two windows is what it is compared with. Run it with `scripts/bench swap`. It needs Linux
and two cores: one has the server, the other the users.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, server

from seatrial.contracts.record import Sample
from seatrial.trials.core.client import Client, Clock, client, run, without_garbage_collection
from seatrial.trials.core.models import bundled
from seatrial.trials.core.questions import JSON, Question, predictions
from seatrial.trials.core.target import Target
from seatrial.zoo import ROOT

WINDOW_S = 1.0
"""Within which every worker follows a change."""
PAUSE_S = 2.0
THINK_S = (0.05, 0.15)
TOLD = """{changes} changes under {users} users: {answers} answers, {failures} failed,
{of_another_version} of a version that was not in production; a change takes {change_ms:.0f} ms.
p99 in the swap windows {p99_in_windows_ms:.2f} ms, between them {p99_between_ms:.2f} ms: {ratio:.2f} times."""
FIRST, SECOND = "digits:1", "digits:2"


@dataclass
class Seen:
    """What the users were told: when each asked and was answered, by whom, and what failed."""

    answers: list[tuple[float, float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """A promotion or a rollback: when it was asked for, when it was answered, and who serves from then on."""

    asked: float
    done: float
    model_id: str


async def user(sender: Client, seen: Seen, until: asyncio.Event, seed: int) -> None:
    """Ask, look who answered, think."""
    chance = random.Random(seed)  # noqa: S311 - think times, not cryptography
    known = predictions(bundled("digits"))
    while not until.is_set():
        plain = known[chance.randrange(len(known))]
        who: list[str] = []

        def check(status: int, body: bytes, plain: Question = plain, who: list[str] = who) -> str:
            fault = plain.check(status, body)
            who.append("" if fault else json.loads(body)["model_id"])
            return fault

        sample: Sample = await sender.ask(Question("", "POST", "/predict", check, plain.body, "", JSON))
        seen.answers.append((sample.start, sample.start + sample.latency_ms / 1000, who[0] if who else ""))
        if sample.fault:
            seen.failures.append(sample.fault)
        await asyncio.sleep(chance.uniform(*THINK_S))


async def measure(target: Target, swaps: int, users: int) -> tuple[Seen, list[Change]]:
    """All users, and all changes."""
    seen, changes, end = Seen(), [], asyncio.Event()
    clock = Clock.start()
    async with (
        client(target, clock, "user", 30.0) as sender,
        aiohttp.ClientSession() as operator,
        without_garbage_collection(),
    ):
        asking = [asyncio.create_task(user(sender, seen, end, seed)) for seed in range(users)]
        await asyncio.sleep(PAUSE_S)
        for _ in range(swaps):
            for path, model_id in (
                (f"/models/{SECOND}/promote?new_stage=production&reason=swap", SECOND),
                ("/models/digits/rollback?reason=swap", FIRST),
            ):
                asked = clock.at(time.perf_counter())
                async with operator.post(target.url + path, headers=target.headers) as response:
                    if response.status != 200:
                        raise RuntimeError(await response.text())
                changes.append(Change(asked, clock.at(time.perf_counter()), model_id))
                await asyncio.sleep(WINDOW_S + PAUSE_S)
        end.set()
        await asyncio.gather(*asking)
    return seen, changes


def wrong_versions(seen: Seen, changes: Sequence[Change]) -> int:
    """Answers of a version that was not in production at any moment between question and answer, a window allowed."""
    bounds = [(0.0, 0.0, FIRST), *((change.asked, change.done + WINDOW_S, change.model_id) for change in changes)]
    wrong = 0
    for began, ended, model_id in seen.answers:
        right = {
            who
            for index, (since, _, who) in enumerate(bounds)
            if since <= ended and (index + 1 == len(bounds) or began <= bounds[index + 1][1])
        }
        wrong += model_id not in right
    return wrong


def split(seen: Seen, changes: Sequence[Change]) -> tuple[list[float], list[float]]:
    """Latencies in milliseconds of what was asked in the windows, and of what was asked between them."""
    inside: list[float] = []
    between: list[float] = []
    for began, ended, _ in seen.answers:
        swapping = any(change.asked <= ended and began <= change.done + WINDOW_S for change in changes)
        (inside if swapping else between).append((ended - began) * 1000)
    return inside, between


def add_second(url: str, token: str) -> None:
    """A second version of digits, of the same file, in staging."""
    headers = {"Authorization": f"Bearer {token}"}

    async def add() -> None:
        async with aiohttp.ClientSession(url, headers=headers) as operator:
            form = aiohttp.FormData()
            form.add_field("model", (ROOT / "digits" / "model.onnx").read_bytes(), filename="model.onnx")
            form.add_field("manifest", (ROOT / "digits" / "manifest.json").read_text(encoding="utf-8"))
            form.add_field("golden", (ROOT / "digits" / "golden.json").read_text(encoding="utf-8"))
            for path, data in (
                ("/models?name=digits", form),
                (f"/models/{SECOND}/promote?new_stage=staging", None),
            ):
                async with operator.post(path, data=data) as response:
                    if response.status not in {200, 201}:
                        raise RuntimeError(await response.text())

    asyncio.run(add())


def report(seen: Seen, changes: Sequence[Change]) -> dict[str, Any]:
    """The figures."""
    inside, between = split(seen, changes)
    p99 = [float(np.percentile(values, 99)) for values in (inside, between)]
    return {
        "changes": len(changes),
        "answers": len(seen.answers),
        "failures": len(seen.failures),
        "examples": seen.failures[:3],
        "of_another_version": wrong_versions(seen, changes),
        "p99_in_windows_ms": p99[0],
        "p99_between_ms": p99[1],
        "ratio": p99[0] / p99[1],
        "p50_in_windows_ms": statistics.median(inside),
        "p50_between_ms": statistics.median(between),
        "change_ms": statistics.median((change.done - change.asked) * 1000 for change in changes),
    }


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swaps", type=int, default=20, help="promotions, each followed by a rollback")
    parser.add_argument("--users", type=int, default=50)
    options = parser.parse_args()
    os.sched_setaffinity(0, {GENERATOR_CORE})
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as ours:
        add_second(ours.url, ours.token)
        seen, changes = run(measure(Target(ours.url, ours.token), options.swaps, options.users))
    found = report(seen, changes)
    print(TOLD.format(users=options.users, **found))
    print(f"kept in {harness.write('swap', {'users': options.users, **found})}")
    return 0 if not found["failures"] and not found["of_another_version"] else 1


if __name__ == "__main__":
    sys.exit(main())
