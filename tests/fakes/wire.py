"""A machine of its own for PostgreSQL and Redis, as far as the network goes: a namespace at the other end of a wire."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path

from tests.live import PATIENCE, between, until

IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
ROOT = Path(__file__).resolve().parents[2]


def ip(*arguments: str, check: bool = True) -> None:
    """A change of the network of this machine."""
    subprocess.run([str(IP), *arguments], check=check, capture_output=True, timeout=PATIENCE)


@cache
def possible() -> bool:
    """Whether namespaces can be made here: it is tried."""
    if sys.platform != "linux" or os.geteuid() or IP is None:
        return False
    wire = Wire()
    try:
        wire.connect()
    except subprocess.CalledProcessError:
        return False
    finally:
        wire.remove()
    return True


class Wire:
    """A pair of interfaces, one of which is in a namespace; `address` is that of the other end."""

    def __init__(self) -> None:
        name = secrets.token_hex(3)
        self.name = f"st-{name}"
        self._near, self._far = f"stn{name}", f"stf{name}"
        network = f"10.{secrets.randbelow(50) + 200}.{secrets.randbelow(256)}"
        self.address, self._own = f"{network}.2", f"{network}.1"

    def connect(self) -> None:
        """Make it."""
        ip("netns", "add", self.name)
        ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
        ip("addr", "add", f"{self._own}/24", "dev", self._near)
        ip("link", "set", self._near, "up")
        ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", self._far)
        ip("-n", self.name, "link", "set", self._far, "up")

    def remove(self) -> None:
        """Take it away; its interfaces go with the namespace."""
        ip("netns", "del", self.name, check=False)

    def _link(self, state: str) -> None:
        ip("-n", self.name, "link", "set", self._far, state)

    def cut(self) -> AbstractContextManager[None]:
        """Nothing passes, and nobody is told."""
        return between(lambda: self._link("down"), lambda: self._link("up"))

    @contextmanager
    def forwarding(self, port: int, path: Path) -> Iterator[None]:
        """What comes to a port at the other end is carried to a socket in the file system."""
        program = [sys.executable, "-m", "tests.fakes.forward", self.address, str(port), str(path)]
        process = subprocess.Popen([str(IP), "netns", "exec", self.name, *program], cwd=ROOT)
        try:
            until(lambda: self._listens(port), "it is carried")
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)

    def _listens(self, port: int) -> bool:
        try:
            socket.create_connection((self.address, port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def wired(ports: dict[int, Path]) -> Iterator[Wire]:
    """A wire with these ports at its other end; all of it is gone afterwards."""
    wire = Wire()
    with ExitStack() as exits:
        exits.callback(wire.remove)
        wire.connect()
        for port, path in ports.items():
            exits.enter_context(wire.forwarding(port, path))
        yield wire
