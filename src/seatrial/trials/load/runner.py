"""Run a load plan: Locust in processes of its own, our recorder inside, one set of records at the end."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from seatrial.contracts.record import Generator, MemoryReading, Run
from seatrial.contracts.slo import parse_duration
from seatrial.grading.plans import TARGET_USERS, WAITS, Plan
from seatrial.trials.core import probe
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.live import Progress
from seatrial.trials.core.machine import cpu_times, fingerprint, steal_since
from seatrial.trials.core.models import write_models
from seatrial.trials.core.noop import noop_server
from seatrial.trials.core.target import Target
from seatrial.trials.load.parts import Watch, gather, sample_files
from seatrial.trials.measure.gone import require_still_there
from seatrial.trials.measure.records import FILE_NAME, compress, write_samples

LOOK_S = 0.25
STOP_S = 35
"""How long users may finish what they began: longer than a request may take."""
START_S = 60
"""How long the generator may take to start, over the time that its users are started in."""


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
    classes: tuple[str, ...] = TARGET_USERS if target.requests else plan.classes
    subjects = probe.models(target)
    started = time.time()
    if not plan.users:
        write_samples(folder / FILE_NAME, ())
        generator = Generator(kind="locust", processes=0)
        run = _run(plan, classes, target, generator, started, started)
        return replace(run, subjects=subjects, duration_s=0.0)
    parts = folder / "parts"
    parts.mkdir()
    try:
        command = _command(plan, classes, target, processes)
        facts = _swarm(command, plan, target, folder, parts, progress)
        swarm = gather(parts, processes, facts.exit_code)
        if not list(parts.glob("notes-*.jsonl")):
            raise CouldNotRun(f"Locust ended with {facts.exit_code}; its output is in {folder / 'locust.log'}")
    finally:
        compress(sample_files(parts), folder / FILE_NAME)
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
    run = _run(plan, classes, target, generator, swarm.started, swarm.ended)
    return replace(run, subjects=subjects, beats=swarm.beats, memory=facts.memory)


def _run(
    plan: Plan, classes: tuple[str, ...], target: Target, generator: Generator, started: float, ended: float
) -> Run:
    return Run(
        verb="load",
        plan=plan.name,
        target=target.url,
        model=target.model,
        trial=target.trial,
        started=started,
        ended=ended,
        duration_s=plan.seconds,
        generator=generator,
        machine=fingerprint(),
        users=plan.users,
        spawn_rate=plan.spawn_rate,
        classes=classes,
        cadence_ms={name: _mean_wait_ms(name, target) for name in classes},
        min_samples=plan.min_samples,
        min_duration_s=parse_duration(plan.min_duration),
    )


def _mean_wait_ms(name: str, target: Target) -> float:
    waits: dict[str, tuple[float, float]] = dict(WAITS.items())
    return sum(waits.get(name, target.wait_s)) / 2 * 1000


def _swarm(command: list[str], plan: Plan, target: Target, folder: Path, parts: Path, progress: Progress) -> _Facts:
    """Run Locust to its end, and watch."""
    before = cpu_times()
    memory = probe.MemoryWatch(target)
    watch = Watch(parts, plan.seconds)
    deadline = time.monotonic() + plan.users / plan.spawn_rate + plan.seconds + START_S + STOP_S
    with noop_server() as noop, (folder / "locust.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            cwd=folder,
            env=_environment(target, parts, noop),
            stdin=subprocess.PIPE,  # by which it knows that we are there
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while _runs(process):
                progress(watch.look())
                memory.read_if_due()
                _wait(process, LOOK_S)
                if time.monotonic() > deadline:
                    raise CouldNotRun(f"Locust did not come to its end; its output is in {folder / 'locust.log'}")
        finally:
            _end(process)
    return _Facts(process.returncode, tuple(memory.readings), steal_since(before))


def _runs(process: "subprocess.Popen[bytes]") -> bool:
    """Whether Locust or a worker that it made still runs: workers end after their master, when their users have."""
    return process.poll() is None or _signal(process, 0)


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    if process.poll() is not None:
        time.sleep(seconds)  # its workers are no children of ours, whom one could wait for
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End Locust and the workers that it made, if they still run: they are a process group of their own."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        _wait(process, 5.0)
    _signal(process, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _signal(process: "subprocess.Popen[bytes]", number: int) -> bool:
    """Signal the group, or with 0 nobody; whether there is anybody left in it."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of those that have just ended
        return False
    return True


def _command(plan: Plan, classes: tuple[str, ...], target: Target, processes: int) -> list[str]:
    locustfile = Path(__file__).parent / "swarm" / "locustfile.py"
    return [
        *(sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--host", target.url),
        *("--users", str(plan.users), "--spawn-rate", f"{plan.spawn_rate:g}", "--run-time", f"{plan.seconds:.0f}s"),
        *("--stop-timeout", str(STOP_S), "--exit-code-on-error", "0", "--only-summary", *_several(processes)),
        *("--csv", "locust", "--csv-full-history", "--html", "locust.html"),
        *classes,
    ]


def _several(processes: int) -> list[str]:
    """The flags of a master with workers, who talk on a port of their own that nobody else can reach."""
    if processes == 1:
        return []
    with socket.create_server(("127.0.0.1", 0)) as freed:
        port = str(freed.getsockname()[1])
    return [
        *("--processes", str(processes), "--master-bind-host", "127.0.0.1", "--master-bind-port", port),
        *("--master-host", "127.0.0.1", "--master-port", port),
    ]


def _environment(target: Target, parts: Path, noop: str) -> dict[str, str]:
    """Ours, without what the caller has set for Locust itself."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    models = parts.resolve() / "models.json"
    write_models(models, target.models)
    ours = {
        "SEATRIAL_RECORDS": str(parts.resolve()),
        "SEATRIAL_NOOP": noop,
        "SEATRIAL_API_KEY": target.api_key,
        "SEATRIAL_TRIAL": target.trial,
        "SEATRIAL_MODELS": str(models),
    }
    if target.file:
        ours["SEATRIAL_TARGET_FILE"] = str(target.file.resolve())
    return {**inherited, **ours}
