"""Who may call what: every operation of the schema, asked by everybody there is, cell by cell."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi import APIRouter
from starlette.testclient import TestClient
from tests.inprocess import serving
from tests.live import operator_token

from seatrial.server.access.principal import ALL_SCOPES, ROLES, Scope
from seatrial.server.api.guard import policies_of

PASSWORD = "quite a long one"  # noqa: S105 - of nobody
PATHS = {"{model_id}": "digits:1", "{model_name}": "digits"}
PEOPLE = ("viewer", "engineer", "admin")
NOTHING: dict[str, str] = {}


class Deployment(NamedTuple):
    """A server, and the credentials of everybody, by who they are; and a key of somebody else's."""

    client: TestClient
    callers: dict[str, dict[str, str]]
    foreign: str


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Listening where others could reach it; nobody has been given anything without credentials."""
    folder = tmp_path_factory.mktemp("matrix")
    setting: dict[str, Any] = {"host": "0.0.0.0", "registration": "open"}  # noqa: S104 - nothing is bound
    with serving(folder, setting=setting) as client:
        operator = {"Authorization": f"Bearer {operator_token(folder)}"}
        callers = {"anonymous": NOTHING}
        for role in PEOPLE:
            callers[role] = person(client, folder, role)
        for scope in sorted(ALL_SCOPES):
            made = client.post("/auth/keys", json={"name": "k", "scopes": [scope]}, headers=operator).json()
            callers[f"key {scope}"] = {"Authorization": f"Bearer {made['key']}"}
        foreign = client.post("/auth/keys", json={"name": "k", "scopes": ["read"]}, headers=operator).json()["key_id"]
        yield Deployment(client, callers, foreign)


def person(client: TestClient, folder: Path, role: str) -> dict[str, str]:
    """The credentials of somebody of a role."""
    address = f"{role}@example.org"
    command = [sys.executable, "-m", "seatrial", "users", "create", "--email", address, "--role", role]
    subprocess.run(
        [*command, "--data-dir", str(folder)], input=PASSWORD + "\n", text=True, check=True, capture_output=True
    )
    tokens = client.post("/auth/login", json={"email": address, "password": PASSWORD}).json()
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def scopes_of(name: str) -> frozenset[Scope]:
    kind, _, scope = name.partition(" ")
    if kind == "key":
        return frozenset(one for one in ALL_SCOPES if one == scope)
    return next((scopes for role, scopes in ROLES.items() if role == kind), frozenset())


def expected(policy: str, name: str) -> str:
    """What somebody is to be answered: let in, or 401, or 403."""
    if policy == "none" or policy in scopes_of(name):
        return "in"
    if name == "anonymous":
        return "401"
    let = policy == "own" or (policy == "account" and name in PEOPLE)
    return "in" if let else "403"


def asked(deployment: Deployment, method: str, path: str, headers: dict[str, str]) -> str:
    """What somebody is answered: 401 and 403 keep them out, whatever else is wrong with the request lets them in."""
    for pattern, value in {**PATHS, "{key_id}": deployment.foreign}.items():
        path = path.replace(pattern, value)
    content = b"{}" if method == "POST" else None
    sent = {**headers, **({"Content-Type": "application/json"} if content else {})}
    status = deployment.client.request(method, path, content=content, headers=sent).status_code
    assert status < 500
    return str(status) if status in {401, 403} else "in"


@pytest.mark.proves("S29")
def test_everybody_may_do_what_they_may_and_nothing_else(deployment: Deployment) -> None:
    """Each operation of the schema with each caller: let in exactly where its scope is held."""
    paths = deployment.client.get("/openapi.json").json()["paths"]
    operations = [
        (method.upper(), path, told["x-seatrial-scope"]) for path, of in paths.items() for method, told in of.items()
    ]
    cells = {
        (method, path, name): expected(policy, name)
        for method, path, policy in operations
        for name in deployment.callers
    }

    assert len(cells) == 29 * 10
    assert {
        (method, path, name): asked(deployment, method, path, deployment.callers[name]) for method, path, name in cells
    } == cells


@pytest.mark.proves("S29")
@pytest.mark.parametrize(("method", "rest"), [("DELETE", ""), ("POST", "/rotate")])
@pytest.mark.parametrize(
    ("name", "status"), [("viewer", 404), ("engineer", 404), ("key admin", 403), ("key read", 403)]
)
def test_another_ones_key_is_not_there(deployment: Deployment, method: str, rest: str, name: str, status: int) -> None:
    """Whoever is not `admin` neither ends it nor hears that it exists; a key itself ends none."""
    answer = deployment.client.request(
        method, f"/auth/keys/{deployment.foreign}{rest}", json={} if rest else None, headers=deployment.callers[name]
    )
    listed = deployment.client.get("/auth/keys", headers=deployment.callers["viewer"]).json()

    assert answer.status_code == status
    assert [key["key_id"] for key in listed] == []


@pytest.mark.proves("S29")
def test_a_route_that_does_not_say_who_may_call_it_is_not_served() -> None:
    """The server does not start with it."""
    router = APIRouter()
    router.add_api_route("/secret", lambda: None)

    with pytest.raises(TypeError, match="/secret says not who may call it"):
        policies_of(router)


@pytest.mark.proves("S30")
@pytest.mark.parametrize("more", [{"role": "admin"}, {"is_admin": True}, {"scopes": ["admin"]}, {"owner": "x"}])
def test_what_nobody_may_set_changes_nothing(deployment: Deployment, more: dict[str, object]) -> None:
    """It is refused with a pointer, and no account is made; nor does a key get another owner or stage."""
    client = deployment.client
    credentials = {"email": "mallory@example.org", "password": PASSWORD}
    refused = client.post("/auth/register", json={**credentials, **more})
    wish = {"name": "k", "scopes": ["predict"], "account_id": "x", "owner_id": "x", "stage": "production"}
    key = client.post("/auth/keys", json=wish, headers=deployment.callers["viewer"])

    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{next(iter(more))}")
    assert client.post("/auth/login", json=credentials).status_code == 401
    assert (key.status_code, len(key.json()["errors"])) == (422, 3)


@pytest.mark.proves("S28")
@pytest.mark.parametrize("scope", ["models:write", "proofs:write", "models:promote", "admin"])
def test_a_key_holds_no_more_than_whoever_makes_it(deployment: Deployment, scope: str) -> None:
    """A viewer cannot make a key that writes."""
    wish = {"name": "k", "scopes": ["predict", scope]}
    refused = deployment.client.post("/auth/keys", json=wish, headers=deployment.callers["viewer"])

    assert refused.status_code == 422
    assert [(fault["pointer"], fault["received"]) for fault in refused.json()["errors"]] == [("/scopes", scope)]


@pytest.mark.proves("S28")
def test_keys_in_a_query_are_none(deployment: Deployment) -> None:
    """Addresses stand in logs: what is in one lets nobody in."""
    key = deployment.callers["key read"]["Authorization"].removeprefix("Bearer ")
    for name in ("api_key", "access_token", "key", "token"):
        assert deployment.client.get(f"/models?{name}={key}").status_code == 401
