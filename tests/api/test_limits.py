"""Limits over HTTP: who is counted as one, what is told of it, and what is not counted."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from tests.inprocess import caller, problem, serving
from tests.inputs import DENVER

TOKEN = "operators-own-token"  # noqa: S105 - of no server
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
PROXY = ("10.1.2.3", 1)
ASKED = {"data": DENVER}
FREE = ["/", "/health", "/health/live", "/health/ready", "/docs", "/openapi.json", "/models", "/metrics"]


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server that anybody may ask twice an hour, behind a proxy that it trusts."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "admin.token").write_text(TOKEN)
    setting = {
        "trusted_proxies": "10.0.0.0/8", "anonymous_rate_limit": "2/hour", "rate_limit": "3/hour",
        "anonymous_scopes": "predict,read",
    }  # fmt: skip
    with serving(folder, setting=setting) as started:
        yield started


def predict(client: TestClient, headers: dict[str, str] | None = None) -> int:
    """How a prediction is answered."""
    return client.post("/predict", json=ASKED, headers=headers).status_code


def a_key(client: TestClient, **more: object) -> dict[str, str]:
    """The credentials of a key."""
    made = client.post("/auth/keys", json={"name": "k", "scopes": ["predict", "read"], **more}, headers=OPERATOR)
    return {"Authorization": f"Bearer {made.json()['key']}"}


@pytest.mark.proves("S35")
def test_what_is_left_is_told(client: TestClient) -> None:
    """On each answer, also one to a request that is wrong; at the end 429, and when one more is allowed."""
    mine = a_key(client)
    answers = [client.post("/predict", json=body, headers=mine) for body in (ASKED, {}, ASKED, ASKED)]
    told = [(a.status_code, a.headers["ratelimit"], a.headers["ratelimit-policy"]) for a in answers]

    assert told == [
        (200, '"default";r=2;t=1200', '"default";q=3;w=3600'),
        (422, '"default";r=1;t=2400', '"default";q=3;w=3600'),
        (200, '"default";r=0;t=3600', '"default";q=3;w=3600'),
        (429, '"default";r=0;t=3600', '"default";q=3;w=3600'),
    ]
    assert answers[3].headers["retry-after"] == "1200"
    assert problem(answers[3], 429, "limit-exceeded")["detail"] == (
        "More than 3/hour calls are not allowed. Try again in 1200 s."
    )


def test_each_caller_has_their_own(client: TestClient) -> None:
    """Keys, also two of one owner, and addresses; the operator has none."""
    keys = [a_key(client), a_key(client, rate_limit="1/day")]
    asked = [predict(client, mine) for mine in (*keys, *keys, None, None, None, OPERATOR, OPERATOR, OPERATOR, OPERATOR)]

    assert asked == [200, 200, 200, 429, 200, 200, 429, 200, 200, 200, 200]


def test_what_tells_how_the_server_is_is_not_counted(client: TestClient) -> None:
    """A balancer, a scraper and whoever reads is never refused for asking often."""
    answers = {path: [client.get(path) for _ in range(3)] for path in FREE}

    assert {path: [a.status_code for a in found] for path, found in answers.items()} == dict.fromkeys(FREE, [200] * 3)
    assert [path for path, found in answers.items() if "ratelimit" in found[0].headers] == []


def test_what_is_written_is_counted(client: TestClient) -> None:
    """With the predictions of the same caller."""
    mine = a_key(client)
    refused = [client.post("/models/geoclimate:1/trials", headers=mine).status_code for _ in range(2)]
    logins = [client.post("/auth/logout", json={"refresh_token": "x"}).status_code for _ in range(3)]

    assert refused == [403, 403]  # which is not counted: it is refused for another reason
    assert logins == [204, 204, 429]


@pytest.mark.proves("S34")
def test_what_a_caller_says_of_their_address_changes_nothing(client: TestClient) -> None:
    """Only a proxy that is trusted is believed; of its list, the right-most address that is not one itself."""
    stranger = caller(client.app, peer=("192.0.2.1", 1))
    lies = [predict(stranger, {"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(3)]
    proxy = caller(client.app, peer=PROXY)
    same = [predict(proxy, {"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.5, 10.9.9.9"}) for n in range(3)]
    other = predict(proxy, {"X-Forwarded-For": "203.0.113.6"})

    assert (lies, same, other) == ([200, 200, 429], [200, 200, 429], 200)


@pytest.mark.proves("S34")
def test_a_network_of_ipv6_is_one_caller(client: TestClient) -> None:
    """Whoever has one address has the whole /64."""
    peers = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:1::", "2001:db8:0:1::1"]

    assert [predict(caller(client.app, peer=(peer, 1))) for peer in peers] == [200, 200, 429, 200]


def test_a_call_that_is_over_makes_room(client: TestClient) -> None:
    """Of a key that may have one at once, each comes after the other."""
    mine = a_key(client, rate_limit="100/hour", concurrency_limit=1)

    assert [predict(client, mine) for _ in range(3)] == [200] * 3
    assert [client.post("/predict", json={}, headers=mine).status_code for _ in range(2)] == [422, 422]


def test_loopback_is_not_limited(tmp_path_factory: pytest.TempPathFactory) -> None:
    """By default; the first minute knows no limits."""
    with serving(tmp_path_factory.mktemp("plain")) as started:
        answers = [started.post("/predict", json=ASKED) for _ in range(700)]

    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers
