"""The honesty bank: planted faults, and the verdict that each must get by the commands that people use."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.fakes.planted import planted_server
from tests.live import PYTHON, until

from seatrial.contracts.proof import EXIT_CODES

pytestmark = pytest.mark.load
ENOUGH = ("--rate", "1000", "--duration", "10s", "--timeout", "5")
FEW = ("--rate", "500", "--duration", "7s", "--timeout", "2")
AGAIN = 20
ATTEMPTS = 3
HELD_UP = {"dispatch lag p99", "steal"}


@pytest.fixture(params=[0, *(pytest.param(number, marks=pytest.mark.long) for number in range(1, AGAIN))])
def again(request: pytest.FixtureRequest) -> int:
    """Which time it is: a verdict that is right only mostly is wrong. The repeats are for `scripts/test --full`."""
    return int(request.param)


quick = pytest.mark.usefixtures("again")


def run_trial(folder: Path, *arguments: str, out: str = "run") -> "subprocess.CompletedProcess[str]":
    """`seatrial trial` with `--json`, in a process of its own."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    command = [*PYTHON, "trial", *arguments, "--out", out, "--json"]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def trial(folder: Path, *arguments: str, out: str = "run") -> tuple[int, Any]:
    """The exit code and the report of a trial."""
    done = run_trial(folder, *arguments, out=out)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


