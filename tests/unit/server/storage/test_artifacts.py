"""Files under the digest of their content; what every store does is in tests/ports."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fakes.models import digest_of

from seatrial.server.core.errors import ModelUnusable, StorageFull
from seatrial.server.storage.artifacts import STAGING, ContentStore


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_lies_under_its_digest(tmp_path: Path) -> None:
    """Once, however often it is put; nothing is left beside it."""
    store = ContentStore(tmp_path / "artifacts")
    name = digest_of(b"x").removeprefix("sha256:")

    assert [store.put(b"x"), store.put(b"x")] == [digest_of(b"x")] * 2
    assert files(tmp_path / "artifacts") == [f"{name[:2]}/{name}"]
    assert store.model(digest_of(b"x")) == b"x"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when it should be brought there: no half file, and the next try is whole."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = ContentStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFull, match=r"The files cannot be written now: No space left on device\."):
            store.put(b"x" * 1000)

    assert files(tmp_path) == []
    assert store.model(store.put(b"x" * 1000)) == b"x" * 1000


@pytest.mark.proves("S53")
def test_a_flipped_bit_is_noticed_at_every_read(tmp_path: Path) -> None:
    """Both digests are named."""
    store = ContentStore(tmp_path)
    digest = store.put(b"abc")
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    path.write_bytes(b"abb")

    with pytest.raises(ModelUnusable) as caught:
        store.model(digest)
    assert str(caught.value) == f"The model file on disk has the digest {digest_of(b'abb')}, and should have {digest}."


def test_a_damaged_file_is_mended_by_who_brings_it_again(tmp_path: Path) -> None:
    """It is whole afterwards."""
    store = ContentStore(tmp_path)
    digest = store.put(b"abc")
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    path.write_bytes(b"abb")
    store.put(b"abc")

    assert store.model(digest) == b"abc"
    assert path.stat().st_mode & 0o777 == 0o600


def test_old_drafts_are_swept_away(tmp_path: Path) -> None:
    """A new one may still be somebody's."""
    store = ContentStore(tmp_path)
    store.put(b"whole")
    for name, age in (("old", 7200), ("new", 0)):
        draft = tmp_path / STAGING / name
        draft.write_bytes(b"")
        os.utime(draft, (draft.stat().st_mtime - age,) * 2)
    store.sweep(())

    assert [path.name for path in (tmp_path / STAGING).iterdir()] == ["new"]


