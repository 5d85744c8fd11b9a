"""Has files inspected by a process of its own each, which may fail in any way without harm to this one."""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, BinaryIO

from pydantic import ValidationError

from seatrial.contracts.problem import Fault
from seatrial.server.core.disk import file_faults
from seatrial.server.core.errors import InspectionFailed, ModelRefused, NotReady, UnsupportedMediaType
from seatrial.server.registry.candidate import Candidate, Inspected
from seatrial.server.runtimes.inspection.content import seems
from seatrial.server.runtimes.inspection.limits import GIB, Limits
from seatrial.server.runtimes.inspection.messages import EXTREMES, READY, Order, Report, orders, reports

PROGRAM = (sys.executable, "-I", "-B", "-m", "seatrial.server.runtimes.inspection")
MAX_REPORT_BYTES = 64 * 2**20
MAX_SAID = 2000
"""Letters, the last ones, of what a process said on its standard error before it ended too soon."""
BLOCK = 2**16
PAUSE = 0.005
ACCEPTED = {"Accept": "application/octet-stream, multipart/form-data"}
AT_EXTREMES = ", on the lowest or highest values that its inputs may have; with min and max they are nearer"
TOO_DEEP = ", as where trees or graphs are nested too deeply"
OVERFLOWS = {signal.SIGSEGV, signal.SIGBUS}
"""What ends a process whose stack is over."""
LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What a process may need of our environment, in which there may be secrets, to find what Python is made of."""


@dataclass(slots=True)
class _Told:
    """All that came of a process: what it answered, what it said on standard error, and how it ended."""

    answer: bytes = b""
    said: bytes = b""
    code: int = 0


class ProcessInspector:
    """Implements `registry.ports.Inspector`; lives as long as the server. Safe to call from several threads.

    Args:
        limits: what one inspection may use.
        program: the command that inspects; it gets the file descriptor of the file as its last argument.
    """

    def __init__(self, limits: Limits | None = None, program: Sequence[str] = PROGRAM) -> None:
        self._limits = limits or Limits()
        self._program = program
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def inspect(self, file: BinaryIO, candidate: Candidate) -> Inspected:
        """See `Inspector.inspect`."""
        kind = seems(file)
        if kind is not None:
            raise UnsupportedMediaType(f"The file is {kind}; an ONNX file is expected.", ACCEPTED)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        report, extreme = self._report(file, Order(candidate, self._limits, size, os.getpid()))
        match report:
            case Report(verdict="accepted", inspected=Inspected() as inspected):
                return _of_candidate(inspected, candidate)
            case Report(verdict="foreign"):
                raise UnsupportedMediaType(report.summary, ACCEPTED)
            case Report(verdict="starved"):
                memory = f"{self._limits.memory(size) / GIB:.3g} GiB"
                raise _refused(f"The model needs more than {memory} of memory to be loaded and run{extreme}.", memory)
        raise ModelRefused(report.summary, report.faults)

    def stop(self) -> None:
        """See `Inspector.stop`."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    def _report(self, file: BinaryIO, order: Order) -> tuple[Report, str]:
        """What the process says, and what was at its end the matter with the inputs.

        Raises:
            ModelRefused: it ends without a word, and had begun to read the file.
            InspectionFailed: it had not.
        """
        with self._begun(file, order) as process:
            told = self._hear(process, time.monotonic() + order.limits.wall_seconds)
        if self._stopped:
            raise _stopping()
        ready, _, rest = told.answer.partition(b"\n")
        if ready != READY:
            raise _our_fault(f"it ended with the code {told.code}", told.said)
        extreme = ""
        if rest.startswith(EXTREMES + b"\n"):
            rest, extreme = rest[len(EXTREMES) + 1 :], AT_EXTREMES
        if told.code:
            raise self._ended(told.code, extreme)
        try:
            return reports.validate_json(rest), extreme
        except ValidationError:
            raise _refused("The inspection of the model gave no report.", "a report") from None

    @contextmanager
    def _begun(self, file: BinaryIO, order: Order) -> Iterator["subprocess.Popen[bytes]"]:
        """The process, with its order; in the end it is gone, and its folder with it."""
        with _written(orders.dump_json(order)) as request:
            with file_faults():
                folder = tempfile.TemporaryDirectory(prefix="seatrial-inspection-", ignore_cleanup_errors=True)
            with folder as place:
                try:
                    process = self._start(file, request, place)
                except OSError as error:
                    raise _our_fault(error.strerror or type(error).__name__) from error
                with process:
                    try:
                        yield process
                    finally:
                        self._end(process)

    def _start(self, file: BinaryIO, request: IO[bytes], folder: str) -> "subprocess.Popen[bytes]":
        """The process: in a session of its own, in an empty folder, with nothing of our environment."""
        kept = {name: os.environ[name] for name in LIBRARIES if name in os.environ}
        single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with self._lock:
            if self._stopped:
                raise _stopping()
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*self._program, str(file.fileno())],
                stdin=request,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(file.fileno(),),
                cwd=folder,
                env={
                    **kept, **single,
                    "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8", "ORT_DISABLE_TELEMETRY": "1",
                },
                start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
        return process

    def _hear(self, process: "subprocess.Popen[bytes]", deadline: float) -> _Told:
        """All that it tells until it ends; one that takes too long, or says too much, ends as by its own time limit."""
        told = _Told()
        try:
            _read(process, told, deadline)
            _wait(process, deadline)
        except TimeoutError:
            self._end(process)
            told.code = -signal.SIGXCPU
        else:
            told.code = self._end(process)
        return told

    def _end(self, process: "subprocess.Popen[bytes]") -> int:
        """Kill it, unless it is over, and in any case what it began; its code.

        Its number, which is that of its group, is given back last: until then nobody else can have it.
        """
        with self._lock:
            if process in self._running:
                self._running.remove(process)
                _kill(process)
        return process.wait()

    def _ended(self, code: int, extreme: str) -> ModelRefused:
        if code == -signal.SIGXCPU:
            time_s = f"{self._limits.wall_seconds:g} s ({self._limits.cpu_seconds} s of a processor)"
            return _refused(f"The model did not load and answer within {time_s}{extreme}.", f"at most {time_s}")
        if code < 0:
            with suppress(ValueError):
                number = signal.Signals(-code)
                why = extreme or (TOO_DEEP if number in OVERFLOWS else "")
                return _refused(f"The inspection of the model was ended by {number.name}{why}.", "a report")
        return _refused(f"The inspection of the model ended with the code {code}{extreme}.", "a report")


