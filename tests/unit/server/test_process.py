"""The process: how it stops, and what it does where it cannot start."""

import asyncio
import contextvars
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import structlog
from tests.fakes.clock import ManualClock
from tests.fakes.runtime import WAIT_SECONDS

from seatrial.server import process
from seatrial.server.process import _stop_with
from seatrial.server.runtimes.inspection.limits import STACK_BYTES
from seatrial.server.services.health import Lifecycle

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """Signal handlers, stacks and logging of the test process outlive a test unchanged."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    stack = threading.stack_size()
    root = logging.getLogger()
    log_handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    for handler in log_handlers:
        root.removeHandler(handler)
    yield
    gc.unfreeze()
    threading.stack_size(stack)
    for number, previous in handlers.items():
        signal.signal(number, previous)
    structlog.configure(**configuration)
    root.handlers[:] = log_handlers
    root.setLevel(level)


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers go off at once; `delays` holds what they were set to."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - whatever the callback takes
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call it in the next round."""
        self.delays.append(delay)
        return self.call_soon(callback, *args, context=context)


class Stop:
    """Stands for uvicorn's handler: notes the signals that it gets."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.came = asyncio.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note the signal."""
        del frame
        self.signals.append(number)
        self.came.set()


def a_lifecycle() -> Lifecycle:
    clock = ManualClock()
    return Lifecycle(clock, clock())


def test_without_a_drain_sigterm_stops_at_once() -> None:
    """The server is not ready from the signal on, and uvicorn gets it right away."""
    lifecycle = a_lifecycle()

    async def run() -> list[int]:
        stop = Stop()
        signal.signal(signal.SIGTERM, stop)
        process.drain_on_sigterm(0, lifecycle)
        assert not lifecycle.draining
        signal.raise_signal(signal.SIGTERM)
        return stop.signals

    assert asyncio.run(run()) == [signal.SIGTERM]
    assert lifecycle.draining


def test_a_drain_comes_before_the_stop() -> None:
    """The server is not ready from the signal on, and goes on answering until the time has passed."""
    lifecycle = a_lifecycle()

    async def run() -> list[int]:
        stop = Stop()
        signal.signal(signal.SIGTERM, stop)
        process.drain_on_sigterm(5.0, lifecycle)
        signal.raise_signal(signal.SIGTERM)
        assert (lifecycle.draining, stop.signals) == (True, [])
        await stop.came.wait()
        return stop.signals

    loop = FastLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(run()) == [signal.SIGTERM]
    assert loop.delays == [5.0]


def test_a_second_sigterm_stops_at_once() -> None:
    """Who asks twice does not wait for the drain."""

    async def run() -> list[int]:
        stop = Stop()
        signal.signal(signal.SIGTERM, stop)
        process.drain_on_sigterm(3600, a_lifecycle())
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        return stop.signals

    assert asyncio.run(run()) == [signal.SIGTERM]


def test_sigint_stops_at_once() -> None:
    """Ctrl-C does not drain."""

    async def run() -> list[int]:
        stop = Stop()
        for number in SIGNALS:
            signal.signal(number, stop)
        process.drain_on_sigterm(3600, a_lifecycle())
        signal.raise_signal(signal.SIGINT)
        return stop.signals

    assert asyncio.run(run()) == [signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
def test_what_need_not_be_waited_for_is_ended_with_the_stop(number: signal.Signals) -> None:
    """In the event loop, whichever signal it is; not with the drain that comes before it."""
    lifecycle, ended = a_lifecycle(), asyncio.Event()
    lifecycle.on_stop = ended.set

    async def run() -> None:
        stop = Stop()
        for each in SIGNALS:
            signal.signal(each, stop)
        process.drain_on_sigterm(5.0, lifecycle)
        signal.raise_signal(number)
        if number == signal.SIGTERM:
            await asyncio.sleep(0)
            assert not ended.is_set()
        await ended.wait()
        assert stop.signals == [number]

    loop = FastLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())


