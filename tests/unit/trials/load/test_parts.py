"""What the processes of Locust write, put together: users add up, and nobody is lost without a word."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.fakes.runs import ANSWER

from seatrial.trials.load.parts import Tail, Watch, gather
from seatrial.trials.measure.records import encode


def notes(folder: Path, process: int, *lines: dict[str, Any]) -> None:
    with (folder / f"notes-{process}.jsonl").open("ab") as file:
        file.writelines(orjson.dumps(line) + b"\n" for line in lines)


def beat(second: float, users: int, cpu: float) -> dict[str, Any]:
    return {"kind": "beat", "time": second, "users": users, "cpu": cpu}


def whole(folder: Path, process: int, *, users: int, cpu: float, lag: float | None = 0.5) -> None:
    """All that a process says from its start to its end."""
    notes(folder, process, {"kind": "ceiling", "time": 99.0, "rps": 1000.0}, {"kind": "start", "time": 100.0 + process})
    notes(folder, process, *(beat(100.0 + process / 10 + second, users, cpu * (second > 0)) for second in range(4)))
    notes(folder, process, {"kind": "end", "time": 105.0 + process, "lag_p99_ms": lag, "exceptions": []})


def test_processes_are_put_together(tmp_path: Path) -> None:
    """Users and ceilings add up; the latest start and end, the longest lag and the busiest process count."""
    whole(tmp_path, 1, users=10, cpu=0.2, lag=0.5)
    whole(tmp_path, 2, users=15, cpu=0.6, lag=2.0)
    found = gather(tmp_path, 2, 0)

    assert (found.started, found.ended, found.ceiling_rps, found.lag_p99_ms) == (102.0, 107.0, 2000.0, 2.0)
    assert found.cpu == pytest.approx(0.6)
    assert max(item.users for item in found.beats) == 25
    assert [round(item.time) for item in found.beats] == [100, 101, 102, 103]
    assert found.faults == ()


def test_a_process_that_was_lost_is_a_fault(tmp_path: Path) -> None:
    """One of two said how it ended, with an exception of a user's; the other did not."""
    whole(tmp_path, 1, users=10, cpu=0.2)
    notes(tmp_path, 2, {"kind": "start", "time": 101.0})
    notes(tmp_path, 1, {"kind": "end", "time": 106.0, "lag_p99_ms": None, "exceptions": ["KeyError: 'x'"]})
    found = gather(tmp_path, 3, 1)

    assert found.faults == ("KeyError: 'x'", "2 of 3 generator processes ended properly (exit code 1)")


def test_nothing_said_is_nothing_known(tmp_path: Path) -> None:
    """No figure is made up."""
    found = gather(tmp_path, 1, 1)

    assert (found.beats, found.ceiling_rps, found.lag_p99_ms, found.cpu) == ((), None, None, None)
    assert found.faults == ("0 of 1 generator processes ended properly (exit code 1)",)


def test_a_line_that_is_not_finished_waits(tmp_path: Path) -> None:
    """The file is read while it grows."""
    path = tmp_path / "samples-1.jsonl"
    path.write_bytes(b"one\ntw")
    tail = Tail(path)

    assert (tail.lines(), tail.lines()) == ([b"one"], [])
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert tail.lines() == [b"two", b"three"]


def test_a_run_is_watched_as_it_goes_on(tmp_path: Path) -> None:
    """Before its start it is starting; then requests, failures and users of all processes are counted."""
    watch = Watch(tmp_path, 20.0)
    assert watch.look().phase == "starting the generator"

    for process in (1, 2):
        notes(tmp_path, process, {"kind": "start", "time": 100.0}, beat(100.0, 5, 0.1))
        (tmp_path / f"samples-{process}.jsonl").write_bytes(encode(ANSWER) * 3)
    live = watch.look()

    assert (live.phase, live.users, live.requests, live.failures) == ("load", 10, 6, 0)
    assert live.duration_s == 20.0
