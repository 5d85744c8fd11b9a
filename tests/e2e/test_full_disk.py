"""A server whose disk is full: it goes on predicting, and with room again it goes on following."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.fakes.small_disk import fill, inside, on_small_disk
from tests.inprocess import problem
from tests.live import PYTHON, ServerProcess, environment, operator_token, server_process, until

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "docs" / "how-to" / "from-scikit-learn" / "model.onnx"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """One whose data directory is on a disk of 16 MiB, mounted for it alone."""
    command = (*on_small_disk(tmp_path / "data", "16m"), *PYTHON, "serve")
    with server_process(tmp_path, command=command) as server:
        yield server


@pytest.mark.proves("R23")
def test_predictions_go_on_with_a_full_disk(server: ServerProcess, tmp_path: Path) -> None:
    """A promotion is refused and changes nothing; with room again it is done, and served without a restart."""
    digit = json.loads((ROOT / "docs" / "tutorial" / "digit.json").read_bytes())

    def served() -> str:
        answer = server.http.post(f"{server.url}/predict", json=digit)
        assert answer.status_code == 200
        return str(answer.json()["model_id"])

    def promote_another() -> Any:  # noqa: ANN401 - a list of JSON
        program = [sys.executable, "-m", "tests.fakes.small_disk", "promote", str(tmp_path / "data")]
        done = subprocess.run(
            [*inside(server.pid), *program],
            env=environment(tmp_path, PYTHONPATH=str(ROOT)),
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    def register() -> httpx2.Response:
        token = operator_token(Path(f"/proc/{server.pid}/root{tmp_path}/data"))
        headers = {"Authorization": f"Bearer {token}"}
        return server.http.post(f"{server.url}/models?name=again", content=MODEL.read_bytes(), headers=headers)

    ballast = fill(Path(f"/proc/{server.pid}/root{tmp_path}/data"))
    assert promote_another() == ["StorageFull", "StorageFull", 2]
    told = problem(register(), 507, "storage-full")
    assert told["detail"].startswith("There is no room left where the server keeps its state.")
    assert served() == "digits:1"
    assert server.http.get(f"{server.url}/health").json()["status"] == "healthy"
    assert server.ready() == 200
    ballast.unlink()
    assert register().status_code == 201
    assert promote_another() == ["done", "done", 4]
    until(lambda: served() == "digits:2", "the new version serves")
    assert server.stop() == 0


def test_a_full_disk_of_temporary_files_is_told(tmp_path: Path) -> None:
    """Nothing is known of the file then; with room again it is registered."""
    small = tmp_path / "small"
    server = ServerProcess(tmp_path, command=(*on_small_disk(small, "1m"), *PYTHON, "serve"), TMPDIR=str(small))
    try:
        server.wait_until_serving()

        def register() -> httpx2.Response:
            headers = {"Authorization": f"Bearer {server.token}"}
            return server.http.post(f"{server.url}/models?name=it", content=MODEL.read_bytes(), headers=headers)

        assert register().status_code == 201
        ballast = fill(Path(f"/proc/{server.pid}/root{small}"))
        problem(register(), 507, "storage-full")
        ballast.unlink()
        assert register().status_code == 201
    finally:
        server.close()
