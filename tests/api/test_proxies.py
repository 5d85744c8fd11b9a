"""What the server makes of a proxy in front of it: whose address a request has, and what it may do."""

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


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxied")


@pytest.fixture(scope="module")
def proxied(data: Path) -> Iterator[TestClient]:
    """A server that trusts two proxies, and a network of them."""
    setting: dict[str, Any] = {
        "host": "0.0.0.0",  # noqa: S104 - nobody listens in a test
        "trusted_proxies": f"{PROXY},{BALANCER},2001:db8:1::/64",
    }
    with serving(data, setting=setting) as started:
        yield started


def address_of(proxied: TestClient, data: Path, peer: str, chain: str | None) -> str:
    """The address that the audit keeps of a failed login from there."""
    headers = {} if chain is None else {"X-Forwarded-For": chain}
    problem(
        caller(proxied.app, peer=(peer, 50000)).post("/auth/login", json=NOBODY, headers=headers),
        401,
        "unauthenticated",
    )
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


def test_a_local_proxy_inherits_no_trust(tmp_path: Path) -> None:
    """What says that it is passed on may do nothing, though it comes from this machine to a loopback name."""
    with serving(tmp_path) as started:
        assert started.post("/predict", json=DENVER).status_code == 200
        for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"):
            problem(started.post("/predict", json=DENVER, headers={name: "x"}), 401, "unauthenticated")
        denied = started.post("/predict", json=DENVER, headers={"X-Forwarded-For": "::1"})

    assert "scope 'predict'" in json.loads(denied.content)["detail"]
