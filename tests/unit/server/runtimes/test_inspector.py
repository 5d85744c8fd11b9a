"""The server's side of an inspection: the process it begins, and what it makes of whatever that does."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.fakes.models import digest_of
from tests.fakes.onnx_models import chain, linear
from tests.live import until

from seatrial.contracts.manifest import ManifestDraft
from seatrial.server.core.errors import (
    InspectionFailed,
    ModelRefused,
    NotReady,
    StorageUnavailable,
    UnsupportedMediaType,
)
from seatrial.server.registry.candidate import Candidate, Inspected
from seatrial.server.runtimes import stacks
from seatrial.server.runtimes.inspection import limits
from seatrial.server.runtimes.inspection.limits import Limits
from seatrial.server.runtimes.inspector import AT_EXTREMES, MAX_REPORT_BYTES, TOO_DEEP, ProcessInspector

CONTENT: bytes = linear().SerializeToString()
SHORT = Limits(cpu_seconds=1, wall_seconds=1.0)


def inspect(folder: Path, inspector: ProcessInspector, name: str = "it", content: bytes = CONTENT) -> Inspected:
    path = folder / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        return inspector.inspect(file, Candidate(name, digest_of(content), ManifestDraft()))


def python(script: str) -> Sequence[str]:
    """A program in the place of the one that inspects, which is ready to begin with."""
    return (sys.executable, "-c", f"import os; os.write(1, b'ready\\n')\n{script}")


def refusal(folder: Path, script: str, limits: Limits = SHORT) -> str:
    with pytest.raises(ModelRefused) as caught:
        inspect(folder, ProcessInspector(limits, python(script)))
    assert [(fault.pointer, fault.detail) for fault in caught.value.faults] == [("/model", str(caught.value))]
    return str(caught.value)


def test_a_file_is_inspected_in_another_process(tmp_path: Path) -> None:
    """Its manifest and its golden answers come back; the next file of the same process does, too."""
    inspector = ProcessInspector()
    found = [inspect(tmp_path, inspector, name).manifest for name in ("a", "b")]

    assert [(manifest.name, manifest.digest) for manifest in found] == [
        ("a", digest_of(CONTENT)), ("b", digest_of(CONTENT)),
    ]  # fmt: skip


def test_the_process_has_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment, an empty folder that is gone afterwards, a session of its own, no file but the one, read-only."""
    monkeypatch.setenv("SEATRIAL_SECRET", "hidden")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = tmp_path / "seen.json"
    script = f"""
import fcntl, json, os, sys
open_files = [n for n in range(3, 64) if os.path.exists(f"/dev/fd/{{n}}")]
facts = {{"environment": sorted(os.environ), "folder": os.listdir(), "cwd": os.getcwd(), "argument": int(sys.argv[-1]),
         "mode": fcntl.fcntl(int(sys.argv[-1]), fcntl.F_GETFL) & os.O_ACCMODE, "leads": os.getsid(0) == os.getpid(),
         "files": open_files}}
with open({str(seen)!r}, "w") as file:
    json.dump(facts, file)
"""
    refusal(tmp_path, script, Limits())
    facts = json.loads(seen.read_text(encoding="utf-8"))

    allowed = {
        "HOME", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
        "ORT_DISABLE_TELEMETRY", "PWD", "TMPDIR", "__CF_USER_TEXT_ENCODING",
    }  # fmt: skip
    assert set(facts["environment"]) <= allowed
    assert (facts["folder"], facts["mode"], facts["leads"]) == ([], os.O_RDONLY, True)
    assert facts["argument"] in facts["files"]
    assert not Path(facts["cwd"]).exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            f"The inspection of the model was ended by SIGSEGV{TOO_DEEP}.",
        ),
        ("import os; os.abort()", "The inspection of the model was ended by SIGABRT."),
        ("raise SystemExit(7)", "The inspection of the model ended with the code 7."),
        ("", "The inspection of the model gave no report."),
        ("print('{}')", "The inspection of the model gave no report."),
        ("import signal; signal.pause()", "The model did not load and answer within 1 s (1 s of a processor)."),
        (
            "import os, signal; os.close(1); signal.pause()",
            "The model did not load and answer within 1 s (1 s of a processor).",
        ),
        (
            "os.write(1, b'extremes\\n'); os.abort()",
            f"The inspection of the model was ended by SIGABRT{AT_EXTREMES}.",
        ),
        (
            f"import sys; sys.stdout.write('x' * {MAX_REPORT_BYTES + 2**20})",
            "The model did not load and answer within 1 s (1 s of a processor).",
        ),
    ],
)
def test_whatever_the_process_does_is_a_refusal(tmp_path: Path, script: str, reason: str) -> None:
    """It dies, says nothing, says too much or never ends."""
    assert refusal(tmp_path, script) == reason


def test_a_process_that_is_given_up_is_gone(tmp_path: Path) -> None:
    """With what it began."""
    pids = tmp_path / "pids"
    script = f"""
import os, signal
child = os.fork()
with open({str(pids)!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")
signal.pause()
"""
    refusal(tmp_path, script)
    numbers = [int(line) for line in pids.read_text(encoding="ascii").split()]

    assert len(numbers) == 2
    until(lambda: all(map(is_gone, numbers)), "both are gone")


