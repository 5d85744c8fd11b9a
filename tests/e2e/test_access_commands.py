"""`seatrial keys ... --server`: keys over HTTP, with the access token of a person; and that running servers follow."""

import base64
import json
from typing import Any

import httpx2
import pytest
from tests.live import ServerProcess, until
from typer.testing import CliRunner

from seatrial.cli.main import app
from seatrial.server.settings import Settings

pytestmark = pytest.mark.e2e
PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
QUESTION = {"data": [39.7, -105, 2050, "A1B"]}
Done = tuple[int, str, str]


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the tests say."""
    for name in (*Settings.model_fields, "api_key"):
        monkeypatch.delenv(f"SEATRIAL_{name.upper()}", raising=False)


def run(*arguments: str, typed: str = "", **variables: str) -> Done:
    done = CliRunner().invoke(app, arguments, input=typed, env={"COLUMNS": "200", **variables})
    return done.exit_code, done.stdout, done.stderr


def kid_of(token: str) -> str:
    """Which key has signed an access token."""
    kid: str = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["kid"]
    return kid


class Team:
    """A server, its operator, and Ada, an engineer."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.data = ("--data-dir", str(server.folder / "data"))
        self.admin = server.token
        opened = run("users", "create", "--email", "ada@example.org", "--role", "engineer", *self.data, typed=PASSWORD)
        assert opened[0] == 0
        self.ada = self.login()["access_token"]

    def login(self) -> dict[str, Any]:
        """What a login of Ada answers."""
        answer = self.ask("POST", "/auth/login", json={"email": "ada@example.org", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def ask(self, method: str, path: str, token: str = "", **more: Any) -> httpx2.Response:  # noqa: ANN401 - of httpx2
        """One request, with a bearer token or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.server.http.request(method, f"{self.server.url}{path}", headers=headers, **more)

    def predicts(self, token: str) -> int:
        """With which status a prediction is answered."""
        return self.ask("POST", "/predict", token, json=QUESTION).status_code

    def keys(self, *arguments: str, token: str = "") -> Done:
        """`seatrial keys` over HTTP; as Ada, if nothing else is said."""
        return run("keys", *arguments, "--server", self.server.url, SEATRIAL_API_KEY=token or self.ada)

    def keys_here(self, *arguments: str) -> Done:
        """The same on the data directory."""
        return run("keys", *arguments, *self.data)

    def make(self, name: str) -> tuple[str, str]:
        """Id of a new key of Ada's that may predict, and the key."""
        made = json.loads(self.keys("create", "--name", name, "--scopes", "predict", "--json")[1])
        return made["key_id"], made["key"]


@pytest.fixture(scope="module")
def team(server: ServerProcess) -> Team:
    """For all tests of this file."""
    return Team(server)


def test_a_key_is_made_listed_and_revoked(team: Team) -> None:
    """Printed alone; Ada sees her own keys, the operator everybody's, as on the data directory; then it is refused."""
    team.keys_here("create", "--name", "of the operator", "--scopes", "read")
    code, printed, told = team.keys("create", "--name", "ci", "--scopes", "predict", "--rate-limit", "600/minute")
    (mine,) = json.loads(team.keys("list", "--json")[1])
    key, before = printed.strip(), team.predicts(printed.strip())
    everybodys = team.keys("list", token=team.admin)
    revoked = team.keys("revoke", mine["key_id"])
    after = team.predicts(key)

    assert (code, told) == (0, f"Key {mine['key_id']} (ci), to be kept now: it is not shown again.\n")
    assert (mine["name"], mine["scopes"], mine["rate_limit"]) == ("ci", ["predict"], "600/minute")
    assert ("of the operator" in everybodys[1], len(everybodys[1].splitlines())) == (True, 3)
    assert revoked == (0, f"{mine['key_id']} is revoked.\n", "")
    assert (before, after) == (200, 401)
    until(lambda: json.loads(team.keys_here("list", "--json")[1])[-1]["last_used_at"] is not None, "its use is kept")
    assert team.keys("list", token=team.admin) == team.keys_here("list")


def test_a_key_is_exchanged_and_both_are_good(team: Team) -> None:
    """Until the overlap is over; without one the old key ends at once."""
    key_id, old = team.make("nightly")
    code, printed, told = team.keys("rotate", key_id, "--overlap", "1h")
    both = team.predicts(old), team.predicts(printed.strip())
    new_id = told.split()[1]
    last = team.keys("rotate", new_id, "--overlap", "0s")[1].strip()

    assert (code, told) == (0, f"Key {new_id} takes the place of {key_id}, which is good for 1h more.\n")
    assert both == (200, 200)
    assert (team.predicts(printed.strip()), team.predicts(last)) == (401, 200)


@pytest.mark.parametrize(
    "arguments",
    [
        ("revoke", "nobody12"),
        ("rotate", "nobody12"),
        ("revoke", "../models"),
        ("create", "--name", "x", "--scopes", "root"),
        ("create", "--name", "x", "--scopes", "read", "--expires", "soon"),
        ("create", "--name", "x", "--scopes", "read", "--expires", "0s"),
    ],
)
def test_what_is_refused_is_told_as_without_a_server(team: Team, arguments: tuple[str, ...]) -> None:
    """The same exit code and text: 2 for what is not there, 1 for what may not be."""
    here, there = team.keys_here(*arguments), team.keys(*arguments)

    assert there == here
    assert (there[0] in {1, 2}, there[1], there[2].startswith("seatrial: ")) == (True, "", True)


@pytest.mark.proves("S28")
def test_a_key_holds_no_more_than_whoever_makes_it(team: Team) -> None:
    """With exit code 1, and what they hold."""
    code, printed, text = team.keys("create", "--name", "x", "--scopes", "admin")

    assert (code, printed) == (1, "")
    assert "Expected some of models:promote, models:write, predict, proofs:write, read, received admin." in text


@pytest.mark.proves("S28")
def test_an_api_key_makes_and_ends_no_key(team: Team) -> None:
    """Whoever has stolen one gets no further: exit code 3, as with none, and the key is in no text."""
    key_id, key = team.make("stolen")
    for arguments in (("list",), ("create", "--name", "x", "--scopes", "predict"), ("rotate", key_id)):
        code, printed, text = team.keys(*arguments, token=key)
        assert (code, printed, key in text) == (3, "", False)
        assert text == "seatrial: This is for people: send the access token of a login, and nothing else.\n"
    nobody = run("keys", "list", "--server", team.server.url)

    assert (nobody[0], nobody[1], "This needs credentials" in nobody[2]) == (3, "", True)


def test_a_server_that_goes_away_is_said(team: Team) -> None:
    """With exit code 3."""
    code, _, text = run("keys", "list", "--server", "http://127.0.0.1:9", SEATRIAL_API_KEY=team.ada)

    assert (code, text) == (
        3,
        "seatrial: http://127.0.0.1:9 does not answer: Connection refused. Is it running there?\n",
    )


@pytest.mark.proves("S16")
def test_running_servers_follow_users(team: Team) -> None:
    """A lower role ends access tokens, and a refresh gives one of the new role; who is disabled is out with all."""
    _, key = team.make("of Ada")
    tokens = team.login()
    access = tokens["access_token"]
    run("users", "set-role", "--email", "ada@example.org", "--role", "viewer", *team.data)
    until(lambda: team.predicts(access) == 401, "the access token of before has ended")
    answer = team.ask("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    renewed = answer.json()
    me = team.ask("GET", "/auth/me", renewed["access_token"]).json()
    run("users", "disable", "--email", "ada@example.org", *team.data)
    until(lambda: team.predicts(key) == 401, "the key has ended")
    out = [
        team.predicts(renewed["access_token"]),
        team.ask("POST", "/auth/refresh", json={"refresh_token": renewed["refresh_token"]}).status_code,
        team.ask("POST", "/auth/login", json={"email": "ada@example.org", "password": PASSWORD}).status_code,
    ]
    run("users", "enable", "--email", "ada@example.org", *team.data)
    until(lambda: team.predicts(key) == 200, "the key is good again")

    assert (answer.status_code, me["role"], me["scopes"]) == (200, "viewer", ["predict", "read"])
    assert out == [401, 401, 401]


@pytest.mark.proves("S15")
def test_another_key_signs_and_the_old_one_verifies(team: Team) -> None:
    """The public keys show both; a token of before is good; new ones are signed by the new key."""
    before = team.login()["access_token"]
    kid = team.keys_here("rotate-signing")[1].split()[0]

    def kids() -> list[str]:
        return [key["kid"] for key in team.ask("GET", "/.well-known/jwks.json").json()["keys"]]

    until(lambda: kid in kids(), "the server knows the new key")
    until(lambda: kid_of(team.login()["access_token"]) == kid, "the new key signs")
    assert (len(kids()), team.predicts(before)) == (2, 200)
