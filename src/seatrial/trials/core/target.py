"""What is put on trial: a URL, the key for it, and, for an API that is not ours, what to ask it."""

import json
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as checked

from seatrial.contracts.record import TRIAL_HEADER, Subject
from seatrial.grading.toml import WrongFile, read_toml
from seatrial.trials.core.models import Models, bundled_models
from seatrial.trials.core.questions import JSON, Question, read_json, wrong

_strict = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Weighted:
    """A question, and how often it is asked relative to the others."""

    question: Question
    weight: int


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment. `requests` are those of a target file; without them the target is a Seatrial server.

    `models` are what its users ask about. `model`: the version that is on trial, as `name:version`, and `trial` the
    id under which the server counts what is asked.
    """

    url: str
    api_key: str = ""
    model: str = ""
    trial: str = ""
    models: Models = field(default_factory=bundled_models)
    requests: tuple[Weighted, ...] = ()
    wait_s: tuple[float, float] = (1.0, 3.0)
    file: Path | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What whoever asks it says of themselves."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def counted(self) -> dict[str, str]:
        """The headers of every request that is recorded: the server counts the same ones."""
        return {**self.headers, TRIAL_HEADER: self.trial} if self.trial else self.headers


Pointer = Annotated[str, Field(pattern=r"^(/.*)?$")]


@checked(frozen=True, config=_strict, kw_only=True)
class Expectation:
    """What a right answer is: its status, and values at JSON pointers. Numbers may differ by `tolerance`."""

    status: Annotated[int, Field(ge=100, le=599)] = 200
    values: Annotated[dict[Pointer, Any], Field(alias="json")] = Field(default_factory=dict)
    tolerance: Annotated[float, Field(ge=0)] = 0.0


@checked(frozen=True, config=_strict, kw_only=True)
class RequestSpec:
    """One request of a target file; `body` is sent as JSON, `body_file` (beside the target file) as it is."""

    path: Annotated[str, Field(pattern=r"^/")]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET"
    name: str = ""
    weight: Annotated[int, Field(ge=1)] = 1
    body: Any = None
    body_file: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    expect: Expectation = Field(default_factory=Expectation)


@checked(frozen=True, config=_strict, kw_only=True)
class TargetFile:
    """A target file: `request` lists what a user asks, waiting `wait` seconds (shortest, longest) in between."""

    schema: Literal["seatrial/target/v1"]
    request: Annotated[tuple[RequestSpec, ...], Field(min_length=1)]
    wait: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (1.0, 3.0)
    url: str = ""


_target_file: TypeAdapter[TargetFile] = TypeAdapter(TargetFile)


def read_target_file(path: Path, url: str = "", api_key: str = "") -> Target:
    """The target that a file describes; `url` overrides the file's own.

    Raises:
        WrongFile: the file or a body file cannot be used, or no URL is given.
    """
    described = read_toml(path, _target_file)
    if described.wait[0] > described.wait[1]:
        raise WrongFile(f"{path}: /wait: expected [shortest, longest]; received {list(described.wait)}")
    requests = tuple(Weighted(_question(spec, path), spec.weight) for spec in described.request)
    names = [item.question.endpoint for item in requests]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WrongFile(f"{path}: /request: several are called {', '.join(twice)}; give each a name of its own")
    where, key = read_url(url or described.url), read_key(api_key)
    return Target(where, key, requests=requests, wait_s=described.wait, file=path)


def read_url(text: str) -> str:
    """A base URL without a slash at its end.

    Raises:
        WrongFile: it is not http or https with a host, or holds more than a host and a path.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        (parts.hostname or "").encode("idna")
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text:
        raise WrongFile(f"the target is a URL such as http://127.0.0.1:8000; received {text!r}")
    if "@" in parts.netloc:
        raise WrongFile("the target's URL holds credentials, which would stand in every report; use --api-key")
    if parts.query or parts.fragment:
        raise WrongFile(f"the target is a URL without query and fragment; received {text!r}")
    return text.rstrip("/")


def read_key(text: str) -> str:
    """A bearer token.

    Raises:
        WrongFile: it holds what no header may hold, such as the end of a line.
    """
    key = text.strip()
    if not all("!" <= sign <= "~" for sign in key):
        raise WrongFile("--api-key: expected letters, digits and signs of ASCII without spaces; received others")
    return key


def target_schema() -> dict[str, Any]:
    """The JSON Schema of a target file."""
    return _target_file.json_schema(by_alias=True)


def subjects_of(document: object) -> tuple[Subject, ...]:
    """The models in production that `GET /models` lists, if it is a Seatrial server's answer; else none."""
    if not isinstance(document, list):
        return ()
    listed = [item for item in document if isinstance(item, dict) and item.get("stage") == "production"]
    return tuple(
        Subject(model_id=str(item["model_id"]), digest=str(item["digest"]))
        for item in listed
        if item.get("model_id") and re.fullmatch(r"sha256:[0-9a-f]{64}", str(item.get("digest")))
    )


def _question(spec: RequestSpec, path: Path) -> Question:
    endpoint = spec.name or f"{spec.method} {spec.path.partition('?')[0]}"
    body, headers = _body(spec, path), dict(spec.headers)
    if body is not None and not any(name.lower() == "content-type" for name in headers):
        headers |= JSON
    check = partial(_expect, spec.expect)
    return Question(endpoint, spec.method, spec.path, check, body, "", headers)


def _body(spec: RequestSpec, path: Path) -> bytes | None:
    if spec.body_file:
        try:
            return (path.parent / spec.body_file).read_bytes()
        except OSError as error:
            raise WrongFile(f"{path}: body_file {spec.body_file!r} cannot be read: {error.strerror}") from error
    try:
        return None if spec.body is None else json.dumps(spec.body).encode()
    except TypeError as error:
        raise WrongFile(f"{path}: /request/body: cannot be sent as JSON: {error}") from error


def _expect(expectation: Expectation, status: int, body: bytes) -> str:
    if status != expectation.status:
        return f"status {status}, expected {expectation.status}"
    if not expectation.values:
        return ""
    document, fault = read_json(200, body)
    if fault:
        return fault
    for pointer, expected in expectation.values.items():
        received = _at(document, pointer)
        if not _same(expected, received, expectation.tolerance):
            return wrong(pointer, expected, received)
    return ""


def _at(document: Any, pointer: str) -> Any:  # noqa: ANN401 - a JSON document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document


def _same(expected: object, received: object, tolerance: float) -> bool:
    numbers = (int, float)
    if isinstance(expected, bool) or isinstance(received, bool):
        return expected is received
    if isinstance(expected, numbers) and isinstance(received, numbers):
        return abs(expected - received) <= tolerance
    return expected == received
