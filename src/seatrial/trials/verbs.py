"""The verbs: each runs one kind of trial from its start to its reports. The command line calls these and prints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from seatrial.contracts.proof import Proof, SloUsed
from seatrial.contracts.record import Sample
from seatrial.contracts.slo import parse_duration
from seatrial.grading.plans import WAITS, Plan, check_duration, read_plan
from seatrial.grading.spec import read_slo
from seatrial.grading.toml import WrongFile
from seatrial.trials.bench import BenchOptions, run_bench
from seatrial.trials.core import probe
from seatrial.trials.core.live import Progress
from seatrial.trials.core.target import Target, read_key, read_target_file, read_url
from seatrial.trials.golden import run_golden
from seatrial.trials.load.openloop import knee
from seatrial.trials.load.openloop.engine import OpenLoad, run_open
from seatrial.trials.load.runner import run_load
from seatrial.trials.measure import pairs
from seatrial.trials.measure.prove import prove
from seatrial.trials.measure.records import FILE_NAME, read_samples
from seatrial.trials.report import compare, files

DEFAULT_TARGET = "http://127.0.0.1:8000"
BASELINES = Path("trials/baselines")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What differs from the plan; None leaves it as it is."""

    users: int | None = None
    duration: str | None = None
    classes: tuple[str, ...] = ()
    processes: int = 1


def find_target(url: str, api_key: str, file: Path | None) -> Target:
    """The target of a trial: a URL, or a target file, whose own URL the other overrides.

    Raises:
        WrongFile: the URL or the file cannot be used.
    """
    if file:
        return read_target_file(file, url, api_key)
    return Target(read_url(url or DEFAULT_TARGET), read_key(api_key))


def new_folder(out: Path | None) -> Path:
    """Where a run leaves its files: a folder of its own, which must be empty if it is there.

    Raises:
        WrongFile: it is no empty folder, or cannot be made.
    """
    folder = out or Path("trials") / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise WrongFile(f"{folder}: cannot be used for the records: {error.strerror}") from error
    if taken:
        raise WrongFile(f"{folder}: is not empty; expected a new folder, so that no run is mixed with another")
    return folder


def load(plan: str, target: Target, slo: SloUsed, folder: Path, options: LoadOptions, progress: Progress) -> Proof:
    """Run a load plan and grade it; all files are in `folder`.

    Raises:
        WrongFile: the plan cannot be used.
        CouldNotRun: the target cannot be reached, or goes away.
    """
    stated = read_plan(plan)
    target = probe.with_models(target)
    chosen = _choose(stated, options)
    run = run_load(chosen, target, folder, processes=options.processes, progress=progress)
    changed = tuple(_changes(stated, chosen, target))
    return _finish(prove(replace(run, changed=changed), read_samples(folder / FILE_NAME), slo), folder)


def open_loop(load: OpenLoad, target: Target, slo: SloUsed, folder: Path, progress: Progress) -> Proof:
    """Send an open load and grade it; all files are in `folder`.

    Raises:
        CouldNotRun: the target cannot be reached, or goes away.
    """
    run = run_open(load, probe.with_models(target), folder, progress)
    return _finish(prove(run, read_samples(folder / FILE_NAME), slo), folder)


def golden(model_ids: Sequence[str], target: Target, slo: SloUsed, folder: Path, progress: Progress) -> Proof:
    """Check known answers, one by one and in batches of every size; all files are in `folder`.

    Raises:
        CouldNotRun: the target cannot be reached, or tells no known answers.
    """
    found = run_golden(model_ids, target, folder, progress)
    return _finish(prove(found.run, read_samples(folder / FILE_NAME), slo, answers=found.answers), folder)


def bench(
    target: Target, champion: Target | None, slo: SloUsed, folder: Path, options: BenchOptions, progress: Progress
) -> Proof:
    """Run the benchmarks, against a champion if there is one; all files are in `folder`.

    Raises:
        CouldNotRun: a target cannot be reached.
        WrongFile: there is a champion, and nothing in which to compare with it.
    """
    target, champion = probe.with_models(target), champion and probe.with_models(champion)
    run = run_bench(target, champion, slo.document, folder, options, progress)
    return _finish(prove(run, read_samples(folder / FILE_NAME), slo, _pairs(folder)), folder)


