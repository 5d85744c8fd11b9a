"""What the server makes of a proxy in front of it: whose address a request has, and what goes on every answer."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.inprocess import caller, problem, serving

from seatrial.server.storage.opening import open_registry

DENVER = {"data": [39.7, -105, 2050, "A1B"]}
NOBODY = {"email": "nobody@example.org", "password": "wrong horse battery"}
PROXY, BALANCER, STRANGER = "10.0.0.7", "10.0.0.5", "203.0.113.9"
SECURE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
APP = "https://app.example"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxied")


@pytest.fixture(scope="module")
def proxied(data: Path) -> Iterator[TestClient]:
    """A server that trusts two proxies, and limits addresses to 3 calls a minute."""
    setting: dict[str, Any] = {
        "host": "0.0.0.0",  # noqa: S104 - nobody listens in a test
        "trusted_proxies": f"{PROXY},{BALANCER},2001:db8:1::/64",
        "anonymous_rate_limit": "3/minute",
        "anonymous_scopes": "predict",
    }
    with serving(data, setting=setting) as started:
        yield started


def address_of(proxied: TestClient, data: Path, peer: str, chain: str | None) -> str:
    """The address that the audit keeps of a failed login from there."""
    headers = {} if chain is None else {"X-Forwarded-For": chain}
    asked = caller(proxied.app, peer=(peer, 50000)).post("/auth/login", json=NOBODY, headers=headers)
    if asked.status_code == 429:
        pytest.fail("the test has used up what its address may do")
    with closing(open_registry(None, data)) as registry:
        entries, _ = registry.audit.entries(1)
    return entries[0].address


@pytest.mark.proves("S34")
@pytest.mark.parametrize(
    ("peer", "chain", "address"),
    [
        ("198.51.100.1", STRANGER, "198.51.100.1"),
        (PROXY, "203.0.113.1", "203.0.113.1"),
        (PROXY, "127.0.0.1, 203.0.113.2", "203.0.113.2"),
        (PROXY, f"203.0.113.3, {BALANCER}", "203.0.113.3"),
        (PROXY, f"198.51.100.9, 203.0.113.4, {BALANCER}", "203.0.113.4"),
        (PROXY, None, PROXY),
        (BALANCER, "nonsense", BALANCER),
        ("2001:db8:1::5", "2001:db8:2::9", "2001:db8:2::9"),
    ],
)
def test_an_address_is_what_trusted_proxies_say(
    proxied: TestClient, data: Path, peer: str, chain: str | None, address: str
) -> None:
    """Of a list the right-most address that is no trusted proxy; a stranger's header says nothing."""
    assert address_of(proxied, data, peer, chain) == address


@pytest.mark.proves("S34")
@pytest.mark.parametrize(
    ("peer", "chains"),
    [
        ("198.51.100.20", [f"203.0.113.{number}" for number in range(100, 104)]),
        (PROXY, [f"192.0.2.{number}, 203.0.113.50" for number in range(4)]),
        (PROXY, [f"2001:db8:77:1::{number}" for number in range(4)]),
    ],
    ids=["an untrusted peer", "what a caller wrote", "one customer of IPv6"],
)
def test_nobody_is_many_by_a_header(proxied: TestClient, peer: str, chains: list[str]) -> None:
    """The fourth call of three a minute is refused, whatever addresses a caller makes up."""
    callers = caller(proxied.app, peer=(peer, 50000))
    statuses = [
        callers.post("/predict", json=DENVER, headers={"X-Forwarded-For": chain}).status_code for chain in chains
    ]

    assert statuses == [200, 200, 200, 429]


@pytest.mark.proves("S46")
@pytest.mark.parametrize(("peer", "believed"), [(PROXY, True), (STRANGER, False)])
def test_browsers_are_told_to_keep_to_tls(proxied: TestClient, peer: str, believed: bool) -> None:  # noqa: FBT001 - a column
    """Where a trusted proxy says that the caller came by it."""
    found = caller(proxied.app, peer=(peer, 50000)).get("/", headers={"X-Forwarded-Proto": "https"})

    assert found.headers.get("strict-transport-security") == ("max-age=31536000" if believed else None)
    assert "strict-transport-security" not in caller(proxied.app, peer=(peer, 50000)).get("/").headers


