"""Reads the body of a request, within its size and its time."""

import asyncio
from collections.abc import Generator
from typing import Any

from starlette.types import Message, Receive

from seatrial.server.core.errors import BodyTooLarge, ClientGone, DeadlineExceeded
from seatrial.server.inference.deadline import Deadline


async def read_body(receive: Receive, limit: int, deadline: Deadline) -> bytes:
    """The whole body; raises `BodyTooLarge`, `DeadlineExceeded` or `ClientGone`.

    Mostly it is there already, so each message is asked for first; only where it is not is a timer set, which costs as
    much as parsing an image.
    """
    chunks: list[bytes] = []
    size = 0
    more = True
    while more and size <= limit:
        steps = receive().__await__()
        try:
            pending = next(steps)
        except StopIteration as done:
            message: Message = done.value
        else:
            message = await _in_time(_Begun(steps, pending), deadline)
        if message["type"] != "http.request":
            raise ClientGone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = message.get("more_body", False)
    if size > limit:
        raise BodyTooLarge(limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _in_time(message: "_Begun", deadline: Deadline) -> Message:
    try:
        async with asyncio.timeout(deadline.remaining()):
            return await message
    except TimeoutError:
        raise DeadlineExceeded("receive", deadline.seconds) from None


class _Begun:
    """An awaitable that has taken its first step: `pending` is what it waits for."""

    def __init__(self, steps: Generator[Any, None, Message], pending: object) -> None:
        self._steps = steps
        self._pending = pending

    def __await__(self) -> Generator[Any, None, Message]:
        try:
            yield self._pending
        except BaseException as error:
            self._steps.throw(error)
            raise
        return (yield from self._steps)
