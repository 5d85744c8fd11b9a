"""Logs: one line an event, as JSON or for people."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from seatrial.server.telemetry import logs


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What goes to standard error; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    for handler in handlers:
        root.removeHandler(handler)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    yield written
    structlog.configure(**configuration)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stderr: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_an_event_is_a_line_of_json(stderr: io.StringIO) -> None:
    """It has the event, the level, the time in UTC and what was said with it."""
    logs.configure("info", human=False)
    structlog.get_logger("test").info("model_ready", model="digits:1", detail="two\nlines")
    (line,) = lines(stderr)

    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "model_ready", "level": "info", "model": "digits:1", "detail": "two\nlines"}


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_is_the_least_that_is_logged(stderr: io.StringIO, level: str, logged: list[str]) -> None:
    """Lower levels are dropped."""
    logs.configure(level, human=False)
    log = structlog.get_logger("test")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("event")

    assert [line["level"] for line in lines(stderr)] == logged


def test_other_libraries_are_heard_from_warnings_on(stderr: io.StringIO) -> None:
    """Their records have the same form, and their chatter is left out."""
    logs.configure("debug", human=False)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    (line,) = lines(stderr)

    assert (line["event"], line["level"]) == ("Invalid HTTP request received.", "warning")


def test_an_error_is_logged_with_its_stack(stderr: io.StringIO) -> None:
    """The stack is data in the same line."""
    logs.configure("info", human=False)
    try:
        raise RuntimeError("the reason")
    except RuntimeError as error:
        structlog.get_logger("test").error("request_failed", exc_info=error)
    (line,) = lines(stderr)

    assert "the reason" in json.dumps(line["exception"])


@pytest.mark.parametrize("human", [True, None])
def test_a_person_reads_text(stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, human: bool | None) -> None:
    """Where standard error is a terminal, or by wish, lines are for reading."""
    monkeypatch.setattr(stderr, "isatty", lambda: True)
    logs.configure("info", human=human)
    structlog.get_logger("test").info("model_ready", model="digits:1")

    assert "model_ready" in stderr.getvalue()
    assert not stderr.getvalue().startswith("{")


def test_a_pipe_gets_json(stderr: io.StringIO) -> None:
    """Where standard error is no terminal, lines are for programs."""
    logs.configure("info")
    structlog.get_logger("test").info("model_ready")

    assert lines(stderr)[0]["event"] == "model_ready"
