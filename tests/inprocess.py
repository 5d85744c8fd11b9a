"""The whole server inside the test's own process: started, asked over ASGI as a loopback caller, stopped."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import httpx2
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from seatrial.server.app import create_app, prepare
from seatrial.server.settings import Settings

ORIGIN = "http://127.0.0.1:8000"
LOOPBACK = ("127.0.0.1", 50000)
MEMBERS = {"type", "title", "status", "detail", "instance", "request_id", "errors", "errors_total"}


def caller(app: ASGIApp, *, origin: str = ORIGIN, peer: tuple[str, int] = LOOPBACK) -> TestClient:
    """Somebody who asks. Used in a `with` statement, the server also starts and stops around it."""
    return TestClient(app, base_url=origin, client=peer, raise_server_exceptions=False, follow_redirects=False)


@contextmanager
def serving(data_dir: Path, *, setting: dict[str, Any] | None = None, **overrides: object) -> Iterator[TestClient]:
    """A started server and a loopback caller; `setting` are settings, `overrides` go to `create_app`."""
    settings = Settings(data_dir=data_dir, **(setting or {}))
    prepare(settings)
    app = create_app(settings, **cast("dict[str, Any]", overrides))
    with caller(app) as client:
        yield client


def problem(response: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem that this answer must be; checks what every problem has in common."""
    assert response.headers["content-type"] == "application/problem+json"
    document = cast("dict[str, Any]", response.json())
    assert (response.status_code, document["type"]) == (status, f"urn:seatrial:problem:{slug}"), document
    assert document.keys() >= MEMBERS
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert unquote(document["instance"]) == unquote(response.request.url.path)
    assert len(document["errors"]) == min(document["errors_total"], 20)
    return document


def faults(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Pointer, expected and received of each fault."""
    return [(fault["pointer"], fault["expected"], fault["received"]) for fault in document["errors"]]


def converse(
    app: ASGIApp, path: str, chunks: list[Message], headers: dict[bytes, bytes] | None = None
) -> tuple[list[Message], int]:
    """POST to a started server, message by message; what it sent, and how many messages it took.

    When the messages are used up the caller says nothing more, and does not hang up.
    """
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list({b"host": b"127.0.0.1:8000", **(headers or {})}.items()),
        "client": LOOPBACK,
        "server": ("127.0.0.1", 8000),
    }
    sent: list[Message] = []
    left = list(chunks)

    async def receive() -> Message:
        if not left:
            await asyncio.get_running_loop().create_future()
        return left.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(cast("Any", app)(scope, receive, send))
    return sent, len(chunks) - len(left)
