"""What callers notice when a part of the stack fails: each fault under an open load, whoever is slow.

Two replicas behind HAProxy over PostgreSQL and Redis, as processes of this machine (`tests.stack`); callers with a key,
which is counted in Redis, ask both models and know the right answers. Run it with `scripts/bench faults`. It needs
Linux and HAProxy.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
from benchmarks import harness
from tests.fakes.names import NameServer
from tests.fakes.onnx_models import linear
from tests.fakes.small_disk import fill
from tests.fakes.wire import possible
from tests.live import PYTHON, environment, hear_interrupts, until
from tests.stack import Stack, running_stack

from seatrial.contracts.record import WRONG_ANSWER, Sample
from seatrial.trials.measure.records import read_samples

RATE = 200
CALM_S = 3.0
"""How long it is asked before anything fails."""
TIMEOUT_S = 10.0
MODEL: bytes = linear().SerializeToString()


@dataclass(frozen=True)
class Broken:
    """When a part was broken, and when it was whole again, in Unix time; how long recovery took, and what was seen."""

    since: float
    until: float
    recovery_s: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of an open load during a fault. `during` is p99 in ms of what was asked between its begin and end."""

    name: str
    asked: int
    failed: int
    wrong: int
    asked_during: int
    before_ms: float
    during_ms: float
    seconds: float
    recovery_s: float | None
    note: str
    failures: tuple[str, ...]


class Writer:
    """Somebody who registers models, by the balancer or by one replica."""

    def __init__(self, stack: Stack) -> None:
        self._headers = {"Authorization": f"Bearer {stack.token}", "Content-Type": "application/octet-stream"}
        self._url = stack.balancer.url

    def write(self) -> httpx2.Response:
        """One registration."""
        params = {"name": f"written-{time.time_ns()}"}
        return httpx2.post(f"{self._url}/models", params=params, content=MODEL, headers=self._headers, timeout=30)

    def refused(self) -> float:
        """Seconds until somebody is told that nothing can be written, and when to come again."""
        begin = time.monotonic()
        answer = self.write()
        require(answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1, f"503, not {answer}")
        return time.monotonic() - begin

    def recovers(self) -> float:
        """Seconds until it can be written."""
        begin = time.monotonic()
        until(lambda: self.write().status_code == 201, "it can be written again")
        return time.monotonic() - begin


def require(fact: bool, expected: str) -> None:  # noqa: FBT001 - a fact
    """Raise `RuntimeError` where something is not as it has to be."""
    if not fact:
        raise RuntimeError(f"expected: {expected}")


LINUX_AND_ROOT = "network namespaces take Linux and root"
Fault = Callable[[Stack, float], Broken]
"""Breaks a part for so many seconds, and mends it."""


@contextmanager
def for_seconds(seconds: float) -> Iterator[None]:
    """Goes on for so long at least."""
    begin = time.monotonic()
    yield
    time.sleep(max(0.0, begin + seconds - time.monotonic()))


def rolling_restart(stack: Stack, _: float) -> Broken:
    """SIGTERM to each replica in turn, and a new one in its place."""
    began = time.time()
    stack.restart_each()
    return Broken(began, time.time())


def kill(stack: Stack, seconds: float) -> Broken:
    """SIGKILL to one replica, which is started again later."""
    began = time.time()
    with for_seconds(seconds):
        stack.kill(0)
        begin = time.monotonic()
        until(lambda: len(stack.balancer.up()) == 1, "the balancer sends nothing to it")
        noticed = time.monotonic() - begin
    stack.start(0)
    stack.wait_until_whole()
    return Broken(began, time.time(), None, f"the balancer stopped sending to it after {noticed:.2f} s")


def refusing(stack: Stack, broken: AbstractContextManager[None], seconds: float) -> Broken:
    """Without something that writes need: who writes is told to come again, and can once it is back."""
    writer, began = Writer(stack), time.time()
    with broken, for_seconds(seconds):
        waited = writer.refused()
    ended = time.time()
    return Broken(began, ended, writer.recovers(), f"writes: 503 with Retry-After, after {waited:.1f} s")


def unnoticed(broken: AbstractContextManager[None], seconds: float) -> Broken:
    """Without something that nobody should miss."""
    began = time.time()
    with broken, for_seconds(seconds):
        pass
    return Broken(began, time.time())


def database_gone(stack: Stack, seconds: float) -> Broken:
    """PostgreSQL refuses connections, and those that were open are cut."""
    return refusing(stack, stack.database.gone(), seconds)


