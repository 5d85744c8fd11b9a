"""A server whose folder, answers and health are looked at after everything that it is sent."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.fakes.watched_server import UNPICKLED
from tests.inputs import DENVER
from tests.live import server_process

MAX_MODEL_BYTES = 2**20
WATCHED = (sys.executable, "-m", "tests.fakes.watched_server")


@dataclass
class Watched:
    """A server process, and the folder where it runs and keeps everything."""

    folder: Path
    http: httpx2.Client

    @property
    def data(self) -> Path:
        """Where it keeps its state."""
        return self.folder / "data"

    def files(self) -> set[str]:
        """Everything below its folder but the database, whose journal comes and goes."""
        found = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        return {name for name in found if "seatrial.db" not in name}

    def unpickled(self) -> str:
        """Every class that a pickle asked for, a line each."""
        notes = self.folder / UNPICKLED
        return notes.read_text(encoding="utf-8") if notes.exists() else ""

    def is_well(self) -> bool:
        """Ready, and right."""
        ready = self.http.get("/health/ready").status_code
        answer = self.http.post("/predict", json={"data": DENVER})
        return (ready, answer.status_code, answer.json()["model_id"]) == (200, 200, "geoclimate:1")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One server for all of a module. Files that external data may name lie in its working directory."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "weights.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to("/etc/passwd")
    here, most = str(Path(__file__).parents[2]), str(MAX_MODEL_BYTES)
    with server_process(folder, command=WATCHED, PYTHONPATH=here, SEATRIAL_MAX_MODEL_BYTES=most) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=30) as http:
            yield Watched(folder, http)
