"""Two servers that share answers in a real Redis, which may stand still, be killed, or hold whatever it likes."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.redis import RedisServer, redis_server
from tests.inputs import DENVER, single
from tests.live import ServerProcess, server_process, until

from seatrial.server.storage.answers import PREFIX

pytestmark = pytest.mark.e2e

ROOT = str(Path(__file__).parents[2])
COMMAND = (sys.executable, "-m", "tests.fakes.held_server")
"""In which geoclimate is run in threads: Redis is asked about no model that the event loop runs."""
SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of these two


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server of Redis."""
    with redis_server() as server:
        yield server


@pytest.fixture
def servers(tmp_path: Path, redis: RedisServer) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers with data of their own."""
    with ExitStack() as stack:
        found = []
        for name in ("one", "other"):
            folder = tmp_path / name
            folder.mkdir()
            started = server_process(
                folder,
                command=COMMAND,
                SEATRIAL_REDIS_URL=redis.tcp_url,
                SEATRIAL_SECRET_KEY=SECRET,
                PYTHONPATH=ROOT,
            )
            found.append(stack.enter_context(started))
        yield found[0], found[1]


def ask(server: ServerProcess, year: int) -> tuple[float, str]:
    """The prediction for a year, and whether it was found."""
    answer = server.http.post(f"{server.url}/predict", content=single("geoclimate", {**DENVER, "year": year}))
    assert answer.status_code == 200
    timing = dict(part.split(";desc=") for part in answer.headers["server-timing"].split(", ") if ";desc=" in part)
    document: dict[str, Any] = answer.json()
    assert document["cached"] == (timing["cache"] == "hit")
    return document["prediction"], timing["cache"]


def cache(server: ServerProcess) -> tuple[str, str]:
    """What `/health` says."""
    document = server.http.get(f"{server.url}/health").json()
    return document["status"], document["checks"]["cache"]


def kept(redis: RedisServer) -> int:
    """How many answers Redis has."""
    with redis.client() as client:
        return len(list(client.scan_iter(PREFIX + b"*")))


@pytest.mark.proves("R16")
@pytest.mark.proves("R17")
def test_what_one_has_answered_the_other_finds(
    servers: tuple[ServerProcess, ServerProcess], redis: RedisServer
) -> None:
    """And whatever becomes of Redis, answers are right, and it is used again once it is well."""
    one, other = servers
    first = ask(one, 2000)
    assert first[1] == "miss"
    until(lambda: kept(redis) == 1, "it is kept")
    assert ask(other, 2000) == (first[0], "hit")
    until(lambda: cache(one) == ("healthy", "ok"), "Redis is well")

    with redis.frozen():
        right = ask(one, 2001)[0]
        assert ask(other, 2001) == (right, "miss")
        assert ask(one, 2000) == (first[0], "hit")  # of its own memory
        until(lambda: cache(one) == ("degraded", "unavailable"), "it is told")
        assert one.ready() == 200
    until(lambda: cache(one) == cache(other) == ("healthy", "ok"), "Redis is back")

    third = ask(one, 2002)[0]
    until(lambda: kept(redis) >= 2, "it is kept")
    with redis.client() as client:
        for name in client.scan_iter(PREFIX + b"*"):
            client.set(name, b"\xff" * 100)
    assert ask(other, 2002) == (third, "miss")

    redis.kill()
    assert ask(one, 2003)[1] == "miss"
    until(lambda: cache(one)[1] == "unavailable", "it is told")
    redis.start()
    until(lambda: cache(one) == cache(other) == ("healthy", "ok"), "Redis is back")
    fifth = ask(one, 2004)[0]
    until(lambda: kept(redis) >= 1, "it is kept")
    assert ask(other, 2004) == (fifth, "hit")


def test_digits_are_not_asked_about(servers: tuple[ServerProcess, ServerProcess], redis: RedisServer) -> None:
    """They answer sooner than Redis does: each server remembers its own."""
    one, _ = servers
    body = single("digits", [0.0] * 784)
    answers = [one.http.post(f"{one.url}/predict", content=body).json()["cached"] for _ in range(3)]

    assert answers == [False, True, True]
    assert kept(redis) == 0
