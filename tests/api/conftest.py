"""What all tests of the API share: a log that is quick and plain."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def plain_log() -> Iterator[None]:
    """Log lines as JSON, with plain tracebacks, where pytest captures them."""
    processors: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(processors=processors)
    yield
    structlog.reset_defaults()