def database_killed(stack: Stack, seconds: float) -> Broken:
    """SIGKILL to all processes of PostgreSQL, which is started again later."""
    return refusing(stack, stack.postgres.killed(), seconds)


def database_still(stack: Stack, seconds: float) -> Broken:
    """PostgreSQL accepts connections and says nothing any more, as if a wire were cut."""
    return refusing(stack, stack.database.still(), seconds)


def database_slow(stack: Stack, seconds: float) -> Broken:
    """Whatever PostgreSQL is asked takes 200 ms longer, each way."""
    writer, began = Writer(stack), time.time()
    with stack.database.slow(0.2), for_seconds(seconds):
        begin = time.monotonic()
        require(writer.write().status_code == 201, "a write goes through")
        took = time.monotonic() - begin
    return Broken(began, time.time(), None, f"a write takes {took:.1f} s")


def cache_stopped(stack: Stack, seconds: float) -> Broken:
    """SIGSTOP to Redis: it listens, and answers nothing."""
    return unnoticed(stack.redis.frozen(), seconds)


def cache_killed(stack: Stack, seconds: float) -> Broken:
    """SIGKILL to Redis, which is started again later, empty."""
    return unnoticed(stack.redis.killed(), seconds)


def cache_slow(stack: Stack, seconds: float) -> Broken:
    """Whatever Redis is asked takes 100 ms longer, each way."""
    return unnoticed(stack.cache.slow(0.1), seconds)


def cache_cut(stack: Stack, seconds: float) -> Broken:
    """Connections to Redis are reset, five times a second."""
    began = time.time()
    end = began + seconds
    while time.time() < end:
        stack.cache.cut()
        time.sleep(0.2)
    return Broken(began, time.time())


def wire_cut(stack: Stack, seconds: float) -> Broken:
    """The wire to PostgreSQL and Redis is cut: nothing passes, and nobody is told."""
    if stack.wire is None:
        raise RuntimeError(LINUX_AND_ROOT)
    return refusing(stack, stack.wire.cut(), seconds)


def names_silent(stack: Stack, seconds: float) -> Broken:
    """PostgreSQL and Redis start again, and the name server says nothing when it is asked where they are."""
    if stack.names is None:
        raise RuntimeError(LINUX_AND_ROOT)

    @contextmanager
    def unheard(names: NameServer) -> Iterator[None]:
        with names.silent():
            with stack.postgres.killed(), stack.redis.killed():
                pass
            yield

    return refusing(stack, unheard(stack.names), seconds)


def disk_full(stack: Stack, seconds: float) -> Broken:
    """The disk of the models' files is full."""
    writer, began = Writer(stack), time.time()
    ballast = fill(stack.data)
    try:
        with for_seconds(seconds):
            require(writer.write().status_code == 507, "507, for want of room")
    finally:
        ballast.unlink()
    ended = time.time()
    return Broken(began, ended, writer.recovers(), "writes: 507")


FAULTS: dict[str, tuple[Fault, float]] = {
    "rolling restart of both replicas": (rolling_restart, 20.0),
    "a replica killed (SIGKILL)": (kill, 5.0),
    "PostgreSQL gone": (database_gone, 30.0),
    "PostgreSQL killed (SIGKILL)": (database_killed, 10.0),
    "PostgreSQL says nothing": (database_still, 15.0),
    "PostgreSQL 200 ms slower": (database_slow, 10.0),
    "Redis stopped (SIGSTOP)": (cache_stopped, 15.0),
    "Redis killed (SIGKILL)": (cache_killed, 10.0),
    "Redis 100 ms slower": (cache_slow, 10.0),
    "connections to Redis reset": (cache_cut, 10.0),
    "the wire to PostgreSQL and Redis cut": (wire_cut, 15.0),
    "the name server says nothing": (names_silent, 30.0),
    "the disk full": (disk_full, 10.0),
}
"""Each with how long it lasts."""
FAR = frozenset({wire_cut, names_silent})
"""Those for which PostgreSQL and Redis have to stand at the other end of a wire, under a name."""
ROOT_ONLY = FAR | {disk_full}
"""Those that take Linux and root: the stack has to be made for them."""
LONGEST = "600s"
"""A load ends with the fault, long before."""


