"""A request that comes in one piece is answered by a shorter way than one that comes in two: by the same answer."""

import json
import re
import socket
from collections.abc import Iterator
from http.client import HTTPResponse

import httpx2
import pytest
from tests.e2e.conftest import StartServer
from tests.inputs import BLANK, DENVER, single
from tests.live import PATIENCE, ServerProcess, server_process

pytestmark = pytest.mark.e2e

GOOD = single("geoclimate", DENVER)
JSON = {"Content-Type": "application/json"}
TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30.AA"  # noqa: S105 - of nobody
PAGE = "https://page.example"
COUNTED = ("server-timing", "ratelimit")
"""Headers with figures of one answer only."""
CASES: dict[str, tuple[bytes, dict[str, str]]] = {
    "a climate": (GOOD, JSON),
    "a digit": (single("digits", {"image": BLANK}, return_probabilities=True), JSON),
    "whoever fits": (json.dumps({"data": BLANK}).encode(), JSON),
    "no content type": (GOOD, {}),
    "in a trial": (GOOD, {"X-Seatrial-Trial": "nobody-knows/1"}),
    "in time": (GOOD, {"X-Request-Timeout": "5"}),
    "no body": (b"", JSON),
    "no JSON": (b'{"data": [1,', JSON),
    "no such member": (b'{"data": [], "more": 1}', JSON),
    "out of range": (single("geoclimate", {**DENVER, "latitude": 999}), JSON),
    "no such model": (single("nobody", DENVER), JSON),
    "no such version": (json.dumps({"data": DENVER, "model_id": "geoclimate:99"}).encode(), JSON),
    "other type": (GOOD, {"Content-Type": "text/plain"}),
    "compressed": (GOOD, {**JSON, "Content-Encoding": "gzip"}),
    "no time": (GOOD, {**JSON, "X-Request-Timeout": "soon"}),
    "hardly time": (GOOD, {**JSON, "X-Request-Timeout": "1e-9"}),
    "other scheme": (GOOD, {**JSON, "Authorization": "Basic YTpi"}),
    "broken key": (GOOD, {**JSON, "Authorization": "Bearer st_broken"}),
    "unknown key": (GOOD, {**JSON, "Authorization": f"Bearer {TOKEN}"}),
    "forwarded": (GOOD, {**JSON, "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https"}),
    "a page": (GOOD, {**JSON, "Origin": PAGE}),
    "a page of elsewhere": (GOOD, {**JSON, "Origin": "https://elsewhere.example"}),
    "a header twice": (GOOD, {**JSON, "X-Request-Timeout": "5\r\nX-Request-Timeout: 6"}),
    "another header twice": (GOOD, {**JSON, "X-Other": "5\r\nX-Other: 6"}),
    "a coding": (GOOD, {**JSON, "Content-Encoding": "identity"}),
    "other host": (GOOD, {**JSON, "Host": "example.org"}),
    "too large": (b" " * 2000 + GOOD, JSON),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that reads no more than some thousand bytes, and counts calls of this machine too."""
    folder = tmp_path_factory.mktemp("server")
    with server_process(
        folder,
        SEATRIAL_MAX_BODY_BYTES="4000",
        SEATRIAL_CACHE_SIZE="0",
        SEATRIAL_ANONYMOUS_RATE_LIMIT="100000/second",
        SEATRIAL_CORS_ORIGINS=PAGE,
    ) as started:
        yield started


def ask(server: ServerProcess, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], object]:
    """Status, headers and body of the answer; what differs from one answer to the next is taken out."""
    told = {"Host": "127.0.0.1", "X-Request-ID": "same", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\n{lines}\r\n".encode("ascii") + body)
        answer = HTTPResponse(connection)
        answer.begin()
        document = json.loads(answer.read())
        found = {name.lower(): value for name, value in answer.getheaders()}
    for name in ("timestamp", "inference_time_ms"):
        document.pop(name, None)
    for name in ("date", "connection", "content-length"):
        found.pop(name, None)
    found = {name: re.sub(r"[0-9]+", "0", value) if name in COUNTED else value for name, value in found.items()}
    return answer.status, found, document


@pytest.mark.parametrize("case", CASES)
def test_both_ways_give_the_same_answer(server: ServerProcess, case: str) -> None:
    """One that says that it is the last of its connection goes the long way."""
    body, headers = CASES[case]

    assert ask(server, body, headers) == ask(server, body, {**headers, "Connection": "close"})


def test_both_ways_count_alike(start_server: StartServer) -> None:
    """Calls, predictions, refusals and trials: a scrape cannot tell which way they came."""
    server = start_server()

    def counted(headers: dict[str, str]) -> dict[str, float]:
        before = _samples(server)
        for case in ("a climate", "a digit", "no JSON", "broken key", "in a trial"):
            body, own = CASES[case]
            ask(server, body, {**own, **headers})
        after = _samples(server)
        return {name: value - before.get(name, 0.0) for name, value in after.items() if value != before.get(name, 0.0)}

    short, long = counted({}), counted({"Connection": "close"})
    assert short == long
    assert short['seatrial_requests_total{method="POST",route="/predict",status="200"}'] == 3


def _samples(server: ServerProcess) -> dict[str, float]:
    """The counters of predictions."""
    text = server.http.get(f"{server.url}/metrics").text
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("seatrial_"))
    return {
        name: float(value) for name, _, value in lines if "predict" in name and re.search(r"_(total|count)\b", name)
    }


def test_every_call_makes_room_for_the_next(start_server: StartServer) -> None:
    """A key that may do one thing at once does one after the other, on one connection, however each of them ends."""
    server = start_server()
    token = server.token
    wish = {"name": "one", "scopes": ["predict"], "concurrency_limit": 1}
    made = server.http.post(f"{server.url}/auth/keys", json=wish, headers={"Authorization": f"Bearer {token}"})
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    kinds = ["a climate", "no JSON", "hardly time", "other type", "a digit", "no such model", "out of range", "no time"]
    with httpx2.Client(base_url=server.url, timeout=PATIENCE) as client:
        statuses = [
            client.post("/predict", content=CASES[kind][0], headers={**CASES[kind][1], **key}).status_code
            for kind in kinds * 3
        ]

    assert statuses == [200, 400, 504, 415, 200, 404, 422, 400] * 3


def test_half_of_the_callers_hang_up(server: ServerProcess) -> None:
    """They hang up before they are answered; the others, who came with them, get their answers."""
    body = single("digits", {"image": BLANK})
    request = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(64)]
    for connection in connections:
        connection.sendall(request)
    for connection in connections[::2]:
        connection.close()
    statuses = []
    for connection in connections[1::2]:
        answer = HTTPResponse(connection)
        answer.begin()
        statuses.append((answer.status, json.loads(answer.read())["model_id"]))
        connection.close()

    assert statuses == [(200, "digits:1")] * 32


def test_many_requests_sent_at_once_are_answered_in_order(server: ServerProcess) -> None:
    """Good ones, bad ones, and such as are no predictions, on one connection without waiting."""
    kinds = [("/predict", GOOD, 200), ("/predict", b"[", 400), ("/nowhere", b"", 404), ("/predict", b"{}", 422)] * 25
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        for number, (path, body, _) in enumerate(kinds):
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-ID: n{number}\r\n"
            connection.sendall(head.encode("ascii") + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        file = connection.makefile("rb")
        seen = []
        for _ in kinds:
            status = int(file.readline().split()[1])
            headers = dict(line.rstrip(b"\r\n").split(b": ", 1) for line in iter(file.readline, b"\r\n"))
            file.read(int(headers[b"content-length"]))
            seen.append((headers[b"x-request-id"].decode(), status))

    assert seen == [(f"n{number}", status) for number, (_, _, status) in enumerate(kinds)]
