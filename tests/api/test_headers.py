"""What stands on every answer, whoever asks for what; and what pages of other origins are told."""

import json
from collections.abc import Callable, Iterator

import httpx2
import pytest
from starlette.testclient import TestClient
from tests.inprocess import caller, serving
from tests.inputs import DENVER

PROXY = ("10.1.2.3", 443)
TOKEN = "operators-own-token"  # noqa: S105 - of no server
ORIGIN = "https://app.example"
SECURE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
DIRECTIVES = {"default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"}
LOGIN = {"email": "nobody@example.org", "password": "whatever it is"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server behind a proxy that it trusts, which pages of one origin may call."""
    setting = {"trusted_proxies": "10.0.0.0/8", "cors_origins": ORIGIN, "max_body_bytes": 1000}
    folder = tmp_path_factory.mktemp("headers")
    (folder / "admin.token").write_text(TOKEN)
    with serving(folder, setting=setting) as started:
        yield started


def exhausted(client: TestClient) -> httpx2.Response:
    """The answer to somebody who may not call any more."""
    admin = {"Authorization": f"Bearer {TOKEN}"}
    made = client.post("/auth/keys", json={"name": "k", "scopes": ["predict"], "rate_limit": "1/day"}, headers=admin)
    mine = {"Authorization": f"Bearer {made.json()['key']}"}
    for _ in range(2):
        answer = client.post("/predict", json={"data": DENVER}, headers=mine)
    return answer


ANSWERS: dict[str, Callable[[TestClient], httpx2.Response]] = {
    "200 of the lane": lambda client: client.post("/predict", json={"data": DENVER}),
    "422 of the lane": lambda client: client.post("/predict", json={}),
    "413": lambda client: client.post("/predict", content=b"[" + b"1," * 1000 + b"1]"),
    "415": lambda client: client.post("/predict", content=b"1", headers={"Content-Type": "text/plain"}),
    "200 of a route": lambda client: client.get("/models"),
    "200 of health": lambda client: client.get("/health"),
    "401": lambda client: client.post("/auth/login", json=LOGIN),
    "404": lambda client: client.get("/nowhere"),
    "405": lambda client: client.put("/predict"),
    "400 of a host": lambda client: client.get("/", headers={"Host": "evil.example"}),
    "429": exhausted,
    "200 of a page": lambda client: client.post("/predict", json={"data": DENVER}, headers={"Origin": ORIGIN}),
    "preflight": lambda client: client.options(
        "/predict", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    ),
    "HEAD": lambda client: client.head("/health"),
}


@pytest.mark.proves("S46")
@pytest.mark.parametrize("what", ANSWERS)
def test_every_answer_carries_the_security_headers(client: TestClient, what: str) -> None:
    """An error's too: its type is not guessed, it is not framed, run or kept. None says what server it is."""
    answer = ANSWERS[what](client)
    shared = "cross-origin" if what in {"200 of a page", "preflight"} else "same-origin"

    assert not what[:3].isdigit() or answer.status_code == int(what[:3])
    assert {name: answer.headers.get(name) for name in SECURE} == {**SECURE, "cross-origin-resource-policy": shared}
    assert {part.strip() for part in answer.headers["content-security-policy"].split(";")} >= DIRECTIVES
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers


@pytest.mark.proves("S46")
def test_a_failure_carries_them_too(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """500: whatever went wrong."""
    with serving(tmp_path_factory.mktemp("failing")) as started:
        monkeypatch.setattr("seatrial.server.services.models.describe_model", None)
        monkeypatch.setattr("seatrial.server.api.models.describe_model", None)
        answer = started.get("/models/digits:1")

    assert answer.status_code == 500
    assert {name: answer.headers.get(name) for name in SECURE} == SECURE


@pytest.mark.proves("S46")
def test_pages_may_run_their_own_scripts_only(client: TestClient) -> None:
    """The documentation has a policy of its own, and only that; its files may be kept, and asked about again."""
    page, file = client.get("/docs"), client.get("/docs/assets/docs.js")

    assert page.headers.get_list("content-security-policy") == [page.headers["content-security-policy"]]
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert {part.strip() for part in page.headers["content-security-policy"].split(";")} >= DIRECTIVES
    assert page.headers["cache-control"] == "no-store"
    assert "cache-control" not in file.headers
    assert file.headers["etag"]


@pytest.mark.proves("S46")
@pytest.mark.parametrize(
    ("peer", "told", "expected"),
    [(PROXY, "https", "max-age=31536000"), (PROXY, "http", None), (("192.0.2.1", 1), "https", None)],
)
def test_under_tls_browsers_stay_there(
    client: TestClient, peer: tuple[str, int], told: str, expected: str | None
) -> None:
    """Where a proxy that is trusted says that the caller came by TLS."""
    answer = caller(client.app, peer=peer).get("/health", headers={"X-Forwarded-Proto": told})

    assert answer.headers.get("strict-transport-security") == expected


@pytest.mark.proves("S45")
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"]
)
def test_other_origins_are_told_nothing(client: TestClient, origin: str) -> None:
    """Neither before nor with a request."""
    asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for answer in (client.options("/predict", headers=asking), client.get("/health", headers={"Origin": origin})):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.proves("S45")
def test_a_page_of_a_named_origin_may_call(client: TestClient) -> None:
    """It sees the limits and the id; a browser's own credentials are never asked for."""
    answer = client.post("/predict", json={"data": DENVER}, headers={"Origin": ORIGIN})
    preflight = client.options(
        "/predict",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "RateLimit" in answer.headers["access-control-expose-headers"]
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "access-control-allow-credentials" not in {*answer.headers, *preflight.headers}


@pytest.mark.proves("S45")
def test_there_is_no_cors_by_default(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A page of another origin can do nothing, whatever it can send without being asked; our own can."""
    blob = json.dumps({"data": DENVER}).encode()
    somebody = json.dumps({"email": "a@example.org", "password": "correct horse battery"}).encode()
    with serving(tmp_path_factory.mktemp("plain")) as started:
        answer = started.post("/predict", content=blob, headers={"Origin": ORIGIN})
        nowhere = started.post("/predict", content=blob, headers={"Origin": "null"})
        listed = started.get("/models", headers={"Origin": ORIGIN})
        opened = started.post("/auth/register", content=somebody, headers={"Origin": ORIGIN})
        own = started.post("/predict", content=blob, headers={"Origin": str(started.base_url)})
        preflight = started.options("/predict", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})

    assert (answer.status_code, nowhere.status_code, listed.status_code, opened.status_code) == (401, 401, 401, 403)
    assert own.status_code == 200
    assert preflight.status_code == 405
    assert [name for name in {*answer.headers, *preflight.headers} if name.startswith("access-control")] == []
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