@pytest.mark.proves("S46")
@pytest.mark.parametrize(
    ("method", "path", "status", "more"),
    [
        ("GET", "/", 200, {}),
        ("GET", "/health", 200, {}),
        ("POST", "/predict", 200, {"json": DENVER}),
        ("POST", "/predict", 400, {"content": b"{"}),
        ("POST", "/predict", 415, {"content": b"{}", "headers": {"Content-Encoding": "gzip"}}),
        ("POST", "/predict", 422, {"json": {"data": []}}),
        ("POST", "/predict/batch", 413, {"content": b"{" * 2000}),
        ("POST", "/auth/login", 401, {"json": NOBODY}),
        ("GET", "/auth/me", 401, {}),
        ("GET", "/nowhere", 404, {}),
        ("DELETE", "/", 405, {}),
        ("GET", "/models", 400, {"headers": {"Host": "evil.example"}}),
    ],
)
def test_every_answer_is_kept_by_nobody_and_runs_nothing(
    bounded: TestClient, method: str, path: str, status: int, more: dict[str, Any]
) -> None:
    """Refusals as well: their type is not guessed, they are framed, kept and fetched by no page, and run no script."""
    found = bounded.request(method, path, **more)
    policy = found.headers["content-security-policy"]

    assert found.status_code == status
    assert {name: found.headers[name] for name in SECURE} == SECURE
    for rule in ("default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "server" not in found.headers


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server of this machine that reads small bodies only, and names one origin."""
    with serving(tmp_path_factory.mktemp("bounded"), setting={"max_body_bytes": 1000}) as started:
        yield started


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.mark.proves("S45")
@pytest.mark.parametrize("origin", [APP, "https://evil.example", "null"])
def test_without_the_setting_no_page_of_another_origin_may_call(bounded: TestClient, origin: str) -> None:
    """No answer has a header that lets it."""
    for found in (
        bounded.get("/", headers={"Origin": origin}),
        bounded.post("/predict", json=DENVER, headers={"Origin": origin}),
        bounded.options("/predict", headers={"Origin": origin, **PREFLIGHT}),
    ):
        assert not [name for name in found.headers if name.startswith("access-control-")]
    problem(bounded.options("/predict", headers={"Origin": origin, **PREFLIGHT}), 405, "wrong-method")


@pytest.mark.proves("S45")
def test_only_pages_of_a_named_origin_may_call(tmp_path: Path) -> None:
    """They may send a token, and read the headers of limits; cookies are not let through for anybody."""
    with serving(tmp_path, setting={"cors_origins": APP}) as started:
        asked = started.options("/predict", headers={"Origin": APP, **PREFLIGHT})
        told = started.post("/predict", json=DENVER, headers={"Origin": APP})
        others = [
            started.request(method, path, headers={"Origin": origin, **more})
            for origin in ("https://evil.example", "https://app.example.evil.example", "http://app.example", "null")
            for method, path, more in (("GET", "/", {}), ("OPTIONS", "/predict", PREFLIGHT))
        ]

    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, APP)
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    assert (told.status_code, told.headers["access-control-allow-origin"]) == (200, APP)
    assert "RateLimit" in told.headers["access-control-expose-headers"]
    for found in (asked, told, *others):
        assert "access-control-allow-credentials" not in found.headers
        assert found.headers["x-content-type-options"] == "nosniff"
    assert not [found for found in others if "access-control-allow-origin" in found.headers]


def test_a_local_proxy_inherits_no_trust(tmp_path: Path) -> None:
    """What says that it is passed on may do nothing, though it comes from this machine to a loopback name."""
    with serving(tmp_path) as started:
        assert started.post("/predict", json=DENVER).status_code == 200
        for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"):
            problem(started.post("/predict", json=DENVER, headers={name: "x"}), 401, "unauthenticated")
        denied = started.post("/predict", json=DENVER, headers={"X-Forwarded-For": "::1"})

    assert "scope 'predict'" in json.loads(denied.content)["detail"]
