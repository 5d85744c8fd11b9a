"""Files under the digest of their content: written once, whole, and hashed again whenever they are read."""

import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from seatrial.contracts.digest import digest_of
from seatrial.contracts.golden import Golden, parse_golden
from seatrial.contracts.problem import pointer
from seatrial.server.core.disk import file_faults
from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.ports import Draft
from seatrial.server.storage.disk import to_disk
from seatrial.server.storage.drafts import FileDraft

STAGING = "staging"
OWNER = "owner"
MOST_OWNER = 1024
"""Bytes of that file that are looked at; a digest has 71."""
is_registry = re.compile(r"sha256:[0-9a-f]{64}").fullmatch
"""Whether a text is what tells a registry from others."""
SAFE_SECONDS = 3600
"""What is younger may still be somebody's: a draft that is being written, a file that a row is about to name."""


class ContentStore:
    """Implements `registry.ports.Store` over a folder; lives as long as the server.

    A file is written beside its place, brought to disk and moved there, and the folder brought to disk: whenever the
    power fails, it is there whole or not at all. What a crash leaves, in `staging` or under a digest that no row came
    to name, is nobody's: `sweep` removes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> str:
        """Keep a file, and its digest. One that is there whole stays.

        No sweep takes it for an hour from now on: until then a row has to name it.

        Raises:
            StorageFull: there is no room; the store is as it was.
            StorageUnavailable: it cannot be written for another reason.
        """
        digest = digest_of(content)
        path = self._path(digest)
        with file_faults():
            if _refreshed(path) and digest_of(path.read_bytes()) == digest:
                self._folders_to_disk(path)  # whoever put it there may have died before
                return digest
        with self.draft() as draft:
            draft.write(content)
            return self.adopt(draft)

    @contextmanager
    def draft(self, size: int = 0) -> Iterator[FileDraft]:
        """See `Store.draft`."""
        staging = self._folder / STAGING
        with file_faults():
            for folder in (self._folder, staging):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = FileDraft(staging / f"{os.getpid()}.{secrets.token_hex(8)}", size)
        try:
            yield draft
        finally:
            draft.discard()

    def adopt(self, draft: Draft) -> str:
        """See `Store.adopt`. It takes the place of one that is there: that may be damaged, and is older."""
        if not isinstance(draft, FileDraft):
            raise TypeError("this is a draft of another store")
        self._move(draft, self._path(draft.digest))
        return draft.digest

    def _move(self, draft: FileDraft, path: Path) -> None:
        """Bring a draft to disk, and to its place. A sweep that has found an old file there must not take the new."""
        with file_faults():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refreshed(path)
            draft.move(path)
            self._folders_to_disk(path)

    def _folders_to_disk(self, path: Path) -> None:
        for folder in (path.parent, self._folder, self._folder.parent):
            to_disk(folder)

    def owned_by(self, registry: str) -> bool:
        """Whether this is the store of a registry, by whatever tells it from others; the first who asks gets it.

        Another registry knows nothing of the files here: whoever starts with the wrong database must not lose them.

        Raises:
            OSError, StorageUnavailable: it cannot be read, or not be kept whose it is.
        """
        if not self.owner():
            with self.draft() as draft:
                draft.write(registry.encode())
                self._move(draft, self._folder / OWNER)
        return self.owner() == registry

    def owner(self) -> str:
        """The registry whose store this is; empty where nobody has asked yet. What somebody else wrote there is none's.

        Raises:
            OSError: it cannot be read.
        """
        try:
            with (self._folder / OWNER).open("rb") as file:
                return file.read(MOST_OWNER).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def sweep(self, known: Collection[str] | None = None) -> None:
        """Remove drafts that a crash has left, and files whose digest is not among those known, if those are.

        Nothing of the last hour is removed, and nothing that is being put at this moment.
        """
        for draft in self.drafts():
            with suppress(OSError):
                if _old(draft.stat()):
                    draft.unlink()
        for path in self.orphans(known) if known is not None else ():
            _remove_if_old(path)

    def drafts(self) -> Iterator[Path]:
        """Files that are being written, or that a crash has left half written."""
        yield from (self._folder / STAGING).glob("*")

    def orphans(self, known: Collection[str]) -> Iterator[Path]:
        """Files whose digest is not among those known."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            if f"sha256:{path.name}" not in known:
                yield path

    def model(self, digest: str) -> bytes:
        """See `Artifacts.model`."""
        return self.read(digest, "model file")

    def golden(self, digest: str) -> Golden:
        """See `Artifacts.golden`."""
        return read_golden(self.read(digest, "golden file"))

    def document(self, digest: str) -> bytes:
        """See `Documents.document`."""
        return self.read(digest, "document")

    def read(self, digest: str, what: str) -> bytes:
        """A file; `what` it is goes into the text of `ModelUnusable`, raised as `model` and `document` do."""
        try:
            content = self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise ModelUnusable(f"There is no {what} of the digest {digest} here.") from error
        except OSError as error:
            raise ModelUnusable(f"The {what} cannot be read: {error.strerror}.") from error
        return require(content, digest, what)

    def _path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._folder / name[:2] / name


def require(content: bytes, digest: str, what: str) -> bytes:
    """The content, if it is that of the digest; raises `ModelUnusable` where a byte of it was changed."""
    actual = digest_of(content)
    if actual != digest:
        raise ModelUnusable(f"The {what} on disk has the digest {actual}, and should have {digest}.")
    return content


def read_golden(content: bytes) -> Golden:
    """Golden answers; raises `ModelUnusable` where they cannot be read."""
    try:
        return parse_golden(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = pointer(*first["loc"])
        raise ModelUnusable(f"The golden answers cannot be read: {place or 'the file'}: {first['msg']}.") from error


def _refreshed(path: Path) -> bool:
    """Whether a file is there, and young from now on. A sweep that is about to remove it is waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        with suppress(OSError):  # where files cannot be locked, none is swept
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(descriptor)
        return os.fstat(descriptor).st_nlink > 0
    except OSError as error:
        if error.errno == errno.EROFS:  # where nothing can be written, none is swept
            return True
        raise
    finally:
        os.close(descriptor)


def _remove_if_old(path: Path) -> None:
    """Remove a file that is old, unless somebody is putting it again at this moment, or it cannot be locked."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            if found.st_nlink and _old(found):
                path.unlink()
        finally:
            os.close(descriptor)


def _old(found: os.stat_result) -> bool:
    return time.time() - found.st_mtime > SAFE_SECONDS
