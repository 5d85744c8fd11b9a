"""Limits over two workers: together with Redis, each its part without, and what happens when Redis goes away."""

import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.callers import EMAIL, PASSWORD, Line, both_lines, lost, one_line
from tests.e2e.conftest import StartServer
from tests.fakes.redis import redis_server
from tests.inputs import DENVER
from tests.live import PATIENCE, PYTHON, ServerProcess, environment, until

pytestmark = [pytest.mark.e2e, pytest.mark.load]  # which have the machine for themselves: Redis is waited for 40 ms
N = 20
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}


def hourly_key(line: Line) -> str:
    """A key of N calls an hour, of the account of the test."""
    return line.make_key(line.log_in()["access_token"], rate_limit=f"{N}/hour")[0]


def ten_times_as_many(server: ServerProcess, key: str) -> Counter[int]:
    """How many of 10·N predictions of a key got which status; each on a connection of its own, many at once."""

    def ask(_: int) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return server.http.post(f"{server.url}/predict", json={"data": DENVER}, headers=headers).status_code

    with ThreadPoolExecutor(8) as threads:
        return Counter(threads.map(ask, range(10 * N)))


def policy(line: Line, key: str) -> str:
    """What a worker says is allowed to a key; asking takes a call."""
    return line.predict(key).headers["ratelimit-policy"]


def remaining(line: Line, key: str) -> int:
    """How many calls are left to a key, after this one."""
    found = re.fullmatch(r'"default";r=(\d+);t=\d+', line.predict(key).headers["ratelimit"])
    assert found
    return int(found[1])


@pytest.mark.proves("S33")
def test_two_workers_with_redis_let_through_what_one_would(start_server: StartServer) -> None:
    """Of ten times as many predictions as are allowed, exactly those that are, for key after key."""
    with redis_server() as redis:
        server = start_server("--workers", "2", workers=2, SEATRIAL_REDIS_URL=redis.tcp_url)
        with one_line(server) as line:
            line.ask("POST", "/auth/register", CREDENTIALS)
            keys = [hourly_key(line) for _ in range(3)]
        passed = [ten_times_as_many(server, key) for key in keys]
        with both_lines(server) as lines:
            policies = {policy(line, keys[0]) for line in lines}

    assert passed == [{200: N, 429: 9 * N}] * 3
    assert policies == {f'"default";q={N};w=3600'}
    assert (lost(server, "counted here"), server.events("limits_are_shared_out")) == (0, [])


def test_two_workers_with_redis_let_as_many_go_on_at_once_as_one_would(start_server: StartServer) -> None:
    """Of a key that may have two predictions going on, one at each worker, a third waits until one has ended."""
    with redis_server() as redis:
        server = start_server("--workers", "2", workers=2, SEATRIAL_REDIS_URL=redis.tcp_url)
        with both_lines(server) as (one, other), one_line(server) as third:
            third.ask("POST", "/auth/register", CREDENTIALS)
            key, _ = third.make_key(third.log_in()["access_token"], concurrency_limit=2)
            for line in (one, other):
                line.begin(key)
            refused = third.predict(key)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert one.finish() == 200
            until(lambda: third.predict(key).status_code == 200, "there is room for another")
            assert other.finish() == 200


@pytest.mark.proves("S36")
def test_predictions_go_on_without_redis_and_logins_wait(start_server: StartServer) -> None:
    """Each worker enforces its part, nobody tries passwords, both are counted; with Redis back all is as before."""
    with redis_server() as redis:
        server = start_server("--workers", "2", workers=2, SEATRIAL_REDIS_URL=redis.tcp_url)
        with both_lines(server) as lines:
            one, _ = lines
            one.ask("POST", "/auth/register", CREDENTIALS)
            key, later = hourly_key(one), hourly_key(one)
            assert ten_times_as_many(server, key) == {200: N, 429: 9 * N}
        redis.kill()
        with both_lines(server) as lines:
            assert [[line.predict(key).status_code for _ in range(N)] for line in lines] == [
                [200] * (N // 2) + [429] * (N // 2)
            ] * 2
            refused = [line.ask("POST", "/auth/login", CREDENTIALS) for line in lines]
        assert [(answer.status_code, answer.headers["retry-after"]) for answer in refused] == [(503, "2")] * 2
        assert (lost(server, "counted here"), lost(server, "refused")) == (2 * N, 2)
        redis.start()
        with both_lines(server) as lines:
            told = f'"default";q={N};w=3600'
            until(lambda: {policy(line, key) for line in lines} == {told}, "both count together again")
            assert [line.ask("POST", "/auth/login", CREDENTIALS).status_code for line in lines] == [200] * 2
        counted = lost(server, "counted here")
        assert ten_times_as_many(server, later) == {200: N, 429: 9 * N}
        assert lost(server, "counted here") == counted

    assert [len(server.events(event)) for event in ("limits_lost", "limits_back")] == [2, 2]


def test_redis_that_hangs_is_like_none(start_server: StartServer) -> None:
    """Calls are counted here, from none on; when it goes on, it knows what it knew before."""
    with redis_server() as redis:
        server = start_server(SEATRIAL_REDIS_URL=redis.tcp_url)
        with one_line(server) as line:
            line.ask("POST", "/auth/register", CREDENTIALS)
            key, other = hourly_key(line), line.make_key(line.log_in()["access_token"])[0]
            assert [remaining(line, key) for _ in range(3)] == [N - 1, N - 2, N - 3]
            with redis.frozen():
                assert [remaining(line, key) for _ in range(3)] == [N - 1, N - 2, N - 3]
                assert line.ask("POST", "/auth/login", CREDENTIALS).status_code == 503
            until(lambda: line.predict(other).status_code == 200 and bool(server.events("limits_back")), "it is back")
            assert remaining(line, key) < N - 3
            assert line.ask("POST", "/auth/login", CREDENTIALS).status_code == 200


@pytest.mark.shared
@pytest.mark.proves("S33")
def test_without_redis_each_worker_enforces_its_part(start_server: StartServer) -> None:
    """Which the log says once, as a warning, at the start."""
    server = start_server("--workers", "2", workers=2)
    with both_lines(server) as lines:
        lines[0].ask("POST", "/auth/register", CREDENTIALS)
        key = hourly_key(lines[0])
        answers = [[line.predict(key) for _ in range(N // 2 + 1)] for line in lines]

    assert [[answer.status_code for answer in of_one] for of_one in answers] == [[200] * (N // 2) + [429]] * 2
    assert {answer.headers["ratelimit-policy"] for of_one in answers for answer in of_one} == {
        f'"default";q={N // 2};w=3600'
    }
    (said,) = server.events("limits_are_shared_out")
    assert (said["level"], said["workers"]) == ("warning", 2)


@pytest.mark.shared
@pytest.mark.parametrize(
    "url", ["redis.example:6379", "http://:pass-1234@h:6379", "redis://:pass-1234@h:port/0", "redis://"]
)
def test_a_place_that_is_no_redis_is_exit_3(tmp_path: Path, url: str) -> None:
    """Before anything starts, with the name of the setting, and without its value: that may hold a password."""
    done = subprocess.run(
        [*PYTHON, "serve", "--port", "0", "--workers", "2"],
        env=environment(tmp_path, SEATRIAL_REDIS_URL=url),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(
        "seatrial: SEATRIAL_REDIS_URL: expected redis://host:6379/0, rediss://... or unix:///path"
    )
    assert "pass-1234" not in done.stderr
