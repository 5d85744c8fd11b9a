"""The process that serves: a socket, uvicorn, workers, and a stop that loses nothing."""

import asyncio
import gc
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from seatrial.server.runtimes import stacks
from seatrial.server.services.health import Lifecycle
from seatrial.server.telemetry import logs
from seatrial.server.telemetry.metrics import MULTIPROCESS
from seatrial.server.telemetry.workers import bury
from seatrial.server.wire.http11 import Connection

STARTUP_FAILURE = 3
BACKLOG = 2048
SWITCH_SECONDS = 0.0005
"""How long a thread that loads a model, or reads a large body, may keep the interpreter from the event loop."""

TELL_SECONDS = 0.2
"""How soon workers that are to end in haste are told so again."""
GREETING = """
  Seatrial serves {models} on {url}

    ask    curl --json '{{"data": [39.7, -105, 2050, "A1B"]}}' {url}/predict
    docs   {url}/docs
    stop   Ctrl-C

"""


def drain_on_sigterm(seconds: float, lifecycle: Lifecycle) -> None:
    """From SIGTERM on be not ready, but go on answering for `seconds`; only then let uvicorn stop.

    A second signal stops at once, as SIGINT always does. What need not be waited for is ended then. Called in the event
    loop of a worker, after uvicorn has set its own handlers.
    """
    terminate, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(lifecycle.on_stop)
        _call(terminate if number == signal.SIGTERM else interrupt, number, frame)

    def handle(number: int, frame: FrameType | None) -> None:
        again, lifecycle.draining = lifecycle.draining, True
        if again or seconds == 0:
            stop(number, frame)
        else:
            loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, None)

    if callable(terminate):
        signal.signal(signal.SIGTERM, handle)
    if callable(interrupt):
        signal.signal(signal.SIGINT, stop)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; 0 takes a free port. Raises `OSError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)  # who comes while the models are loaded waits, and is not refused
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def serve(
    make_app: Callable[..., Any],
    listener: socket.socket,
    *,
    workers: int,
    log_level: str,
    drain_seconds: float,
    grace_seconds: float,
) -> None:
    """Serve until a signal; returns after a clean stop, with the listener closed.

    Args:
        make_app: makes the ASGI application in each worker; gets `url` and `on_start` (see `app.create_app`). Must be
            picklable for several workers.
        listener: see `listen`.
        workers: processes.
        log_level: least level that is logged.
        drain_seconds: how long the listener stays open after SIGTERM.
        grace_seconds: how long requests in flight may take after the listener is closed.

    Raises:
        SystemExit: with 3 where a worker cannot start.
    """
    config = uvicorn.Config(
        partial(_make_worker_app, make_app, _url(listener), log_level, drain_seconds),
        factory=True,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="none",
        http=Connection,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(grace_seconds)),
    )
    try:
        if workers == 1:
            _serve_alone(config, listener)
        else:
            _serve_together(config, listener)
    finally:
        listener.close()


def _serve_alone(config: uvicorn.Config, listener: socket.socket) -> None:
    """One worker, in this process. uvicorn raises its signals again after a clean stop; here that is a plain end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _serve_together(config: uvicorn.Config, listener: socket.socket) -> None:
    """Several workers under uvicorn's supervisor, with a folder in which their metrics add up."""
    shared = tempfile.mkdtemp(prefix="seatrial-metrics-")
    os.environ[MULTIPROCESS] = shared
    try:
        _Supervisor(config, [listener], Path(shared)).run()
    finally:
        shutil.rmtree(shared, ignore_errors=True)


class _Supervisor(Multiprocess):
    """uvicorn's supervisor, which buries workers that ended, and stops as one worker alone does.

    It lets go of the listener then: as long as it held its copy, connections would be taken into a queue that no worker
    reads any more. And it goes on hearing signals.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], metrics: Path) -> None:
        super().__init__(config, sockets)
        self._metrics = metrics
        self._known: set[int] = set()
        self._hasty = False

    def keep_subprocess_alive(self) -> None:
        """Called twice a second."""
        super().keep_subprocess_alive()
        living = {process.pid for process in self.processes if process.pid is not None}
        for pid in self._known - living:
            try:
                bury(self._metrics, pid)
            except OSError as error:  # a scrape is less than a server
                structlog.get_logger("seatrial").error("metrics_lost", pid=pid, detail=str(error))
        self._known = living

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._known = {process.pid for process in self.processes if process.pid is not None}

    def handle_term(self) -> None:
        """Drain; the second time, do not."""
        self._stop(hasty=self.should_exit.is_set())
        super().handle_term()

    def handle_int(self) -> None:
        """Do not drain."""
        self._stop(hasty=True)
        super().handle_int()

    def _stop(self, *, hasty: bool) -> None:
        """Before the workers are told. What adds, replaces or takes away workers is not heard any more."""
        for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)
        self._hasty = self._hasty or hasty
        for listener in self.sockets:
            listener.close()

    def join_all(self) -> None:
        """Until the workers have ended.

        In haste they are told again until then: the second SIGTERM ends the drain, and of two that come at once a
        process sees one. SIGINT will not do: a terminal has sent them one each, and after two nothing is ended well.
        """
        while living := [process.process.sentinel for process in self.processes if process.exitcode is None]:
            wait(living, TELL_SECONDS)
            self.handle_signals()
            if self._hasty:
                self.terminate_all()


def _make_worker_app(make_app: Callable[..., Any], url: str, log_level: str, drain: float) -> Any:  # noqa: ANN401 - an ASGI app
    stacks.make_room()
    logs.configure(log_level)
    sys.setswitchinterval(SWITCH_SECONDS)

    def on_start(lifecycle: Lifecycle, models: Sequence[str]) -> None:
        drain_on_sigterm(drain, lifecycle)
        supervisor = multiprocessing.parent_process()
        if supervisor is not None:
            _stop_with(supervisor.sentinel)
        elif sys.stderr.isatty():
            sys.stderr.write(GREETING.format(models=", ".join(models) or "no model", url=url))
        gc.collect()
        gc.freeze()  # what is there now stays: full collections need not walk it again under load

    return make_app(url=url, on_start=on_start)


def _stop_with(sentinel: int) -> None:
    """Stop this worker when its supervisor is gone, however that ended: nobody else would."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(sentinel)
        shutil.rmtree(os.environ.get(MULTIPROCESS, ""), ignore_errors=True)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(sentinel, stop)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _call(handler: Any, number: int, frame: FrameType | None) -> None:  # noqa: ANN401 - typeshed's own type of handlers
    handler(number, frame)
