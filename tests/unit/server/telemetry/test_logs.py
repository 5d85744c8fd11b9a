"""Logs: one line an event, as JSON or for people."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from seatrial.server.telemetry import logs


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """What a test configures ends with it."""
    root = logging.getLogger()
    handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    for handler in handlers:
        root.removeHandler(handler)
    yield
    structlog.configure(**configuration)
    root.handlers[:] = handlers
    root.setLevel(level)


Stderr = pytest.CaptureFixture[str]


def lines(capsys: Stderr) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.proves("S43")
def test_an_event_is_a_line_of_json(capsys: Stderr) -> None:
    """It has the event, the level, the time in UTC and what was said with it."""
    logs.configure("info", human=False)
    structlog.get_logger("test").info("model_ready", model="digits:1", detail="two\nlines")
    (line,) = lines(capsys)

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
def test_the_level_is_the_least_that_is_logged(capsys: Stderr, level: str, logged: list[str]) -> None:
    """Lower levels are dropped."""
    logs.configure(level, human=False)
    log = structlog.get_logger("test")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("event")

    assert [line["level"] for line in lines(capsys)] == logged


def test_other_libraries_are_heard_from_warnings_on(capsys: Stderr) -> None:
    """Their records have the same form, and their chatter is left out."""
    logs.configure("debug", human=False)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    (line,) = lines(capsys)

    assert (line["event"], line["level"]) == ("Invalid HTTP request received.", "warning")


def test_an_error_is_logged_with_its_stack(capsys: Stderr) -> None:
    """The stack is data in the same line."""
    logs.configure("info", human=False)
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("the reason")
    structlog.get_logger("test").error("request_failed", exc_info=caught.value)
    (line,) = lines(capsys)

    assert "the reason" in json.dumps(line["exception"])


@pytest.mark.parametrize("human", [True, None])
def test_a_person_reads_text(capsys: Stderr, monkeypatch: pytest.MonkeyPatch, *, human: bool | None) -> None:
    """Where standard error is a terminal, or by wish, lines are for reading."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure("info", human=human)
    structlog.get_logger("test").info("model_ready", model="digits:1")

    written = capsys.readouterr().err
    assert "model_ready" in written
    assert not written.startswith("{")


def test_a_pipe_gets_json(capsys: Stderr) -> None:
    """Where standard error is no terminal, lines are for programs."""
    logs.configure("info")
    structlog.get_logger("test").info("model_ready")

    assert lines(capsys)[0]["event"] == "model_ready"