QUIET: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@contextmanager
def worker_on(core: int) -> Iterator[None]:
    """A process that works all the time, on one core."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as worker:
        psutil.Process(worker.pid).cpu_affinity([core])
        try:
            yield
        finally:
            worker.kill()


def open_loop(folder: Path, arguments: tuple[str, ...], **planted: float) -> tuple[int, Any]:
    """An open loop against a planted server.

    Where the machine held the generator up, nothing is proven of the server, and it is tried again, as people would.
    """
    for attempt in range(ATTEMPTS):
        with planted_server(**planted) as url:
            code, found = trial(folder, "open", "--target", url, *arguments, out=f"run-{attempt}")
        if not any(check["name"] in HELD_UP and check["holds"] is False for check in found["checks"]):
            break
    return code, found


def open_loop_once(folder: Path, arguments: tuple[str, ...], **planted: float) -> tuple[int, Any]:
    """The same where being late is part of what is planted."""
    with planted_server(**planted) as url:
        return trial(folder, "open", "--target", url, *arguments)


@quick
def test_a_good_server_passes(tmp_path: Path) -> None:
    """Nothing is planted: 10 000 requests, all right."""
    code, found = open_loop(tmp_path, ENOUGH)

    assert (code, found["verdict"]["reasons"]) == (0, [])
    assert (found["total"]["requests"], found["total"]["failures"]) == (10_000, 0)


@quick
def test_rare_errors_fail_at_10_000_requests(tmp_path: Path) -> None:
    """One in a hundred."""
    assert_found(tmp_path, {"errors": 0.01}, "status 500, expected 200")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param({"wrong": 0.001}, "wrong answer", marks=pytest.mark.long),
        pytest.param({"swap": 0.001}, "wrong answer", marks=pytest.mark.long),
        pytest.param({"hang": 0.001}, "no answer: none within 5 s", marks=pytest.mark.long),
    ],
    ids=["wrong", "swapped", "hangs"],
)
def test_a_rare_fault_fails_at_10_000_requests(tmp_path: Path, fault: dict[str, float], kind: str) -> None:
    """Wrong answers, answers of others, and answers that never come: one in a thousand."""
    assert_found(tmp_path, fault, kind)


def assert_found(folder: Path, fault: dict[str, float], kind: str) -> None:
    code, found = open_loop(folder, ENOUGH, **fault)

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert {failure["fault"].partition(": answer")[0] for failure in found["failures"]} == {kind}


@pytest.mark.long
@quick
def test_rare_errors_are_not_proven_with_fewer(tmp_path: Path) -> None:
    """3 500 requests neither pass nor fail such a server."""
    assert_too_few(tmp_path, "error_ratio", errors=0.01)


@pytest.mark.long
def test_rare_wrong_answers_are_not_proven_with_fewer(tmp_path: Path) -> None:
    """The same of answers that are wrong."""
    assert_too_few(tmp_path, "wrong_answers", wrong=0.001)


def assert_too_few(folder: Path, sli: str, **planted: float) -> None:
    code, found = open_loop(folder, FEW, **planted)

    assert (code, found["verdict"]["outcome"]) == (3, "not proven")
    assert f"{sli} of all: 3500 samples, 10000 needed" in found["verdict"]["reasons"]


@pytest.mark.long  # in CI, the stall of a closed loop stands for both
def test_a_stall_shows_in_an_open_loop_once(tmp_path: Path) -> None:
    """10 s without answers: who was due then waited, and the p99 says so."""
    code, found = open_loop(tmp_path, ("--rate", "100", "--duration", "14s"), stall_at=2, stall_for=10)

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert found["total"]["corrected"]["p99_ms"] >= 5000


@pytest.mark.long
def test_a_stall_fails_though_its_end_holds_up_the_generator(tmp_path: Path) -> None:
    """Five thousand answers come at once, and what is due then is sent late: by less than the stall."""
    code, found = open_loop_once(tmp_path, ("--rate", "500", "--duration", "20s"), stall_at=5, stall_for=10)

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert found["total"]["corrected"]["p99_ms"] >= 5000


@pytest.mark.shared
def test_a_stall_shows_in_a_closed_loop(tmp_path: Path) -> None:
    """In `high`: the corrected p99 is above 5 s; what users measured is beside it, and their median is fine."""
    with planted_server(stall_at=11, stall_for=10) as url:
        code, found = trial(tmp_path, "load", "high", "--target", url, "--duration", "32s", "--classes", "MNISTAPIUser")
    total = found["total"]

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert total["corrected"]["p99_ms"] >= 5000
    assert total["measured"]["p50_ms"] < 100
    assert total["corrected"]["p90_ms"] >= 5000


@pytest.mark.long
def test_memory_growth_is_found(tmp_path: Path) -> None:
    """Where the target serves its memory: 100 kB a request on top of 100 MB."""
    code, found = open_loop(tmp_path, ENOUGH, grow=100_000)
    (grade,) = [grade for grade in found["grades"] if grade["sli"] == "memory_growth"]

    assert grade["grade"] == "poor"
    assert (code, found["verdict"]["reasons"][0].partition(" is ")[0]) == (1, "memory_growth of all")


@pytest.mark.shared
@quick
def test_a_generator_at_its_limit_proves_nothing(tmp_path: Path) -> None:
    """More requests a second than one process can send: not proven, whatever came back."""
    code, found = open_loop_once(tmp_path, ("--rate", "20000", "--duration", "2s", "--timeout", "5"))

    assert (code, found["verdict"]["outcome"]) == (3, "not proven")
    assert [check["name"] for check in found["checks"] if check["holds"] is False] != []


@quick
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux pins a process to a core")
def test_a_generator_whose_cpu_is_taken_away_proves_nothing(tmp_path: Path) -> None:
    """Another process works on its only core, before which it has to yield: it is late, and knows it."""
    command = [*PYTHON, "trial", "open", "--rate", "100", "--duration", "4s", "--out", "run", "--json"]
    with planted_server() as url, subprocess.Popen([*command, "--target", url], cwd=tmp_path, **QUIET) as generator:
        records = tmp_path / "run" / "samples.jsonl"
        until(records.exists, "the run has begun")
        until(lambda: records.stat().st_size > 0, "requests are recorded")
        with worker_on(0):
            psutil.Process(generator.pid).cpu_affinity([0])
            for thread in psutil.Process(generator.pid).threads():
                os.setpriority(os.PRIO_PROCESS, thread.id, 19)
            until(lambda: records.read_bytes().count(b"\n") >= 200, "half of it is recorded", patience=60)
        output, errors = generator.communicate()
    found = json.loads(output or errors)

    assert (generator.returncode, found["verdict"]["outcome"]) == (3, "not proven")
    assert "dispatch lag p99" in {check["name"] for check in found["checks"] if check["holds"] is False}


@pytest.mark.shared
@quick
def test_answers_that_depend_on_the_batch_fail(tmp_path: Path) -> None:
    """Each answer alone is right, in a batch it is not: golden finds it, and names the case and the size."""
    with planted_server(batch_dependent=1) as url:
        code, found = trial(tmp_path, "golden", "--target", url)
    alone, batches = found["answers"][:2]

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert (alone["right"], alone["cases"]) == (100, 100)
    assert (batches["right"], batches["cases"]) == (105, 10_000)  # five sizes leave a last batch of one
    assert batches["example"].startswith("case 0 in a batch of 2: ")


@pytest.mark.shared
@quick
def test_right_answers_pass(tmp_path: Path) -> None:
    """One by one and in every batch, for each model in production."""
    with planted_server() as url:
        code, found = trial(tmp_path, "golden", "--target", url)

    assert (code, found["verdict"]["outcome"]) == (0, "pass")
    assert [(check["model_id"], check["right"]) for check in found["answers"]] == [
        ("digits:1", 100), ("digits:1", 10_000), ("geoclimate:1", 100), ("geoclimate:1", 10_000),
    ]  # fmt: skip


@pytest.mark.shared
@quick
def test_wrong_answers_fail_golden(tmp_path: Path) -> None:
    """A server that is wrong now and then."""
    with planted_server(wrong=0.1) as url:
        code, found = trial(tmp_path, "golden", "--target", url, "--model", "digits:1")

    assert (code, [check["model_id"] for check in found["answers"]]) == (1, ["digits:1", "digits:1"])
    assert found["answers"][0]["right"] < 100


@pytest.mark.shared
def test_answers_that_are_none_fail_golden(tmp_path: Path) -> None:
    """A page of a proxy with status 200 is a wrong answer, not the end of the trial."""
    with planted_server(garbage=0.1) as url:
        code, found = trial(tmp_path, "golden", "--target", url, "--model", "digits:1")

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert found["failures"][0]["fault"] == "wrong answer: body expected JSON, received b'<html>'"


@pytest.mark.shared
def test_who_is_limited_proves_nothing(tmp_path: Path) -> None:
    """Answers of 429 tell of the caller's limits, not of the service: no verdict, and what to do about it."""
    with planted_server(limited=0.1) as url:
        code, found = trial(tmp_path, "golden", "--target", url, "--model", "digits:1")

    assert (code, found["verdict"]["outcome"]) == (EXIT_CODES["not proven"], "not proven")
    (reason,) = found["verdict"]["reasons"]
    assert re.match(r"within the caller's limits: \d+ of \d+ answers were 429; expected none: ask with a key", reason)


