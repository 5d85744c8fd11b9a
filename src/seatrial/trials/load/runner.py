"""Run a load plan: Locust in processes of its own, our recorder inside, one set of records at the end."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from seatrial.contracts.record import Generator, MemoryReading, Run
from seatrial.contracts.slo import parse_duration
from seatrial.trials.core import probe
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.live import Progress
from seatrial.trials.core.machine import cpu_times, fingerprint, steal_since
from seatrial.trials.core.noop import noop_server
from seatrial.trials.core.target import Target
from seatrial.trials.load.gone import require_still_there
from seatrial.trials.load.parts import Watch, gather, sample_files
from seatrial.trials.load.plans import TARGET_USERS, WAITS, Plan, UserClass
from seatrial.trials.measure.records import FILE_NAME, compress, write_samples

LOOK_S = 0.25
STOP_S = 35
"""How long users may finish what they began: longer than a request may take."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the parent saw of a run."""

    exit_code: int
    memory: tuple[MemoryReading, ...]
    steal: float | None


def run_load(plan: Plan, target: Target, folder: Path, *, processes: int = 1, progress: Progress) -> Run:
    """Put the target under the load of a plan; records go to `folder`.

    Raises:
        CouldNotRun: the target accepts no connection, or is gone at the end; Locust did not start.
    """
    probe.require(target)
    if target.requests:
        plan = replace(plan, classes=TARGET_USERS)
    subjects = probe.models(target)
    started = time.time()
    if not plan.users:
        write_samples(folder / FILE_NAME, ())
        generator = Generator(kind="locust", processes=0)
        return replace(_run(plan, target, generator, started, started), subjects=subjects, duration_s=0.0)
    parts = folder / "parts"
    parts.mkdir()
    try:
        facts = _swarm(plan, target, folder, parts, processes, progress)
        swarm = gather(parts, processes, facts.exit_code)
        if not list(parts.glob("notes-*.jsonl")):
            raise CouldNotRun(f"Locust ended with {facts.exit_code}; its output is in {folder / 'locust.log'}")
        compress(sample_files(parts), folder / FILE_NAME)
    finally:
        shutil.rmtree(parts)
    generator = Generator(
        kind="locust",
        processes=processes,
        ceiling_rps=swarm.ceiling_rps,
        lag_p99_ms=swarm.lag_p99_ms,
        cpu=swarm.cpu,
        steal=facts.steal,
        faults=swarm.faults,
    )
    require_still_there(target, folder / FILE_NAME)
    run = _run(plan, target, generator, swarm.started, swarm.ended)
    return replace(run, subjects=subjects, beats=swarm.beats, memory=facts.memory)


def _run(plan: Plan, target: Target, generator: Generator, started: float, ended: float) -> Run:
    return Run(
        verb="load",
        plan=plan.name,
        target=target.url,
        started=started,
        ended=ended,
        duration_s=plan.seconds,
        generator=generator,
        machine=fingerprint(),
        users=plan.users,
        spawn_rate=plan.spawn_rate,
        classes=plan.classes,
        cadence_ms={name: _mean_wait_ms(name, target) for name in plan.classes},
        min_samples=plan.min_samples,
        min_duration_s=parse_duration(plan.min_duration),
    )


def _mean_wait_ms(name: UserClass, target: Target) -> float:
    return sum(WAITS.get(name, target.wait_s)) / 2 * 1000


def _swarm(plan: Plan, target: Target, folder: Path, parts: Path, processes: int, progress: Progress) -> _Facts:
    """Run Locust to its end, and watch."""
    before = cpu_times()
    memory = probe.MemoryWatch(target)
    watch = Watch(parts, plan.seconds)
    with noop_server() as noop, (folder / "locust.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            _command(plan, target, folder, processes),
            env=_environment(target, parts, noop),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                progress(watch.look())
                memory.read_if_due()
                _wait(process, LOOK_S)
        finally:
            _end(process)
    return _Facts(process.returncode, tuple(memory.readings), steal_since(before))


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End Locust and the workers that it made, if they still run: they are a process group of their own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        _wait(process, 5.0)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _command(plan: Plan, target: Target, folder: Path, processes: int) -> list[str]:
    locustfile = Path(__file__).parent / "swarm" / "locustfile.py"
    several = ["--processes", str(processes)] if processes > 1 else []
    return [
        *(sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--host", target.url),
        *("--users", str(plan.users), "--spawn-rate", f"{plan.spawn_rate:g}", "--run-time", f"{plan.seconds:g}s"),
        *("--stop-timeout", str(STOP_S), "--exit-code-on-error", "0", "--only-summary", *several),
        *("--csv", str(folder / "locust"), "--csv-full-history", "--html", str(folder / "locust.html")),
        *plan.classes,
    ]


def _environment(target: Target, parts: Path, noop: str) -> dict[str, str]:
    ours = {"SEATRIAL_RECORDS": str(parts), "SEATRIAL_NOOP": noop, "SEATRIAL_API_KEY": target.api_key}
    if target.file:
        ours["SEATRIAL_TARGET_FILE"] = str(target.file.resolve())
    return {**os.environ, **ours}
