"""The users: what they ask and how often, and that nothing about an answer is hidden from the records."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.load, pytest.mark.shared]
ROOT = Path(__file__).resolve().parents[2]
DESIGN = {
    "GeoClimateUser": (1.0, 3.0, {"health": 50, "models": 25, "metrics": 15, "predict": 10}),
    "APIStressUser": (0.1, 0.5, {"health": 1, "predict": 1}),
    "RealisticUser": (2.0, 8.0, {"browse": 40, "models": 30, "predict": 20, "metrics": 10}),
    "MNISTAPIUser": (1.0, 3.0, {"predict": 10, "health": 2, "root": 1, "all_zero": 1, "all_one": 1}),
    "StressTestUser": (0.1, 0.5, {"predict": 1}),
}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def asking(*arguments: str) -> Any:  # noqa: ANN401 - a JSON document
    """What `tests.fakes.asking` prints."""
    command = [sys.executable, "-m", "tests.fakes.asking", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Gives each connection one answer, in turn, and hangs up; the last one again and again. And what was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answers[min(len(asked), len(answers)) - 1])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture(scope="module")
def classes() -> Any:  # noqa: ANN401 - a JSON document
    """Each class, as Locust sees it."""
    return asking("classes")


@pytest.mark.parametrize("name", DESIGN)
def test_each_class_does_what_is_documented(classes: Any, name: str) -> None:  # noqa: ANN401 - a JSON document
    """Its tasks with their weights, its waits; and TLS is checked."""
    shortest, longest, tasks = DESIGN[name]
    found = classes[name]

    assert found["tasks"] == tasks
    assert shortest <= found["shortest"] < shortest + 0.1 * (longest - shortest)
    assert longest >= found["longest"] > longest - 0.1 * (longest - shortest)
    assert found["insecure"] is False


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("answer", "status", "fault"),
    [
        (OK, 200, ""),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500, "status 500, expected 200"),
        (b"HTTP/1.1 307 Go\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", 307, "status 307, expected 200"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", 200, "no answer: HTTPParseError Incomplete response."),
        (b"", 0, "no answer: HTTPConnectionClosed"),
    ],
    ids=["right", "error", "redirect", "cut off", "nothing"],
)
def test_what_came_is_what_is_recorded(method: str, answer: bytes, status: int, fault: str) -> None:
    """Once each: no redirect is followed, half an answer is none, and a connection that breaks is not tried again."""
    with server(answer, OK) as (url, asked):
        told = asking("ask", url, method, "/")

    assert [(item["status"], item["fault"].partition(" conn")[0]) for item in told] == [(status, fault)]
    assert len(asked) == 1
    assert b"Accept-Encoding: identity\r\n" in asked[0]