@pytest.mark.shared
@pytest.mark.parametrize("arguments", [("golden",), ("bench",)], ids=["golden", "bench"])
def test_a_server_that_goes_away_could_not_be_checked(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """It was not wrong, or slow, but gone: exit code 4, with its records kept."""
    with planted_server(die_after=0.05) as url:
        done = run_trial(tmp_path, *arguments, "--target", url)

    assert (done.returncode, done.stdout) == (4, "")
    assert f"could not run: {url} went away during the run, and accepts no connections" in done.stderr
    assert (tmp_path / "run" / "samples.jsonl.gz").exists()


@pytest.mark.shared
def test_a_model_without_known_answers_could_not_be_checked(tmp_path: Path) -> None:
    """Nothing is right about answers that nobody knows: exit code 4, and where they were looked for."""
    with planted_server() as url:
        done = run_trial(tmp_path, "golden", "--target", url, "--model", "nobody:1")

    assert (done.returncode, done.stdout) == (4, "")
    assert "tells no known answers of nobody:1: expected its manifest at /models/nobody:1 and cases" in done.stderr


@pytest.mark.long
def test_the_knee_is_where_the_service_cannot_follow(tmp_path: Path) -> None:
    """A server that works 4 ms for each answer, one at a time, holds a little less than 250 requests a second."""
    with planted_server(service_ms=4) as url:
        arguments = ("open", "--find-knee", "--rate", "100", "--duration", "3s", "--target", url)
        code, found = trial(tmp_path, *arguments)

    assert (code, found["schema"], found["blocks"][0]["held"]) == (0, "seatrial/knee/v1", True)
    assert 180 <= found["rate"] <= 265
    assert "did not" in found["limited_by"]
