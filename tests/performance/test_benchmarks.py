"""The benchmarks against the floors: the one place where a test depends on time, and what it asserts is the verdict."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.planted import planted_server
from tests.live import PYTHON, server_process

pytestmark = pytest.mark.performance
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "another-api"
ONLY_PREDICT = """
schema = "seatrial/target/v1"
[[request]]
path = "/predict"
method = "POST"
body = { data = [39.7, -105, 2050, "A1B"] }
"""


def bench_predict(folder: Path, *arguments: str) -> tuple[int, Any]:
    """The same of one benchmark only, which takes seconds less, graded by the SLO file of the guide."""
    (folder / "target.toml").write_text(ONLY_PREDICT, encoding="utf-8")
    return bench(folder, "--target-file", "target.toml", "--slo", str(GUIDE / "slo.toml"), *arguments)


def bench(folder: Path, *arguments: str) -> tuple[int, Any]:
    """The exit code and the report of `seatrial trial bench`."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    command = [*PYTHON, "trial", "bench", "--out", "run", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - a JSON document
    """The report of a real server."""
    folder = tmp_path_factory.mktemp("bench")
    with server_process(folder) as server:
        code, report = bench(folder, "--target", server.url, "--save-baseline", "--baselines", "kept")
    assert code == 0, report["verdict"]
    (baseline,) = (folder / "kept").iterdir()
    assert report["run"]["machine"]["digest"].startswith(f"sha256:{baseline.name}")
    assert (baseline / "seatrial" / "proof.json").read_bytes() == (folder / "run" / "proof.json").read_bytes()
    return report


class TestPerformanceBenchmarks:
    """`seatrial trial bench` of a real server, graded by the floors."""

    @pytest.mark.parametrize("name", ["GET /health", "GET /models", "GET /metrics", "POST /predict"])
    def test_endpoint(self, found: Any, name: str) -> None:  # noqa: ANN401 - a JSON document
        """Mean and p95 of each endpoint hold what is acceptable, from 300 requests."""
        grades = {grade["sli"]: grade for grade in found["grades"] if grade["endpoint"] == name}

        assert {grades[sli]["grade"] for sli in ("mean_ms", "p95_ms")} <= {"target", "acceptable"}
        assert grades["p95_ms"]["samples"] == 300

    @pytest.mark.parametrize(
        ("name", "requests"), [("concurrent requests", 320), ("POST /predict/batch", 320), ("consistency", 320)]
    )
    def test_nothing_fails(self, found: Any, name: str, requests: int) -> None:  # noqa: ANN401 - a JSON document
        """From ten callers at once, in batches, and the same one again and again; 20 of each to warm up."""
        (row,) = [row for row in found["endpoints"] if row["name"] == name]

        assert (row["requests"], row["failures"]) == (requests, 0)

    @pytest.mark.parametrize(("name", "sli"), [("throughput", "rps"), ("consistency", "variation")])
    def test_measure(self, found: Any, name: str, sli: str) -> None:  # noqa: ANN401 - a JSON document
        """Throughput and consistency hold what is acceptable."""
        (grade,) = [grade for grade in found["grades"] if (grade["endpoint"], grade["sli"]) == (name, sli)]

        assert grade["grade"] in {"target", "acceptable"}


BASE_MS = 2.0
JITTER = 0.3
"""Sigma of the spread of a planted server's work: a p95 of 1.6 times its median, as of a real one."""


@pytest.mark.parametrize(
    ("slower", "pairs", "code"),
    [
        pytest.param(0.0, "10", 0, marks=pytest.mark.long),
        pytest.param(0.03, "10", 0, marks=pytest.mark.long),
        (0.25, "6", 1),
    ],
)
def test_the_champion_is_compared(tmp_path: Path, slower: float, pairs: str, code: int) -> None:
    """The same server twice, and one 3 % slower, pass a limit of 10 %; one 25 % slower fails."""
    with (
        planted_server(service_ms=BASE_MS, jitter=JITTER) as champion,
        planted_server(service_ms=BASE_MS * (1 + slower), jitter=JITTER) as candidate,
    ):
        servers = ("--target", candidate, "--against", champion)
        found, report = bench_predict(tmp_path, *servers, "--block", "1s", "--pairs", pairs)

    assert found == code, report["verdict"]["reasons"]
    assert [item["outcome"] for item in report["comparisons"]] == ["fail" if code else "pass"]
    remade = subprocess.run(
        [*PYTHON, "trial", "report", "run", "--json"], cwd=tmp_path, capture_output=True, check=False
    )
    assert (remade.returncode, json.loads(remade.stdout)) == (found, report)


@pytest.mark.shared
def test_a_key_goes_to_whom_it_belongs(tmp_path: Path) -> None:
    """The target's key is not sent to the champion; the champion's own is. One pair proves nothing, and shows it."""
    with planted_server(key=2) as champion, planted_server(key=2) as candidate:
        keys = ("--target", candidate, "--against", champion, "--api-key", "2", "--block", "1s", "--pairs", "1")
        (tmp_path / "without").mkdir()
        _, without = bench_predict(tmp_path / "without", *keys)
        _, both = bench_predict(tmp_path, *keys, "--against-key", "2")

    (reason,) = {item["reason"].partition(" ")[2] for item in without["comparisons"]}
    assert reason == "requests of the champion failed (status 401, expected 200)"
    assert {item["reason"] for item in both["comparisons"]} == {""}


def test_a_baseline_stands_beside_the_next_run(tmp_path: Path) -> None:
    """Of the same machine: the table says how each figure changed, and what else did."""
    with planted_server(service_ms=BASE_MS) as url:  # which keeps our client less busy than the server
        code, first = bench_predict(
            tmp_path, "--target", url, "--save-baseline", "--baselines", "kept", "--out", "first"
        )
        assert code == 0, first["verdict"]
        bench_predict(tmp_path, "--target", url, "--baselines", "kept", "--out", "second")
    compared = json.loads((tmp_path / "second" / "compare.json").read_bytes())

    assert not (tmp_path / "first" / "compare.json").exists()
    assert compared["differences"] == []
    assert {row["endpoint"] for row in compared["rows"]} == {"POST /predict"}


@pytest.mark.long
def test_a_against_a_cries_wolf_at_most_once_in_twenty_sets(tmp_path: Path) -> None:
    """Twenty short sets of a real server against another of its kind, ten pairs of blocks each."""
    outcomes: Counter[str] = Counter()
    for folder in ("champion", "candidate"):
        (tmp_path / folder).mkdir()
    with server_process(tmp_path / "champion") as champion, server_process(tmp_path / "candidate") as candidate:
        for number in range(20):
            servers = ("--target", candidate.url, "--against", champion.url)
            _, report = bench(tmp_path, *servers, "--block", "1s", "--out", f"set-{number}")
            outcomes[report["verdict"]["outcome"]] += 1

    assert outcomes["fail"] <= 1, outcomes
    assert outcomes["pass"] >= 10, outcomes  # a kit that proves nothing cries no wolf either
