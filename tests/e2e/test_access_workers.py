"""Two workers, one view of who may come in: what one of them learns, or the operator says, holds at the other."""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from tests.e2e.callers import EMAIL, PASSWORD, Line, audited, both_lines, command, one_line
from tests.e2e.conftest import StartServer
from tests.fakes.postgres import postgres_server
from tests.inputs import DENVER
from tests.live import ServerProcess, server_process, until, until_as_promised

from seatrial.server.access.ports import GRACE_SECONDS

pytestmark = pytest.mark.e2e
BOTH_200, BOTH_401, BOTH_403 = (200, 200), (401, 401), (403, 403)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Two workers; each test opens accounts of its own."""
    with server_process(tmp_path_factory.mktemp("server"), "--workers", "2", workers=2) as started:
        yield started


@pytest.fixture
def lines(server: ServerProcess) -> Iterator[tuple[Line, Line]]:
    """A connection to each."""
    with both_lines(server) as found:
        yield found


def predicted(lines: tuple[Line, Line], token: str) -> tuple[int, int]:
    """The status of a prediction by each worker."""
    one, other = lines
    return one.predict(token).status_code, other.predict(token).status_code


def known(lines: tuple[Line, Line], token: str) -> tuple[int, int]:
    """The status of who somebody is, by each worker."""
    one, other = lines
    return one.me(token), other.me(token)


def scopes(line: Line, token: str) -> list[str]:
    """What somebody may do."""
    found: list[str] = line.ask("GET", "/auth/me", token=token).json()["scopes"]
    return found


def test_what_one_worker_has_made_the_other_knows_at_once(lines: tuple[Line, Line]) -> None:
    """An account, its tokens, and key after key, made here and used there in the next moment, and the other way."""
    one, other = lines
    assert one.ask("POST", "/auth/register", {"email": "at@once.example", "password": PASSWORD}).status_code == 202
    token = other.log_in("at@once.example")["access_token"]

    assert one.me(token) == 200
    for maker, user in [(one, other), (other, one)] * 5:
        key, _ = maker.make_key(token)
        assert user.predict(key).status_code == 200


def test_many_come_at_once_with_a_key_that_is_new(server: ServerProcess, lines: tuple[Line, Line]) -> None:
    """Whoever comes while the worker looks for the first of them is let in as well."""
    one, _ = lines
    command(server.folder, "users", "create", "--email", "many@example.org")
    token = one.log_in("many@example.org")["access_token"]
    key, _ = one.make_key(token)
    with ThreadPoolExecutor(16) as threads:
        headers = {"Authorization": f"Bearer {key}"}
        ask = lambda _: server.http.post(f"{server.url}/predict", json={"data": DENVER}, headers=headers)  # noqa: E731
        answers = list(threads.map(ask, range(48)))

    assert Counter(answer.status_code for answer in answers) == {200: 48}


@pytest.mark.parametrize("how", ["http", "command"])
def test_a_revoked_key_is_refused_by_every_worker(server: ServerProcess, lines: tuple[Line, Line], how: str) -> None:
    """Within a second; whoever revoked it over HTTP is obeyed there in the next answer."""
    one, _ = lines
    command(server.folder, "users", "create", "--email", f"{how}@example.org")
    token = one.log_in(f"{how}@example.org")["access_token"]
    key, key_id = one.make_key(token)
    assert predicted(lines, key) == BOTH_200
    if how == "http":
        assert one.ask("DELETE", f"/auth/keys/{key_id}", token=token).status_code == 204
        assert one.predict(key).status_code == 401
    else:
        command(server.folder, "keys", "revoke", key_id)

    until_as_promised(lambda: predicted(lines, key) == BOTH_401, "both refuse the key")
    assert known(lines, token) == BOTH_200


@pytest.mark.proves("S16")
def test_somebody_who_is_disabled_is_refused_by_every_worker(server: ServerProcess, lines: tuple[Line, Line]) -> None:
    """Their access token, their keys, and their refresh token; enabled again, only their keys are good again."""
    one, other = lines
    command(server.folder, "users", "create", "--email", "out@example.org")
    tokens = one.log_in("out@example.org")
    key, _ = one.make_key(tokens["access_token"])
    assert known(lines, tokens["access_token"]) == BOTH_200
    assert predicted(lines, key) == BOTH_200
    command(server.folder, "users", "disable", "--email", "out@example.org")

    until_as_promised(lambda: known(lines, tokens["access_token"]) == BOTH_401, "both refuse the token")
    assert predicted(lines, key) == BOTH_401
    assert other.ask("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]}).status_code == 401
    assert one.ask("POST", "/auth/login", {"email": "out@example.org", "password": PASSWORD}).status_code == 401
    command(server.folder, "users", "enable", "--email", "out@example.org")
    until_as_promised(lambda: predicted(lines, key) == BOTH_200, "both take the key again")
    assert known(lines, tokens["access_token"]) == BOTH_401
    assert other.ask("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]}).status_code == 401


@pytest.mark.proves("S16")
def test_a_role_that_is_lowered_binds_at_every_worker(server: ServerProcess, lines: tuple[Line, Line]) -> None:
    """The access token of before ends; a key keeps what the role still holds."""
    one, other = lines
    command(server.folder, "users", "create", "--email", "role@example.org", "--role", "engineer")
    token = one.log_in("role@example.org")["access_token"]
    key, _ = one.make_key(token, scopes=["predict", "models:promote"])
    promote = "/models/digits:1/promote?new_stage=production"

    def promoted() -> tuple[int, int]:
        return tuple(line.ask("POST", promote, token=key).status_code for line in lines)  # type: ignore[return-value]

    assert promoted() == BOTH_200
    assert known(lines, token) == BOTH_200
    command(server.folder, "users", "set-role", "--email", "role@example.org", "--role", "viewer")

    until_as_promised(lambda: promoted() == BOTH_403, "both refuse a promotion")
    assert known(lines, token) == BOTH_401
    assert predicted(lines, key) == BOTH_200
    assert [scopes(line, key) for line in lines] == [["predict"]] * 2
    assert scopes(other, one.log_in("role@example.org")["access_token"]) == ["predict", "read"]


def test_another_password_ends_what_was_before_at_every_worker(server: ServerProcess, lines: tuple[Line, Line]) -> None:
    """All tokens of all sessions; the new ones are good at once, and the keys go on."""
    one, other = lines
    command(server.folder, "users", "create", "--email", "word@example.org")
    here, there = one.log_in("word@example.org"), other.log_in("word@example.org")
    key, _ = one.make_key(here["access_token"])
    assert known(lines, there["access_token"]) == BOTH_200
    wish = {"old_password": PASSWORD, "new_password": "another walk to the sea"}
    new = one.tokens("/auth/password", wish, here["access_token"])

    assert known(lines, new["access_token"]) == BOTH_200
    for old in (here, there):
        until_as_promised(lambda token=old["access_token"]: known(lines, token) == BOTH_401, "both refuse it")  # type: ignore[misc]
        assert other.ask("POST", "/auth/refresh", {"refresh_token": old["refresh_token"]}).status_code == 401
    assert predicted(lines, key) == BOTH_200
    assert other.tokens("/auth/refresh", {"refresh_token": new["refresh_token"]})["refresh_token"]


@pytest.mark.proves("S15")
def test_a_new_signing_key_is_followed_by_every_worker(server: ServerProcess, lines: tuple[Line, Line]) -> None:
    """Both publish it, both take what either has signed, before and after; soon it signs."""
    one, _ = lines
    command(server.folder, "users", "create", "--email", "kid@example.org")
    old = one.log_in("kid@example.org")
    (before,) = kids(one)
    assert kid_of(old["access_token"]) == before
    after = command(server.folder, "keys", "rotate-signing").split()[0]

    until_as_promised(lambda: all(kids(line) == {after, before} for line in lines), "both publish both keys")
    assert known(lines, old["access_token"]) == BOTH_200
    until(lambda: kid_of(one.log_in("kid@example.org")["access_token"]) == after, "the new key signs")
    for signer in lines:
        new = signer.log_in("kid@example.org")["access_token"]
        assert (kid_of(new), known(lines, new)) == (after, BOTH_200)
    assert known(lines, old["access_token"]) == BOTH_200


def kids(line: Line) -> set[str]:
    """The ids of the keys that a worker publishes."""
    return {key["kid"] for key in line.ask("GET", "/.well-known/jwks.json").json()["keys"]}


def kid_of(token: str) -> str:
    """Which key has signed a token."""
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(f"{header}=="))["kid"])


@pytest.mark.proves("S17")
@pytest.mark.proves("S18")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_of_fifty_who_refresh_at_once_one_is_served(start_server: StartServer, tmp_path: Path, database: str) -> None:
    """Over two workers. What that one got is good; the old token, once more after the grace, ends the session."""
    with ExitStack() as stack:
        url = {}
        if database == "postgresql":
            url = {"SEATRIAL_DATABASE_URL": stack.enter_context(postgres_server()).new_database()}
            command(tmp_path, "db", "upgrade", **url)
        server = start_server("--workers", "2", workers=2, **url)
        with one_line(server) as line:
            line.ask("POST", "/auth/register", {"email": EMAIL, "password": PASSWORD})
            old = line.log_in()["refresh_token"]

        def refresh(token: str) -> tuple[int, dict[str, str]]:
            answer = server.http.post(f"{server.url}/auth/refresh", json={"refresh_token": token})
            return answer.status_code, answer.json()

        with ThreadPoolExecutor(50) as threads:
            answers = list(threads.map(refresh, [old] * 50))
        served = monotonic()
        assert Counter(status for status, _ in answers) == {200: 1, 401: 49}
        (child,) = (tokens for status, tokens in answers if status == 200)
        with both_lines(server) as lines:
            assert known(lines, child["access_token"]) == BOTH_200
        assert audited(server, "authn_token_reuse", **url) == []
        until(lambda: monotonic() - served > GRACE_SECONDS, "the grace is over")

        assert refresh(old)[0] == 401
        assert refresh(child["refresh_token"])[0] == 401
        (reuse,) = audited(server, "authn_token_reuse", **url)
        assert (reuse["outcome"], reuse["address"]) == ("failure", "127.0.0.1")
