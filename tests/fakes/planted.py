"""A server with planted faults, for the kit to find. It looks like Seatrial and knows the bundled models' answers.

`python -m tests.fakes.planted --port 0 [switches]` prints its port and serves until its standard input closes.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from seatrial.contracts.manifest import manifest_as_dict
from seatrial.trials.core.models import bundled
from seatrial.trials.core.questions import likeliest

DIGEST = "sha256:" + "0" * 64
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
LIMITED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
NOWHERE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
KNOWN = {b"digits:1", b"geoclimate:1"}
STRANGER = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Planted:
    """What is wrong with it. Ratios are of predictions; times are seconds, and run from the first prediction.

    `service_ms` is the median of the work; `jitter` the sigma of its lognormal spread. `key` is asked of every caller.
    """

    service_ms: float = 0.0
    jitter: float = 0.0
    stall_at: float = 0.0
    stall_for: float = 0.0
    errors: float = 0.0
    wrong: float = 0.0
    swap: float = 0.0
    garbage: float = 0.0
    hang: float = 0.0
    batch_dependent: float = 0.0
    grow: float = 0.0
    die_after: float = 0.0
    key: float = 0.0
    limited: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(7)  # noqa: S311 - which request fails, not cryptography
        self.moods = random.Random()  # noqa: S311 - how long it works; another server has other moods
        self.began = 0.0
        self.memory = 100_000_000.0
        self.answers = dict(_known())
        self.other: dict[str, Any] | None = None

    def predict(self, body: bytes) -> tuple[bytes | None, float]:
        """The answer to one prediction, or None for never; and how many seconds to hold it back."""
        now = time.perf_counter()
        self.began = self.began or now
        if self.die_after and now - self.began > self.die_after:
            os._exit(1)
        self.memory += self.grow
        self._work(now)
        drawn = self.chance.random()
        if drawn < self.hang:
            return None, 0.0
        if drawn < self.hang + self.errors:
            return ERROR, self._held(now)
        if self.limited and self.chance.random() < self.limited:
            return LIMITED, self._held(now)
        if self.garbage and self.chance.random() < self.garbage:
            return GARBAGE, self._held(now)
        answer = self.answers.get(orjson.dumps(orjson.loads(body)["data"]), {"prediction": 1, "confidence": 0.5})
        return _answer(self._spoilt(answer, drawn - self.hang - self.errors)), self._held(now)

    def predict_batch(self, body: bytes) -> bytes:
        """Answers to a batch; if they depend on its size, each is off by a little of it."""
        self._work(time.perf_counter())
        found = [self.answers[orjson.dumps(item)] for item in orjson.loads(body)["data"]]
        off = 0.01 * (len(found) - 1) if self.batch_dependent else 0.0
        classes = "confidence" in found[0]
        return _answer(
            {
                "predictions": [item["prediction"] + (0 if classes else off) for item in found],
                "confidences": [item["confidence"] - off for item in found] if classes else None,
            }
        )

    def _work(self, now: float) -> None:
        seconds = self.service_ms / 1000 * self.moods.lognormvariate(0.0, self.jitter)
        while time.perf_counter() - now < seconds:
            pass

    def _held(self, now: float) -> float:
        into = now - self.began - self.stall_at
        return self.stall_for - into if self.stall_for and 0 <= into < self.stall_for else 0.0

    def _spoilt(self, answer: dict[str, Any], drawn: float) -> dict[str, Any]:
        previous, self.other = self.other, answer
        if drawn < self.wrong:
            return {**answer, "prediction": answer["prediction"] + 1}
        if drawn < self.wrong + self.swap and previous is not None:
            return previous
        return answer


def _known() -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The recorded answer to each known input, by the input as JSON."""
    for name in ("digits", "geoclimate"):
        model = bundled(name)
        for case in model.golden.cases:
            best = likeliest(case.output)
            classes = model.manifest.output.classes
            answer = (
                {"prediction": classes[best], "confidence": case.output[best]}
                if classes
                else {"prediction": case.output[0]}
            )
            yield orjson.dumps(case.input), answer


def _answer(document: object) -> bytes:
    body = orjson.dumps(document)
    return HEAD % (len(body), body)


class Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length, one request at a time."""

    def __init__(self, planted: Planted) -> None:
        self._planted = planted
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request once all of it is there."""
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        length = int(lowered[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._received = rest[length:]
        if self._planted.key and b"\r\nauthorization: bearer %g" % self._planted.key not in lowered:
            self._send(STRANGER)
        else:
            self._respond(head.split(b" ", 2)[1].partition(b"?")[0], rest[:length])

    def _respond(self, path: bytes, body: bytes) -> None:
        if path.startswith(b"/models/") and path.split(b"/")[2] not in KNOWN:
            self._send(NOWHERE)
        elif path == b"/predict":
            answer, held = self._planted.predict(body)
            if answer is not None:
                self._send(answer, held)
        elif path == b"/predict/batch":
            self._send(self._planted.predict_batch(body))
        else:
            self._send(_answer(self._page(path)) if path != b"/metrics" else self._metrics())

    def _page(self, path: bytes) -> object:
        parts = path.decode().split("/")
        if parts[-1] == "golden":
            known = bundled(parts[2].partition(":")[0]).golden
            cases = [{"input": case.input, "output": case.output} for case in known.cases]
            return {"model_id": parts[2], "tolerance": known.tolerance, "cases": cases}
        if path.startswith(b"/models/"):
            return {"manifest": manifest_as_dict(bundled(parts[2].partition(":")[0]).manifest)}
        models = [
            {"model_id": f"{name}:1", "stage": "production", "digest": DIGEST} for name in ("digits", "geoclimate")
        ]
        return models if path == b"/models" else {"name": "planted", "status": "healthy"}

    def _metrics(self) -> bytes:
        text = b"# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %d\n" % self._planted.memory
        return HEAD % (len(text), text)

    def _send(self, answer: bytes, held: float = 0.0) -> None:
        if held > 0:
            asyncio.get_running_loop().call_later(held, self._send, answer)
        elif self._transport and not self._transport.is_closing():
            self._transport.write(answer)


@contextmanager
def planted_server(**switches: float) -> Iterator[str]:
    """The URL of a planted server in a process of its own; `switches` are the members of `Planted`."""
    flags = [f"--{name.replace('_', '-')}={value:g}" for name, value in switches.items()]
    command = [sys.executable, "-m", "tests.fakes.planted", *flags]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()
        process.wait(10)


async def _serve(planted: Planted, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(planted), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - tells its parent where it listens
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    """Serve with the faults of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    for name in Planted.__dataclass_fields__:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=0.0)
    switches = vars(parser.parse_args())
    port = switches.pop("port")
    planted = Planted(**switches)
    asyncio.run(_serve(planted, port))


if __name__ == "__main__":
    main()
