"""Writes down every request of one Locust process, and how the process itself fares.

Two files for each process, by its id: `samples-<pid>.jsonl`, a sample a line, and `notes-<pid>.jsonl`, a JSON object a
line: {"kind": "beat" | "start" | "ceiling" | "end", "time": Unix seconds, ...}.
"""

import os
import time
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import orjson
import psutil
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.event import EventHook
from locust.exception import CatchResponseError
from locust.runners import MasterRunner

from seatrial.contracts.record import Sample
from seatrial.trials.measure.records import encode

BEAT_S = 1.0
FLUSH_S = 0.25
LAG_STEP_S = 0.01
IDLE_STEPS = 30
CEILING_S = 1.0
CEILING_CLIENTS = 8
MOST_EXCEPTIONS = 20


class Recorder:
    """Listens to one process of Locust. A master records nothing: it has no users of its own."""

    def __init__(self, folder: Path, environment: Environment) -> None:
        self._environment = environment
        self._samples = (folder / f"samples-{os.getpid()}.jsonl").open("wb")
        self._notes = (folder / f"notes-{os.getpid()}.jsonl").open("ab", buffering=0)
        self._lags: list[float] = []
        self._exceptions: set[str] = set()
        self._timer_ms = 0.0
        self._process = psutil.Process()
        events = environment.events
        events.request.add_listener(self.request)
        events.user_error.add_listener(self.failed)
        events.test_start.add_listener(self.started)
        events.quitting.add_listener(self.ended)

    def request(  # noqa: PLR0913 - Locust's own names
        self,
        *,
        name: str,
        response_time: float,
        response_length: int,
        response: Any,  # noqa: ANN401 - of any client
        context: dict[str, Any],
        exception: BaseException | None,
        start_time: float,
        **_: object,
    ) -> None:
        """One request has ended."""
        sample = Sample(
            intended=start_time,
            start=start_time,
            latency_ms=response_time,
            endpoint=name,
            status=getattr(response, "status_code", 0) or 0,
            bytes=response_length,
            user=context.get("user", ""),
            model=context.get("model", ""),
            ok=exception is None,
            fault=fault_of(exception),
        )
        self._samples.write(encode(sample))

    def failed(self, *, exception: BaseException, **_: object) -> None:
        """A user's task ended in an exception, perhaps without a record: that is a fault of ours."""
        if len(self._exceptions) < MOST_EXCEPTIONS:
            self._exceptions.add(f"{type(exception).__name__}: {exception}"[:200])

    def started(self, **_: object) -> None:
        """The test begins: tell so, and watch this process."""
        self._note("start")
        gevent.spawn(self._beat)
        gevent.spawn(self._flush)
        gevent.spawn(self._watch_lag)

    def ended(self, **_: object) -> None:
        """The process is about to end: leave nothing unwritten."""
        lag = max(0.0, float(np.percentile(self._lags, 99)) - self._timer_ms) if self._lags else None
        self._samples.close()
        self._note("end", lag_p99_ms=lag, exceptions=sorted(self._exceptions))

    def measure_timer(self) -> None:
        """How late this process wakes up when it has nothing to do: the grain of its timer, which is no lag."""
        self._timer_ms = float(np.median([_overshoot_ms() for _ in range(IDLE_STEPS)]))

    def measure_ceiling(self, url: str) -> None:
        """How many requests a second this process can send to a route that does nothing."""
        counts: list[int] = []
        deadline = time.perf_counter() + CEILING_S

        def client() -> None:
            session = FastHttpSession(base_url=url, request_event=EventHook(), user=None, insecure=False)
            count = 0
            while time.perf_counter() < deadline:
                session.post("/", data=b"{}")  # type: ignore[arg-type] # Locust's annotation forgets bytes
                count += 1
            counts.append(count)

        gevent.joinall([gevent.spawn(client) for _ in range(CEILING_CLIENTS)])
        self._note("ceiling", rps=sum(counts) / CEILING_S)

    def _note(self, kind: str, **members: object) -> None:
        self._notes.write(orjson.dumps({"kind": kind, "time": time.time(), **members}) + b"\n")

    def _beat(self) -> None:
        self._process.cpu_percent()
        while True:
            runner = self._environment.runner
            users = runner.user_count if runner else 0
            self._note("beat", users=users, cpu=self._process.cpu_percent() / 100)
            gevent.sleep(BEAT_S)

    def _flush(self) -> None:
        while not self._samples.closed:
            self._samples.flush()
            gevent.sleep(FLUSH_S)

    def _watch_lag(self) -> None:
        """How much later than asked this process wakes up: what it is late by, so is every request."""
        while True:
            self._lags.append(_overshoot_ms())


def _overshoot_ms() -> float:
    due = time.perf_counter() + LAG_STEP_S
    gevent.sleep(LAG_STEP_S)
    return (time.perf_counter() - due) * 1000


def fault_of(exception: BaseException | None) -> str:
    """What a record says of what Locust tells; empty where all is well."""
    if exception is None:
        return ""
    if isinstance(exception, CatchResponseError):
        return str(exception)
    if isinstance(exception, gevent.Timeout):
        return f"no answer: none within {exception.seconds:g} s"
    return f"no answer: {type(exception).__name__} {exception}"[:200]


def record(environment: Environment, **_: object) -> None:
    """Listener of `init`: record into the folder that SEATRIAL_RECORDS names, after measuring the ceiling."""
    folder = os.environ.get("SEATRIAL_RECORDS")
    if folder and not isinstance(environment.runner, MasterRunner):
        recorder = Recorder(Path(folder), environment)
        recorder.measure_timer()
        if noop := os.environ.get("SEATRIAL_NOOP"):
            recorder.measure_ceiling(noop)
