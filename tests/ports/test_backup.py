"""Everything that a deployment keeps goes into a file and comes out of it, from each kind of database into each."""

import io
import json
import stat
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import MetaData, select
from tests.fakes.models import a_manifest, echo_golden
from tests.fakes.postgres import Postgres

from seatrial.server.access.audit import Deed
from seatrial.server.access.view import Account
from seatrial.server.core.errors import ModelUnusable, StorageUnavailable
from seatrial.server.registry.evidence import Tally, Trial
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.lifecycle import refuse
from seatrial.server.storage import schema
from seatrial.server.storage.archive import INDEX, KIND, Archive, ArchiveWriter
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.backup import back_up, restore
from seatrial.server.storage.bundled import Bundled
from seatrial.server.storage.database import open_database, sqlite_url
from seatrial.server.storage.doctor import examine
from seatrial.server.storage.finding import Level
from seatrial.server.storage.opening import prepare_registry, register_bundled, upgrade_database
from seatrial.server.storage.secrets import ADMIN_TOKEN, SECRET_KEY, own_secret

MODEL, GOLDEN = b"model", echo_golden()
WAYS = [(one, other) for one in ("sqlite", "postgresql") for other in ("sqlite", "postgresql")]
Url = Callable[[str], str | None]
Rows = Mapping[str, list[tuple[Any, ...]]]


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Url:
    """Where the database of a kind is: in the data directory, or a new one of PostgreSQL."""

    def of(kind: str) -> str | None:
        if kind == "sqlite":
            return None
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database()

    return of


def deploy(folder: Path, url: str | None) -> None:
    """A deployment in which every table but those of logins has something."""
    for name in (ADMIN_TOKEN, SECRET_KEY):
        own_secret(folder, name)
    store = ContentStore(folder / "artifacts")
    if url:
        upgrade_database(url, folder)
    with closing(prepare_registry(url, folder)) as registry:
        register_bundled(registry, store, [Bundled(a_manifest(artifact=MODEL), MODEL, GOLDEN)])
        decision = store.put(b'{"outcome": "missing"}')
        registry.change("echo", lambda stages, _: refuse(stages, 1), Note("a", "é 'x'", decision))
        registry.evidence.open_trial(Trial("0" * 32, "echo", 1, 1.25, 2.5, "key:a", closed=True))
        registry.evidence.count("worker", "0" * 32, [Tally("", "POST /predict", "echo:1", 3, 1, "aGk=", 1.5, 2.125)])
        ada = Account("1" * 32, "ada@example.org", "viewer", 1.125)
        registry.accounts.create(ada, "$argon2id$x", Deed("account_created", "a"))


def rows(folder: Path, url: str | None) -> Rows:
    """All that is in the tables."""
    engine, known = open_database(url or sqlite_url(folder)), MetaData()
    known.reflect(engine)
    with engine.connect() as connection:
        found = {name: sorted(map(tuple, connection.execute(select(table)))) for name, table in known.tables.items()}
    engine.dispose()
    return found


def faults(folder: Path, url: str | None) -> list[str]:
    """What the doctor finds wrong."""
    return [finding.detail for finding in examine(url, folder) if finding.level in {Level.FAULT, Level.WARNING}]


@pytest.mark.parametrize(("kind", "other"), WAYS, ids=["-".join(way) for way in WAYS])
def test_what_is_restored_is_what_was_backed_up(tmp_path: Path, url: Url, kind: str, other: str) -> None:
    """Every row, file and secret; the ledger and the audit are whole, and the doctor finds nothing."""
    before, after = url(kind), url(other)
    deploy(tmp_path / "before", before)
    made = back_up(before, tmp_path / "before", tmp_path / "it.tar")
    done = restore(after, tmp_path / "after", tmp_path / "it.tar")
    kept = rows(tmp_path / "before", before)

    assert made == done
    assert (made.schema, made.secrets) == (schema.head(), (ADMIN_TOKEN, SECRET_KEY))
    assert made.rows == sum(map(len, kept.values())) - 1  # the schema's own
    assert kept == rows(tmp_path / "after", after)
    assert {name for name, table in kept.items() if table} > {"versions", "ledger", "trials", "tallies", "accounts"}
    for name in made.secrets:
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()
        assert stat.S_IMODE((tmp_path / "after" / name).stat().st_mode) == 0o600
    assert faults(tmp_path / "after", after) == []
    assert stat.S_IMODE((tmp_path / "it.tar").stat().st_mode) == 0o600


