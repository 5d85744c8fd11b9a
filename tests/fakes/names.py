"""A name server of one name, which can fall silent, and processes that ask no other: in a mount namespace."""

import secrets
import socket
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from tests.live import between

PORT = 53
"""Where it is asked: no other can be named to the system's resolver."""
HEADER, A, IN = 12, 1, 1
BIND = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
NAME = "far.seatrial.test"


class NameServer:
    """Answers UDP questions on an address of loopback of its own, in a thread, as long as the `with` block goes on.

    Args:
        address: what `NAME` has; other names have none.
    """

    def __init__(self, address: str) -> None:
        self._answer = socket.inet_aton(address)
        self.address = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
        self._speaks = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.address, PORT))
        self._speaks.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def silent(self) -> AbstractContextManager[None]:
        """Nobody is answered for a while."""
        return between(self._speaks.clear, self._speaks.set)

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            if not question:
                return
            if self._speaks.is_set():
                self._socket.sendto(self._reply(question), asker)

    def _reply(self, question: bytes) -> bytes:
        """RFC 1035: the question, and the address where there is one; flags say whether there is such a name."""
        labels, at = [], HEADER
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
        asked = question[HEADER : at + 5]
        known = ".".join(labels) == NAME
        found = known and int.from_bytes(question[at + 1 : at + 3]) == A
        counts = bytes((0, 1, 0, found, 0, 0, 0, 0))
        record = b"\xc0\x0c" + bytes((0, A, 0, IN, 0, 0, 0, 0, 0, 4)) + self._answer if found else b""
        return question[:2] + bytes((0x81, 0x80 if known else 0x83)) + counts + asked + record


def asking(server: NameServer, folder: Path) -> tuple[str, ...]:
    """What is put before a command so that it asks this name server and no other; takes Linux and root."""
    configuration = folder / "resolv.conf"
    configuration.write_text(f"nameserver {server.address}\n", encoding="ascii")
    return ("unshare", "--mount", "--", "sh", "-c", BIND, str(configuration))