def _written(content: bytes) -> IO[bytes]:
    """A file without a name, to read; raises `StorageUnavailable`."""
    with file_faults():
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever gets it closes it
        try:
            file.write(content)
            file.seek(0)
        except OSError:
            with suppress(OSError):  # what is still to be written finds no room either
                file.close()
            raise
    return file


def _read(process: "subprocess.Popen[bytes]", told: _Told, deadline: float) -> None:
    """What it answers, until it closes its end; raises `TimeoutError`, also where it says more than it should."""
    assert process.stdout is not None  # noqa: S101 - both were asked for
    assert process.stderr is not None  # noqa: S101
    answer, said = bytearray(), bytearray()
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, answer)
            selector.register(process.stderr, selectors.EVENT_READ, said)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready or len(answer) > MAX_REPORT_BYTES:
                    raise TimeoutError
                for key, _ in ready:
                    block = os.read(key.fd, BLOCK)
                    key.data.extend(block)
                    if not block:
                        selector.unregister(key.fileobj)
                del said[: -4 * MAX_SAID]
    finally:
        told.answer, told.said = bytes(answer), bytes(said)


def _wait(process: "subprocess.Popen[bytes]", deadline: float) -> None:
    """Until it has ended, but is still to be asked for its code; raises `TimeoutError`."""
    if not hasattr(os, "waitid"):  # macOS, with Pythons of some age; its number is free a moment earlier there
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        return
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(PAUSE)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """It and what it began, which are a group; for as long as nobody has asked for its code."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _stopping() -> NotReady:
    return NotReady({"registration": "the server is stopping"})


def _our_fault(what: str, said: bytes = b"") -> InspectionFailed:
    """For the log: what the process said last, as one line of printable letters."""
    lines = said.decode("utf-8", "replace").splitlines()
    text = " | ".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    return InspectionFailed(f"The process that inspects files did not begin: {what}. It said: {text[-MAX_SAID:]}")


def _of_candidate(inspected: Inspected, candidate: Candidate) -> Inspected:
    """What the process says of a file is believed only where it speaks of that file."""
    if (inspected.manifest.name, inspected.manifest.digest) != (candidate.name, candidate.digest):
        raise _refused("The inspection of the model gave a report on another.", "a report on this one")
    return inspected


def _refused(detail: str, expected: str) -> ModelRefused:
    return ModelRefused(detail, [Fault("/model", detail, expected, "this file")])
