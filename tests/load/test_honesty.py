"""The honesty bank: planted faults, and the verdict that each must get by the commands that people use."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.planted import planted_server
from tests.live import PYTHON

pytestmark = pytest.mark.load
ENOUGH = ("--rate", "500", "--duration", "20s", "--timeout", "5")
FEW = ("--rate", "500", "--duration", "7s", "--timeout", "2")


def trial(folder: Path, *arguments: str) -> tuple[int, Any]:
    """The exit code and the report of a trial."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    # Coverage slows the generator down; what it measures here has tests of its own.
    variables.pop("COVERAGE_PROCESS_CONFIG", None)
    command = [*PYTHON, "trial", *arguments, "--out", "run", "--json"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def open_loop(folder: Path, arguments: tuple[str, ...], **planted: float) -> tuple[int, Any]:
    with planted_server(**planted) as url:
        return trial(folder, "open", "--target", url, *arguments)


def test_a_good_server_passes(tmp_path: Path) -> None:
    """Nothing is planted: 10 000 requests, all right."""
    code, found = open_loop(tmp_path, ENOUGH)

    assert (code, found["verdict"]["reasons"]) == (0, [])
    assert (found["total"]["requests"], found["total"]["failures"]) == (10_000, 0)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"errors": 0.01}, "status 500, expected 200"),
        ({"wrong": 0.001}, "wrong answer"),
        pytest.param({"swap": 0.001}, "wrong answer", marks=pytest.mark.long),
        pytest.param({"hang": 0.001}, "no answer: none within 5 s", marks=pytest.mark.long),
    ],
    ids=["errors", "wrong", "swapped", "hangs"],
)
def test_a_rare_fault_fails_at_10_000_requests(tmp_path: Path, fault: dict[str, float], kind: str) -> None:
    """Errors, wrong answers, answers of others, and answers that never come."""
    code, found = open_loop(tmp_path, ENOUGH, **fault)

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert {failure["fault"].partition(": answer")[0] for failure in found["failures"]} == {kind}


@pytest.mark.parametrize(
    "fault", [{"errors": 0.01}, pytest.param({"wrong": 0.001}, marks=pytest.mark.long)], ids=["errors", "wrong"]
)
def test_a_rare_fault_is_not_proven_with_fewer(tmp_path: Path, fault: dict[str, float]) -> None:
    """3 500 requests neither pass nor fail such a server."""
    code, found = open_loop(tmp_path, FEW, **fault)

    assert (code, found["verdict"]["outcome"]) == (3, "not proven")


@pytest.mark.long
def test_a_stall_shows_in_an_open_loop(tmp_path: Path) -> None:
    """10 s without answers: who was due then waited, and the p99 says so."""
    code, found = open_loop(tmp_path, ("--rate", "100", "--duration", "20s"), stall_at=5, stall_for=10)

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert found["total"]["corrected"]["p99_ms"] >= 5000


def test_a_stall_shows_in_a_closed_loop(tmp_path: Path) -> None:
    """In `high`: the corrected p99 is above 5 s; the p95 that users measured is beside it, and fine."""
    with planted_server(stall_at=12, stall_for=10) as url:
        code, found = trial(tmp_path, "load", "high", "--target", url, "--duration", "45s", "--classes", "MNISTAPIUser")
    total = found["total"]

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert total["corrected"]["p99_ms"] >= 5000
    assert total["corrected"]["p95_ms"] >= 10 * total["measured"]["p90_ms"]


@pytest.mark.long
def test_memory_growth_is_found(tmp_path: Path) -> None:
    """Where the target serves its memory: 100 kB a request on top of 100 MB."""
    code, found = open_loop(tmp_path, ENOUGH, grow=100_000)
    (grade,) = [grade for grade in found["grades"] if grade["sli"] == "memory_growth"]

    assert grade["grade"] == "poor"
    assert (code, found["verdict"]["reasons"][0].partition(" is ")[0]) == (1, "memory_growth of all")


def test_a_generator_at_its_limit_proves_nothing(tmp_path: Path) -> None:
    """More requests a second than one process can send: not proven, whatever came back."""
    code, found = open_loop(tmp_path, ("--rate", "20000", "--duration", "2s", "--timeout", "5"))

    assert (code, found["verdict"]["outcome"]) == (3, "not proven")
    assert [check["name"] for check in found["checks"] if check["holds"] is False] != []


def test_answers_that_depend_on_the_batch_fail(tmp_path: Path) -> None:
    """Each answer alone is right, in a batch it is not: golden finds it, and names the case and the size."""
    with planted_server(batch_dependent=1) as url:
        code, found = trial(tmp_path, "golden", "--target", url)
    alone, batches = found["answers"][:2]

    assert (code, found["verdict"]["outcome"]) == (1, "fail")
    assert (alone["right"], alone["cases"]) == (100, 100)
    assert (batches["right"], batches["cases"]) == (105, 10_000)  # five sizes leave a last batch of one
    assert batches["example"].startswith("case 0 in a batch of 2: ")


def test_right_answers_pass(tmp_path: Path) -> None:
    """One by one and in every batch, for each model in production."""
    with planted_server() as url:
        code, found = trial(tmp_path, "golden", "--target", url)

    assert (code, found["verdict"]["outcome"]) == (0, "pass")
    assert [(check["model_id"], check["right"]) for check in found["answers"]] == [
        ("digits:1", 100), ("digits:1", 10_000), ("geoclimate:1", 100), ("geoclimate:1", 10_000),
    ]  # fmt: skip


def test_wrong_answers_fail_golden(tmp_path: Path) -> None:
    """A server that is wrong now and then."""
    with planted_server(wrong=0.1) as url:
        code, found = trial(tmp_path, "golden", "--target", url, "--model", "digits:1")

    assert (code, [check["model_id"] for check in found["answers"]]) == (1, ["digits:1", "digits:1"])
    assert found["answers"][0]["right"] < 100
