"""Accounts over HTTP: what is answered, and what is kept of it."""

import gzip
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient
from tests.inprocess import caller, faults, problem, serving
from tests.inputs import DENVER
from tests.live import operator_token

from seatrial.server.access.audit import AuditEntry
from seatrial.server.access.passwords import Passwords
from seatrial.server.storage.opening import open_registry

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}
WRONG = {"email": EMAIL, "password": "wrong horse battery"}
NOBODY = {"email": "nobody@example.org", "password": PASSWORD}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A server of its own, on loopback, on which somebody has an account."""
    with serving(tmp_path / "data") as started:
        assert started.post("/auth/register", json=CREDENTIALS).status_code == 202
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One server for those who leave nothing behind that others see."""
    with serving(tmp_path_factory.mktemp("shared") / "data") as started:
        yield started


def tokens(client: TestClient) -> dict[str, Any]:
    """What somebody gets who logs in."""
    answer = client.post("/auth/login", json=CREDENTIALS)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def operator(data_dir: Path) -> dict[str, str]:
    return bearer(operator_token(data_dir))


def audit(data_dir: Path) -> list[AuditEntry]:
    registry = open_registry(None, data_dir)
    try:
        return list(registry.audit.entries()[0])
    finally:
        registry.close()


def test_a_login_gives_tokens(client: TestClient) -> None:
    """An access token that is good at once, for 15 minutes, and says who it is of."""
    got = tokens(client)
    me = client.get("/auth/me", headers=bearer(got["access_token"]))

    assert (set(got), got["token_type"], got["expires_in"]) == (
        {"access_token", "token_type", "expires_in", "refresh_token"}, "bearer", 900,
    )  # fmt: skip
    assert me.json() == {
        "name": f"user:{EMAIL}", "kind": "user", "role": "viewer", "scopes": ["predict", "read"],
    }  # fmt: skip


@pytest.mark.proves("S6")
def test_nothing_tells_an_unknown_address_from_a_wrong_password(client: TestClient) -> None:
    """Status, headers and body are the same, but for the id of the request."""
    answers = [client.post("/auth/login", json=wrong) for wrong in (WRONG, NOBODY)]
    bodies = [re.sub(r'"request_id":"\w+"', "", answer.text) for answer in answers]
    headers = [{name: value for name, value in answer.headers.items() if name != "x-request-id"} for answer in answers]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert bodies[0] == bodies[1]
    assert headers[0] == headers[1]


