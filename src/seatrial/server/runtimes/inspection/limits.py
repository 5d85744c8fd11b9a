"""How much an inspection may use of the machine, and how the process that does it gives up the rest."""

import ctypes
import math
import os
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass

GIB = 2**30
OPEN_FILES = 32
STACK_BYTES = 2**20
"""An eighth of what serves has (`runtimes.stacks`): what is nested too deeply ends this process, and never a server."""
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent ends."""
SPARE_SECONDS = 5
"""After the time by the clock an inspection ends itself, should nobody be there any more to end it."""

_FORBIDDEN = (
    "pickle.", "socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.remove",
    "os.rename", "os.link", "os.symlink", "os.mkdir", "os.chmod", "os.kill", "ctypes.", "shutil.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What one inspection may use.

    Memory is `spare_bytes`, of which Python and the libraries take a tenth, and `times_file` times the file: it is held
    as bytes, as a message, twice in the checker and twice or more in the runtime, though not all at once.
    """

    spare_bytes: int = 2 * GIB
    times_file: int = 6
    cpu_seconds: int = 10
    wall_seconds: float = 20.0

    def memory(self, size: int) -> int:
        """Bytes of address space for a file of `size` bytes."""
        return self.spare_bytes + self.times_file * size


def confine(limits: Limits, size: int, asker: int) -> None:
    """Give up what an inspection needs not; called in its process before the file is read, and for good.

    Without the process that asked for it there is nothing left to do: on Linux this one ends with it.

    The system refuses memory beyond the limit, ends the process when its time is over, and lets it write no file and,
    unless it is root, begin no thread and no process. Other systems than Linux know some of it only.
    """
    _end_with(asker)
    with suppress(OSError):
        os.nice(10)  # predictions come first
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - no path
        file.write("1000")  # and where memory is short, this process goes first
    _limit(resource.RLIMIT_AS, limits.memory(size))
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_STACK, STACK_BYTES)  # of the main thread, which does it all: no page beyond is given to it
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, 0)
    signal.alarm(math.ceil(limits.wall_seconds) + SPARE_SECONDS)
    sys.addaudithook(_refuse)


def _end_with(asker: int) -> None:
    """Be killed when the process that asked is gone, however it ended; which it may be already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != asker:
        sys.exit("nobody waits for this inspection any more")


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    with suppress(ValueError, OSError):  # a lower limit is there already, or the system has none of the kind
        resource.setrlimit(kind, (soft, soft if hard is None else hard))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    """What no inspection does by itself; a second lock behind those of the system."""
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"an inspection does not do this: {event}")
    if event == "open":
        flags = arguments[2]
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError("an inspection writes no file")