def test_a_default_handler_is_left_in_place() -> None:
    """Where nobody handles SIGTERM there is nothing to drain for."""

    async def run() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        process.drain_on_sigterm(5, a_lifecycle())

    asyncio.run(run())

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_worker_stops_when_its_supervisor_is_gone() -> None:
    """The end of the supervisor, however it came, is a SIGTERM to the worker, once."""
    sentinel, supervisor = os.pipe()

    async def run() -> list[int]:
        stop = Stop()
        signal.signal(signal.SIGTERM, stop)
        _stop_with(sentinel)
        os.close(supervisor)
        async with asyncio.timeout(WAIT_SECONDS):
            await stop.came.wait()
        await asyncio.sleep(0)
        return stop.signals

    try:
        assert asyncio.run(run()) == [signal.SIGTERM]
    finally:
        os.close(sentinel)


def serve(make_app: Callable[..., Any], host: str = "127.0.0.1", port: int = 0) -> None:
    listener = process.listen(host, port)
    process.serve(make_app, listener, workers=1, log_level="error", drain_seconds=0.0, grace_seconds=1.0)


class App:
    """An ASGI application that does one thing when it has started, and notes when it stops."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.then = then
        self.url = ""
        self.lifecycle = a_lifecycle()
        self.stopped = False

    def __call__(self, *, url: str, on_start: Callable[[Lifecycle, Sequence[str]], None]) -> Any:  # noqa: ANN401 - an ASGI app
        """Make the application, as `create_app` does."""
        self.url = url

        async def answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
            """Live from startup to shutdown."""
            assert scope["type"] == "lifespan"
            await receive()
            on_start(self.lifecycle, ["digits:1", "geoclimate:1"])
            self.then()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.stopped = True
            await send({"type": "lifespan.shutdown.complete"})

        return answer


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_clean_end(number: signal.Signals) -> None:
    """The server shuts its application down and returns, with no exit code and no signal passed on."""
    app = App(lambda: signal.raise_signal(number))
    serve(app)

    assert app.stopped
    assert app.lifecycle.draining == (number == signal.SIGTERM)
    assert app.url.startswith("http://127.0.0.1:")
    assert not app.url.endswith(":0")


def test_a_worker_has_room_for_deep_models() -> None:
    """Before it begins any thread: eight times the stack in which files are inspected."""
    found: list[int] = []

    def look() -> None:
        found.append(threading.stack_size())
        signal.raise_signal(signal.SIGINT)

    serve(App(look))

    assert found == [8 * STACK_BYTES]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_is_greeted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    """Where standard error is a terminal, it is told where to ask and how to stop; a log gets no such text."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    app = App(lambda: signal.raise_signal(signal.SIGINT))
    serve(app)
    greeting = capsys.readouterr().err

    assert (f"Seatrial serves digits:1, geoclimate:1 on {app.url}" in greeting) is terminal
    assert (f"{app.url}/docs" in greeting) is terminal


def test_an_application_that_cannot_start_ends_the_process() -> None:
    """The exit code is 3, and the address is free again."""

    def fail() -> None:
        raise RuntimeError("no model")

    app = App(fail)
    with pytest.raises(SystemExit) as caught:
        serve(app)
    assert caught.value.code == process.STARTUP_FAILURE
    with taken() as port:
        assert port


@contextmanager
def taken(family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1") -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((host, 0))
        listener.listen()
        listener.settimeout(WAIT_SECONDS)
        yield listener.getsockname()[1]


def test_an_address_in_use_is_an_error() -> None:
    """Nothing is started."""
    app = App(lambda: None)
    with taken() as port, pytest.raises(OSError, match="in use"):
        serve(app, port=port)

    assert app.url == ""


def test_the_address_of_ipv6_is_written_in_brackets() -> None:
    """As a URL has it."""
    app = App(lambda: signal.raise_signal(signal.SIGTERM))
    try:
        with taken(socket.AF_INET6, "::1"):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    serve(app, host="::1")

    assert app.url.startswith("http://[::1]:")