@pytest.mark.proves("S6")
def test_nothing_tells_whether_an_address_has_an_account(client: TestClient) -> None:
    """To register it again is answered as the first time was, and changes no password."""
    answers = [client.post("/auth/register", json=wish) for wish in (NOBODY, WRONG)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content
    assert client.post("/auth/login", json=WRONG).status_code == 401
    assert client.post("/auth/login", json=CREDENTIALS).status_code == 200


@pytest.mark.proves("S1")
@pytest.mark.parametrize(
    ("password", "status"),
    [
        ("seven77", 422),
        ("egg8 hat", 202),
        ("x" * 64, 202),
        ("y" * 128, 202),
        ("z" * 129, 422),
        ("plainlowercases", 202),
    ],
)
def test_only_the_length_of_a_password_counts(shared: TestClient, password: str, status: int) -> None:
    """8 to 128 characters, of whatever kind."""
    answer = shared.post("/auth/register", json={"email": f"new{len(password)}@example.org", "password": password})

    assert answer.status_code == status
    if status == 422:
        assert faults(answer.json()) == [("/password", "8 to 128 characters", str(len(password)))]


@pytest.mark.proves("S2")
@pytest.mark.parametrize(
    "password", ["password", "QWERTYUIOP", "iloveyou1", "Seatrial-2026", "my name is ADA-lovelace"]
)
def test_what_is_tried_first_is_no_password(client: TestClient, password: str) -> None:
    """The common ones in any case, and what holds the name of the product or the account; wherever one is chosen."""
    wish = {"email": "ada-lovelace@example.org", "password": password}
    got = tokens(client)
    old_new = {"old_password": PASSWORD, "new_password": "password"}
    changed = client.post("/auth/password", json=old_new, headers=bearer(got["access_token"]))

    assert (
        problem(client.post("/auth/register", json=wish), 422, "invalid-input")["errors"][0]["pointer"] == "/password"
    )
    assert problem(changed, 422, "invalid-input")["errors"][0]["pointer"] == "/new_password"


@pytest.mark.proves("S5")
def test_another_password_ends_every_other_session(client: TestClient) -> None:
    """It takes the old one; tokens of before end, and those that it gives are good."""
    before = [tokens(client), tokens(client)]
    mine = bearer(before[0]["access_token"])
    wrong = client.post(
        "/auth/password", json={"old_password": "not that one", "new_password": "another one 1"}, headers=mine
    )
    answer = client.post(
        "/auth/password", json={"old_password": PASSWORD, "new_password": "another one 1"}, headers=mine
    )
    ended = [client.get("/auth/me", headers=bearer(old["access_token"])).status_code for old in before]
    refreshed = [
        client.post("/auth/refresh", json={"refresh_token": old["refresh_token"]}).status_code for old in before
    ]

    assert problem(wrong, 401, "unauthenticated")["detail"] == "The old password is not right."
    assert (ended, refreshed) == ([401, 401], [401, 401])
    assert client.get("/auth/me", headers=bearer(answer.json()["access_token"])).status_code == 200
    assert client.post("/auth/login", json=CREDENTIALS).status_code == 401
    assert client.post("/auth/login", json={**CREDENTIALS, "password": "another one 1"}).status_code == 200


def test_a_refresh_token_is_good_once(client: TestClient) -> None:
    """Its successor goes on; logging out ends that too, whoever asks twice."""
    first = tokens(client)["refresh_token"]
    second = client.post("/auth/refresh", json={"refresh_token": first}).json()["refresh_token"]
    again = client.post("/auth/refresh", json={"refresh_token": first})
    out = [client.post("/auth/logout", json={"refresh_token": second}).status_code for _ in range(2)]
    after = client.post("/auth/refresh", json={"refresh_token": second})

    assert again.status_code == 401
    assert out == [204, 204]
    assert after.status_code == 401


@pytest.mark.proves("S14")
def test_only_access_tokens_are_access_tokens(client: TestClient) -> None:
    """A refresh token lets nobody in, nor does an access token that was cut or changed."""
    got = tokens(client)
    token = got["access_token"]
    for wrong in (
        got["refresh_token"],
        token[:-1],
        token.swapcase(),
        token + "x",
        f"{token}.x",
        token.replace(".", ".."),
    ):
        assert client.get("/auth/me", headers=bearer(wrong)).status_code == 401


@pytest.mark.proves("S7")
def test_guessing_at_one_account_is_slowed_from_everywhere(tmp_path: Path) -> None:
    """20 wrong tries from 20 addresses: ten are answered; the owner, where they come from, gets in all the same."""
    with serving(tmp_path / "data", setting={"host": "0.0.0.0", "registration": "open"}) as started:  # noqa: S104 - nothing is bound
        home = caller(started.app, peer=("192.0.2.1", 1))
        home.post("/auth/register", json=CREDENTIALS)
        home.post("/auth/login", json=CREDENTIALS)
        tries = [caller(started.app, peer=(f"198.51.100.{n}", 1)).post("/auth/login", json=WRONG) for n in range(20)]
        elsewhere = caller(started.app, peer=("203.0.113.9", 1)).post("/auth/login", json=CREDENTIALS)
        owner = home.post("/auth/login", json=CREDENTIALS)

    assert [answer.status_code for answer in tries] == [401] * 10 + [429] * 10
    assert int(tries[-1].headers["retry-after"]) in range(300, 361)
    assert elsewhere.status_code == 429
    assert owner.status_code == 200
    assert [entry.event for entry in audit(tmp_path / "data")].count("authn_login_throttled") == 11


@pytest.mark.proves("S7")
def test_guessing_from_one_address_is_slowed_over_all_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One password for 60 accounts: 50 tries are answered. Another address is not slowed by that.

    Hashes are cheap here, so that all is over before the first try comes back, which takes 18 s.
    """
    monkeypatch.setattr("seatrial.server.entry.Passwords", partial(Passwords, memory_kib=8, passes=1))
    with serving(tmp_path / "data", setting={"host": "0.0.0.0", "registration": "open"}) as started:  # noqa: S104 - nothing is bound
        sprayer = caller(started.app, peer=("2001:db8::1", 1))
        tries = [
            sprayer.post("/auth/login", json={"email": f"u{n}@example.org", "password": "x" * 9}) for n in range(52)
        ]
        neighbour = caller(started.app, peer=("2001:db8:0:0:ffff::2", 1)).post("/auth/login", json=NOBODY)
        other = caller(started.app, peer=("2001:db8:0:1::1", 1)).post("/auth/login", json=NOBODY)

    assert [answer.status_code for answer in tries] == [401] * 50 + [429] * 2
    assert (neighbour.status_code, other.status_code) == (429, 401)


def test_logging_in_often_is_no_guessing(client: TestClient) -> None:
    """Whoever knows the password is not slowed, however often."""
    assert [client.post("/auth/login", json=CREDENTIALS).status_code for _ in range(15)] == [200] * 15


def test_many_who_know_their_password_are_not_taken_for_guessers(client: TestClient) -> None:
    """Sixty logins at once to one account from one address, where ten guesses were too many: everybody gets in."""
    with ThreadPoolExecutor(60) as threads:
        answers = list(threads.map(lambda _: client.post("/auth/login", json=CREDENTIALS), range(60)))

    assert [answer.status_code for answer in answers] == [200] * 60


@pytest.mark.proves("S7")
def test_tries_that_nobody_looked_at_are_not_counted(client: TestClient) -> None:
    """Sixty at an account that takes no more of them do not use up what their address has for others."""
    tries = [client.post("/auth/login", json=NOBODY).status_code for _ in range(60)]

    assert tries == [401] * 10 + [429] * 50
    assert client.post("/auth/login", json=CREDENTIALS).status_code == 200


def test_a_new_password_that_may_not_be_is_no_guess(client: TestClient) -> None:
    """Whoever knows the old one may try as often as they like."""
    wish = {"old_password": PASSWORD, "new_password": "12345678"}
    headers = bearer(tokens(client)["access_token"])
    tries = [client.post("/auth/password", json=wish, headers=headers).status_code for _ in range(12)]

    assert tries == [422] * 12
    assert client.post("/auth/login", json=CREDENTIALS).status_code == 200


def test_registration_can_be_closed(tmp_path: Path) -> None:
    """It is where others can reach the server, unless the operator opens it."""
    with serving(tmp_path / "data", setting={"host": "0.0.0.0"}) as started:  # noqa: S104 - nothing is bound
        refused = started.post("/auth/register", json=CREDENTIALS)

    assert "seatrial users create" in problem(refused, 403, "registration-closed")["detail"]


@pytest.mark.parametrize(
    ("email", "received"),
    [("ada", '"ada"'), ("a@b c", '"a@b c"'), ("a@" + "b" * 200, None), ("a\x00@b.org", None), (7, "7")],
)
def test_what_is_no_address_is_told(shared: TestClient, email: object, received: str | None) -> None:
    """With a pointer."""
    answer = shared.post("/auth/register", json={"email": email, "password": PASSWORD})
    (fault,) = problem(answer, 422, "invalid-input")["errors"]

    assert fault["pointer"] == "/email"
    assert received is None or fault["received"].strip('"') == received.strip('"')


@pytest.mark.parametrize(
    ("content", "headers", "status", "slug"),
    [
        (b"{", {}, 400, "invalid-json"),
        (b"[]", {}, 422, "invalid-input"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        (gzip.compress(b"{}"), {"Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
        (b'{"email":"' + b"x" * 70_000 + b'"}', {}, 413, "body-too-large"),
    ],
    ids=["half", "a list", "text", "compressed", "long"],
)
@pytest.mark.parametrize("path", ["/auth/login", "/auth/register", "/auth/refresh", "/auth/logout"])
def test_what_cannot_be_read_is_told(
    shared: TestClient, path: str, content: bytes, headers: dict[str, str], status: int, slug: str
) -> None:
    """As on every other route."""
    problem(shared.post(path, content=content, headers={"Content-Type": "application/json", **headers}), status, slug)


def test_what_is_secret_is_not_repeated(shared: TestClient) -> None:
    """Not even where it is of the wrong type."""
    answer = shared.post("/auth/login", json={"email": EMAIL, "password": 12345678})

    assert faults(problem(answer, 422, "invalid-input")) == [
        ("/password", "a text", "something else, which is not shown")
    ]
    assert "12345678" not in answer.text


@pytest.mark.proves("S57")
def test_each_deed_is_in_the_audit(client: TestClient, tmp_path: Path) -> None:
    """Who, what, on what, from where, how it went, and the id of the request."""
    data = tmp_path / "data"

    def post(path: str, json: object, headers: dict[str, str] | None = None) -> httpx2.Response:
        return client.post(path, json=json, headers={"X-Request-ID": "here", **(headers or {})})

    got = post("/auth/login", CREDENTIALS).json()
    post("/auth/login", WRONG)
    mine = bearer(got["access_token"])
    key = post("/auth/keys", {"name": "ci", "scopes": ["predict"]}, mine).json()
    other = post(f"/auth/keys/{key['key_id']}/rotate", {}, mine).json()
    client.delete(f"/auth/keys/{other['key_id']}", headers={"X-Request-ID": "here", **mine})
    post("/auth/password", {"old_password": PASSWORD, "new_password": "another one 1"}, mine)
    again = post("/auth/login", {**CREDENTIALS, "password": "another one 1"}).json()
    post("/auth/logout", {"refresh_token": again["refresh_token"]})
    who, session = f"user:{EMAIL}", "session"
    found = [(e.event, e.outcome, e.who, e.subject.partition(" ")[0], e.address, e.request_id) for e in audit(data)[1:]]

    assert found == [
        ("authn_login_success", "success", who, session, "127.0.0.1", "here"),
        ("authn_login_fail", "failure", "unknown", EMAIL, "127.0.0.1", "here"),
        ("key_created", "success", who, key["key_id"], "127.0.0.1", "here"),
        ("key_rotated", "success", who, key["key_id"], "127.0.0.1", "here"),
        ("key_revoked", "success", who, other["key_id"], "127.0.0.1", "here"),
        ("authn_password_change", "success", who, EMAIL, "127.0.0.1", "here"),
        ("authn_login_success", "success", who, session, "127.0.0.1", "here"),
        ("authn_login_success", "success", who, session, "127.0.0.1", "here"),
        ("authn_logout", "success", who, session, "127.0.0.1", "here"),
    ]


@pytest.mark.proves("S57")
def test_who_exceeds_a_limit_is_in_the_audit(client: TestClient, tmp_path: Path) -> None:
    """A caller who goes beyond their limit: once a minute, however often they do."""
    admin = operator(tmp_path / "data")
    key = client.post(
        "/auth/keys", json={"name": "k", "scopes": ["predict"], "rate_limit": "1/hour"}, headers=admin
    ).json()
    asked = [client.post("/predict", json={"data": DENVER}, headers=bearer(key["key"])).status_code for _ in range(4)]
    client.__exit__()  # what waits to be written is written at a stop
    found = [(entry.event, entry.who, entry.subject) for entry in audit(tmp_path / "data")]

    assert asked == [200, 429, 429, 429]
    assert found.count(("rate_limit_exceeded", f"key:{key['key_id']}", "")) == 1


@pytest.mark.proves("S19", "S58")
def test_no_secret_is_in_the_log_the_metrics_or_the_database(
    client: TestClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted secrets are looked for in everything that is kept or told."""
    got = tokens(client)
    mine = bearer(got["access_token"])
    admin = operator(tmp_path / "data")
    key = client.post("/auth/keys", json={"name": "ci", "scopes": ["predict"]}, headers=mine).json()["key"]
    refreshed = client.post("/auth/refresh", json={"refresh_token": got["refresh_token"]}).json()
    wrong = [client.post("/auth/login", json=WRONG), client.get("/models", headers=bearer(key.swapcase()))]
    metrics = (
        client.get("/metrics", headers=admin).text
        + client.get("/metrics", headers={**admin, "Accept": "application/json"}).text
    )
    kept = "\n".join(sqlite3.connect(tmp_path / "data" / "seatrial.db").iterdump())
    secrets = [PASSWORD, WRONG["password"], key, got["access_token"], got["refresh_token"], refreshed["refresh_token"]]
    secrets += [admin["Authorization"].removeprefix("Bearer "), (tmp_path / "data" / "secret.key").read_text().strip()]
    everything = capsys.readouterr().out + metrics + kept

    assert [answer.status_code for answer in wrong] == [401, 401]
    assert len(everything) > 10_000
    assert [secret for secret in secrets if secret in everything] == []
    assert '"d":' not in kept  # of a private JWK