def test_nothing_that_is_there_is_replaced(tmp_path: Path) -> None:
    """No file by a backup; no deployment by a restore, which changes nothing of it."""
    deploy(tmp_path / "one", None)
    back_up(None, tmp_path / "one", tmp_path / "it.tar")
    content, kept = (tmp_path / "it.tar").read_bytes(), rows(tmp_path / "one", None)

    with pytest.raises(FileExistsError, match="is there already"):
        back_up(None, tmp_path / "one", tmp_path / "it.tar")
    with pytest.raises(StorageUnavailable, match=r"There is a deployment here already: its table 'accounts' has rows"):
        restore(None, tmp_path / "one", tmp_path / "it.tar")
    assert (tmp_path / "it.tar").read_bytes() == content
    assert rows(tmp_path / "one", None) == kept
    assert {path.name for path in tmp_path.iterdir()} == {"one", "it.tar"}


def test_a_secret_of_another_deployment_stays(tmp_path: Path) -> None:
    """It is told, and no row was put in; once the secret is out of the way the restore goes through."""
    deploy(tmp_path / "one", None)
    back_up(None, tmp_path / "one", tmp_path / "it.tar")
    theirs = own_secret(tmp_path / "other", SECRET_KEY)

    with pytest.raises(ValueError, match=r"secret\.key is there already, and another one"):
        restore(None, tmp_path / "other", tmp_path / "it.tar")
    assert (tmp_path / "other" / SECRET_KEY).read_text("ascii").strip() == theirs
    assert rows(tmp_path / "other", None)["versions"] == []
    (tmp_path / "other" / SECRET_KEY).unlink()
    restore(None, tmp_path / "other", tmp_path / "it.tar")
    assert rows(tmp_path / "other", None) == rows(tmp_path / "one", None)


def test_a_damaged_deployment_makes_no_backup(tmp_path: Path) -> None:
    """A file that is not what the database says is told, and nothing is left of the attempt."""
    deploy(tmp_path / "one", None)
    (model,) = (path for path in (tmp_path / "one" / "artifacts").glob("??/*") if path.read_bytes() == MODEL)
    model.write_bytes(b"moder")

    with pytest.raises(ModelUnusable, match="The file on disk has the digest sha256:"):
        back_up(None, tmp_path / "one", tmp_path / "it.tar")
    assert {path.name for path in tmp_path.iterdir()} == {"one"}


def test_where_there_is_no_deployment_nothing_is_made(tmp_path: Path) -> None:
    """Neither a file nor a database; nor in one of another schema."""
    with pytest.raises(StorageUnavailable, match="There is no database in"):
        back_up(None, tmp_path / "nowhere", tmp_path / "it.tar")
    engine = open_database(sqlite_url(tmp_path))
    schema.upgrade(engine, "0002")
    engine.dispose()
    with pytest.raises(StorageUnavailable, match=r"has the schema 0002, this server needs .* `seatrial db upgrade`"):
        back_up(None, tmp_path, tmp_path / "it.tar")
    assert {path.name for path in tmp_path.iterdir()} == {"seatrial.db"}


@pytest.mark.parametrize("content", [None, b"SQLite format 3\x00" + b"garbage" * 400], ids=["none", "no database"])
def test_a_database_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    """And none is made where none is."""
    file = tmp_path / "it.db"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StorageUnavailable, match="The database cannot be used now"):
        back_up(f"sqlite:///{file}", tmp_path, tmp_path / "it.tar")
    assert [path.name for path in tmp_path.iterdir()] == ([] if content is None else ["it.db"])


def test_half_a_backup_is_none(tmp_path: Path) -> None:
    """Wherever it was cut off."""
    deploy(tmp_path / "one", None)
    back_up(None, tmp_path / "one", tmp_path / "it.tar")
    whole, half = (tmp_path / "it.tar").read_bytes(), tmp_path / "half.tar"
    with closing(Archive(tmp_path / "it.tar")) as archive:
        last = max(archive.place(name) for name in (*archive.about["members"], INDEX))

    for size in range(0, last, 512):
        half.write_bytes(whole[:size])
        with pytest.raises(StorageUnavailable, match=r"backup|damaged"):
            restore(None, tmp_path / "other", half)
    assert not (tmp_path / "other").exists()


