"""A model that is stuck, asked over HTTP: who waits, who is refused, who gives up, and everybody else."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.held_server import HELD
from tests.inputs import BLANK, DENVER, batch, single
from tests.live import PATIENCE, ServerProcess, serving_process, until

from seatrial.server.core.cores import allowed_cores

pytestmark = pytest.mark.e2e

ROOT = str(Path(__file__).parents[2])

LIMIT = 4
WIDTH = allowed_cores()
"""How many runs of a model go on at once, in one worker."""
COMMAND = (sys.executable, "-m", "tests.fakes.held_server")
MODEL = "geoclimate:1"
WAYS = pytest.mark.parametrize("connection", ["keep-alive", "close"])
"""A request whose connection is kept goes a shorter way through the server than another."""


class Held(ServerProcess):
    """A server in which geoclimate can be held."""

    @property
    def _file(self) -> Path:
        return self.folder / "hold"

    def hold(self) -> None:
        """From now on, it answers nobody."""
        self._file.touch()

    def release(self) -> None:
        """Who waits is answered."""
        self._file.unlink()

    def metric(self, name: str, **labels: str) -> float:
        """What Prometheus reads; 0 where it is not there yet."""
        text = self.http.get(f"{self.url}/metrics").text
        return next(
            (
                sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == name and labels.items() <= sample.labels.items()
            ),
            0.0,
        )

    def depth(self) -> float:
        """How many wait for geoclimate."""
        return self.metric("seatrial_queue_depth", model=MODEL)

    def fill(self, connection: str, waiting: int) -> "list[Asked]":
        """Callers on all its threads, and so many behind them; each asks about another year."""
        callers = [Asked(self, 1900 + number, connection=connection) for number in range(WIDTH)]
        until(lambda: self.running_now() == WIDTH, "they run")
        more = [Asked(self, 2000 + number, connection=connection) for number in range(waiting)]
        until(lambda: self.depth() == waiting, f"{waiting} wait")
        return [*callers, *more]

    def running_now(self) -> int:
        """How many runs of geoclimate go on."""
        return len(list(self.folder.glob(f"{HELD}*")))


class Asked:
    """A request that was sent, and its answer, which may come later."""

    def __init__(
        self,
        server: ServerProcess,
        year: int,
        *,
        connection: str = "keep-alive",
        timeout: float | None = None,
        rows: int = 0,
    ) -> None:
        example = {**DENVER, "year": year}
        body = batch("geoclimate", [example] * rows) if rows else single("geoclimate", example)
        path = "/predict/batch" if rows else "/predict"
        lines = [
            f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", f"Connection: {connection}",
            *([f"X-Request-Timeout: {timeout}"] if timeout else []),
        ]  # fmt: skip
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def answer(self) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, body and headers; then the connection is closed."""
        answer = HTTPResponse(self._socket)
        answer.begin()
        body = json.loads(answer.read())
        self._socket.close()
        return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}

    def hang_up(self) -> None:
        """The caller is gone."""
        self._socket.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Held]:
    """A server with a short queue, in which nothing is held."""
    held = Held(tmp_path, command=COMMAND, SEATRIAL_QUEUE_LIMIT=str(LIMIT), SEATRIAL_CACHE_SIZE="0", PYTHONPATH=ROOT)
    with serving_process(held):
        yield held


def statuses(callers: list[Asked]) -> list[int]:
    return [caller.answer()[0] for caller in callers]