class Load:
    """Requests by the clock, whose records are in a folder. What was going on as it was ended is none of them."""

    def __init__(self, folder: Path) -> None:
        self.records = folder / "samples.jsonl"
        self.ended = 0.0

    def samples(self) -> list[Sample]:
        """What was answered, or not, until it was ended."""
        return [one for one in read_samples(self.records) if one.start + one.latency_ms / 1000 < self.ended]


@contextmanager
def open_load(stack: Stack, key: str, folder: Path, rate: float) -> Iterator[Load]:
    """A load from another process, as long as the block goes on, and a little before and after."""
    command = [
        *PYTHON, "trial", "open", "--rate", f"{rate:g}", "--duration", LONGEST, "--timeout", f"{TIMEOUT_S:g}",
        "--target", stack.balancer.url, "--api-key", key, "--out", str(folder), "--json",
    ]  # fmt: skip
    load = subprocess.Popen(
        command,
        env=environment(stack.folder),
        stdout=subprocess.DEVNULL,
        preexec_fn=hear_interrupts,  # noqa: PLW1509 - which calls nothing but the system
    )
    seen = Load(folder)
    try:
        until(lambda: seen.records.exists() and seen.records.stat().st_size > 0, "the load has begun")
        time.sleep(CALM_S)
        yield seen
        time.sleep(CALM_S)
        require(load.poll() is None, "a load that goes on as long as the fault")
    finally:
        seen.ended = time.time()
        load.send_signal(signal.SIGINT)
        load.wait(60)


def run(name: str, stack: Stack, folder: Path, seconds: float | None = None, rate: float = RATE) -> Outcome:
    """One fault under load, and what became of the load.

    Args:
        name: of the fault.
        stack: is whole, before and after.
        folder: a new one, for the records.
        seconds: how long the fault lasts; as in `FAULTS` if nothing is said.
        rate: requests a second.
    """
    fault, usual = FAULTS[name]
    lasts = usual if seconds is None else seconds
    key = stack.make_key()
    with open_load(stack, key, folder, rate) as load:
        broken = fault(stack, lasts)
    return outcome(name, broken, load.samples())


def outcome(name: str, broken: Broken, samples: Sequence[Sample]) -> Outcome:
    """What the records say of a fault."""
    before = [sample.latency_ms for sample in samples if sample.intended < broken.since]
    during = [sample.latency_ms for sample in samples if broken.since <= sample.intended < broken.until]
    bad = [sample for sample in samples if not sample.ok]
    return Outcome(
        name,
        len(samples),
        len(bad),
        sum(sample.fault.startswith(WRONG_ANSWER) for sample in bad),
        len(during),
        float(np.percentile(before, 99)),
        float(np.percentile(during, 99)),
        broken.until - broken.since,
        broken.recovery_s,
        broken.note,
        tuple(sorted({sample.fault for sample in bad})[:5]),
    )


def made(folder: Path) -> Path:
    """A folder, made."""
    folder.mkdir()
    return folder


def main() -> int:
    """All of them; 1 where an answer was wrong, or a prediction failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", choices=[*FAULTS, []], help="which; all, if nothing is said")
    parser.add_argument("--seconds", type=float, help="how long each lasts")
    options = parser.parse_args()
    found = []
    wanted = options.faults or [name for name, (fault, _) in FAULTS.items() if possible() or fault not in ROOT_ONLY]
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as exits:
        plain = exits.enter_context(running_stack(made(Path(temporary) / "plain"), disk=possible()))
        far = exits.enter_context(running_stack(made(Path(temporary) / "far"), wire=True)) if possible() else plain
        for number, name in enumerate(wanted):
            stack = far if FAULTS[name][0] in FAR else plain
            stack.wait_until_whole()
            seen = run(name, stack, Path(temporary) / f"load-{number}", options.seconds)
            found.append(seen)
            recovery = "" if seen.recovery_s is None else f"; writes again after {seen.recovery_s:.1f} s"
            print(
                f"{name}, {seen.seconds:.0f} s: {seen.failed} of {seen.asked} failed, {seen.wrong} wrong; "
                f"p99 {seen.before_ms:.1f} ms before, {seen.during_ms:.1f} meanwhile{recovery}; {seen.note}",
                flush=True,
            )
            for failure in seen.failures:
                print(f"  {failure}")
    harness.write("faults", {"rate": RATE, "faults": [vars(seen) for seen in found]})
    return 1 if any(seen.failed for seen in found) else 0


if __name__ == "__main__":
    sys.exit(main())
