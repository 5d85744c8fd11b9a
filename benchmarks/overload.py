"""Twice as much as it can: a model that takes 5 ms an example, and callers who do not wait for one another.

First the peak: as many callers as keep it busy. Then arrivals by the clock at twice that rate; then at half of it, to
see how soon all is as it was. All the while somebody asks for digits, health and metrics: a model that is overrun is to
harm no other. Run it with `scripts/bench overload`. It needs Linux and two cores.
"""

import argparse
import asyncio
import json
import os
import random
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
from benchmarks.ours import GENERATOR_CORE, Ours, images, server
from benchmarks.planted import WIDTH, planted

SERVICE_S = 0.005
PEAK_CALLERS = 16
SETTLE_S = 5.0
"""Within which all is to be as before."""
PROBE_S = 0.05
"""How often digits are asked for; health and metrics every tenth time."""
TIMEOUT_S = 30.0
TOLD = """peak {peak:.0f} requests/s; at {offered:.0f}/s for {seconds:.0f} s:
  goodput {goodput:.0f}/s, {share:.1%} of the peak; answers came after {wait_p99_ms:.0f} ms (p99)
  {refused} refused, each with a time to wait: {honest}; p50 {refusal_p50_ms:.1f}, p99 {refusal_p99_ms:.1f} ms
  {failed} failed otherwise
normal again {normal_s:.1f} s after: p99 {after_ms:.1f} ms, before {before_ms:.1f} ms
digits meanwhile: p99 {digits_ms:.1f} ms, before {digits_before_ms:.1f} ms: {digits_ratio:.2f} times
health and metrics: {probes} asked, {probes_failed} failed"""