@pytest.mark.proves("R9")
@WAYS
def test_a_full_queue_refuses_and_everything_else_goes_on(server: Held, connection: str) -> None:
    """503 with a time to wait, at once; batches at half of the queue; digits, health and metrics do not notice."""
    server.hold()
    callers = server.fill(connection, 0)
    callers += [Asked(server, 2050, connection=connection, rows=3) for _ in range(LIMIT // 2)]
    until(lambda: server.depth() == LIMIT // 2, "the batches wait")
    status, problem, headers = Asked(server, 2050, connection=connection, rows=3).answer()
    assert (status, problem["type"], headers["retry-after"]) == (503, "urn:seatrial:problem:queue-full", "1")
    callers += [Asked(server, 2051 + number, connection=connection) for number in range(LIMIT // 2)]
    until(lambda: server.depth() == LIMIT, "the queue is full")
    status, problem, headers = Asked(server, 2060, connection=connection).answer()
    assert (status, problem["type"], headers["retry-after"]) == (503, "urn:seatrial:problem:queue-full", "1")
    assert problem["detail"] == f"The queue of the model '{MODEL}' is full: {LIMIT} requests wait. Try again in 1 s."

    for _ in range(20):
        assert server.http.post(f"{server.url}/predict", content=single("digits", {"image": BLANK})).status_code == 200
        assert server.http.get(f"{server.url}/health").status_code == 200
    assert server.metric("seatrial_refusals_total", reason="queue-full") == 2
    server.release()
    assert statuses(callers) == [200] * len(callers)
    assert server.depth() == 0


@pytest.mark.proves("R10")
@WAYS
def test_a_deadline_ends_what_runs_and_drops_what_waits(server: Held, connection: str) -> None:
    """504 names the phase; what waited never runs, which the counter of runs shows; and the threads are free."""
    before = server.metric("seatrial_run_examples_count", model=MODEL)
    server.hold()
    running = [Asked(server, 2000, connection=connection, timeout=1.0) for _ in range(WIDTH)]
    until(lambda: server.running_now() == WIDTH, "they run")
    waiting = [Asked(server, 2001, connection=connection, timeout=0.3) for _ in range(LIMIT)]
    late = [caller.answer() for caller in waiting]
    assert [status for status, _, _ in late] == [504] * LIMIT
    assert {problem["detail"] for _, problem, _ in late} == {"The deadline of 0.3 s passed in the phase 'queue'."}
    ended = [caller.answer() for caller in running]
    assert {problem["detail"] for _, problem, _ in ended} == {"The deadline of 1 s passed in the phase 'infer'."}

    server.release()
    assert Asked(server, 2002).answer()[0] == 200
    assert server.metric("seatrial_run_examples_count", model=MODEL) == before + 1


@pytest.mark.proves("R11")
@WAYS
def test_who_hangs_up_frees_their_place(server: Held, connection: str) -> None:
    """In the queue, where half of them leave, and in a run, which is ended; the others are answered."""
    server.hold()
    callers = server.fill(connection, LIMIT)
    for caller in callers[WIDTH + 1 :: 2]:
        caller.hang_up()
    until(lambda: server.depth() == LIMIT // 2, "their places are free")
    for caller in callers[:WIDTH]:
        caller.hang_up()
    until(lambda: server.depth() == 0, "those who waited run, together")
    assert server.metric("seatrial_departed_total", route="/predict") == LIMIT // 2 + WIDTH
    server.release()

    assert statuses(callers[WIDTH::2]) == [200] * (LIMIT // 2)


def test_what_gathers_runs_together(server: Held) -> None:
    """Server-Timing says with how many."""
    server.hold()
    callers = server.fill("keep-alive", LIMIT)
    server.release()
    answers = [caller.answer() for caller in callers]

    assert [status for status, _, _ in answers] == [200] * len(callers)
    for year, (_, body, _) in zip([*range(1900, 1900 + WIDTH), *range(2000, 2000 + LIMIT)], answers, strict=True):
        alone = server.http.post(f"{server.url}/predict", content=single("geoclimate", {**DENVER, "year": year}))
        assert body["prediction"] == pytest.approx(alone.json()["prediction"])
    assert f"batch;desc={LIMIT}" in answers[-1][2]["server-timing"]


def cached(server: ServerProcess, body: bytes, **headers: str) -> tuple[bool, str]:
    """Whether an answer says that it was computed before, and what Server-Timing says."""
    told = server.http.post(f"{server.url}/predict", content=body, headers=headers)
    assert told.status_code == 200
    timing = dict(part.split(";desc=") for part in told.headers["server-timing"].split(", ") if ";desc=" in part)
    return told.json()["cached"], timing["cache"]


@WAYS
def test_what_was_asked_before_is_remembered(start_server: Callable[..., ServerProcess], connection: str) -> None:
    """However it is written; not where the caller wants it computed, in a trial, or for another version."""
    server = start_server(SEATRIAL_CACHE_SIZE="100")
    server.http.close()
    server.http = httpx2.Client(timeout=PATIENCE, headers={"Connection": connection})
    body = single("geoclimate", DENVER)
    again = json.dumps({"model_name": "geoclimate", "data": dict(reversed(DENVER.items()))}).encode()

    assert [cached(server, body) for _ in range(4)] == [(False, "miss"), *[(True, "hit")] * 3]
    assert cached(server, again) == (True, "hit")
    assert cached(server, body, **{"Cache-Control": "no-cache"}) == (False, "off")
    assert cached(server, body, **{"X-Seatrial-Trial": "somebody/1"}) == (False, "off")
    assert cached(server, single("geoclimate", {**DENVER, "year": 2051})) == (False, "miss")
    looks = server.http.get(f"{server.url}/metrics").text
    assert 'seatrial_cache_lookups_total{model="geoclimate:1",result="hit"} 4.0' in looks


def test_a_server_that_remembers_nothing_says_so(start_server: Callable[..., ServerProcess]) -> None:
    """With a size of 0."""
    server = start_server(SEATRIAL_CACHE_SIZE="0")
    body = single("geoclimate", DENVER)

    assert [cached(server, body) for _ in range(2)] == [(False, "off")] * 2