def keep_baseline(proof: Proof, baselines: Path, target: Target) -> Path | None:
    """Keep a proof as the baseline of its machine and kind of target, in a folder of the machine's fingerprint.

    None: the run did not pass, and is no baseline.

    Raises:
        WrongFile: the folder cannot be written.
    """
    if proof.verdict.outcome != "pass":
        return None
    folder = _baseline(proof, baselines, target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write(proof, folder)
    except OSError as error:
        raise WrongFile(f"{folder}: cannot be used for the baseline: {error.strerror}") from error
    return folder


def beside_baseline(proof: Proof, baselines: Path, target: Target, out: Path) -> compare.Compared | None:
    """A proof beside the baseline of its machine and kind of target, if there is one; also as files in `out`.

    Raises:
        WrongFile: what lies there is no proof.
    """
    folder = _baseline(proof, baselines, target)
    if not folder.exists():
        return None
    compared = compare.compare(files.read(folder), proof)
    compare.write(compared, out)
    return compared


def _baseline(proof: Proof, baselines: Path, target: Target) -> Path:
    kind = target.file.stem if target.file else "seatrial"
    return baselines / proof.run.machine.digest.partition(":")[2][:16] / kind


def _pairs(folder: Path) -> Iterable[Sample]:
    """The records of blocks in turn with a champion, if there was one."""
    path = folder / pairs.FILE_NAME
    return read_samples(path) if path.exists() else ()


def find_knee(load: OpenLoad, target: Target, slo: SloUsed, folder: Path, progress: Progress) -> knee.Knee:
    """The highest rate that holds the SLO file, from blocks of `load`; each block's files are in a folder of its own.

    `knee.json` in `folder` lists the blocks.

    Raises:
        CouldNotRun: the target cannot be reached, or goes away.
    """
    numbers = count(1)

    def measure(rate: float) -> knee.Block:
        block = folder / f"{next(numbers):02d}-{rate:g}-per-second"
        block.mkdir()
        proof = open_loop(replace(load, rate=rate), target, slo, block, progress)
        return knee.Block(rate, *knee.judge(proof))

    found = knee.find(load.rate, measure)
    folder.joinpath("knee.json").write_bytes(found.as_json())
    return found


def report(folder: Path, slo: str | None) -> Proof:
    """Make every report of a run again, from its records; with another SLO file, grade it anew.

    Raises:
        WrongFile: the folder is not of a run, or the SLO file cannot be used.
    """
    kept = files.read(folder)
    used = read_slo(slo) if slo else kept.slo
    samples = read_samples(folder / FILE_NAME)
    return _finish(prove(kept.run, samples, used, _pairs(folder), kept.answers), folder)


def side_by_side(first: Path, second: Path, out: Path | None) -> compare.Compared:
    """Two runs side by side; with `out`, as files there too.

    Raises:
        WrongFile: a folder is not of a run.
    """
    compared = compare.compare(files.read(first), files.read(second))
    if out:
        compare.write(compared, new_folder(out))
    return compared


def _choose(plan: Plan, options: LoadOptions) -> Plan:
    unknown = [name for name in options.classes if name not in WAITS]
    if unknown:
        raise WrongFile(f"--classes: expected some of {', '.join(WAITS)}; received {', '.join(unknown)}")
    if options.duration is not None:
        plan = replace(plan, duration=_whole_seconds(options.duration))
    if options.users is not None:
        plan = replace(plan, users=options.users)
    if options.classes:
        plan = replace(plan, classes=tuple(name for name in WAITS if name in options.classes))
    return plan


def _whole_seconds(text: str) -> str:
    try:
        return check_duration(text)
    except ValueError as error:
        raise WrongFile(f"--duration: {error}") from error


def seconds(text: str, flag: str = "--duration") -> float:
    """A duration of the command line in seconds, of at least one second; else WrongFile."""
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise WrongFile(f"{flag}: {error}") from error
    if found < 1:
        raise WrongFile(f"{flag}: expected at least 1s; received {text!r}")
    return found


def _changes(stated: Plan, chosen: Plan, target: Target) -> Sequence[str]:
    """What differs from the plan, in words, for the verdict to say."""
    told = []
    if chosen.seconds != stated.seconds:
        told.append(f"{chosen.seconds:g} s instead of {stated.seconds:g} s")
    if chosen.users != stated.users:
        told.append(f"{chosen.users} users instead of {stated.users}")
    if target.requests:
        told.append(f"users ask what {target.file} says")
    elif chosen.classes != stated.classes:
        told.append(f"{', '.join(chosen.classes)} instead of {', '.join(stated.classes)}")
    if chosen.seconds < parse_duration(chosen.min_duration):
        told.append(f"too short for a promotion, which needs {chosen.min_duration}")
    return told


def _finish(proof: Proof, folder: Path) -> Proof:
    files.write(proof, folder)
    return proof
