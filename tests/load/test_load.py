"""Load plans against a real server, by the command that people use."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.live import PATIENCE, PYTHON, ServerProcess, server_process, until

from seatrial.grading.plans import NAMES, WAITS, read_plan
from seatrial.trials.measure.records import read_samples

pytestmark = pytest.mark.load
ROOT = Path(__file__).resolve().parents[2]
NOT_TOLD = [] if sys.platform == "linux" else ["steal"]
"""What the system does not tell of a generator."""
FILES = {
    "report.html",
    "report.json",
    "junit.xml",
    "summary.md",
    "stats.csv",
    "history.csv",
    "proof.json",
    "samples.jsonl.gz",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the bundled models, for all of this file."""
    with server_process(tmp_path_factory.mktemp("server")) as running:
        yield running


def trial(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    command = [*PYTHON, "trial", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def report(done: "subprocess.CompletedProcess[str]") -> Any:  # noqa: ANN401 - a JSON document
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def smoke(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - a JSON document
    """The report of a short smoke plan, and its folder."""
    folder = tmp_path_factory.mktemp("smoke")
    done = trial(
        *("load", "smoke", "--target", server.url, "--duration", "9s", "--out", "run", "--json"), folder=folder
    )
    return done.returncode, report(done), folder / "run"


def test_smoke_passes(smoke: Any) -> None:  # noqa: ANN401 - a JSON document
    """Every class runs, nothing fails, and the run says that it was shortened."""
    code, found, _ = smoke

    assert (code, found["verdict"]["outcome"], found["failures"]) == (0, "pass", [])
    assert found["run"]["changed"] == ["9 s instead of 20 s"]
    assert found["run"]["classes"] == list(WAITS)
    assert {"POST /predict", "GET /health"} <= {row["name"] for row in found["endpoints"]}


def test_a_run_leaves_its_files(smoke: Any) -> None:  # noqa: ANN401 - a JSON document
    """All reports, the records, and Locust's own CSV and HTML; nothing temporary."""
    names = {path.name for path in smoke[2].iterdir()}

    assert names >= FILES | {"locust.html", "locust_stats.csv", "locust.log"}
    assert "parts" not in names


def test_a_run_knows_what_it_was_about(smoke: Any) -> None:  # noqa: ANN401 - a JSON document
    """Models with digests, the memory of the server, users second by second, the generator's certificate."""
    run = smoke[1]["run"]

    assert [subject["model_id"] for subject in run["subjects"]] == ["digits:1", "geoclimate:1"]
    assert run["memory"][0]["bytes"] > 10_000_000
    assert max(beat["users"] for beat in run["beats"]) == 5
    assert run["generator"]["ceiling_rps"] > 0
    assert [check["name"] for check in smoke[1]["checks"] if check["holds"] is None] == NOT_TOLD


def test_a_report_is_made_again_from_the_records(smoke: Any) -> None:  # noqa: ANN401 - a JSON document
    """The same records and SLO file make the same files, byte by byte; another SLO file grades anew."""
    folder = smoke[2]
    before = {name: (folder / name).read_bytes() for name in FILES}
    done = trial("report", str(folder), "--json", folder=folder)

    assert (done.returncode, report(done)) == (0, smoke[1])
    assert {name: (folder / name).read_bytes() for name in FILES} == before


@pytest.mark.long
def test_processes_are_merged(server: ServerProcess, tmp_path: Path) -> None:
    """Two generator processes: their users add up, and all requests are in one set of records."""
    done = trial(
        *("load", "smoke", "--target", server.url, "--users", "20", "--duration", "9s", "--processes", "2"),
        *("--classes", "StressTestUser", "--json", "--out", "run"),
        folder=tmp_path,
    )
    found = report(done)

    assert found["run"]["generator"]["faults"] == []
    assert max(beat["users"] for beat in found["run"]["beats"]) == 20
    assert found["total"]["requests"] > 20 * 9 / 0.5 / 2
    assert found["failures"] == []


@pytest.mark.shared
def test_no_server_is_exit_code_4(tmp_path: Path) -> None:
    """Nothing listens: it could not run, and says where it looked."""
    done = trial("load", "smoke", "--target", "http://127.0.0.1:1", folder=tmp_path)

    assert done.returncode == 4
    assert "http://127.0.0.1:1 does not accept connections: Connection refused" in done.stderr


@pytest.mark.shared
def test_no_users_prove_nothing(server: ServerProcess, tmp_path: Path) -> None:
    """An empty run is exit code 3."""
    done = trial("load", "smoke", "--target", server.url, "--users", "0", "--json", folder=tmp_path)

    assert (done.returncode, report(done)["verdict"]["outcome"]) == (3, "not proven")


@pytest.mark.shared
def test_a_server_that_goes_away_is_exit_code_4(tmp_path: Path) -> None:
    """It stops for good in the middle: could not run, with its records kept."""
    with server_process(tmp_path) as server:
        arguments = ("load", "smoke", "--target", server.url, "--duration", "8s", "--out", "run")
        command = [*PYTHON, "trial", *arguments]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
            parts = tmp_path / "run" / "parts"
            wait_for_samples(parts)
            server.close()
            assert running.stderr
            errors = running.stderr.read()

    assert running.returncode == 4, errors
    assert "went away during the run" in errors
    assert (tmp_path / "run" / "samples.jsonl.gz").exists()


@pytest.mark.shared
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_load_does_not_outlive_who_asked_for_it(server: ServerProcess, tmp_path: Path, number: int) -> None:
    """Ended by its process id, or killed: its generators end too. Where it could, it kept its records."""
    command = [*PYTHON, "trial", "load", "smoke", "--target", server.url, "--processes", "2", "--out", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        wait_for_samples(tmp_path / "run" / "parts")
        started = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(number)
        errors = running.communicate(timeout=PATIENCE)[1]
    _, alive = psutil.wait_procs(started, timeout=PATIENCE)

    assert (len(started) >= 4, alive) == (True, [])  # Locust's master, its two workers, and the no-op server
    assert "Traceback" not in errors
    if number == signal.SIGTERM:
        assert running.returncode == 130
        assert list(read_samples(tmp_path / "run" / "samples.jsonl.gz"))


def wait_for_samples(parts: Path) -> None:
    until(lambda: any(path.stat().st_size for path in parts.glob("samples-*.jsonl")), "requests are recorded")


TARGET_FILE = """
schema = "seatrial/target/v1"
wait = [0.05, 0.1]
[[request]]
path = "/predict"
method = "POST"
body = { data = [39.7, -105, 2050, "A1B"] }
expect = { json = { "/model_id" = "geoclimate:2" } }
"""


@pytest.mark.shared
def test_an_answer_that_a_target_file_does_not_expect_is_wrong(server: ServerProcess, tmp_path: Path) -> None:
    """With status 200 and all: another model answered than the file says."""
    (tmp_path / "target.toml").write_text(TARGET_FILE, encoding="utf-8")
    done = trial(
        *("load", "smoke", "--target", server.url, "--target-file", "target.toml", "--duration", "8s", "--json"),
        folder=tmp_path,
    )
    found = report(done)

    assert done.returncode == 1, found["verdict"]
    assert [row["name"] for row in found["endpoints"]] == ["POST /predict"]
    assert found["total"]["wrong_answers"] == found["total"]["requests"] > 0


GUIDE = ROOT / "docs" / "how-to" / "another-api"


@contextmanager
def plain_service(folder: Path) -> Iterator[str]:
    """The URL of the FastAPI service of the guide, which knows nothing of Seatrial."""
    log = folder / "uvicorn.log"
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", "0", "--app-dir", str(GUIDE)]
    with log.open("wb") as output, subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as process:
        try:
            until(lambda: "running on" in log.read_text(encoding="utf-8"), "uvicorn serves")
            found = re.search(r"running on (http://[\d.:]+)", log.read_text(encoding="utf-8"))
            assert found
            yield found[1]
        finally:
            process.terminate()


@pytest.mark.long
def test_a_plain_fastapi_service_is_put_on_trial(tmp_path: Path) -> None:
    """With the target file of the guide: its digits are checked, and it passes."""
    with plain_service(tmp_path) as url:
        done = trial(
            *("load", "smoke", "--target", url, "--target-file", str(GUIDE / "digits.toml"), "--duration", "14s"),
            "--json",
            folder=tmp_path,
        )
    found = report(done)

    assert (done.returncode, found["verdict"]["outcome"], found["failures"]) == (0, "pass", [])
    assert {row["name"] for row in found["endpoints"]} == {"POST /predict", "GET /health"}


@pytest.mark.shared
def test_the_guide_shows_its_own_target_file() -> None:
    """What is printed is what is there."""
    page = (ROOT / "docs" / "how-to" / "test-another-api.md").read_text(encoding="utf-8")

    assert (GUIDE / "digits.toml").read_text(encoding="utf-8") in page


@pytest.mark.shared
def test_plain_locust_works(server: ServerProcess, tmp_path: Path) -> None:
    """`locust -f tests/load/locustfile.py`, with the target from the environment: no failures, and a summary."""
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "tests/load/locustfile.py"), "--headless"]
    environment = os.environ | {"SEATRIAL_TARGET": server.url}
    done = subprocess.run(
        [*command, "-u", "20", "-r", "20", "-t", "4s", "--only-summary"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert re.search(r"^all +\d+ +0 +[\d.]+ +[\d.]+ +[\d.]+$", done.stdout, re.MULTILINE)


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_shipped_plans_are_usable(name: str) -> None:
    """Each is read, and is called what its file is called."""
    assert read_plan(name).name == name
