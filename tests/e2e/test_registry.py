"""The registry as operators meet it: on disk, in a database that may go away, by the command line."""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.onnx_models import chain
from tests.fakes.postgres import postgres_server
from tests.live import PYTHON, ServerProcess, environment, until

from seatrial.contracts.manifest import InputSpec, Manifest, OutputSpec
from seatrial.server.core import clock
from seatrial.server.core.clock import timestamp
from seatrial.server.registry.evidence import Trial
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.lifecycle import promote
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.opening import open_registry

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
StartServer = Callable[..., ServerProcess]
DENVER = {"data": [39.7, -105, 2050, "A1B"]}


def seatrial(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command on the same data directory, or database, as the server's."""
    return subprocess.run(
        [*PYTHON, *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        check=False,
    )


def test_bundled_models_are_in_the_ledger(start_server: StartServer, tmp_path: Path) -> None:
    """From the first start on, once; `models list` and the server say the same, and a later start changes nothing."""
    for _ in range(2):
        server = start_server()
        served = server.http.get(f"{server.url}/models").json()
        assert server.stop() == 0
    listed = json.loads(seatrial(tmp_path, "models", "list", "--json").stdout)
    history = seatrial(tmp_path, "models", "history", "--verify", "--json")

    assert [(item["model_id"], item["stage"], item["digest"]) for item in listed] == [
        (item["model_id"], item["stage"], item["digest"]) for item in served
    ]
    assert [(entry["model_id"], entry["to"], entry["why"]) for entry in json.loads(history.stdout)] == [
        ("digits:1", "production", "bundled"), ("geoclimate:1", "production", "bundled"),
    ]  # fmt: skip
    assert (history.returncode, history.stderr) == (0, "The ledger is whole: nothing was edited or dropped.\n")


def test_an_edited_ledger_is_found(start_server: StartServer, tmp_path: Path) -> None:
    """By somebody who can write the file, and takes the triggers away first."""
    start_server().stop()
    with sqlite3.connect(tmp_path / "data" / "seatrial.db") as connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("UPDATE ledger SET why = 'proven' WHERE name = 'digits'")
    connection.close()
    done = seatrial(tmp_path, "models", "history", "digits", "--verify")

    assert done.returncode == 1
    assert "seatrial: the ledger is not whole: entry 1 was edited\n" in done.stderr
    assert "proven" in done.stdout


def test_a_model_is_shown_with_its_manifest(start_server: StartServer, tmp_path: Path) -> None:
    """One that is not there is told, with exit code 2."""
    start_server().stop()
    shown = json.loads(seatrial(tmp_path, "models", "show", "digits:1", "--json").stdout)
    nobody = seatrial(tmp_path, "models", "show", "nobody:1")

    assert (shown["model_id"], shown["manifest"]["task"]) == ("digits:1", "classification")
    assert (nobody.returncode, nobody.stderr) == (2, "seatrial: There is no model 'nobody:1'.\n")


def promote_another(folder: Path) -> None:
    """A second version of digits, of the same files, into production: as the gate will do it."""
    with closing(open_registry(None, folder / "data")) as registry:
        first = registry.get("digits:1")
        registry.add(replace(first, version=2, stage=Stage.STAGING), Note("local:test", "the same again"))
        registry.change("digits", lambda stages, _: promote(stages, 2, Stage.PRODUCTION), Note("local:test", "better"))


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.long), 2])
def test_running_servers_follow_the_ledger(start_server: StartServer, tmp_path: Path, workers: int) -> None:
    """A promotion and a rollback by another process: every worker serves the version in production, and none fails."""
    server = start_server("--workers", str(workers), workers=workers)
    digit = json.loads((ROOT / "docs" / "tutorial" / "digit.json").read_bytes())
    answers: list[tuple[int, str]] = []
    ready: set[int] = set()

    def served() -> set[str]:
        with ThreadPoolExecutor(4) as threads:
            asked = list(threads.map(lambda _: server.http.post(f"{server.url}/predict", json=digit), range(16)))
        answers.extend((answer.status_code, answer.json().get("model_id", "")) for answer in asked)
        ready.add(server.ready())
        return {model_id for _, model_id in answers[-16:]}

    assert served() == {"digits:1"}
    promote_another(tmp_path)
    until(lambda: served() == {"digits:2"}, "all workers serve the new version")
    done = seatrial(tmp_path, "models", "rollback", "digits", "--reason", "it was slow")
    until(lambda: served() == {"digits:1"}, "all workers are back")

    told, *moves = done.stdout.splitlines()
    assert told.startswith("digits:1 gave its 100 known answers again; the worst differs by ")
    assert moves == ["digits:2  production -> staging", "digits:1  archived -> production"]
    assert {status for status, _ in answers} == {200}
    assert ready == {200}
    again = seatrial(tmp_path, "models", "rollback", "digits", "--reason", "further")
    assert (again.returncode, again.stderr) == (1, "seatrial: No version was in production before version 1.\n")


