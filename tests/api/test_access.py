"""Who may ask: anonymous callers on loopback, the operator with the admin token, nobody else."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from tests.inprocess import caller, problem, serving
from tests.inputs import DENVER, Json
from tests.live import operator_token

from seatrial.server.access.principal import Scope

Asked = tuple[str, str, Json]
"""Method, path and data of a request."""

PREDICTING: list[Asked] = [("POST", "/predict", DENVER), ("POST", "/predict/batch", [DENVER])]
READING: list[Asked] = [
    ("GET", "/models", None),
    ("GET", "/models/geoclimate:1", None),
    ("GET", "/models/geoclimate:1/golden", None),
    ("GET", "/models/geoclimate:1/proofs", None),
    ("GET", "/models/geoclimate/history", None),
    ("GET", "/metrics", None),
]
GUARDED = PREDICTING + READING
WRITING = [
    ("/models/geoclimate:1/trials", "proofs:write", 201),
    ("/models/geoclimate:1/proofs", "proofs:write", 422),
    ("/models/geoclimate:1/promote?new_stage=production", "models:promote", 200),
    ("/models/geoclimate/rollback", "models:promote", 409),
]
"""Path, scope, and what the operator's token gets: no such proof, it stands there already, nothing to return to."""
OPEN = ["/", "/health", "/health/live", "/health/ready", "/docs", "/redoc", "/openapi.json", "/docs/assets/docs.js"]
FAR_AWAY = ("192.0.2.7", 4711)
NAME = "models.example"

writing = pytest.mark.parametrize(("path", "scope", "status"), WRITING, ids=[path for path, _, _ in WRITING])
guarded = pytest.mark.parametrize("asked", GUARDED, ids=[path for _, path, _ in GUARDED])


class Stranger(NamedTuple):
    """Who asks, by which name of the server, with which headers."""

    headers: dict[str, str]
    peer: tuple[str, int] = ("127.0.0.1", 1)
    origin: str = "http://127.0.0.1:8000"


def ask(client: TestClient, asked: Asked, headers: dict[str, str] | None = None) -> httpx2.Response:
    """One request, with a body where there is data."""
    method, path, data = asked
    return client.request(method, path, json=None if data is None else {"data": data}, headers=headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def app(data_dir: Path) -> Iterator[ASGIApp]:
    """A loopback server that also answers for another name, as one behind a proxy must."""
    with serving(data_dir, setting={"allowed_hosts": ("127.0.0.1", "localhost", "[::1]", NAME)}) as started:
        yield started.app


@pytest.fixture(scope="module")
def token(app: ASGIApp, data_dir: Path) -> str:
    del app
    return operator_token(data_dir)


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ASGIApp]:
    """A server that listens on every address."""
    with serving(tmp_path_factory.mktemp("data"), setting={"host": "0.0.0.0"}) as started:  # noqa: S104 - what is tested
        yield started.app


