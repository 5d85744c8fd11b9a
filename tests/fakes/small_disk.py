"""A small file system of its own: filled, made read-only, and given room again, while one process goes on writing.

It is mounted in a private name space, so nobody else sees it, and it is gone with the process.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.models import a_manifest, a_version

from seatrial.server.app import prepare
from seatrial.server.core.chain import faults
from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.lifecycle import promote
from seatrial.server.registry.model import Stage
from seatrial.server.settings import Settings
from seatrial.server.storage import schema
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.database import open_database, sqlite_url
from seatrial.server.storage.opening import open_registry

MOUNT = 'mount -t tmpfs -o size="$1",mode=700 seatrial-test "$0" && shift && exec "$@"'
NOTE = Note("local:someone", "because")
CONTENT = b"model" * 40_000


def on_small_disk(folder: Path, size: str) -> list[str]:
    """What to put before a command that shall find a small disk at a folder; skips where none can be mounted."""
    folder.mkdir(exist_ok=True)
    for unshare in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        command = [*unshare, "sh", "-c", MOUNT, str(folder), size]
        try:
            done = subprocess.run([*command, "true"], capture_output=True, check=False)
        except FileNotFoundError:
            break
        if done.returncode == 0:
            return command
    pytest.skip("no file system can be mounted here: that takes Linux, and root or user name spaces")


def inside(pid: int) -> list[str]:
    """What to put before a command that shall find the small disk of a process."""
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", "--target", str(pid), "--mount", *user]


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left, and can be removed."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return ballast


def attempt(work: Callable[[], object]) -> str:
    """`done`, or the kind of error of ours that it raised."""
    try:
        work()
    except StorageUnavailable as error:
        return type(error).__name__
    return "done"


def remount(folder: Path, mode: str) -> None:
    """Read-only, `ro`, or not, `rw`; nothing may have a file open for writing."""
    subprocess.run(["/bin/mount", "-o", f"remount,{mode}", str(folder)], check=True)


class Keeper:
    """What a server keeps, on the small disk: always the same store and the same registry."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._store = ContentStore(self._data / "artifacts")
        prepare(Settings(data_dir=self._data))
        self._registry = open_registry(None, self._data)
        self._number = 0

    def keep(self) -> dict[str, str]:
        """What becomes of a file and of a version, new ones each time; and of reading what is there."""
        self._number += 1
        content = CONTENT + str(self._number).encode()
        version = a_version(a_manifest(), self._number, Stage.DEV)
        return {
            "file": attempt(lambda: self._store.put(content)),
            "row": attempt(lambda: self._registry.add(version, NOTE)),
            "reading": attempt(self._registry.versions),
        }

    def kept(self) -> dict[str, object]:
        """The versions that are there, the files that are whole, and what is wrong with the ledger."""
        entries, head, _ = self._registry.whole()
        for path in (self._data / "artifacts").glob("??/*"):
            self._store.model(f"sha256:{path.name}")  # which raises where it is not whole
        return {
            "versions": [version.version for version in self._registry.versions() if version.name == "echo"],
            "drafts": len(list(self._store.drafts())),
            "faults": list(faults(entries, head)),
        }

    def hang_up(self) -> None:
        """Close the database's file: one that is open for writing cannot become read-only."""
        self._registry.close()

    def start(self) -> str:
        """What a start does with the disk as it is."""
        return attempt(lambda: prepare(Settings(data_dir=self._data)))

    def change_schema(self) -> str:
        """What becomes of a change of the schema, which keeps a copy first."""
        engine = open_database(sqlite_url(self._data))
        try:
            return attempt(lambda: schema.downgrade(engine, "base"))
        finally:
            engine.dispose()


def promote_another(data_dir: Path) -> None:
    """Put a second version of digits into production; print what becomes of that, and of keeping a file."""
    with closing(open_registry(None, data_dir)) as registry:

        def work() -> None:
            registry.add(replace(registry.get("digits:1"), version=2, stage=Stage.STAGING), NOTE)
            registry.change("digits", lambda stages, _: promote(stages, 2, Stage.PRODUCTION), NOTE)

        store = ContentStore(data_dir / "artifacts")
        json.dump([attempt(work), attempt(lambda: store.put(CONTENT)), len(registry.versions())], sys.stdout)


def go_through(folder: Path) -> None:
    """Write with room, without, with room again, read-only, and writable again; print what became of each."""
    keeper = Keeper(folder)
    told: dict[str, object] = {"with room": keeper.keep()}
    ballast = fill(folder)
    told["full"] = keeper.keep()
    told["still full"] = keeper.keep()
    told["start when full"] = keeper.start()
    told["another schema when full"] = keeper.change_schema()
    ballast.unlink()
    told["room again"] = keeper.keep()
    keeper.hang_up()
    remount(folder, "ro")
    told["read-only"] = keeper.keep()
    told["start when read-only"] = keeper.start()
    keeper.hang_up()
    remount(folder, "rw")
    told["writable again"] = keeper.keep()
    told["kept"] = keeper.kept()
    keeper.hang_up()
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    os.umask(0o077)
    {"promote": promote_another, "go-through": go_through}[sys.argv[1]](Path(sys.argv[2]))