def test_what_is_put_aside_is_not_served(start_server: StartServer, tmp_path: Path) -> None:
    """Staging answers by its id until it is archived; production cannot be."""
    server = start_server()
    promote_another(tmp_path)
    seatrial(tmp_path, "models", "rollback", "digits", "--reason", "it was slow")

    def asked(model_id: str) -> int:
        return server.http.post(f"{server.url}/predict", json={**DENVER, "model_id": model_id}).status_code

    until(lambda: asked("digits:2") == 422, "the version in staging answers: that this is no image")
    done = seatrial(tmp_path, "models", "archive", "digits:2", "--reason", "slow")
    refused = seatrial(tmp_path, "models", "archive", "digits:1")
    until(lambda: asked("digits:2") == 409, "it is not served any more")

    assert (done.returncode, done.stdout) == (0, "digits:2  staging -> archived\n")
    assert (refused.returncode, "promote another, or roll back" in refused.stderr) == (1, True)
    assert seatrial(tmp_path, "models", "archive", "digits:7").returncode == 2


KNOWN = b'{"cases": [{"input": {"x": [0, 0, 0, 0]}, "output": [1.0]}], "tolerance": 1.0}'


def test_a_version_that_ends_the_server_can_be_put_aside(start_server: StartServer, tmp_path: Path) -> None:
    """One that an older inspection let through: its trial is open, so each start ends until it is archived."""
    start_server().stop()
    store = ContentStore(tmp_path / "data" / "artifacts")
    digest, golden = store.put(chain(100_000).SerializeToString()), store.put(KNOWN)
    inputs = (InputSpec(name="x", dtype="float32", shape=(4,)),)
    manifest = Manifest(name="deep", task="regression", inputs=inputs, output=OutputSpec(name="y"), digest=digest)
    version = ModelVersion("deep", 1, Stage.DEV, manifest, golden, timestamp(), reason="test")
    now = clock.wall()
    with closing(open_registry(None, tmp_path / "data")) as registry:
        registry.add(version, Note("local:test", "test"))
        registry.evidence.open_trial(Trial("0" * 32, "deep", 1, now, now + 3600, "test"))
    with closing(ServerProcess(tmp_path)) as killed:
        assert killed.wait() in {-signal.SIGSEGV, -signal.SIGBUS}
    done = seatrial(tmp_path, "models", "archive", "deep:1", "--reason", "it ends the server")
    server = start_server()
    told = f"{server.url}/models/deep:1"
    until(lambda: server.http.get(told).json()["failure"] == "It is archived, and not loaded.", "it is told")

    assert (done.returncode, done.stdout) == (0, "deep:1  dev -> archived\n")
    assert server.ready() == 200


@pytest.mark.proves("R1")
def test_predictions_go_on_without_the_database(start_server: StartServer, tmp_path: Path) -> None:
    """PostgreSQL is gone and comes back: ready and predicting throughout, degraded meanwhile, the part is named."""
    with postgres_server() as postgres:
        url = {"SEATRIAL_DATABASE_URL": postgres.url}
        refused = seatrial(tmp_path, "serve", **url)
        assert (refused.returncode, "Run `seatrial db upgrade`" in refused.stderr) == (3, True)
        assert seatrial(tmp_path, "db", "check", **url).returncode == 1
        assert seatrial(tmp_path, "db", "upgrade", **url).stdout == "schema 0003\n"
        server = start_server(**url)

        def health() -> tuple[str, str]:
            found = server.http.get(f"{server.url}/health").json()
            return found["status"], found["checks"]["database"]

        def predicts() -> int:
            return server.http.post(f"{server.url}/predict", json=DENVER).status_code

        assert (health(), predicts()) == (("healthy", "ok"), 200)
        with postgres.stopped():
            until(lambda: health() == ("degraded", "unavailable"), "the loss is noticed")
            assert (predicts(), server.ready()) == (200, 200)
        until(lambda: health() == ("healthy", "ok"), "it is back")
        assert predicts() == 200
        assert server.stop() == 0

    assert [len(server.events(event)) for event in ("database_lost", "database_back")] == [1, 1]
