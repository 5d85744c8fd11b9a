"""Who may come in, asked of a server as a stranger finds it: the way of a new account, and what nobody gets."""

import json
import socket
from contextlib import closing
from dataclasses import replace
from time import monotonic
from typing import Any

import httpx2
import pytest
from tests.e2e.callers import EMAIL, PASSWORD, audited, check_as_a_stranger, one_line
from tests.e2e.conftest import StartServer
from tests.live import PATIENCE, ServerProcess, until

from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.storage.opening import open_registry

pytestmark = pytest.mark.e2e


@pytest.mark.proves("S35")
def test_the_way_of_an_account(start_server: StartServer) -> None:
    """Register, log in, make a key, predict, exceed its limit, wait as long as told, predict, revoke it: refused."""
    server = start_server()
    with one_line(server) as line:
        registered = line.ask("POST", "/auth/register", {"email": EMAIL, "password": PASSWORD})
        assert (registered.status_code, registered.json()["status"]) == (202, "accepted")
        token = line.log_in()["access_token"]
        key, key_id = line.make_key(token, rate_limit="2/second")
        answers = [line.predict(key) for _ in range(3)]
        refused = monotonic()

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=2;w=1'}
        assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
            '"default";r=1', '"default";r=0', '"default";r=0',
        ]  # fmt: skip
        assert answers[2].json()["type"] == "urn:seatrial:problem:limit-exceeded"
        seconds = int(answers[2].headers["retry-after"])
        assert seconds == 1
        until(lambda: monotonic() - refused >= seconds, "as long has passed as was told")
        assert line.predict(key).status_code == 200
        assert line.ask("DELETE", f"/auth/keys/{key_id}", token=token).status_code == 204
        assert (line.predict(key).status_code, line.me(token)) == (401, 200)


@pytest.mark.proves("S57")
def test_the_audit_tells_the_way_of_an_account(start_server: StartServer) -> None:
    """One event each: by whom, from where, of what, under which request. Nothing secret is in it, nor in the log."""
    server = start_server()
    with one_line(server) as line:
        line.ask("POST", "/auth/register", {"email": EMAIL, "password": PASSWORD})
        wrong = line.ask("POST", "/auth/login", {"email": EMAIL, "password": "a wrong walk to the sea"})
        tokens = line.log_in()
        key, key_id = line.make_key(tokens["access_token"], rate_limit="1/hour")
        exceeded = [line.predict(key) for _ in range(2)][1]
        rotated = line.ask("POST", f"/auth/keys/{key_id}/rotate", {"overlap_seconds": 60}, tokens["access_token"])
        new = rotated.json()
        line.ask("DELETE", f"/auth/keys/{new['key_id']}", token=tokens["access_token"])
        line.ask("POST", "/auth/logout", {"refresh_token": tokens["refresh_token"]})
    assert (wrong.status_code, exceeded.status_code) == (401, 429)
    until(lambda: len(audited(server, "rate_limit_exceeded")) == 1, "the limit is in the audit")
    user, session = f"user:{EMAIL}", f"session {tokens['refresh_token'][3:11]}"
    expected = {
        "account_created": (user, f"{EMAIL} (viewer)", "success"),
        "authn_login_fail": ("unknown", EMAIL, "failure"),
        "authn_login_success": (user, session, "success"),
        "key_created": (user, f"{key_id} (of a test)", "success"),
        "rate_limit_exceeded": (f"key:{key_id}", "", "failure"),
        "key_rotated": (user, f"{key_id} -> {new['key_id']} (of a test)", "success"),
        "key_revoked": (user, f"{new['key_id']} (of a test)", "success"),
        "authn_logout": (user, session, "success"),
    }
    entries: dict[str, Any] = {event: audited(server, event) for event in expected}

    assert {
        event: [(entry["who"], entry["subject"], entry["outcome"]) for entry in found]
        for event, found in entries.items()
    } == {event: [entry] for event, entry in expected.items()}
    del entries["rate_limit_exceeded"]
    assert {entry["address"] for found in entries.values() for entry in found} == {"127.0.0.1"}
    assert len({entry["request_id"] for found in entries.values() for entry in found}) == len(entries)
    assert entries["authn_login_fail"][0]["request_id"] == wrong.headers["x-request-id"]
    told = json.dumps(entries) + server.log_file.read_text(encoding="utf-8")
    secrets = (PASSWORD, "a wrong walk", tokens["access_token"], tokens["refresh_token"], key, new["key"])
    assert [secret for secret in secrets if secret in told] == []


def test_strangers_get_nothing_of_a_server_for_others(start_server: StartServer) -> None:
    """Of one that listens on all addresses, a caller without credentials gets 401 on every route but the open ones."""
    server = start_server("--host", "0.0.0.0")  # noqa: S104 - which is what this is about
    with httpx2.Client(base_url=server.url, timeout=PATIENCE) as http:
        check_as_a_stranger(http)


@pytest.mark.proves("S44")
def test_no_answer_says_what_serves_it(server: ServerProcess) -> None:
    """Neither a good one, nor a refusal, nor what is no HTTP at all."""
    ok = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    requests = {
        ok: b"200",
        ok.replace(b"/health/live", b"/nowhere"): b"404",
        ok.replace(b"GET /health", b"PUT /health"): b"405",
        ok.replace(b"127.0.0.1", b"evil.example").replace(b"/health/live", b"/models"): b"400",
        b"\x16\x03\x01 this is no HTTP\r\n\r\n": b"400",
        b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n": b"400",
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n": b"400",
    }
    answers = {request: exchange(server, request) for request in requests}

    assert {request: answer.split()[1] for request, answer in answers.items()} == requests
    for answer in answers.values():
        names = [line.partition(b":")[0].lower() for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]]
        assert not {b"server", b"x-powered-by"} & set(names)
        assert b"uvicorn" not in answer.lower()


def exchange(server: ServerProcess, request: bytes) -> bytes:
    """What comes back for these bytes, to its end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


@pytest.mark.proves("S57")
def test_the_audit_tells_of_models_that_moved(start_server: StartServer) -> None:
    """A promotion and a rollback. Who promotes a version to where it stands already has done nothing."""
    server = start_server()
    token = server.token
    with closing(open_registry(None, server.folder / "data")) as registry:
        second = replace(registry.get("digits:1"), version=2, stage=Stage.STAGING)
        registry.add(second, Note("local:test", "the same again"))
    with one_line(server) as line:
        there, moved, back = (
            line.ask("POST", f"/models/{path}", token=token)
            for path in (
                "digits:1/promote?new_stage=production",
                "digits:2/promote?new_stage=production&override=true&reason=the+fair",
                "digits/rollback?reason=slow",
            )
        )
        assert [answer.status_code for answer in (there, moved, back)] == [200] * 3
    until(lambda: len(audited(server, "model_rolled_back")) == 1, "the rollback is in the audit")
    entries = audited(server, "model_promoted") + audited(server, "model_rolled_back")

    assert [(entry["subject"], entry["request_id"]) for entry in entries] == [
        ("digits:2 -> production", moved.headers["x-request-id"]),
        ("digits:1", back.headers["x-request-id"]),
    ]
    assert {(entry["who"], entry["address"]) for entry in entries} == {("local:admin.token", "127.0.0.1")}
