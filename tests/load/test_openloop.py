"""Short runs of the open loop against planted servers: what is recorded, and what the engine knows of itself."""

import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import psutil
import pytest
from tests.fakes.planted import planted_server
from tests.live import PATIENCE, PYTHON, free_port, hear_interrupts, until

from seatrial.contracts.record import Run, Sample
from seatrial.grading.spec import read_slo
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.live import Live, Progress
from seatrial.trials.core.noop import noop_server
from seatrial.trials.core.questions import Question, expect_ok
from seatrial.trials.core.target import Target, Weighted
from seatrial.trials.load.openloop.arrivals import Arrivals, due_times
from seatrial.trials.load.openloop.engine import SPARE_FILES, OpenLoad, run_open
from seatrial.trials.measure.prove import prove
from seatrial.trials.measure.records import FILE_NAME, read_samples

pytestmark = pytest.mark.load
LOAD = OpenLoad(rate=100, duration_s=2)


def ignore(_: Live) -> None:
    """Nobody looks."""


def send(load: OpenLoad, target: Target, folder: Path, progress: Progress = ignore) -> tuple[Run, list[Sample]]:
    """A run and its records, in the order in which the requests were due."""
    run = run_open(load, target, folder, progress)
    return run, sorted(read_samples(folder / FILE_NAME), key=lambda sample: sample.intended)


def late_ms(sample: Sample) -> float:
    return (sample.start - sample.intended) * 1000


@pytest.mark.parametrize("arrivals", ["constant", pytest.param("poisson", marks=pytest.mark.long)])
def test_every_request_is_sent_when_it_is_due(tmp_path: Path, arrivals: Arrivals) -> None:
    """As many as the schedule has, at its moments, of both models; what was offered is what the schedule had."""
    with planted_server() as url:
        run, samples = send(replace(LOAD, arrivals=arrivals), Target(url), tmp_path)
    due = list(due_times(arrivals, LOAD.rate, LOAD.duration_s, LOAD.seed))

    assert [sample.intended - run.started for sample in samples] == pytest.approx(due, abs=1e-3)
    assert all(sample.ok and sample.start >= sample.intended for sample in samples)
    assert {sample.model for sample in samples} == {"digits", "geoclimate"}
    assert run.offered_rps == len(due) / LOAD.duration_s
    assert {subject.model_id for subject in run.subjects} == {"digits:1", "geoclimate:1"}
    assert run.memory[0].bytes == 100_000_000
    assert run.generator.ceiling_rps
    assert list(tmp_path.iterdir()) == [tmp_path / FILE_NAME]


@pytest.mark.shared
def test_what_is_asked_does_not_depend_on_the_gap_before_it(tmp_path: Path) -> None:
    """The mean Poisson gap before one model's questions is that before the other's, within a third."""
    with planted_server() as url:
        _, samples = send(OpenLoad(rate=300, duration_s=2, arrivals="poisson"), Target(url), tmp_path)
    gaps: dict[str, list[float]] = {"digits": [], "geoclimate": []}
    for before, sample in pairwise(samples):
        gaps[sample.model].append(sample.intended - before.intended)
    digits, geoclimate = (sum(of) / len(of) for of in gaps.values())

    assert 0.67 < digits / geoclimate < 1.5


def test_a_stall_does_not_hold_back_who_comes_next(tmp_path: Path) -> None:
    """Half a second without answers: fifty were due in it, were sent in it, and waited to its end."""
    with planted_server(stall_at=0.5, stall_for=0.5) as url:
        run, samples = send(LOAD, Target(url), tmp_path)
    waited = [sample for sample in samples if sample.latency_ms > 100]

    assert len(waited) == pytest.approx(40, abs=8)
    assert max(sample.latency_ms for sample in samples) == pytest.approx(500, abs=100)
    assert max(sample.start for sample in samples) < run.started + LOAD.duration_s + 0.4


@pytest.mark.long
def test_a_request_without_an_answer_counts_at_the_timeout(tmp_path: Path) -> None:
    """One in ten hangs; each is a failure with the latency of the timeout, and has no status."""
    with planted_server(hang=0.1) as url:
        _, samples = send(replace(LOAD, timeout_s=0.4), Target(url), tmp_path)
    hung = [sample for sample in samples if not sample.ok]

    assert 5 <= len(hung) <= 40
    assert {(sample.status, sample.fault) for sample in hung} == {(0, "no answer: none within 0.4 s")}
    assert all(399 <= sample.latency_ms < 900 for sample in hung)  # timers are a millisecond coarse


