"""Has files inspected by a process of its own each, which may fail in any way without harm to this one."""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO

from pydantic import ValidationError

from seatrial.contracts.problem import Fault
from seatrial.server.core.errors import ModelRefused, UnsupportedMediaType
from seatrial.server.registry.candidate import Candidate, Inspected
from seatrial.server.runtimes.inspection.content import seems
from seatrial.server.runtimes.inspection.limits import GIB, Limits
from seatrial.server.runtimes.inspection.messages import Order, Report, orders, reports

PROGRAM = (sys.executable, "-I", "-B", "-m", "seatrial.server.runtimes.inspection")
MAX_REPORT_BYTES = 64 * 2**20
BLOCK = 2**16
ACCEPTED = {"Accept": "application/octet-stream, multipart/form-data"}
LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What a process may need of our environment, in which there may be secrets, to find what Python is made of."""


class ProcessInspector:
    """Implements `registry.ports.Inspector`; lives as long as the server. Safe to call from several threads.

    Args:
        limits: what one inspection may use.
        program: the command that inspects; it gets the file descriptor of the file as its last argument.
    """

    def __init__(self, limits: Limits | None = None, program: Sequence[str] = PROGRAM) -> None:
        self._limits = limits or Limits()
        self._program = program

    def inspect(self, file: BinaryIO, candidate: Candidate) -> Inspected:
        """See `Inspector.inspect`."""
        kind = seems(file)
        if kind is not None:
            raise UnsupportedMediaType(f"The file is {kind}; an ONNX file is expected.", ACCEPTED)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        report = self._report(file, Order(candidate, self._limits, size))
        match report:
            case Report(verdict="accepted", inspected=Inspected() as inspected):
                return _of_candidate(inspected, candidate)
            case Report(verdict="foreign"):
                raise UnsupportedMediaType(report.summary, ACCEPTED)
            case Report(verdict="starved"):
                memory = f"{self._limits.memory(size) / GIB:.3g} GiB"
                raise _refused(f"The model needs more than {memory} of memory to be loaded and run.", memory)
        raise ModelRefused(report.summary, report.faults)

    def _report(self, file: BinaryIO, order: Order) -> Report:
        """What the process says; raises `ModelRefused` where it ends without a word."""
        deadline = time.monotonic() + order.limits.wall_seconds
        with tempfile.TemporaryFile() as request, tempfile.TemporaryDirectory(prefix="seatrial-inspection-") as folder:
            request.write(orders.dump_json(order))
            request.seek(0)
            with self._begin(file, request, folder) as process:
                try:
                    answer = _read(process, deadline)
                    code = process.wait(max(0.0, deadline - time.monotonic()))
                except (TimeoutError, subprocess.TimeoutExpired):
                    code = -signal.SIGXCPU
                finally:
                    _end(process)
        if code:
            raise self._ended(code)
        try:
            return reports.validate_json(answer)
        except ValidationError:
            raise _refused("The inspection of the model gave no report.", "a report") from None

    def _begin(self, file: BinaryIO, request: BinaryIO, folder: str) -> "subprocess.Popen[bytes]":
        """The process: in a session of its own, in an empty folder, with nothing of our environment."""
        kept = {name: os.environ[name] for name in LIBRARIES if name in os.environ}
        single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(  # noqa: S603 - our own program
            [*self._program, str(file.fileno())],
            stdin=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(file.fileno(),),
            cwd=folder,
            env={**kept, **single, "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8", "ORT_DISABLE_TELEMETRY": "1"},
            start_new_session=True,
        )

    def _ended(self, code: int) -> ModelRefused:
        if code == -signal.SIGXCPU:
            time_s = f"{self._limits.wall_seconds:g} s ({self._limits.cpu_seconds} s of a processor)"
            return _refused(f"The model did not load and answer within {time_s}.", f"at most {time_s}")
        if code < 0:
            with suppress(ValueError):
                return _refused(f"The inspection of the model was ended by {signal.Signals(-code).name}.", "a report")
        return _refused(f"The inspection of the model ended with the code {code}.", "a report")


def _read(process: "subprocess.Popen[bytes]", deadline: float) -> bytes:
    """All that it says until it closes its end; raises `TimeoutError`, also where it says more than it should."""
    answer = bytearray()
    assert process.stdout is not None  # noqa: S101 - it was asked for
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(answer) <= MAX_REPORT_BYTES:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            block = os.read(process.stdout.fileno(), BLOCK)
            if not block:
                return bytes(answer)
            answer += block
    raise TimeoutError


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Whatever it does, and what it began. One that is over has given its number back: nobody is to be met there."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _of_candidate(inspected: Inspected, candidate: Candidate) -> Inspected:
    """What the process says of a file is believed only where it speaks of that file."""
    if (inspected.manifest.name, inspected.manifest.digest) != (candidate.name, candidate.digest):
        raise _refused("The inspection of the model gave a report on another.", "a report on this one")
    return inspected


def _refused(detail: str, expected: str) -> ModelRefused:
    return ModelRefused(detail, [Fault("/model", detail, expected, "this file")])
