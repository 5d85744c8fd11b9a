"""Processes that are killed between any two steps, and in the midst of many: what was is there, or what should be."""

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from tests.fakes import crashing
from tests.fakes.models import a_manifest, a_version, digest_of

from seatrial.server.core.chain import faults
from seatrial.server.registry.ledger import Note, misplaced
from seatrial.server.registry.lifecycle import promote, roll_back
from seatrial.server.registry.model import Stage
from seatrial.server.storage import schema
from seatrial.server.storage.artifacts import STAGING, ContentStore
from seatrial.server.storage.database import open_database
from seatrial.server.storage.opening import prepare_registry
from seatrial.server.storage.registry import SqlRegistry

NOTE = Note("local:someone", "because")
OLD = {1: Stage.PRODUCTION, 2: Stage.STAGING}
NEW = {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


@pytest.fixture
def registry(database_url: str) -> Iterator[SqlRegistry]:
    """With one version in production and one in staging."""
    engine = open_database(database_url)
    schema.upgrade(engine)
    registry = SqlRegistry(engine)
    for number, stage in OLD.items():
        registry.add(a_version(a_manifest(), number, stage), NOTE)
    yield registry
    registry.close()


def stages(registry: SqlRegistry) -> dict[int, Stage]:
    return {version.version: version.stage for version in registry.versions()}


def require_whole(url: str, folder: Path) -> None:
    """The next start succeeds, file and ledger are whole, and each name has one version in production at most."""
    with closing(prepare_registry(url, folder)) as registry:
        entries, head, stands = registry.whole()
        versions = registry.versions()
    assert list(faults(entries, head)) == []
    assert list(misplaced(entries, stands)) == []
    served = [version.name for version in versions if version.stage is Stage.PRODUCTION]
    assert len(served) == len(set(served))
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.proves("R21")
def test_a_promotion_is_done_or_not(registry: SqlRegistry, database_url: str, tmp_path: Path) -> None:
    """Killed at each of its steps: the old version serves or the new one, and the ledger says so; then it works."""
    seen = []
    for step in count(1):
        before = len(registry.history())
        steps, died = crashing.die(crashing.change, step, database_url)
        require_whole(database_url, tmp_path)
        after = stages(registry)
        assert (after, len(registry.history()) - before) in [(OLD, 0), (NEW, 2)], steps
        registry.change("echo", lambda now, _: promote(now, 2, Stage.PRODUCTION), NOTE)
        assert stages(registry) == NEW
        registry.change("echo", roll_back, NOTE)
        assert stages(registry) == OLD
        seen.append(after)
        if not died:
            break

    assert len(seen) > 12
    assert seen == sorted(seen, key=[OLD, NEW].index)
    assert OLD in seen
    assert NEW in seen[:-1]


@pytest.mark.proves("R21")
def test_a_registration_is_done_or_not(registry: SqlRegistry, database_url: str, tmp_path: Path) -> None:
    """Killed at each of its steps: the version is there with its files and its entry, or none; then it works."""
    folder, seen = tmp_path / "artifacts", []
    store = ContentStore(folder)
    for step in count(1):
        content, before = f"model {step}\n".encode() * 100, len(registry.history())
        steps, died = crashing.die(crashing.register, step, database_url, str(folder), content)
        require_whole(database_url, tmp_path)
        new = [version for version in registry.versions() if version.manifest.digest == digest_of(content)]
        assert len(registry.history()) - before == len(new), steps
        assert [store.model(version.manifest.digest) for version in new] == [content] * len(new)
        assert [len(store.golden(version.golden).cases) for version in new] == [1] * len(new)
        seen.append(bool(new))
        if not died:
            break

    assert len(seen) > 20
    assert seen == sorted(seen)
    assert set(seen[:-1]) == {False, True}


@pytest.mark.proves("R22")
def test_a_file_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """Killed at each of its steps: no half file under a digest; what is left in staging is swept; then it works."""
    folder, seen = tmp_path / "artifacts", []
    store = ContentStore(folder)
    for step in count(1):
        content = f"model {step}\n".encode() * 5000
        path = folder / digest_of(content)[7:9] / digest_of(content)[7:]
        steps, died = crashing.die(crashing.put, step, str(folder), content)
        there = path.exists()
        assert not there or path.read_bytes() == content, steps
        assert store.model(store.put(content)) == content
        for draft in (folder / STAGING).glob("*"):
            os.utime(draft, (0, 0))
        store.sweep()
        assert list((folder / STAGING).iterdir()) == []
        seen.append(there)
        if not died:
            break

    assert set(seen[:-1]) == {False, True}
    assert seen == sorted(seen)
    assert [name for name in steps if name not in {"mkdir", "unlink"}] == [
        *("open", "open", "write", "flush", "fsync", "replace"),
        *("open", "fsync", "close") * 3,  # the folders, up to the data directory
        "close",  # the file itself
    ]


ROUNDS = [10, pytest.param(100, marks=pytest.mark.long)]


@pytest.mark.proves("R26")
@pytest.mark.parametrize("rounds", ROUNDS)
def test_what_was_acknowledged_is_there(database_url: str, tmp_path: Path, rounds: int) -> None:
    """Two processes write, and are killed at any moment, again and again: no entry that they told of is missing."""
    engine, dice = open_database(database_url), random.Random(26)  # noqa: S311 - no secret
    schema.upgrade(engine)
    registry = SqlRegistry(engine)
    acknowledged: list[tuple[str, int, str | None, str]] = []
    for _ in range(rounds):
        acknowledged += crashing.kill_writers(database_url, ["a", "b"], dice.randint(1, 40))
        require_whole(database_url, tmp_path)
        kept = {(e.name, e.version, e.before and str(e.before), str(e.after)) for e in registry.history()}
        assert set(acknowledged) <= kept
    registry.close()

    assert len(acknowledged) > 10 * rounds
    assert len(kept) - len(acknowledged) <= 4 * rounds  # what was written, and could not be told any more
