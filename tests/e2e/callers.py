"""Callers of a server process with several workers, and the operator's commands beside it."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
from tests.inprocess import problem
from tests.inputs import DENVER
from tests.live import PATIENCE, ServerProcess, until
from typer.testing import CliRunner

from seatrial.cli.main import app
from seatrial.server.settings import Settings

EMAIL, PASSWORD = "ada@example.org", "a long walk to the sea"
NO_SETTINGS = {f"SEATRIAL_{name.upper()}": None for name in (*Settings.model_fields, "api_key")}
"""For a command: only what it is told."""
BODY = json.dumps({"data": DENVER}).encode()
Json = Any


class Line:
    """A connection, which stays with the worker that took it. It ends where the server ends it."""

    def __init__(self, server: ServerProcess) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self.close = self._connection.close

    def ask(self, method: str, path: str, document: Json = None, token: str = "") -> httpx2.Response:
        """One request and its answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = None if document is None else json.dumps(document)
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return httpx2.Response(answer.status, headers=answer.getheaders(), content=answer.read())

    def predict(self, token: str) -> httpx2.Response:
        """A prediction."""
        return self.ask("POST", "/predict", {"data": DENVER}, token)

    def begin(self, token: str) -> None:
        """Send the head of a prediction; when this returns, the server waits for the body, so it has let it in."""
        self._connection.putrequest("POST", "/predict")
        fields = {"Authorization": f"Bearer {token}", "Content-Length": str(len(BODY)), "Expect": "100-continue"}
        for name, value in fields.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        assert self._connection.sock.recv(100).startswith(b"HTTP/1.1 100")

    def finish(self) -> int:
        """Send the body; the status."""
        self._connection.send(BODY)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def me(self, token: str) -> int:
        """The status of who somebody is."""
        return self.ask("GET", "/auth/me", token=token).status_code

    def tokens(self, path: str, document: Json, token: str = "") -> dict[str, str]:
        """The tokens that a route gives, which must."""
        answer = self.ask("POST", path, document, token)
        assert answer.status_code == 200, answer.text
        found: dict[str, str] = answer.json()
        return found

    def log_in(self, email: str = EMAIL, password: str = PASSWORD) -> dict[str, str]:
        """The tokens of somebody who has an account."""
        return self.tokens("/auth/login", {"email": email, "password": password})

    def make_key(self, token: str, **wishes: Json) -> tuple[str, str]:
        """A key and its id."""
        answer = self.ask("POST", "/auth/keys", {"name": "of a test", "scopes": ["predict"], **wishes}, token)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return made["key"], made["key_id"]


@contextmanager
def one_line(server: ServerProcess) -> Iterator[Line]:
    """A connection to whichever worker takes it."""
    with closing(Line(server)) as line:
        yield line


@contextmanager
def both_lines(server: ServerProcess) -> Iterator[tuple[Line, Line]]:
    """A connection to each of two workers."""
    found: dict[str, Line] = {}
    with ExitStack() as stack:

        def met() -> bool:
            line = stack.enter_context(one_line(server))
            worker = re.search(r"^seatrial_worker_pid (\S+)$", line.ask("GET", "/metrics").text, re.MULTILINE)
            assert worker
            found.setdefault(worker[1], line)
            return len(found) == 2

        until(met, "both workers have answered")
        one, other = found.values()
        yield one, other


def command(folder: Path, *arguments: str, **variables: str) -> str:
    """What a command beside the server of this folder prints; it must succeed. A password is read by who wants one."""
    known = {**NO_SETTINGS, "SEATRIAL_DATA_DIR": str(folder / "data"), **variables}
    done = CliRunner().invoke(app, arguments, input=f"{PASSWORD}\n", env=known)
    assert done.exit_code == 0, done.output
    return done.stdout


def audited(server: ServerProcess, event: str, **variables: str) -> list[dict[str, str]]:
    """The entries of the audit of one event, the oldest first."""
    found: list[dict[str, str]] = json.loads(command(server.folder, "audit", "--event", event, "--json", **variables))
    return found


def lost(server: ServerProcess, action: str) -> float:
    """How many calls the store of limits could not be asked about, over all workers."""
    with one_line(server) as line:
        text = line.ask("GET", "/metrics").text
    found = re.search(rf'^seatrial_limits_lost_total{{action="{action}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


OPEN = frozenset(
    {
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/.well-known/jwks.json"),
        ("POST", "/auth/register"),
        ("POST", "/auth/login"),
        ("POST", "/auth/refresh"),
        ("POST", "/auth/logout"),
    }
)
"""What needs no credentials, of what the schema lists."""
PAGES = ("/docs", "/redoc", "/openapi.json", "/docs/assets/docs.js")


def check_as_a_stranger(http: httpx2.Client) -> None:
    """Assert that a caller without credentials gets 401 on every route but the open ones, and no account."""
    schema = http.get("/openapi.json").json()
    listed = {(method.upper(), path) for path, methods in schema["paths"].items() for method in methods}
    assert listed > OPEN
    for method, template in sorted(listed - OPEN):
        path = template.format(model_id="digits:1", model_name="digits", key_id="abc", trial_id="abc")
        document = {"data": DENVER} if method == "POST" else None
        problem(http.request(method, path, json=document), 401, "unauthenticated")
    for path in [path for method, path in sorted(OPEN) if method == "GET"] + list(PAGES):
        assert http.get(path).status_code == 200, path
    asked = [
        ("register", {"email": EMAIL, "password": PASSWORD}, 403),
        ("login", {"email": EMAIL, "password": PASSWORD}, 401),
        ("refresh", {"refresh_token": "x"}, 401),
        ("logout", {"refresh_token": "x"}, 204),
    ]
    for name, credentials, status in asked:
        assert http.post(f"/auth/{name}", json=credentials).status_code == status, name
