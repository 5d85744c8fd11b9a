"""A small HTTP client for the server's own routes. The key goes into one header, and nowhere else."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ssl import SSLEOFError
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from seatrial.cli.documents import with_faults
from seatrial.cli.terminal import FAILED, UNAVAILABLE, USAGE_ERROR
from seatrial.contracts.problem import Fault

CONNECT_S = 10.0
ANSWER_S = 300.0
"""How long a server may be silent: a file that is registered is inspected first, and others may come before it."""
MOST = 2**27
"""Bytes of an answer that are read."""
PROBLEM = "urn:seatrial:problem:"
OUR_PORTS = {"http": 80, "https": 443}
CREDENTIALS = (401, 403)
UNKNOWN = (f"{PROBLEM}unknown-model", f"{PROBLEM}unknown-key")
"""What was named is not there."""


class NotDone(Exception):
    """What a command that asked a server ends with.

    Args:
        text: for a person.
        code: the exit code.
        problem: what the server answered, if that was a problem.
    """

    def __init__(self, text: str, code: int, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.problem = problem or {}

    @property
    def slug(self) -> str:
        """The end of the problem's `type`, such as `gate-refused`."""
        return str(self.problem.get("type", "")).removeprefix(PROBLEM)


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: blocks of `size` bytes in all, of a media type."""

    blocks: Iterable[bytes]
    size: int
    kind: str


@dataclass(frozen=True, slots=True)
class Client:
    """Asks a server. `url` has no slash at its end; no representation shows the key."""

    url: str
    key: str = field(default="", repr=False)

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """What the server answers; raises `NotDone`."""
        return read_answer(*self._exchange("GET", path, None), self.url)

    def post(self, path: str, query: Mapping[str, str], body: Body | None = None) -> Any:  # noqa: ANN401 - JSON
        """What the server answers; raises `NotDone`."""
        return read_answer(*self._exchange("POST", f"{path}?{urlencode(query)}", body), self.url)

    def delete(self, path: str) -> None:
        """Let something end; raises `NotDone`."""
        status, content = self._exchange("DELETE", path, None)
        if status != HTTPStatus.NO_CONTENT:
            read_answer(status, content, self.url)

    def _exchange(self, method: str, path: str, body: Body | None) -> tuple[int, bytes]:
        """Status and body of an answer. No redirect is followed: the key is for this server."""
        parts = urlsplit(self.url)
        headers = {"Accept": "application/json", "Connection": "close"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if body:
            headers |= {"Content-Type": body.kind, "Content-Length": str(body.size)}
        connection = _connection(parts)
        hint = " Is it running there?"
        try:
            connection.connect()
            connection.sock.settimeout(ANSWER_S)
            hint = "" if method == "GET" else f" It may have been done all the same: see `seatrial {_where(path)}`."
            with suppress(BrokenPipeError, ConnectionResetError, SSLEOFError):  # it has answered before the body's end
                connection.request(method, parts.path + path, body.blocks if body else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(MOST)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NotDone(f"{self.url} does not answer: {reason}.{hint}", UNAVAILABLE) from error
        finally:
            connection.close()


def _where(path: str) -> str:
    """The command that shows whether something was done."""
    return "keys list" if path.startswith("/auth/keys") else "models history"


def _connection(parts: SplitResult) -> HTTPConnection:
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname or "", parts.port or OUR_PORTS[parts.scheme], timeout=CONNECT_S)


def read_server(text: str) -> str:
    """The URL of a server, without a slash at its end; raises `NotDone` for what is none, or holds more."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in OUR_PORTS and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text:
        raise NotDone(f"--server: expected a URL such as http://127.0.0.1:8000; received {text!r}", USAGE_ERROR)
    if "@" in parts.netloc:
        raise NotDone("--server: the URL holds credentials; use --api-key", USAGE_ERROR)
    if parts.query or parts.fragment:
        raise NotDone(f"--server: expected a URL without query and fragment; received {text!r}", USAGE_ERROR)
    return text.rstrip("/")


def read_key(text: str) -> str:
    """A bearer token; raises `NotDone`, which does not repeat it, for what no header may hold."""
    key = text.strip()
    if not all("!" <= sign <= "~" for sign in key):
        told = "--api-key: expected letters, digits and signs of ASCII without spaces; received others"
        raise NotDone(told, USAGE_ERROR)
    return key


def read_answer(status: int, content: bytes, url: str) -> Any:  # noqa: ANN401 - JSON
    """The document of an answer.

    Raises:
        NotDone: a refusal; or the server fails, wants another key, or is no Seatrial.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if status in {200, 201} and document is not None:
        return document
    if not isinstance(document, dict) or not str(document.get("type")).startswith(PROBLEM):
        raise NotDone(f"{url} answered {status}, and not as Seatrial does.", UNAVAILABLE)
    raise NotDone(problem_text(document), exit_code(status, document), document)


def exit_code(status: int, problem: Mapping[str, Any]) -> int:
    """How a command ends that a server answered with a problem: as it does without a server, where it can be told."""
    if problem.get("type") in UNKNOWN:
        return USAGE_ERROR
    return FAILED if status < 500 and status not in CREDENTIALS else UNAVAILABLE  # noqa: PLR2004 - HTTP


def problem_text(problem: Mapping[str, Any]) -> str:
    """A problem for a person: its detail, and a line for each fault. What would steer a terminal is left out."""
    faults = [
        Fault(*(_printable(fault.get(name)) for name in ("pointer", "detail", "expected", "received")))
        for fault in problem.get("errors") or ()
        if isinstance(fault, dict)
    ]
    return with_faults(_printable(problem.get("detail") or problem.get("title")), faults)


def _printable(text: object) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in str(text))
