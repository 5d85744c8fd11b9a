"""A deployment behind its HTTP API: the server decides, and its ledger names the owner of the key."""

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from pydantic import ValidationError

from seatrial.cli.client import Body, Client, NotDone, read_key, read_server
from seatrial.cli.documents import ENTRY, MOVE, SUMMARY, Document, Moved, Returned, Upload, change_of
from seatrial.cli.place import Place
from seatrial.cli.terminal import UNAVAILABLE, USAGE_ERROR, stop
from seatrial.contracts.gate import GateDecision, decision_adapter
from seatrial.server.core.errors import GateRefused, UnknownModel
from seatrial.server.registry.model import parse_model_id, require_name

BLOCK = 2**20
RAW = "application/octet-stream"


@contextmanager
def remote_place(server: str, api_key: str) -> Iterator[Place]:
    """The deployment behind a URL; what stands in the way ends the command with a text."""
    try:
        yield _Remote(Client(read_server(server), read_key(api_key)))
    except UnknownModel as error:
        stop(str(error), USAGE_ERROR)
    except NotDone as error:
        stop(str(error), error.code)


class _Remote:
    """See `Place`. A name or id that cannot be one is not sent."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def versions(self) -> list[Document]:
        """See `Place.versions`."""
        return [_members(item, SUMMARY) for item in _listed(self._client.get("/models"))]

    def version(self, model_id: str) -> Document:
        """See `Place.version`."""
        return _members(self._client.get(_path(model_id)), (*SUMMARY, "manifest"))

    def history(self, name: str | None, *, verify: bool) -> tuple[list[Document], list[str]]:
        """See `Place.history`. A server tells the ledger name by name; that of all is put together here."""
        if verify:
            told = "each entry follows one of any model, and a server tells those of one; use --data-dir there"
            raise NotDone(f"--verify cannot be had with --server: {told}", USAGE_ERROR)
        listed = [] if name else _listed(self._client.get("/models"))
        names = (
            [require_name(name)] if name else sorted({_members(item, ["model_name"])["model_name"] for item in listed})
        )
        answers = (self._client.get(f"/models/{quote(each)}/history") for each in names)
        entries = [change_of(_members(item, ENTRY)) for answer in answers for item in _listed(answer)]
        return sorted(entries, key=lambda entry: int(entry["number"])), []

    def add(self, upload: Upload) -> Document:
        """See `Place.add`. The file is sent as it is read."""
        try:
            with upload.file.open("rb") as source:
                body = _body(source, upload)
                query = {"name": upload.name, "reason": upload.reason}
                return _members(self._client.post("/models", query, body), (*SUMMARY, "manifest"))
        except OSError as error:
            raise _unreadable(upload.file, error) from error

    def promote(self, model_id: str, stage: str, reason: str, *, override: bool) -> Moved:
        """See `Place.promote`; the server's gate decides."""
        query = {"new_stage": stage, "reason": reason} | ({"override": "true"} if override else {})
        try:
            done = _members(self._client.post(f"{_path(model_id)}/promote", query), ["changes", "gate"])
        except NotDone as error:
            if error.slug == "gate-refused":
                raise GateRefused(_decision(error.problem.get("gate"))) from error
            raise
        return Moved(_changes(done), None if done["gate"] is None else _decision(done["gate"]))

    def roll_back(self, name: str, reason: str) -> Returned:
        """See `Place.roll_back`."""
        answer = self._client.post(f"/models/{quote(require_name(name))}/rollback", {"reason": reason})
        done = _members(answer, ["model_id", "changes", "replayed"])
        replayed = _members(done["replayed"], ["cases", "worst"])
        return Returned(_changes(done), done["model_id"], replayed["cases"], replayed["worst"])

    def archive(self, model_id: str, reason: str) -> Moved:
        """See `Place.archive`, which no route does."""
        del reason
        told = f"`models archive {model_id}` cannot be had with --server: no route does it; use --data-dir there"
        raise NotDone(told, USAGE_ERROR)


def _path(model_id: str) -> str:
    name, version = parse_model_id(model_id)
    return f"/models/{quote(name)}:{version}"


def _members(answer: Any, names: Iterable[str]) -> Document:  # noqa: ANN401 - JSON
    """Those members of an answer, in this order."""
    try:
        return {name: answer[name] for name in names}
    except (KeyError, TypeError) as error:
        raise _other_release() from error


def _listed(answer: Any) -> list[Any]:  # noqa: ANN401 - JSON
    if not isinstance(answer, list):
        raise _other_release()
    return answer


def _changes(done: Document) -> list[Document]:
    return [change_of(_members(item, MOVE), MOVE) for item in _listed(done["changes"])]


def _decision(document: object) -> GateDecision:
    try:
        return decision_adapter.validate_python(document)
    except ValidationError as error:
        raise _other_release() from error


def _other_release() -> NotDone:
    return NotDone("The server's answer is not understood here: is it of another release?", UNAVAILABLE)


def _unreadable(file: Path, error: OSError) -> NotDone:
    return NotDone(f"Cannot read {file}: {error.strerror or error}.", USAGE_ERROR)


def _body(source: BinaryIO, upload: Upload) -> Body:
    """The file alone as it is; with a manifest or golden answers, a form with the file at its end."""
    status = os.fstat(source.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise NotDone(f"Cannot send {upload.file}: expected a regular file.", USAGE_ERROR)
    texts = {"manifest": upload.manifest, "golden": upload.golden}
    parts = {name: text for name, text in texts.items() if text is not None}
    if not parts:
        return Body(_blocks(source, status.st_size, upload.file), status.st_size, RAW)
    boundary = secrets.token_hex(16)
    opening = b"".join(_part(boundary, name, text) + b"\r\n" for name, text in parts.items())
    opening += _part(boundary, "model", b"")
    closing = f"\r\n--{boundary}--\r\n".encode("ascii")
    blocks = _blocks(source, status.st_size, upload.file, opening, closing)
    size = len(opening) + status.st_size + len(closing)
    return Body(blocks, size, f"multipart/form-data; boundary={boundary}")


def _part(boundary: str, name: str, content: bytes) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
    return head.encode("ascii") + content


def _blocks(source: BinaryIO, size: int, file: Path, opening: bytes = b"", closing: bytes = b"") -> Iterator[bytes]:
    """As many bytes of a file as were promised, between two texts."""
    yield opening
    while size:
        try:
            block = source.read(min(BLOCK, size))
        except OSError as error:
            raise _unreadable(file, error) from error
        if not block:
            raise NotDone(f"{file} became shorter while it was sent.", USAGE_ERROR)
        size -= len(block)
        yield block
    yield closing
