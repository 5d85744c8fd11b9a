"""Work that dies: each function runs in a process of its own and is killed, at one of its steps or by who waits.

The product takes no part in it: steps are counted by a profiler of the interpreter and by events of SQLAlchemy.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Engine, event
from tests.fakes.inspector import SureInspector
from tests.fakes.models import a_manifest, a_version

from seatrial.server.registry.ledger import Note
from seatrial.server.registry.lifecycle import archive, promote
from seatrial.server.registry.model import Stage
from seatrial.server.services.register import Registrar, Wish
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.database import open_database
from seatrial.server.storage.registry import SqlRegistry

NOTE = Note("local:crashing", "about to die")
FILE_CALLS = frozenset(
    {"open", "write", "flush", "fsync", "close", "replace", "rename", "mkdir", "unlink", "utime", "flock"}
)
PATIENCE = 30.0
_processes = get_context("forkserver")
_processes.set_forkserver_preload([__name__, "psycopg"])  # each process is forked from one that has imported all


@dataclass(slots=True)
class Steps:
    """Counts the steps of some work, tells each to who waits, and dies at the one that is fatal."""

    told: Connection
    fatal: int
    count: int = 0

    def __call__(self, name: str) -> None:
        """One more step was done."""
        watching = sys.getprofile()
        sys.setprofile(None)  # what tells of the step is none
        self.count += 1
        self.told.send(name)
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        sys.setprofile(watching)


@contextmanager
def files(step: Steps) -> Iterator[None]:
    """A step after each call that changes a file or a folder."""

    def called(_: FrameType, what: str, function: Any) -> None:  # noqa: ANN401 - whatever is written in C
        if what == "c_return" and function.__name__ in FILE_CALLS and not isinstance(function.__self__, str):
            step(function.__name__)

    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(None)


def statements(engine: Engine, step: Steps) -> None:
    """A step before and after each statement (the first takes the lock), before the commit, and after it."""
    event.listen(engine, "before_cursor_execute", lambda *about: step(f"before {about[2][:30]}"))
    event.listen(engine, "after_cursor_execute", lambda *about: step(f"after {about[2][:30]}"))
    event.listen(engine, "commit", lambda _: step("before commit"))
    event.listen(engine, "checkin", lambda *_: step("after commit"))


def put(told: Connection, fatal: int, folder: str, content: bytes) -> None:
    """Keep a file."""
    store = ContentStore(Path(folder))
    with files(Steps(told, fatal)):
        store.put(content)


def register(told: Connection, fatal: int, url: str, folder: str, content: bytes) -> None:
    """Register a file: keep it, and name it, in dev."""
    engine = open_database(url)
    step = Steps(told, fatal)
    store = ContentStore(Path(folder))
    registrar = Registrar(SqlRegistry(engine), store, SureInspector(), 1000)
    statements(engine, step)
    with files(step), store.draft() as draft:
        draft.write(content)
        registrar.register(draft, Wish("echo", NOTE))


def change(told: Connection, fatal: int, url: str) -> None:
    """Promote the second version to production."""
    engine = open_database(url)
    statements(engine, Steps(told, fatal))
    SqlRegistry(engine).change("echo", lambda stages, _: promote(stages, 2, Stage.PRODUCTION), NOTE)


def die(work: Callable[..., None], fatal: int, *arguments: object) -> tuple[list[str], bool]:
    """The steps that were done, and whether it died at the fatal one; else it came to its end unharmed."""
    heard, told = _processes.Pipe(duplex=False)
    process = _processes.Process(target=work, args=(told, fatal, *arguments))
    process.start()
    told.close()
    steps = list(_messages(heard))
    process.join(PATIENCE)
    code = process.exitcode
    process.close()
    assert code in {0, -signal.SIGKILL}, f"it ended with {code} after {steps}"
    return steps, code != 0


def _messages(heard: Connection) -> Iterator[Any]:
    """Everything that was sent until the other side was gone."""
    while True:
        try:
            yield heard.recv()
        except (EOFError, OSError):
            heard.close()
            return


def write(told: Connection, url: str, name: str) -> None:
    """Register, promote and archive versions of a name for ever, and tell of each entry once it is kept."""
    registry = SqlRegistry(open_database(url))
    number = max((version.version for version in registry.versions() if version.name == name), default=0)
    while True:
        number += 1
        registry.add(a_version(a_manifest(name=name), number, Stage.STAGING), NOTE)
        told.send((name, number, None, "staging"))
        decide = promote if number % 3 else archive
        more = (Stage.PRODUCTION,) if number % 3 else ()
        for entry in registry.change(name, lambda stages, _: decide(stages, number, *more), NOTE):  # noqa: B023 - used at once
            told.send((name, entry.version, str(entry.before), str(entry.after)))


def kill_writers(url: str, names: list[str], acknowledged: int) -> list[tuple[str, int, str | None, str]]:
    """Let processes write, kill them all once so many changes were acknowledged; all those that were."""
    pipes = [_processes.Pipe(duplex=False) for _ in names]
    writers = [
        _processes.Process(target=write, args=(told, url, name), daemon=True)
        for name, (_, told) in zip(names, pipes, strict=True)
    ]
    for writer, (_, told) in zip(writers, pipes, strict=True):
        writer.start()
        told.close()
    kept: list[tuple[str, int, str | None, str]] = []
    while len(kept) < acknowledged:
        ready = wait([heard for heard, _ in pipes], PATIENCE)
        assert ready, f"only {len(kept)} changes were acknowledged"
        kept += [heard.recv() for heard in ready if isinstance(heard, Connection)]
    for writer in writers:
        writer.kill()
    for writer, (heard, _) in zip(writers, pipes, strict=True):
        kept += _messages(heard)
        writer.join(PATIENCE)
        assert writer.exitcode == -signal.SIGKILL
        writer.close()
    return kept
