"""A server in this process that listens on a socket: what it loads can be watched, and what it is sent is real."""

import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import uvicorn
from tests.inputs import DENVER
from tests.live import until

from seatrial.server import process
from seatrial.server.app import create_app, prepare
from seatrial.server.runtimes.inspection.limits import Limits
from seatrial.server.runtimes.inspector import ProcessInspector
from seatrial.server.settings import Settings

LIMITS = Limits(cpu_seconds=2, wall_seconds=8.0)
MAX_MODEL_BYTES = 2**20


@dataclass
class Watched:
    """A server, its data directory, and every class that a pickle asked for in this process since it started."""

    folder: Path
    http: httpx2.Client
    port: int
    unpickled: list[object] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Where it keeps its state."""
        return self.folder / "data"

    def files(self) -> set[str]:
        """Everything below its folder but the database, whose journal comes and goes."""
        found = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        return {name for name in found if "seatrial.db" not in name}

    def is_well(self) -> bool:
        """Ready, and right."""
        ready = self.http.get("/health/ready").status_code
        answer = self.http.post("/predict", json={"data": DENVER})
        return (ready, answer.status_code, answer.json()["model_id"]) == (200, 200, "geoclimate:1")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One server for all here, with small limits, so that a loop ends soon.

    While it runs, its folder is where this process puts what is temporary: no test of another kind may start meanwhile.
    """
    folder = tmp_path_factory.mktemp("watched")
    settings = Settings(data_dir=folder / "data", max_model_bytes=MAX_MODEL_BYTES)
    prepare(settings)
    listener = process.listen("127.0.0.1", 0)
    config = uvicorn.Config(create_app(settings, inspector=ProcessInspector(LIMITS)), log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    (folder / "tmp").mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder / "tmp")
    thread.start()
    try:
        until(lambda: server.started, "the server serves")
        token = (settings.data_dir / "admin.token").read_text(encoding="ascii").strip()
        port = listener.getsockname()[1]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as http:
            found = Watched(folder, http, port)
            sys.addaudithook(lambda event, arguments: _note(found, event, arguments))
            yield found
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        tempfile.tempdir = before


def _note(watched: Watched, event: str, arguments: tuple[object, ...]) -> None:
    if event == "pickle.find_class":
        watched.unpickled.append(arguments)