def is_gone(number: int) -> bool:
    """Whether a process is over, though nobody may have asked for its code yet."""
    state = Path(f"/proc/{number}/stat")
    try:
        os.kill(number, 0)
        return state.exists() and state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def test_what_a_process_leaves_behind_is_gone_with_it(tmp_path: Path) -> None:
    """Though it ended by itself, and before that."""
    pids = tmp_path / "pids"
    script = f"""
import signal
child = os.fork()
if child:
    with open({str(pids)!r}, "w") as file:
        file.write(str(child))
    os._exit(7)
os.close(1), os.close(2)
signal.pause()
"""
    assert refusal(tmp_path, script, Limits()) == "The inspection of the model ended with the code 7."
    until(lambda: is_gone(int(pids.read_text(encoding="ascii"))), "the child is gone")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ((sys.executable, "-c", "import nothing_of_this_name"), "ModuleNotFoundError: No module named 'nothing_of_thi"),
        ((sys.executable, "-c", "import sys; sys.exit('\x1b[2J no memory')"), "code 1. It said: ?[2J no memory"),
        ((sys.executable, "-c", "import os; os.abort()"), f"code {-signal.SIGABRT}."),
        ((sys.executable, "-c", "print('{}')"), "code 0."),
        ((sys.executable, "-c", "import sys; sys.exit('x' * 10**6)"), "x" * 2000),
        ((sys.executable, "-c", "import signal; signal.pause()"), f"code {-signal.SIGXCPU}."),
        (("/a program that is not there",), "No such file or directory."),
    ],
)
def test_a_process_that_does_not_begin_is_our_fault(tmp_path: Path, program: Sequence[str], reason: str) -> None:
    """Not the file's, of which nothing is known; the end of what it said is for the log, in one printable line."""
    with pytest.raises(InspectionFailed) as caught:
        inspect(tmp_path, ProcessInspector(SHORT, program))

    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2200


def test_a_stop_ends_what_is_inspected(tmp_path: Path) -> None:
    """At once, and nothing begins after it."""
    begun = tmp_path / "begun"
    script = f"open({str(begun)!r}, 'w').close(); import signal; signal.pause()"
    inspector = ProcessInspector(Limits(wall_seconds=60), python(script))
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(inspect, tmp_path, inspector)
        until(begun.exists, "the inspection has begun")
        inspector.stop()
        with pytest.raises(NotReady, match="the server is stopping"):
            running.result(10)
    with pytest.raises(NotReady, match="the server is stopping"):
        inspect(tmp_path, inspector)


@pytest.mark.parametrize("depth", [64, 500])
def test_trees_of_every_day_are_accepted(tmp_path: Path, depth: int) -> None:
    """Those of boosting have ten levels or so; one that is grown until each leaf is pure may have hundreds."""
    found = inspect(tmp_path, ProcessInspector(), content=chain(depth).SerializeToString())

    assert found.manifest.task == "regression"


STACK = """
import os, resource, sys
from seatrial.server.runtimes.inspection.limits import Limits, confine
confine(Limits(), 0, os.getppid())
print(*resource.getrlimit(resource.RLIMIT_STACK))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems set bounds to what a shell may ask for")
@pytest.mark.parametrize("limit", ["8192", "unlimited"])
def test_an_inspection_has_an_eighth_of_the_stack_of_who_serves(limit: str) -> None:
    """However much a shell allows: what overflows a thread of the server overflows the inspection long before."""
    shell = f'ulimit -s {limit} && exec "$0" -c "$1"'
    done = subprocess.run(["/bin/sh", "-c", shell, sys.executable, STACK], capture_output=True, check=True)

    assert done.stdout.split() == [b"1048576", b"1048576"]
    assert stacks.STACK_BYTES == 8 * limits.STACK_BYTES


CONFINED = """
import os, signal, sys
from seatrial.server.runtimes.inspection.limits import Limits, confine
confine(Limits(), 0, int(sys.argv[1]))
os.write(1, str(os.getpid()).encode())
signal.pause()
"""
ASKER = """
import os, subprocess, sys, signal
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that began it")
def test_a_process_does_not_outlive_who_began_it() -> None:
    """However that one ends; should it have ended already, nothing is inspected."""
    with subprocess.Popen([sys.executable, "-c", ASKER, CONFINED], stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        number = int(os.read(asker.stdout.fileno(), 20))
        asker.kill()
    until(lambda: is_gone(number), "it is gone", patience=5)

    late = subprocess.run([sys.executable, "-c", CONFINED, str(2**22)], capture_output=True, check=False)
    assert (late.returncode, late.stderr) == (1, b"nobody waits for this inspection any more\n")


def test_without_temporary_files_nothing_is_inspected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is a matter of the disk, and told as such."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    with pytest.raises(StorageUnavailable):
        inspect(tmp_path, ProcessInspector())


def test_a_report_on_another_file_is_not_believed(tmp_path: Path) -> None:
    """A file that takes over its process cannot speak for what was registered before."""
    report = {
        "verdict": "accepted",
        "inspected": {
            "manifest": {
                "name": "it",
                "task": "regression",
                "inputs": [{"name": "x", "dtype": "float32"}],
                "output": {"name": "y"},
                "digest": "sha256:" + "0" * 64,
            },
            "golden": {"cases": [{"input": {"x": 1}, "output": [1.0]}], "tolerance": 1.0},
        },
    }

    assert refusal(tmp_path, f"print({json.dumps(json.dumps(report))})") == (
        "The inspection of the model gave a report on another."
    )


def test_no_process_is_begun_for_what_is_no_onnx(tmp_path: Path) -> None:
    """Its first bytes are enough."""
    path = tmp_path / "file"
    path.write_bytes(b"GGUF")
    inspector = ProcessInspector(program=("a program that is not there",))

    with path.open("rb") as file, pytest.raises(UnsupportedMediaType, match="a GGUF file"):
        inspector.inspect(file, Candidate("it", digest_of(b"GGUF"), ManifestDraft()))


def test_limits_grow_with_the_file() -> None:
    """Six times its size, and two GiB."""
    assert Limits().memory(2**20) == 2 * 2**30 + 6 * 2**20
