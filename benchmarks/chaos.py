"""Half an hour of mixed load with a fault every minute: no wrong answer, no lost acknowledged write, memory that stays.

Callers ask by the clock for predictions, batches, lists and metrics; somebody registers models all the while. In the
first minutes replicas are killed and restarted, then PostgreSQL and Redis fail in turn under replicas that go on. Run
it with `scripts/bench chaos`. It needs Linux and HAProxy.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
from benchmarks import harness
from benchmarks.faults import FAULTS, ROOT_ONLY, Writer, kill, rolling_restart
from benchmarks.soak import slope_per_hour
from tests.live import PYTHON, environment, until
from tests.stack import Stack, running_stack

from seatrial.contracts.golden import GoldenCase
from seatrial.contracts.record import WRONG_ANSWER
from seatrial.server.storage.database import open_database
from seatrial.server.storage.registry import SqlRegistry
from seatrial.trials.core.models import KnownModel, bundled
from seatrial.trials.core.questions import likeliest
from seatrial.trials.measure.records import FILE_NAME, read_samples

RATE = 100
FAULT_S = 10.0
WRITE_S = 5.0
LOOK_S = 2.0
CASES = 20
"""Known inputs of each model that are asked for."""
PARTS = [fault for fault, _ in FAULTS.values() if fault not in {rolling_restart, kill, *ROOT_ONLY}]
"""Faults of what is behind the replicas."""


def mixed_load(folder: Path, url: str) -> Path:
    """A target file: known inputs of both models with their answers, batches, and what people look at."""
    requests = [
        {
            "path": "/predict", "method": "POST", "name": f"{name} {number}", "weight": 4,
            "body": {"model_name": name, "data": case.input}, "expect": expectation(model, case),
        }
        for name in ("digits", "geoclimate")
        for model in (bundled(name),)
        for number, case in enumerate(model.golden.cases[:CASES])
    ]  # fmt: skip
    rows = [case.input for case in bundled("geoclimate").golden.cases[:CASES]]
    requests.append(
        {"path": "/predict/batch", "method": "POST", "body": {"model_name": "geoclimate", "data": rows}, "weight": 10}
    )
    requests += [{"path": path, "weight": 4} for path in ("/models", "/models/digits:1", "/metrics", "/health")]
    path = folder / "mixed.toml"
    lines = ['schema = "seatrial/target/v1"', f'url = "{url}"']
    for request in requests:
        lines += ["[[request]]", *(f"{name} = {inline(value)}" for name, value in request.items())]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def expectation(model: KnownModel, case: GoldenCase) -> dict[str, Any]:
    """What a right answer holds."""
    if model.manifest.output.classes:
        return {"json": {"/prediction": model.manifest.output.classes[likeliest(case.output)]}}
    return {"json": {"/prediction": case.output[0]}, "tolerance": model.golden.tolerance}


def inline(value: Any) -> str:  # noqa: ANN401 - whatever TOML can hold
    """A value as TOML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {inline(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


@dataclass
class Seen:
    """What was written, what was refused, and the memory of each replica: seconds, process, MB."""

    acknowledged: set[str] = field(default_factory=set)
    refused: int = 0
    unanswered: int = 0
    memory: list[tuple[float, int, float]] = field(default_factory=list)

    def write(self, writer: Writer) -> None:
        """One registration."""
        try:
            answer = writer.write()
        except httpx2.TransportError:
            self.unanswered += 1
            return
        if answer.status_code == 201:
            self.acknowledged.add(answer.json()["model_id"])
        else:
            self.refused += 1

    def look(self, stack: Stack, moment: float) -> None:
        """How much memory each replica has."""
        for replica in list(stack.replicas):
            try:
                mb = psutil.Process(replica.pid).memory_info().rss / 2**20
            except psutil.NoSuchProcess:
                continue
            self.memory.append((moment, replica.pid, mb))

    def slopes(self) -> list[float]:
        """MB an hour, of each of the processes that ran longest; the first minute of each is not counted."""
        found = []
        for pid in {pid for _, pid, _ in self.memory}:
            rows = [(at, mb) for at, of, mb in self.memory if of == pid]
            settled = [row for row in rows if row[0] > rows[0][0] + 60]
            if settled and rows[-1][0] - rows[0][0] > self.memory[-1][0] / 2:
                found.append(slope_per_hour(*(list(column) for column in zip(*settled, strict=True))))
        return found


@contextmanager
def aside(stack: Stack, seen: Seen) -> Iterator[None]:
    """Somebody registers models, and somebody looks at the memory, as long as the block goes on."""
    ended, begin, writer = threading.Event(), time.monotonic(), Writer(stack)

    def again_and_again(pause: float, work: Callable[[], None]) -> None:
        while not ended.wait(pause):
            work()

    repeated = ((WRITE_S, lambda: seen.write(writer)), (LOOK_S, lambda: seen.look(stack, time.monotonic() - begin)))
    threads = [threading.Thread(target=again_and_again, args=arguments) for arguments in repeated]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def break_things(stack: Stack, minutes: int) -> int:
    """A fault at the beginning of each minute; how many there were."""
    faults = itertools.chain((rolling_restart, kill, rolling_restart, kill), itertools.cycle(PARTS))
    begin, done = time.monotonic(), 0
    for minute, fault in zip(range(minutes), faults, strict=False):
        time.sleep(max(0.0, begin + 60 * minute + 5 - time.monotonic()))
        fault(stack, FAULT_S)
        stack.wait_until_whole()
        done += 1
        print(f"  minute {minute + 1}/{minutes}: {(fault.__doc__ or '').splitlines()[0]}", file=sys.stderr, flush=True)
    return done


def lost(stack: Stack, acknowledged: set[str]) -> set[str]:
    """What was acknowledged, and is not in the database."""
    with closing(SqlRegistry(open_database(stack.database_url))) as registry:
        return acknowledged - {version.model_id for version in registry.versions()}


def main() -> int:
    """Run it; 1 where an answer was wrong, or a write was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, running_stack(Path(temporary)) as stack:
        folder, seen = Path(temporary) / "load", Seen()
        target = mixed_load(Path(temporary), stack.balancer.url)
        key = stack.make_key()
        command = [
            *PYTHON, "trial", "open", "--target-file", str(target), "--rate", f"{RATE}", "--api-key", key,
            "--duration", f"{options.minutes * 60 + 30}s", "--out", str(folder), "--json", "--arrivals", "poisson",
        ]  # fmt: skip
        load = subprocess.Popen(command, env=environment(stack.folder), stdout=subprocess.DEVNULL)
        until((folder / "samples.jsonl").exists, "the load has begun")
        with aside(stack, seen):
            faults = break_things(stack, options.minutes)
            load.wait(300)
        samples = list(read_samples(folder / FILE_NAME))
        missing = lost(stack, seen.acknowledged)
    failed = [sample for sample in samples if not sample.ok]
    wrong = [sample for sample in failed if sample.fault.startswith(WRONG_ANSWER)]
    found: dict[str, Any] = {
        "minutes": options.minutes, "faults": faults, "asked": len(samples), "failed": len(failed), "wrong": len(wrong),
        "acknowledged": len(seen.acknowledged), "lost": len(missing), "refused": seen.refused,
        "unanswered": seen.unanswered, "mb_per_hour": seen.slopes(), "mb": max(mb for _, _, mb in seen.memory),
        "failures": sorted({f"{sample.endpoint}: {sample.fault}" for sample in failed})[:10],
    }  # fmt: skip
    print(
        f"{options.minutes} min, {faults} faults: {len(samples)} asked, {len(failed)} failed, {len(wrong)} wrong\n"
        f"{len(seen.acknowledged)} writes acknowledged, {len(missing)} of them lost; {seen.refused} refused, "
        f"{seen.unanswered} without an answer\n"
        f"memory of the replicas that ran longest: {', '.join(f'{slope:+.1f}' for slope in seen.slopes())} MB an hour; "
        f"at most {found['mb']:.0f} MB"
    )
    for failure in found["failures"]:
        print(f"  {failure}")
    harness.write("chaos", found)
    return 1 if wrong or missing else 0


if __name__ == "__main__":
    sys.exit(main())
