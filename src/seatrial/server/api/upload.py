"""Reads an upload block by block onto the disk: a raw model file, or a form with a manifest and golden answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from seatrial.contracts.golden import MOST_BYTES as MOST_GOLDEN
from seatrial.contracts.manifest import MOST_BYTES as MOST_MANIFEST
from seatrial.contracts.problem import Fault
from seatrial.server.api.guard import Headers, check_transfer
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import BodyTooLarge, ClientGone, DeadlineExceeded, InvalidInput, UnsupportedMediaType
from seatrial.server.registry.ports import Draft

FORM = b"multipart/form-data"
RAW = (b"application/octet-stream", b"application/onnx", b"application/x-onnx")
ACCEPTED = {"Accept": ", ".join(kind.decode() for kind in (*RAW, FORM))}
BLOCK = 2**20
LEAST_RATE = 64 * 2**10
"""Bytes a second, on the average, below which an upload is given up once its first seconds are over."""
OVERHEAD = 2**16
"""Bytes of a form beside its parts."""


class Sink(Protocol):
    """Where the bytes of an upload go, and what came beside the model file."""

    limit: int
    texts: dict[str, bytes]

    def write(self, block: bytes) -> None:
        """Take the next bytes; blocks, so it is called in a thread."""

    def close(self) -> None:
        """There are no more; raises `InvalidInput` where that is too early."""


def sink_for(headers: Headers, draft: Draft, max_model: int, max_text: int) -> Sink:
    """What reads this upload; raises `UnsupportedMediaType` or `BodyTooLarge` by what the headers declare."""
    check_transfer(headers)
    kind, options = parse_options_header(headers.get(b"content-type"))
    sink: Sink
    if kind == FORM:
        boundary = options.get(b"boundary")
        if not boundary:
            raise UnsupportedMediaType("The form has no boundary in its Content-Type.", ACCEPTED)
        sink = _Form(boundary, draft, max_model, max_text)
    elif not kind or kind in RAW:
        sink = _Raw(draft, max_model)
    else:
        shown = kind[:100].decode("latin-1")
        detail = f"A model comes as application/octet-stream or in multipart/form-data; the request says '{shown}'."
        raise UnsupportedMediaType(detail, ACCEPTED)
    if int(headers.get(b"content-length", b"0")) > sink.limit:
        raise BodyTooLarge(max_model)
    return sink


def declared(headers: Headers, max_model: int, max_text: int) -> int:
    """How many bytes are coming, as the headers say; 0 where they do not, or more than `sink_for` takes.

    Raises as `sink_for` does.
    """
    check_transfer(headers)
    size = int(headers.get(b"content-length", b"0"))
    return size if size <= max_model + 2 * max_text + OVERHEAD else 0


async def receive_into(sink: Sink, receive: Receive, seconds: float, clock: Monotonic) -> None:
    """The whole body; `seconds` may pass between two of its pieces, and over all what it takes at `LEAST_RATE` besides.

    Raises:
        BodyTooLarge, InvalidInput, DeadlineExceeded: it is not taken.
        ClientGone: the caller hung up before its end.
    """
    size = 0
    async for block in _blocks(receive, seconds, clock):
        size += len(block)
        if size > sink.limit:
            raise BodyTooLarge(sink.limit)
        await asyncio.to_thread(sink.write, block)
    sink.close()


async def _blocks(receive: Receive, seconds: float, clock: Monotonic) -> AsyncIterator[bytes]:
    """The body in blocks of some size: a thread for each packet would be dear."""
    block = bytearray()
    begun, received = clock(), 0
    more = True
    while more:
        allowed = seconds + received / LEAST_RATE
        left = begun + allowed - clock()
        try:
            async with asyncio.timeout(max(0.0, min(seconds, left))):
                message = await receive()
        except TimeoutError:
            raise DeadlineExceeded("receive", min(seconds, allowed)) from None
        if message["type"] != "http.request":
            raise ClientGone
        if clock() - begun > allowed:  # what was there at once has not been waited for
            raise DeadlineExceeded("receive", allowed)
        block += message.get("body", b"")
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
        if block and (len(block) >= BLOCK or not more):
            yield bytes(block)
            block.clear()


class _Raw:
    """The body is the model file."""

    def __init__(self, draft: Draft, limit: int) -> None:
        self.limit = limit
        self.texts: dict[str, bytes] = {}
        self.write = draft.write

    def close(self) -> None:
        """Nothing is missing."""


class _Form:
    """The parts `model`, `manifest` and `golden` of a form, each once, in any order."""

    def __init__(self, boundary: bytes, draft: Draft, max_model: int, max_text: int) -> None:
        max_golden, max_manifest = min(max_text, MOST_GOLDEN), min(max_text, MOST_MANIFEST)
        self.limit = max_model + max_manifest + max_golden + OVERHEAD
        self.texts: dict[str, bytes] = {}
        self._draft = draft
        self._limits = {"model": max_model, "manifest": max_manifest, "golden": max_golden}
        self._sizes: dict[str, int] = {}
        self._part = self._header = self._value = b""
        self._name = ""
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_header,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except MultipartParseError as error:
            raise _bad_form("", f"The form cannot be read: {error}", "a form") from error

    def write(self, block: bytes) -> None:
        """See `Sink.write`."""
        try:
            self._parser.write(block)
        except MultipartParseError as error:
            raise _bad_form("", f"The form cannot be read: {str(error)[:200]}", "a well-formed form") from error

    def close(self) -> None:
        """See `Sink.close`."""
        if not self._ended:
            raise _bad_form("", "The form ends before its last boundary.", "a whole form")
        if "model" not in self._sizes:
            raise _bad_form("/model", "The part with the model is missing.", "a part named 'model'")

    def _begin(self) -> None:
        self._part, self._name = b"", ""

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._part = self._value
        self._header = self._value = b""

    def _open(self) -> None:
        _, options = parse_options_header(self._part)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name not in self._limits:
            text = f"The form has a part '{self._name[:60]}'."
            raise _bad_form("", text, f"parts named {', '.join(map(repr, self._limits))}")
        if self._name in self._sizes:
            raise _bad_form(f"/{self._name}", f"The part '{self._name}' stands twice.", "each part once")
        self._sizes[self._name] = 0
        if self._name != "model":
            self.texts[self._name] = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        name = self._name
        self._sizes[name] += end - start
        if self._sizes[name] > self._limits[name]:
            raise BodyTooLarge(self._limits[name])
        if name == "model":
            self._draft.write(data[start:end])
        else:
            self.texts[name] += data[start:end]

    def _end(self) -> None:
        self._ended = True


def _bad_form(place: str, detail: str, expected: str) -> InvalidInput:
    return InvalidInput(detail, [Fault(place, detail, expected, "another")])
