"""How much stack threads have that load and run models.

ONNX Runtime builds trees by recursion, and a stack that is over ends the process. An inspection has an eighth of this
(`inspection.limits`), so that what is nested too deeply fails there.
"""

import resource
import threading
from contextlib import suppress

STACK_BYTES = 8 * 2**20


def make_room() -> None:
    """Give so much to the main thread and to all that begin later, whatever the shell or the system has as default.

    Called before any thread begins.
    """
    threading.stack_size(STACK_BYTES)
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != resource.RLIM_INFINITY and soft < STACK_BYTES:
        with suppress(ValueError, OSError):  # the hard limit is lower: it runs as it is
            resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, hard))