def test_a_byte_that_changed_is_found(tmp_path: Path) -> None:
    """In any member, and in the index."""
    deploy(tmp_path / "one", None)
    back_up(None, tmp_path / "one", tmp_path / "it.tar")
    whole, changed = bytearray((tmp_path / "it.tar").read_bytes()), tmp_path / "changed.tar"
    with closing(Archive(tmp_path / "it.tar")) as archive:
        places = [archive.place(name) for name in (*archive.about["members"], INDEX) if archive.read(name)]

    for place in places:
        whole[place] ^= 1
        changed.write_bytes(whole)
        with pytest.raises(StorageUnavailable, match="is damaged"):
            restore(None, tmp_path / "other", changed)
        whole[place] ^= 1
    assert len(places) > 10
    assert not (tmp_path / "other").exists()


def archive(path: Path, members: Mapping[str, bytes], **about: object) -> Path:
    """A file as a backup would be, with these members."""
    with path.open("wb") as file:
        writer = ArchiveWriter(file, path.parent)
        for name, content in members.items():
            writer.add(name, content)
        writer.finish({"made_at": "2026-11-28T00:00:00.000Z", "release": "0.0.9", "schema": schema.head(), **about})
    return path


VERSION = {
    "name": "old", "version": 1, "stage": "dev", "digest": "sha256:" + "1" * 64, "golden": "sha256:" + "2" * 64,
    "manifest": "{}", "registered_at": "2026-01-01T00:00:00.000Z", "reason": "it is old",
}  # fmt: skip


def test_a_backup_of_an_older_release_is_brought_to_our_schema(tmp_path: Path, database_url: str) -> None:
    """Read into its own schema first, then upgraded."""
    line = json.dumps(VERSION).encode() + b"\n"
    restore(
        database_url, tmp_path / "it", archive(tmp_path / "old.tar", {"tables/versions.jsonl": line}, schema="0001")
    )
    kept = rows(tmp_path / "it", database_url)

    assert kept["versions"] == [tuple(VERSION.values())]
    assert kept["alembic_version"] == [(schema.head(),)]


@pytest.mark.proves("S52")
@pytest.mark.parametrize(
    ("members", "about", "told"),
    [
        ({}, {"schema": "9999"}, "release 0.0.9 from the schema 9999, which is newer than this server"),
        ({}, {"schema": "none"}, "which is newer"),
        ({}, {"kind": "seatrial-backup/2"}, "is a backup of the kind 'seatrial-backup/2'; this release reads"),
        ({}, {"members": 1}, f"its {INDEX} cannot be read"),
        ({"secrets/../../etc/passwd": b"x"}, {}, "is none of our secrets"),
        ({"tables/evil.jsonl": b"{}\n"}, {}, "a table that this schema has not"),
        ({"tables/versions.jsonl": b'{"name": "x"}\n'}, {}, "tables/versions.jsonl:1 is no row of its table"),
        (
            {"tables/versions.jsonl": orjson.dumps({**VERSION, "stage": "x"})},
            {},
            "A row of tables/versions.jsonl in the backup cannot be put in",
        ),
        ({"tables/versions.jsonl": b"{\n"}, {}, "is damaged: tables/versions.jsonl:1 is no row"),
        ({"files/sha256:" + "0" * 64: b"x"}, {}, "has the digest"),
    ],
    ids=["newer", "no schema", "kind", "index", "secret", "table", "row", "stage", "line", "file"],
)
def test_what_no_backup_holds_is_refused(
    tmp_path: Path, members: dict[str, bytes], about: dict[str, object], told: str
) -> None:
    """With what is wrong; the database stays without rows."""
    path = archive(tmp_path / "it.tar", members)
    if about.keys() & {"kind", "members"}:  # which the writer sets itself
        path = tmp_path / "index.tar"
        with tarfile.open(path, "w") as tar:
            content = json.dumps({"kind": KIND, "members": {}, **about}).encode()
            member = tarfile.TarInfo(INDEX)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    elif about:
        path = archive(tmp_path / "about.tar", members, **about)

    with pytest.raises((StorageUnavailable, ModelUnusable), match=told):
        restore(None, tmp_path / "it", path)
    if (tmp_path / "it" / "seatrial.db").exists():
        assert rows(tmp_path / "it", None)["versions"] == []


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    """Whatever it is."""
    for content in (b"", b"SQLite format 3\x00" * 100, bytes(10240)):
        (tmp_path / "it.tar").write_bytes(content)
        with pytest.raises(StorageUnavailable, match=r"it\.tar is no"):
            restore(None, tmp_path / "it", tmp_path / "it.tar")
    with pytest.raises(FileNotFoundError):
        restore(None, tmp_path / "it", tmp_path / "nowhere.tar")
