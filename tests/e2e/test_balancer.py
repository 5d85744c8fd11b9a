"""The balancer of `deploy/haproxy` in front of a replica that takes requests and ends, and one that answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.fakes.onnx_models import linear
from tests.inputs import BLANK, single
from tests.live import PATIENCE, ServerProcess
from tests.stack import HAPROXY, Balancer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(HAPROXY is None, reason="needs HAProxy: apt-get install haproxy"),
]
READY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
HEALTH = b"GET /health/ready"
ASKED = 10


class Dying:
    """Says that it is ready, and hangs up on everything else once it has come."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                head = connection.recv(65536)
                if head.startswith(HEALTH):
                    connection.sendall(READY)
                elif head:
                    self.taken.append(head.split(b" ")[1])

    def close(self) -> None:
        """End it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)


@contextmanager
def balanced(server: ServerProcess, folder: Path) -> Iterator[tuple[Balancer, Dying]]:
    """A balancer that sends every other request to one that dies of it."""
    with closing(Dying()) as dying, closing(Balancer(folder, (dying.port, server.port))) as balancer:
        balancer.wait_until_up()
        yield balancer, dying


def ask(balancer: Balancer, method: str, path: str, body: bytes, **headers: str) -> int:
    """One request as many clients send it: its head first, then its body; the status."""
    with closing(HTTPConnection("127.0.0.1", balancer.port, timeout=PATIENCE)) as connection:
        connection.putrequest(method, path)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body)
        return connection.getresponse().status


@pytest.mark.parametrize("rows", [1, 12], ids=["small", "large"])
def test_a_prediction_that_was_lost_is_asked_again(server: ServerProcess, tmp_path: Path, rows: int) -> None:
    """Whoever took it, and in however many pieces it came, up to 64 KiB."""
    body = single("digits", [BLANK] * rows)
    with balanced(server, tmp_path) as (balancer, dying):
        statuses = [ask(balancer, "POST", "/predict/batch", body, Authorization=bearer(server)) for _ in range(ASKED)]

    assert statuses == [200] * ASKED
    assert dying.taken.count(b"/predict/batch") > 0


def test_what_writes_is_sent_once(server: ServerProcess, tmp_path: Path) -> None:
    """Where it was lost the caller is told so; nothing is written twice."""
    path, kind = "/models?name=it", "application/octet-stream"
    headers = {"Authorization": bearer(server), "Content-Type": kind}
    with balanced(server, tmp_path) as (balancer, dying):
        statuses = [ask(balancer, "POST", path, linear().SerializeToString(), **headers) for _ in range(ASKED)]
    listed = server.http.get(f"{server.url}/models?model_name=it").json()

    assert set(statuses) == {201, 502}
    assert statuses.count(502) == dying.taken.count(path.encode())
    assert len(listed) == statuses.count(201)


def bearer(server: ServerProcess) -> str:
    """The operator's credentials."""
    return f"Bearer {server.token}"
