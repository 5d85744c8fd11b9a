"""Structured logs on standard error: JSON lines, or colours where a person is looking."""

import logging
import sys

import structlog
import structlog.tracebacks

# Never the local variables: they hold credentials and inputs.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
_PERSON = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def configure(level: str, *, human: bool | None = None) -> None:
    """Set up structlog and hand the standard library's loggers to it. `human` defaults to: is stderr a terminal."""
    person = sys.stderr.isatty() if human is None else human
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.types.Processor = _PERSON if person else structlog.processors.JSONRenderer()
    structured: list[structlog.types.Processor] = [] if person else [_TRACEBACKS]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *structured, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # each line at once: other workers write there, too
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *structured, last],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
