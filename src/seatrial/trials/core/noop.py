"""A server that does nothing but answer: what a generator is measured against, to know its own ceiling."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class _NoOp(asyncio.Protocol):
    """Reads HTTP/1.1 requests with or without Content-Length, pipelined or not, and answers each the same."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        answers = 0
        while length := _length(self._received):
            del self._received[:length]
            answers += 1
        if answers and self._transport:
            self._transport.write(ANSWER * answers)


def _length(received: bytearray) -> int:
    """The length of the first request if it is all there, else 0."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    at = received[:end].lower().find(b"\r\ncontent-length:")
    body = int(received[at + 17 : end].split(b"\r\n", 1)[0]) if at >= 0 else 0
    whole = end + 4 + body
    return whole if len(received) >= whole else 0


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_NoOp, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - tells its parent where it listens
    await loop.run_in_executor(None, sys.stdin.read)  # ends with its parent
    server.close()


@contextmanager
def noop_server() -> Iterator[str]:
    """The URL of a no-op server in a process of its own, on a free port of this machine."""
    command = [sys.executable, "-m", "seatrial.trials.core.noop"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout  # noqa: S101 - it is a pipe
        assert process.stdin  # noqa: S101 - it is a pipe
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()
        process.wait(10)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for its parent, with which it ends
    asyncio.run(_serve())
