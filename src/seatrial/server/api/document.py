"""Reads the body of a request that is a small JSON document."""

from dataclasses import replace
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.server.api.body import read_body
from seatrial.server.api.guard import Guard
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import BodyTooLarge, ClientGone, InvalidInput, InvalidJSON
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.faults import faults_of
from seatrial.server.wire import strict_json

MAX_BYTES = 64 * 1024
"""No document of accounts or keys is longer."""

SECRET = frozenset({"password", "old_password", "new_password", "refresh_token"})

Document = TypeVar("Document", bound=BaseModel)


async def read_document(request: Request, guard: Guard, kind: type[Document], clock: Monotonic) -> Document:
    """The body as a document of this kind.

    Raises:
        SeatrialError: it is too large, of another type, no JSON, or not of this kind; with a pointer for each fault.
    """
    headers = dict(request.scope["headers"])
    guard.check_body(headers)
    limit = min(MAX_BYTES, guard.max_body_bytes)
    if int(headers.get(b"content-length", b"0")) > limit:
        raise BodyTooLarge(limit)
    try:
        body = await read_body(request.receive, limit, Deadline(guard.timeout(headers), clock(), clock))
    except ClientGone:
        raise InvalidJSON("The body did not come whole") from None
    try:
        return kind.model_validate(strict_json.loads(body))
    except ValidationError as error:
        found = [_discreet(fault) for fault in faults_of(error, most=MAX_LISTED)]
        raise InvalidInput("The document has parts that are wrong.", found, error.error_count()) from None


def _discreet(fault: Fault) -> Fault:
    """A fault that does not show what is secret."""
    secret = fault.received != "nothing" and fault.pointer.rpartition("/")[2] in SECRET
    return replace(fault, received="something else, which is not shown") if secret else fault