@guarded
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1"])
@pytest.mark.parametrize("origin", ["http://localhost", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_loopback_callers_need_no_credentials(
    app: ASGIApp,
    asked: Asked,
    peer: str,
    origin: str,
) -> None:
    """Anonymous callers on loopback predict and read."""
    assert ask(caller(app, origin=origin, peer=(peer, 1)), asked).status_code == 200


@guarded
@pytest.mark.parametrize(
    "stranger",
    [
        Stranger({}, peer=FAR_AWAY),
        Stranger({}, peer=("::ffff:192.0.2.7", 1)),
        Stranger({}, peer=("localhost.evil.example", 1)),
        Stranger({}, origin=f"http://{NAME}"),
        Stranger({"Forwarded": "for=127.0.0.1"}),
        Stranger({"Via": "1.1 proxy"}),
        Stranger({"X-Forwarded-For": "127.0.0.1"}),
        Stranger({"X-Forwarded-Host": "localhost"}),
        Stranger({"X-Forwarded-Proto": "https"}),
        Stranger({"X-Real-IP": "127.0.0.1"}),
        Stranger({"X-Forwarded-Prefix": ""}),
    ],
    ids=lambda stranger: " ".join([stranger.peer[0], stranger.origin, *stranger.headers]),
)
def test_others_need_credentials(app: ASGIApp, token: str, asked: Asked, stranger: Stranger) -> None:
    """A far peer, another Host or any trace of a proxy: 401 that says how to get in, and the token does get in."""
    client = caller(app, origin=stranger.origin, peer=stranger.peer)
    refused = ask(client, asked, stranger.headers)
    answer = problem(refused, 401, "unauthenticated")

    assert refused.headers["www-authenticate"] == 'Bearer realm="seatrial"'
    assert "admin.token" in answer["detail"]
    assert ask(client, asked, stranger.headers | bearer(token)).status_code == 200


@guarded
@pytest.mark.parametrize("peer", [("127.0.0.1", 1), FAR_AWAY])
def test_a_public_listener_trusts_nobody(
    public: ASGIApp,
    asked: Asked,
    peer: tuple[str, int],
) -> None:
    """Where the listener is not loopback even a loopback caller needs credentials."""
    problem(ask(caller(public, peer=peer), asked), 401, "unauthenticated")


@pytest.mark.parametrize("path", OPEN)
def test_some_routes_are_open_to_all(public: ASGIApp, path: str) -> None:
    """What a server is, how it is and how to use it needs no credentials anywhere."""
    assert caller(public, peer=FAR_AWAY).get(path).status_code == 200


@guarded
@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_the_admin_token_is_a_key_to_all(
    app: ASGIApp,
    token: str,
    asked: Asked,
    kind: str,
) -> None:
    """The token in the data directory predicts and reads from anywhere; the scheme's case does not matter."""
    response = ask(caller(app, peer=FAR_AWAY), asked, {"Authorization": f"{kind} {token}"})

    assert response.status_code == 200


@guarded
@pytest.mark.parametrize(
    "credentials",
    ["Bearer wrong", "Bearer ", "Bearer", "", "Basic YWRtaW46YWRtaW4=", "{token}", "Token {token}", "Bearer {token}x"],
)
def test_wrong_credentials_are_401_even_on_loopback(
    app: ASGIApp,
    token: str,
    asked: Asked,
    credentials: str,
) -> None:
    """Whoever shows credentials is judged by them, and does not fall back to being anonymous."""
    response = ask(caller(app), asked, {"Authorization": credentials.replace("{token}", token)})

    problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="seatrial"'
    assert token not in response.text


def test_the_caller_is_checked_before_the_body(app: ASGIApp) -> None:
    """A stranger learns nothing of what is wrong with a body."""
    stranger = caller(app, peer=FAR_AWAY)
    response = stranger.post("/predict", content=b"{", headers={"Content-Type": "text/plain"})

    problem(response, 401, "unauthenticated")


def test_the_token_is_made_once_and_is_private(tmp_path: Path) -> None:
    """admin.token is readable by its owner alone, in a directory of its owner, and survives a restart."""
    made = set()
    for _ in range(2):
        with serving(tmp_path / "new") as started:
            assert started.get("/health/ready").status_code == 200
        made.add((tmp_path / "new" / "admin.token").read_text())

    assert len(made) == 1
    assert len(made.pop().strip()) >= 40
    assert stat.S_IMODE((tmp_path / "new" / "admin.token").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new" / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "admin.token",
        "artifacts",
        "seatrial.db",
        "secret.key",
    }


@pytest.mark.parametrize(
    ("scopes", "predicting", "reading"),
    [((), 401, 401), (("predict",), 200, 401), (("read",), 401, 200), (("predict", "read"), 200, 200)],
)
@pytest.mark.parametrize("peer", [("127.0.0.1", 1), FAR_AWAY])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - what is tested
def test_anonymous_scopes_hold_for_everybody(
    tmp_path: Path, scopes: tuple[str, ...], predicting: int, reading: int, peer: tuple[str, int], host: str
) -> None:
    """Where SEATRIAL_ANONYMOUS_SCOPES is set it says what everybody may do, from anywhere, and no more."""
    with serving(tmp_path, setting={"anonymous_scopes": scopes, "host": host}) as started:
        somebody = caller(started.app, peer=peer)
        proxied = {"X-Forwarded-For": "192.0.2.9"}

        assert {ask(somebody, asked, proxied).status_code for asked in PREDICTING} == {predicting}
        assert {ask(somebody, asked, proxied).status_code for asked in READING} == {reading}


@pytest.mark.parametrize(("asked", "scope"), [(PREDICTING[0], "predict"), (READING[0], "read")])
def test_the_answer_names_the_scope(
    public: ASGIApp,
    asked: Asked,
    scope: str,
) -> None:
    """401 says which scope is asked for."""
    answer = problem(ask(caller(public), asked), 401, "unauthenticated")

    assert f"'{scope}'" in answer["detail"]


@writing
@pytest.mark.parametrize("peer", [("127.0.0.1", 1), ("::1", 1), FAR_AWAY])
def test_writing_needs_a_principal_even_on_loopback(
    app: ASGIApp, token: str, peer: tuple[str, int], path: str, scope: str, status: int
) -> None:
    """Who may predict and read without credentials may change nothing; the operator's token may, from anywhere."""
    client = caller(app, peer=peer)
    refused = client.post(path, json={})
    answer = problem(refused, 401, "unauthenticated")

    assert f"'{scope}'" in answer["detail"]
    assert refused.headers["www-authenticate"] == 'Bearer realm="seatrial"'
    assert client.post(path, json={}, headers=bearer(token)).status_code == status


@writing
def test_no_setting_lets_everybody_write(tmp_path: Path, path: str, scope: str, status: int) -> None:
    """Whatever anonymous callers hold, it is not that."""
    del scope, status
    with serving(tmp_path, setting={"anonymous_scopes": ("predict", "read")}) as started:
        problem(started.post(path, json={}), 401, "unauthenticated")


def test_the_gate_is_asked_by_who_may_read(app: ASGIApp, token: str) -> None:
    """Its answer is that for a promotion, 409, to callers on loopback and with the token; strangers get none."""
    path = "/models/geoclimate:1/gate"

    problem(caller(app).get(path), 409, "gate-refused")
    problem(caller(app, peer=FAR_AWAY).get(path, headers=bearer(token)), 409, "gate-refused")
    problem(caller(app, peer=FAR_AWAY).get(path), 401, "unauthenticated")


@pytest.fixture
def holding(app: ASGIApp, token: str) -> Callable[[Scope], str]:
    """Makes a key that holds one scope."""

    def hold(scope: Scope) -> str:
        made = caller(app).post("/auth/keys", json={"name": "ci", "scopes": [scope]}, headers=bearer(token))
        return str(made.json()["key"])

    return hold


@writing
def test_a_missing_scope_is_403_and_named(
    app: ASGIApp, holding: Callable[[Scope], str], path: str, scope: str, status: int
) -> None:
    """Known callers hear which scope they lack, in words and in the header; before the body is looked at."""
    del status
    refused = caller(app).post(path, content=b"{", headers=bearer(holding("read")))
    answer = problem(refused, 403, "forbidden")

    assert f"'{scope}'" in answer["detail"]
    assert f'error="insufficient_scope", scope="{scope}"' in refused.headers["www-authenticate"]


@pytest.mark.parametrize("reason", ["", "the old one answers wrong"])
def test_an_override_needs_the_scope_admin(app: ASGIApp, holding: Callable[[Scope], str], reason: str) -> None:
    """To promote is not to promote without proof."""
    query = {"new_stage": "production", "override": "true", "reason": reason}
    refused = caller(app).post("/models/geoclimate:1/promote", params=query, headers=bearer(holding("models:promote")))
    answer = problem(refused, 403, "forbidden")

    assert "'admin'" in answer["detail"]
