"""Files under the digest of their content: written once, whole, and hashed again whenever they are read."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from seatrial.contracts.digest import digest_of
from seatrial.contracts.golden import Golden, parse_golden
from seatrial.contracts.problem import pointer
from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.ports import Draft
from seatrial.server.storage.drafts import FileDraft

STAGING = "staging"
DRAFT_SECONDS = 3600


class ContentStore:
    """Implements `registry.ports.Store` over a folder; lives as long as the server.

    A file is written beside its place, brought to disk and moved there, and the folder brought to disk: whenever the
    power fails, it is there whole or not at all. What a crash leaves in `staging` is nobody's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> str:
        """Keep a file, and its digest; raises `OSError` where that cannot be done. One that is there whole stays."""
        digest = digest_of(content)
        path = self._path(digest)
        if path.exists() and digest_of(path.read_bytes()) == digest:
            return digest
        staging = self._folder / STAGING
        for folder in (self._folder, staging, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = staging / f"{os.getpid()}.{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        for folder in (path.parent, self._folder):
            _to_disk(folder)
        return digest

    @contextmanager
    def draft(self) -> Iterator[FileDraft]:
        """See `Store.draft`."""
        staging = self._folder / STAGING
        for folder in (self._folder, staging):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = FileDraft(staging / f"{os.getpid()}.{secrets.token_hex(8)}")
        try:
            yield draft
        finally:
            draft.discard()

    def adopt(self, draft: Draft) -> str:
        """See `Store.adopt`. It takes the place of one that is there: that may be damaged, and is older."""
        if not isinstance(draft, FileDraft):
            raise TypeError("this is a draft of another store")
        path = self._path(draft.digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.move(path)
        for folder in (path.parent, self._folder):
            _to_disk(folder)
        return draft.digest

    def sweep(self) -> None:
        """Remove drafts that a crash has left; those of the last hour may still be somebody's."""
        for draft in (self._folder / STAGING).glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > DRAFT_SECONDS:
                    draft.unlink()

    def model(self, digest: str) -> bytes:
        """See `Artifacts.model`."""
        return self._read(digest, "model file")

    def golden(self, digest: str) -> Golden:
        """See `Artifacts.golden`."""
        return read_golden(self._read(digest, "golden file"))

    def _read(self, digest: str, what: str) -> bytes:
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


def _to_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
