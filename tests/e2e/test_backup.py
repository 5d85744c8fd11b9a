"""The restore drill: a server that is backed up while it is used, and another that goes on from the file."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.e2e.callers import EMAIL, PASSWORD, command, one_line
from tests.e2e.conftest import StartServer
from tests.fakes.onnx_models import linear
from tests.inputs import DENVER
from tests.live import PYTHON, ServerProcess, environment, server_process, until

pytestmark = pytest.mark.e2e
LINEAR: bytes = linear().SerializeToString()


def seatrial(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command, in the folder of a deployment."""
    return subprocess.run(
        [*PYTHON, *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )


@contextmanager
def registering(server: ServerProcess) -> Iterator[list[str]]:
    """Somebody who registers one model after the other; what was acknowledged so far."""
    done, ended = [], Event()

    def go_on() -> None:
        while not ended.is_set():
            answer = server.http.post(
                f"{server.url}/models?name=busy", content=LINEAR, headers={"Authorization": f"Bearer {server.token}"}
            )
            assert answer.status_code == 201, answer.text
            done.append(answer.json()["model_id"])

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()


def test_a_restored_server_goes_on(
    start_server: StartServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The operator, an account, a key and every model acknowledged before are there; the doctor finds nothing."""
    server = start_server()
    command(tmp_path, "users", "create", "--email", EMAIL)
    key = command(tmp_path, "keys", "create", "--name", "it", "--scopes", "predict,read").strip()
    with registering(server) as done:
        until(lambda: len(done) >= 3, "three are registered")
        before = list(done)
        made = seatrial(tmp_path, "backup", "it.tar")
        until(lambda: len(done) > len(before) + 1, "more are registered after it")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("it.tar: ")

    after = tmp_path_factory.mktemp("after")
    restored = seatrial(after, "restore", str(tmp_path / "it.tar"))
    looked = seatrial(after, "doctor", "--json")
    assert restored.returncode == 0, restored.stderr
    assert {finding["level"] for finding in json.loads(looked.stdout)} <= {"ok", "information"}
    with server_process(after) as other, one_line(other) as line:
        assert line.predict(key).status_code == 200
        assert line.log_in(EMAIL, PASSWORD)["access_token"]
        listed = {model["model_id"] for model in line.ask("GET", "/models", token=server.token).json()}
        again = line.ask("POST", "/predict", {"data": DENVER}, server.token).json()["prediction"]

    assert {"digits:1", "geoclimate:1", *before} <= listed
    assert again == server.http.post(f"{server.url}/predict", json={"data": DENVER}).json()["prediction"]


def test_what_cannot_be_done_is_told(start_server: StartServer, tmp_path: Path) -> None:
    """In a line, with the exit code 3; and where the secret key is a setting, that it is not in the file."""
    start_server(SEATRIAL_SECRET_KEY="of this test only, forty-two characters long")  # noqa: S106 - of no server
    made = seatrial(tmp_path, "backup", "it.tar")
    again = seatrial(tmp_path, "backup", "it.tar")
    restored = seatrial(tmp_path, "restore", "it.tar")
    (tmp_path / "half.tar").write_bytes((tmp_path / "it.tar").read_bytes()[:4096])
    half = seatrial(tmp_path, "restore", "half.tar", "--data-dir", "new")

    assert (made.returncode, "keep SEATRIAL_SECRET_KEY as well" in made.stderr) == (0, True)
    assert (again.returncode, again.stderr) == (3, "seatrial: it.tar is there already: choose another name.\n")
    assert (restored.returncode, "There is a deployment here already" in restored.stderr) == (3, True)
    assert (half.returncode, half.stderr.startswith("seatrial: half.tar ")) == (3, True)
    assert not (tmp_path / "new").exists()