def age(path: Path, seconds: float = 7200) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def lying(folder: Path, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return folder / name[:2] / name


def test_old_orphans_are_swept_away(tmp_path: Path) -> None:
    """What is named stays however old it is; what is young may be named in a moment."""
    store = ContentStore(tmp_path)
    named, old, young = (store.put(content) for content in (b"named", b"old", b"young"))
    for digest in (named, old):
        age(lying(tmp_path, digest))
    store.sweep({named})

    assert files(tmp_path) == sorted(str(lying(Path(), digest)) for digest in (named, young))


def test_without_knowing_what_is_named_no_orphan_is_removed(tmp_path: Path) -> None:
    """Only drafts are nobody's in any case."""
    store = ContentStore(tmp_path)
    path = lying(tmp_path, store.put(b"x"))
    age(path)
    store.sweep()

    assert path.exists()


@contextmanager
def locked(path: Path, lock: int) -> Iterator[None]:
    with path.open("r+b") as file:
        fcntl.flock(file, lock)
        yield


def put(store: ContentStore, content: bytes) -> str:
    """Keep what is all there."""
    return store.put(content)


def adopt(store: ContentStore, content: bytes) -> str:
    """Keep what has come as a draft."""
    with store.draft() as draft:
        draft.write(content)
        return store.adopt(draft)


Keep = Callable[[ContentStore, bytes], str]
each_way = pytest.mark.parametrize("keep", [put, adopt])


@each_way
def test_who_keeps_a_file_waits_for_the_sweep_that_removes_it(tmp_path: Path, keep: Keep) -> None:
    """It has found the file old, and removes it in the next moment: the file is there all the same afterwards."""
    store = ContentStore(tmp_path)
    path = lying(tmp_path, store.put(b"x"))
    with ThreadPoolExecutor(1) as thread:
        with locked(path, fcntl.LOCK_EX):
            keeping = thread.submit(keep, store, b"x")
            with pytest.raises(TimeoutError):
                keeping.result(0.1)
            path.unlink()
        keeping.result()

    assert path.read_bytes() == b"x"


@each_way
def test_a_file_that_is_kept_again_is_young_again(tmp_path: Path, keep: Keep) -> None:
    """An orphan that somebody is about to name is safe for an hour, though it was there already."""
    store = ContentStore(tmp_path)
    path = lying(tmp_path, store.put(b"x"))
    age(path)
    keep(store, b"x")
    store.sweep(())

    assert path.read_bytes() == b"x"


def test_a_sweep_leaves_what_is_being_put(tmp_path: Path) -> None:
    """The lock is enough, however old the file is at that moment."""
    store = ContentStore(tmp_path)
    path = lying(tmp_path, store.put(b"x"))
    age(path)
    with locked(path, fcntl.LOCK_SH):
        store.sweep(())
        assert path.exists()
    store.sweep(())
    assert not path.exists()


@each_way
def test_keeping_and_sweeping_at_once_loses_nothing(tmp_path: Path, keep: Keep) -> None:
    """Whatever the order: what has come back with its digest is there."""
    store, other = ContentStore(tmp_path), ContentStore(tmp_path)
    path = lying(tmp_path, store.put(b"x"))
    lost, turns = 0, 500

    def sweep() -> None:
        for _ in range(turns):
            other.sweep(())

    with ThreadPoolExecutor(2) as threads:
        sweeping = [threads.submit(sweep) for _ in range(2)]
        while not all(sweeper.done() for sweeper in sweeping):
            keep(store, b"x")
            lost += not path.exists()
            age(path)

    assert lost == 0


def test_a_store_is_swept_for_its_own_registry_only(tmp_path: Path) -> None:
    """Another one knows none of its files."""
    store = ContentStore(tmp_path)

    assert [store.owned_by("sha256:a"), store.owned_by("sha256:b"), store.owned_by("sha256:a")] == [True, False, True]


def test_what_a_crash_left_is_nobodys(tmp_path: Path) -> None:
    """A half file in staging is never read as one that was kept."""
    store = ContentStore(tmp_path)
    store.put(b"whole")
    (tmp_path / STAGING / "1.half").write_bytes(b"ha")

    with pytest.raises(ModelUnusable, match="There is no model file of the digest"):
        store.model(digest_of(b"ha"))


def test_a_draft_is_hashed_as_it_comes_and_moved_to_its_place(tmp_path: Path) -> None:
    """It is readable by its owner only, before and after, and nothing is copied."""
    store = ContentStore(tmp_path)
    with store.draft() as draft:
        for block in (b"ab", b"", b"c"):
            draft.write(block)
        (path,) = (tmp_path / STAGING).iterdir()
        inode = path.stat().st_ino
        with draft.reader() as reader:
            assert (draft.size, draft.digest, reader.read()) == (3, digest_of(b"abc"), b"abc")
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        digest = store.adopt(draft)

    assert store.model(digest) == b"abc"
    name = digest.removeprefix("sha256:")
    assert files(tmp_path) == [f"{name[:2]}/{name}"]
    assert (tmp_path / files(tmp_path)[0]).stat().st_ino == inode


def test_a_draft_that_nobody_adopts_is_gone(tmp_path: Path) -> None:
    """Whatever happened."""
    store = ContentStore(tmp_path)
    with store.draft() as draft:
        draft.write(b"abc")
        assert len(files(tmp_path)) == 1

    assert files(tmp_path) == []


def test_a_draft_takes_the_place_of_a_damaged_file(tmp_path: Path) -> None:
    """The same content again is whole afterwards."""
    store = ContentStore(tmp_path)
    digest = store.put(b"abc")
    (tmp_path / files(tmp_path)[0]).write_bytes(b"abb")
    with store.draft() as draft:
        draft.write(b"abc")
        store.adopt(draft)

    assert store.model(digest) == b"abc"


def test_a_draft_of_which_the_disk_has_no_room_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not adopted half."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = ContentStore(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with store.draft() as draft:
        draft.write(b"abc")
        with pytest.raises(StorageFull, match="No space left"):
            store.adopt(draft)

    assert files(tmp_path) == []
