"""A real server process, started as an operator starts it, and stopped by its own process id."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2

PATIENCE = 30.0
"""Seconds after which a wait of a test gives up."""


def hear_interrupts() -> None:
    """For `preexec_fn`: what a shell runs in its background is deaf to SIGINT, and so is what that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


PYTHON = (sys.executable, "-m", "seatrial")
SERVE = (*PYTHON, "serve")


PROMISED = 1.0
"""Seconds after which every worker knows what was changed in another, or beside them."""
STILL = 0.1
"""Seconds between two looks at the clock, of which no more is counted: the machine stood still."""


def until(fact: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until something is so; fail where it does not become so in time."""
    pause = threading.Event()
    deadline = time.monotonic() + patience
    while not fact():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        pause.wait(0.02)


def until_as_promised(fact: Callable[[], bool], what: str) -> None:
    """The same within `PROMISED`, of which no time passes while the whole machine stands still, as shared ones do."""
    over, broken = threading.Event(), threading.Event()

    def count() -> None:
        left, before = PROMISED, time.monotonic()
        while left > 0 and not over.wait(0.01):
            now = time.monotonic()
            left -= min(now - before, STILL)
            before = now
        if left <= 0:
            broken.set()

    clock = threading.Thread(target=count)
    clock.start()
    try:
        while not fact():
            assert not broken.is_set(), f"waited in vain, as long as was promised, until {what}"
            over.wait(0.02)
    finally:
        over.set()
        clock.join()


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Ours, without settings of a server that runs beside the tests; with temporary files below `folder`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {**inherited, "TMPDIR": str(temporary), "SEATRIAL_DATA_DIR": str(folder / "data"), **variables}


@contextmanager
def between(begin: Callable[[], object], end: Callable[[], object]) -> Iterator[None]:
    """Something is so for a while: one call makes it so, the other undoes it, however that while ends."""
    begin()
    try:
        yield
    finally:
        end()


def operator_token(data: Path) -> str:
    """The operator's, of a server's data directory."""
    return (data / "admin.token").read_text(encoding="ascii").strip()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


class ServerProcess:
    """A `seatrial serve --port 0` in a folder of its own. Its log goes to a file, and is shown where a test fails.

    Args:
        folder: where it runs, and keeps its data and temporary files.
        arguments: further flags of `serve`.
        command: what is put before `serve` and its flags.
        variables: more of its environment.
    """

    def __init__(self, folder: Path, *arguments: str, command: Sequence[str] = SERVE, **variables: str) -> None:
        self.folder = folder
        self.log_file = folder / "stderr.jsonl"
        with self.log_file.open("wb") as log, (folder / "stdout").open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "--port", "0", *arguments],
                cwd=folder,
                env=environment(folder, **variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
            )
        self.port = 0
        self.http = httpx2.Client(timeout=PATIENCE, headers={"Connection": "close"})

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    @property
    def token(self) -> str:
        """The operator's."""
        return operator_token(self.folder / "data")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of the log so far with this event."""
        lines = self.log_file.read_text(encoding="utf-8").splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return [entry for entry in entries if entry.get("event") == name]

    def wait_until_serving(self, workers: int = 1) -> None:
        """Wait for the lines in the log that say where it serves, then for its first answer."""
        until(lambda: len(self.events("serving")) >= workers or not self.running(), "the server serves")
        assert self.running(), f"the server ended with {self._process.returncode}"
        self.port = int(self.events("serving")[0]["url"].rpartition(":")[2])
        until(self.listening, "the server listens")

    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        return self._process.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def output(self) -> str:
        """What it printed."""
        return (self.folder / "stdout").read_text(encoding="utf-8")

    def close(self) -> None:
        """End it whatever it does."""
        self.http.close()
        if self.running():
            self._process.kill()
        self._process.wait(PATIENCE)

    def listening(self) -> bool:
        """Whether a connection is accepted and answered."""
        try:
            return self.ready() > 0
        except httpx2.ConnectError:
            return False

    def ready(self) -> int:
        """The status of /health/ready."""
        return self.http.get(f"{self.url}/health/ready").status_code


Started = TypeVar("Started", bound=ServerProcess)


@contextmanager
def server_process(
    folder: Path, *arguments: str, workers: int = 1, command: Sequence[str] = SERVE, **variables: str
) -> Iterator[ServerProcess]:
    """A server process that serves; ended afterwards, with its log on standard output for a failing test."""
    with serving_process(ServerProcess(folder, *arguments, command=command, **variables), workers) as server:
        yield server


@contextmanager
def serving_process(server: Started, workers: int = 1) -> Iterator[Started]:
    """The same of one that was made already."""
    try:
        server.wait_until_serving(workers)
        yield server
    finally:
        server.close()
        print(server.log_file.read_text(encoding="utf-8"))  # noqa: T201 - pytest shows it where a test fails
