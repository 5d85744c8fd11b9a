"""One file that holds many: a tar whose last member is an index with the digest of each. Half of it is none."""

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from seatrial.contracts.digest import digest_of
from seatrial.server.core.errors import StorageUnavailable

INDEX = "backup.json"
KIND = "seatrial-backup/1"
BLOCK = 2**20


class ArchiveWriter:
    """Writes an archive to an open file. Nothing but the content decides its bytes: no times, no owners.

    Members are for their owner only, whoever unpacks them. `folder` is where what is large lies meanwhile.
    """

    def __init__(self, file: IO[bytes], folder: Path) -> None:
        self._folder = folder
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - see `finish`
        self._members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, content: bytes) -> None:
        """Put in a file."""
        self._add(name, io.BytesIO(content), len(content), digest_of(content))

    def add_lines(self, name: str, lines: Iterator[bytes]) -> int:
        """Put in a file of lines, none of which holds an end of line; how many those were."""
        count, hashed = 0, hashlib.sha256()
        with tempfile.SpooledTemporaryFile(max_size=16 * BLOCK, dir=str(self._folder)) as spool:
            for line in lines:
                whole = line + b"\n"
                spool.write(whole)
                hashed.update(whole)
                count += 1
            size = spool.tell()
            spool.seek(0)
            self._add(name, spool, size, f"sha256:{hashed.hexdigest()}")
        return count

    def finish(self, about: Mapping[str, Any]) -> None:
        """Put in the index, with what is to be said of all of it."""
        index = {"kind": KIND, **about, "members": self._members}
        content = orjson.dumps(index, option=orjson.OPT_INDENT_2)
        self._add(INDEX, io.BytesIO(content), len(content), digest_of(content))
        self._tar.close()

    def _add(self, name: str, content: Any, size: int, digest: str) -> None:  # noqa: ANN401 - any file
        self._members[name] = {"size": size, "digest": digest}
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._tar.addfile(member, content)


class Archive:
    """An archive that was read through once, and is what its index says; close it in the end.

    Nothing of it is ever unpacked by its own names.

    Raises:
        StorageUnavailable: it is none, or was cut off or changed.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._tar = tarfile.open(path, mode="r:")  # noqa: SIM115 - see `close`
        except tarfile.TarError as error:
            raise StorageUnavailable(f"{path} is no backup: {error}") from error
        try:
            self._found = {member.name: member for member in self._tar if member.isfile()}
            self.about = self._index()
            self._check()
        except (tarfile.TarError, EOFError) as error:
            self._tar.close()
            raise StorageUnavailable(f"{path} is damaged: {error}") from error
        except StorageUnavailable as error:
            self._tar.close()
            raise StorageUnavailable(f"{path} {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._tar.close()

    def names(self, folder: str) -> list[str]:
        """The members of a folder, in order."""
        return sorted(name for name in self.about["members"] if name.startswith(f"{folder}/"))

    def place(self, name: str) -> int:
        """Where in the file a member begins."""
        return self._found[name].offset_data

    def read(self, name: str) -> bytes:
        """A member that the index names."""
        with self._open(name) as file:
            return file.read()

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a member that the index names."""
        with self._open(name) as file:
            yield from file

    def _open(self, name: str) -> IO[bytes]:
        file = self._tar.extractfile(self._found[name])
        assert file is not None  # noqa: S101 - of files only
        return file

    def _index(self) -> dict[str, Any]:
        if INDEX not in self._found:
            raise StorageUnavailable(f"is no whole backup: it has no {INDEX}, which is written last.")
        try:
            index = orjson.loads(self.read(INDEX))
            kind, _ = index["kind"], [str(told["digest"]) for told in {**index["members"]}.values()]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise StorageUnavailable(f"is damaged: its {INDEX} cannot be read.") from error
        if kind != KIND:
            raise StorageUnavailable(f"is a backup of the kind {str(kind)[:40]!r}; this release reads {KIND!r}.")
        return dict(index)

    def _check(self) -> None:
        """Each member is there, and what it was."""
        for name, told in self.about["members"].items():
            if name not in self._found:
                raise StorageUnavailable(f"is damaged: {name} is missing.")
            hashed = hashlib.sha256()
            with self._open(name) as file:
                while block := file.read(BLOCK):
                    hashed.update(block)
            if told["digest"] != f"sha256:{hashed.hexdigest()}":
                raise StorageUnavailable(f"is damaged: {name} is not what was put in.")
