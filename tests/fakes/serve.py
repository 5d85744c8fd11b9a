"""`seatrial serve` with other parts, for programs that tests start as processes of their own."""

import sys
from functools import partial
from typing import Any

from seatrial.server import process
from seatrial.server.app import create_app, prepare
from seatrial.server.settings import load_settings
from seatrial.server.telemetry import logs


def serve(**parts: Any) -> None:  # noqa: ANN401 - those of `create_app`
    """Serve with settings of the environment, on the port of the command line, until a signal.

    Args:
        parts: further arguments of `create_app`.
    """
    settings = load_settings({"port": int(sys.argv[sys.argv.index("--port") + 1])})
    prepare(settings)
    listener = process.listen(settings.host, settings.port)
    logs.configure(settings.log_level)
    process.serve(
        partial(create_app, settings, **parts),
        listener,
        workers=settings.workers,
        log_level=settings.log_level,
        drain_seconds=0.0,
        grace_seconds=settings.request_timeout,
    )
