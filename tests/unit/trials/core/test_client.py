"""The client that our own generators send with, against sockets that answer well, badly or never."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.live import free_port

from seatrial.contracts.record import Sample
from seatrial.trials.core.client import Clock, client, measure_ceiling
from seatrial.trials.core.noop import noop_server
from seatrial.trials.core.questions import JSON, Question, expect_ok
from seatrial.trials.core.target import Target

QUESTION = Question("POST /predict", "POST", "/predict?a=%20", expect_ok, b"{}", "digits", JSON)
TIMEOUT_S = 0.3


def ask(target: Target, question: Question = QUESTION, *, late_s: float | None = None) -> Sample:
    """The sample of one request, which was due `late_s` before it is sent."""

    async def send() -> Sample:
        clock = Clock.start()
        async with client(target, clock, "someone", TIMEOUT_S) as sender:
            return await sender.ask(question, None if late_s is None else time.perf_counter() - late_s)

    return asyncio.run(send())


@contextmanager
def answering(answer: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a server for one connection, and what it received; None never answers."""
    received: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            received.append(connection.recv(65_536))
            if answer is None:
                connection.recv(1)  # until the caller hangs up
            else:
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", received
        thread.join(10)


def test_a_right_answer_makes_a_sample() -> None:
    """Status, size, latency, and what it was about; it was sent when it was due."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") as (url, _):
        before, sample, after = time.time(), ask(Target(url)), time.time()

    assert (sample.status, sample.bytes, sample.ok, sample.fault) == (200, 5, True, "")
    assert (sample.endpoint, sample.model, sample.user) == ("POST /predict", "digits", "someone")
    assert before <= sample.intended == sample.start <= after
    assert 0 < sample.latency_ms <= (after - before) * 1000


def test_only_what_is_needed_is_sent() -> None:
    """The path as written, the key, the type and length of the body, who asks; no cookies, compression, cache."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (url, received):
        ask(Target(url, api_key="k-1"))
    head, _, body = received[0].partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    names = {line.partition(b":")[0].lower() for line in headers}

    assert first == b"POST /predict?a=%20 HTTP/1.1"
    assert body == b"{}"
    assert names == {
        b"host", b"authorization", b"content-type", b"content-length", b"user-agent", b"accept", b"accept-encoding",
        b"cache-control",
    }  # fmt: skip
    assert b"Accept-Encoding: identity" in headers
    assert b"Cache-Control: no-cache" in headers
    assert b"Authorization: Bearer k-1" in headers


def test_lateness_is_between_what_was_intended_and_the_start() -> None:
    """A request that is sent 50 ms after it was due says so, and its latency runs from when it was sent."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (url, _):
        sample = ask(Target(url), late_s=0.05)

    assert sample.start - sample.intended >= 0.05


def test_an_answer_that_never_comes_counts_until_the_timeout() -> None:
    """At the timeout, not before and not rounded up to a second."""
    with answering(None) as (url, _):
        sample = ask(Target(url))

    assert (sample.status, sample.ok, sample.fault) == (0, False, "no answer: none within 0.3 s")
    assert TIMEOUT_S * 1000 <= sample.latency_ms < 1000


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", "no answer: ServerDisconnectedError"),
        (b"SSH-2.0-x\r\n\r\n", "no answer: ClientResponseError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "no answer: ClientPayloadError"),
    ],
    ids=["hangs up", "is not HTTP", "is cut off"],
)
def test_what_is_no_answer_is_a_fault(answer: bytes, fault: str) -> None:
    """The fault names it; there is no status."""
    with answering(answer) as (url, _):
        sample = ask(Target(url))

    assert (sample.status, sample.ok) == (0, False)
    assert sample.fault.startswith(fault)


def test_a_port_that_nobody_listens_on_is_a_fault() -> None:
    """The request is counted, as one that got no answer."""
    sample = ask(Target(f"http://127.0.0.1:{free_port()}"))

    assert (sample.status, sample.ok) == (0, False)
    assert sample.fault.startswith("no answer: ClientConnectorError")


@pytest.mark.parametrize("status", [301, 404, 500])
def test_another_status_is_a_fault_and_is_not_followed(status: int) -> None:
    """The answer is judged as it came, redirects too."""
    with answering(b"HTTP/1.1 %d X\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n" % status) as (url, received):
        sample = ask(Target(url))

    assert (sample.status, sample.fault, len(received)) == (status, f"status {status}, expected 200", 1)


def test_https_is_spoken_where_the_url_says_so() -> None:
    """A server that does not speak TLS gets no request, and the fault is recorded."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (url, received):
        sample = ask(Target(url.replace("http:", "https:")))

    assert (sample.status, sample.ok) == (0, False)
    assert not received[0].startswith(b"POST")


def test_the_clock_keeps_unix_time_without_jumps() -> None:
    """A steady second later is a second later."""
    clock = Clock(unix=1_000_000.0, steady=50.0)

    assert clock.at(51.5) == 1_000_001.5


def test_the_ceiling_is_the_rate_against_a_server_that_does_nothing() -> None:
    """Hundreds of requests a second at the least, on any machine that can run the tests."""
    with noop_server() as url:
        assert asyncio.run(measure_ceiling(QUESTION, url)) > 100


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        ([b"GET / HTTP/1.1\r\n\r\n"], 1),
        ([b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"], 1),
        ([b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na", b"bc"], 1),
        ([b"GET / HTT", b"P/1.1\r\n\r\n"], 1),
        ([b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\r\n\r\n"], 3),
    ],
    ids=["without a body", "with one", "in parts", "head in parts", "pipelined"],
)
def test_the_server_that_does_nothing_answers_each_request_once(sent: list[bytes], answers: int) -> None:
    """However its bytes arrive."""
    one = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    with noop_server() as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10) as connection:
        for part in sent:
            connection.sendall(part)
        received = b""
        while len(received) < answers * len(one):
            received += connection.recv(65_536)
        connection.shutdown(socket.SHUT_WR)
        rest = connection.recv(1)

    assert (received, rest) == (one * answers, b"")
