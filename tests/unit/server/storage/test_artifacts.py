"""Files under the digest of their content; what every store does is in tests/ports."""

import os
from pathlib import Path

import pytest
from tests.fakes.models import digest_of

from seatrial.server.core.errors import ModelUnusable
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
        with pytest.raises(OSError, match="No space left"):
            store.put(b"x" * 1000)

    assert files(tmp_path) == []
    assert store.model(store.put(b"x" * 1000)) == b"x" * 1000


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
    store.sweep()

    assert [path.name for path in (tmp_path / STAGING).iterdir()] == ["new"]


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
        with pytest.raises(OSError, match="No space left"):
            store.adopt(draft)

    assert files(tmp_path) == []