@dataclass
class Seen:
    """Of each answer: when it was asked for and how long it took, in seconds, and its status; 0 is none."""

    answers: list[tuple[float, float, int]] = field(default_factory=list)
    honest: bool = True

    def took(self, *statuses: int, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """Seconds that answers with these took, of what was asked for between two moments."""
        return [took for at, took, status in self.answers if status in statuses and since <= at < until]


class Asker:
    """Sends examples of the planted model, no two the same."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._chance = random.Random(1)  # noqa: S311 - examples, not cryptography

    def body(self) -> bytes:
        """An example."""
        return json.dumps({"model_name": "planted", "data": [self._chance.random() for _ in range(WIDTH)]}).encode()

    async def ask(self, seen: Seen, body: bytes, path: str = "/predict") -> None:
        """One request, and what became of it; with no body it is a GET."""
        begin = time.perf_counter()
        status = 0
        try:
            method = self._session.post if body else self._session.get
            async with method(self._url + path, data=body or None) as response:
                await response.read()
                status = response.status
                if status == 503:
                    seen.honest = seen.honest and int(response.headers["Retry-After"]) >= 1
        except (aiohttp.ClientError, TimeoutError):
            pass
        seen.answers.append((begin, time.perf_counter() - begin, status))

    async def closed(self, seen: Seen, seconds: float, callers: int) -> None:
        """Callers who ask again as soon as they were answered."""
        end = time.perf_counter() + seconds

        async def caller() -> None:
            while time.perf_counter() < end:
                await self.ask(seen, self.body())

        await asyncio.gather(*(caller() for _ in range(callers)))

    async def arriving(self, seen: Seen, rate: float, seconds: float) -> None:
        """Callers who come at moments drawn beforehand, whatever becomes of the others."""
        tasks = []
        begin = time.perf_counter()
        due = 0.0
        while (due := due + self._chance.expovariate(rate)) < seconds:
            body = self.body()
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            tasks.append(asyncio.create_task(self.ask(seen, body)))
        await asyncio.gather(*tasks)

    async def others(self, digits: Seen, probes: Seen, stop: asyncio.Event) -> None:
        """Somebody who asks for digits, and how the server is."""
        bodies = [json.dumps({"model_name": "digits", "data": image}).encode() for image in images(100)]
        turn = 0
        while not stop.is_set():
            turn += 1
            asked = [self.ask(digits, bodies[turn % len(bodies)])]
            if turn % 10 == 0:
                asked += [self.ask(probes, b"", path) for path in ("/health", "/metrics")]
            await asyncio.gather(*asked, asyncio.sleep(PROBE_S))


async def measure(ours: Ours, seconds: float) -> dict[str, Any]:
    """All of it."""
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {ours.key}", "Content-Type": "application/json", "Cache-Control": "no-cache"}
    timeout = aiohttp.ClientTimeout(TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        asker, digits, probes, stop = Asker(session, ours.url), Seen(), Seen(), asyncio.Event()
        others = asyncio.create_task(asker.others(digits, probes, stop))
        busy, calm, over, after = Seen(), Seen(), Seen(), Seen()
        await asker.closed(Seen(), 2.0, PEAK_CALLERS)
        await asker.closed(busy, seconds / 3, PEAK_CALLERS)
        peak = len(busy.took(200)) / (seconds / 3)
        calm_since = time.perf_counter()
        await asker.arriving(calm, peak / 2, seconds / 3)
        begin = time.perf_counter()
        overrun = asyncio.create_task(asker.arriving(over, 2 * peak, seconds))
        await asyncio.sleep(seconds)
        end = time.perf_counter()
        await asker.arriving(after, peak / 2, 2 * SETTLE_S)
        await overrun
        stop.set()
        await others
    good = [1 for at, took, status in over.answers if status == 200 and begin <= at + took < end]
    before = _percentile(calm.took(200), 99)
    normal = next(
        (s for s in np.arange(0, 2 * SETTLE_S, 0.5) if _percentile(after.took(200, since=end + s), 99) <= 1.5 * before),
        float("inf"),
    )
    refusals, during = over.took(503), digits.took(200, since=begin, until=end)
    digits_before = digits.took(200, since=calm_since, until=begin)
    return {
        "peak": peak,
        "offered": len(over.answers) / seconds,
        "seconds": seconds,
        "goodput": len(good) / seconds,
        "share": len(good) / seconds / peak,
        "refused": len(refusals),
        "honest": over.honest,
        "refusal_p50_ms": _percentile(refusals, 50) * 1e3,
        "refusal_p99_ms": _percentile(refusals, 99) * 1e3,
        "wait_p99_ms": _percentile(over.took(200), 99) * 1e3,
        "failed": len(over.answers) - len(over.took(200, 503)) + len(digits.answers) - len(digits.took(200)),
        "normal_s": float(normal),
        "before_ms": before * 1e3,
        "after_ms": _percentile(after.took(200, since=end + SETTLE_S), 99) * 1e3,
        "digits_ms": _percentile(during, 99) * 1e3,
        "digits_before_ms": _percentile(digits_before, 99) * 1e3,
        "digits_ratio": _percentile(during, 99) / _percentile(digits_before, 99),
        "probes": len(probes.answers),
        "probes_failed": len(probes.answers) - len(probes.took(200)),
    }


def _percentile(seconds: Sequence[float], q: float) -> float:
    return float(np.percentile(seconds, q)) if seconds else float("nan")


def add(ours: Ours, artifact: bytes, name: str = "planted", most: int = 1) -> None:
    """Have the server serve a model, `most` examples in a run."""
    manifest = json.dumps({"inputs": [{"name": "x", "min": 0, "max": 1}], "execution": {"max_batch": most}})

    async def post() -> None:
        async with aiohttp.ClientSession(ours.url, headers={"Authorization": f"Bearer {ours.token}"}) as operator:
            form = aiohttp.FormData()
            form.add_field("model", artifact, filename="model.onnx")
            form.add_field("manifest", manifest)
            steps: Sequence[tuple[str, Any]] = (
                (f"/models?name={name}", form),
                (f"/models/{name}:1/promote?new_stage=staging", None),
                (f"/models/{name}:1/promote?new_stage=production", None),
            )
            for path, data in steps:
                async with operator.post(path, data=data) as response:
                    if response.status not in {200, 201}:
                        raise RuntimeError(await response.text())

    asyncio.run(post())


def main() -> int:
    """Measure, print, keep; 1 if it did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long there is too much")
    options = parser.parse_args()
    os.sched_setaffinity(0, {GENERATOR_CORE})
    artifact = planted(SERVICE_S)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as ours:
        add(ours, artifact)
        found = asyncio.run(measure(ours, options.seconds))
    print(TOLD.format(**found))
    path = harness.write("overload", found)
    print(f"kept in {path}")
    return 0 if not found["failed"] and not found["probes_failed"] and found["honest"] else 1


if __name__ == "__main__":
    sys.exit(main())