def test_requests_beyond_the_bound_wait_and_are_late(tmp_path: Path) -> None:
    """One at a time of 20 ms, where 100 a second are due: the wait is in their lateness, and no lag of the engine's."""
    with planted_server(service_ms=20) as url:
        run, samples = send(OpenLoad(rate=100, duration_s=1, most_in_flight=1), Target(url), tmp_path)

    assert len(samples) == 100
    assert all(after.start >= before.start + before.latency_ms / 1000 - 1e-3 for before, after in pairwise(samples))
    assert late_ms(samples[-1]) > 900
    assert run.generator.late_starts >= 95
    assert run.generator.lag_p99_ms is not None
    assert run.generator.lag_p99_ms < late_ms(samples[-1]) / 5


def test_a_generator_that_was_held_up_says_so_for_each_request(tmp_path: Path) -> None:
    """Half a second in which it did nothing, a quarter of the run: a quarter of its requests, and nothing is proven."""
    never, looks = threading.Event(), count()

    def hold_up(_: Live) -> None:
        if next(looks) == 3:
            never.wait(0.5)

    with planted_server() as url:
        run, samples = send(LOAD, Target(url), tmp_path, hold_up)
    proof = prove(run, samples, read_slo("default"))
    (lag,) = [check for check in proof.checks if check.name == "dispatch lag p99"]

    assert run.generator.late_starts >= 40
    assert run.generator.lag_p99_ms == pytest.approx(490, abs=100)
    assert (proof.verdict.outcome, lag.holds) == ("not proven", False)


@contextmanager
def few_open_files(connections: int) -> Iterator[None]:
    """A limit of open files that leaves this many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + SPARE_FILES + connections, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.shared
def test_our_own_limit_of_open_files_is_no_fault_of_the_target(tmp_path: Path) -> None:
    """A hundred wait for a stalled server, where about twenty connections can be: the others wait to be sent."""
    with planted_server(stall_at=0.5, stall_for=1) as url, few_open_files(20):
        run, samples = send(LOAD, Target(url), tmp_path)

    assert (len(samples), [sample.fault for sample in samples if not sample.ok]) == (200, [])
    assert run.generator.late_starts >= 50
    assert max(late_ms(sample) + sample.latency_ms for sample in samples) == pytest.approx(1000, abs=200)


@pytest.mark.shared
def test_a_request_that_left_no_record_is_a_fault_of_the_generator(tmp_path: Path) -> None:
    """A check that cannot judge an answer must not make it go unseen: nothing is proven."""

    def fail(status: int, body: bytes) -> str:
        raise ZeroDivisionError(f"{status} {len(body)}")

    asked = tuple(Weighted(Question("GET /", "GET", "/", check), 1) for check in (expect_ok, fail))
    with noop_server() as url:
        run, samples = send(LOAD, Target(url, requests=asked), tmp_path)

    assert run.generator.faults == ("GET / was not recorded: ZeroDivisionError: 200 2",)
    assert 0 < len(samples) < 200
    assert prove(run, samples, read_slo("default")).verdict.outcome == "not proven"


@pytest.mark.shared
def test_a_target_that_is_not_there_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    """It could not run; nothing is written."""
    with pytest.raises(CouldNotRun, match="does not accept connections"):
        run_open(LOAD, Target(f"http://127.0.0.1:{free_port()}"), tmp_path, ignore)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_target_that_goes_away_ends_the_trial_and_keeps_its_records(tmp_path: Path) -> None:
    """It could not run, since a server that is gone was not measured; what was recorded stays."""
    with planted_server(die_after=0.5) as url, pytest.raises(CouldNotRun, match="went away during the run"):
        run_open(replace(LOAD, duration_s=3), Target(url), tmp_path, ignore)

    samples = list(read_samples(tmp_path / FILE_NAME))
    assert len(samples) == 300
    assert 30 <= sum(sample.ok for sample in samples) <= 70


@pytest.mark.shared
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_at_once_and_quietly(tmp_path: Path, number: int) -> None:
    """Ctrl-C, or a CI system's end, in the middle of a minute: exit code 130, no traceback; what was recorded stays."""
    records = tmp_path / "run" / "samples.jsonl"
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    with planted_server() as url:
        command = [*PYTHON, "trial", "open", "--target", url, "--rate", "1000", "--duration", "60s", "--out", "run"]
        with subprocess.Popen(
            command,
            cwd=tmp_path,
            env=variables,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_interrupts,  # noqa: PLW1509 - before any thread of ours runs in it
        ) as trial:
            until(lambda: records.exists() and records.stat().st_size > 0, "requests are recorded")
            trial.send_signal(number)
            _, errors = trial.communicate(timeout=PATIENCE)

    assert trial.returncode == 130
    assert "Traceback" not in errors
    assert records.stat().st_size > 0
