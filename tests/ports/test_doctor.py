"""What the doctor finds in a deployment, and that looking changes nothing."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.fakes.models import a_manifest, a_version, digest_of, echo_golden
from tests.fakes.postgres import Postgres

from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.evidence import Submitted, Trial
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.lifecycle import promote, refuse, roll_back
from seatrial.server.registry.model import Stage
from seatrial.server.storage import schema
from seatrial.server.storage.artifacts import OWNER, STAGING, ContentStore
from seatrial.server.storage.bundled import Bundled
from seatrial.server.storage.database import open_database, open_read_only, sqlite_url
from seatrial.server.storage.doctor import examine
from seatrial.server.storage.finding import Finding, Level
from seatrial.server.storage.inventory import Use, file_findings
from seatrial.server.storage.opening import prepare_registry, register_bundled, sweep_files, upgrade_database
from seatrial.server.storage.secrets import ADMIN_TOKEN, own_secret

MODEL, GOLDEN = b"model", echo_golden()
NOTE = Note("local:someone", "because")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where the database is: in the data directory, or a PostgreSQL."""
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


def deploy(folder: Path, url: str | None = None) -> None:
    """A data directory as a start leaves it, with one model."""
    own_secret(folder, ADMIN_TOKEN)
    store = ContentStore(folder / "artifacts")
    if url:
        upgrade_database(url, folder)
    with closing(prepare_registry(url, folder)) as registry:
        register_bundled(registry, store, [Bundled(a_manifest(artifact=MODEL), MODEL, GOLDEN)])
        sweep_files(registry, store)


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a folder: mode, time of the last change, and content."""
    found = {path: path.stat() for path in sorted(folder.rglob("*"))}
    return {
        str(path): (stat.st_mode, stat.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path, stat in found.items()
    }


def look(folder: Path, url: str | None = None) -> list[Finding]:
    """What is found, but for what depends on this machine; nothing may be changed by it."""
    before = snapshot(folder)
    found = list(examine(url, folder))
    assert snapshot(folder) == before
    return [finding for finding in found if finding.check not in {"disk space", "file system"}]


def wrong(folder: Path, url: str | None = None) -> list[Finding]:
    return [finding for finding in look(folder, url) if finding.level in {Level.FAULT, Level.WARNING}]


def lying(folder: Path, digest: str) -> Path:
    return folder / "artifacts" / digest[7:9] / digest[7:]


def test_a_deployment_that_is_well(tmp_path: Path, url: str | None) -> None:
    """Each check has a line that says what is well."""
    folder = tmp_path / "data"
    deploy(folder, url)
    found = look(folder, url)
    checks = [
        "permissions",
        "owner",
        "admin token",
        "journal",
        "integrity",
        "database",
        "ledger",
        "audit",
        "models",
        "files",
    ]

    assert {finding.level for finding in found} <= {Level.OK, Level.INFORMATION}
    assert [f.check for f in found] == [name for name in checks if not url or name not in {"journal", "integrity"}]


def test_modes_that_let_others_read(tmp_path: Path) -> None:
    """The remedy is a command that mends them."""
    folder = tmp_path / "my data"
    deploy(folder)
    for path, mode in ((folder, 0o755), (folder / "seatrial.db", 0o640), (folder / "admin.token", 0o604)):
        path.chmod(mode)
    found = wrong(folder)

    assert [(finding.check, finding.remedy) for finding in found] == [
        ("permissions", f"chmod 700 '{folder}'"),
        ("permissions", f"chmod 600 '{folder}/admin.token'"),
        ("permissions", f"chmod 600 '{folder}/seatrial.db'"),
    ]


def test_modes_that_keep_the_owner_out(tmp_path: Path) -> None:
    """They keep the secrets too; what a server only reads need not be written."""
    folder = tmp_path / "data"
    deploy(folder)
    model = lying(folder, digest_of(MODEL))
    modes = {"": 0o500, "seatrial.db": 0o400, "admin.token": 0o400, "artifacts": 0o600, str(model): 0o040}
    for name, mode in modes.items():
        (folder / name).chmod(mode)
    try:
        found = wrong(folder)
    finally:
        for name in modes:
            (folder / name).chmod(0o700)

    assert sorted((finding.check, finding.detail.partition(" has ")[2], finding.remedy) for finding in found) == [
        ("owner", "the mode 0040, which does not let its owner read.", f"chmod u+r {model}"),
        ("owner", "the mode 0400, which does not let its owner write.", f"chmod u+rw {folder}/seatrial.db"),
        ("owner", "the mode 0500, which does not let its owner write.", f"chmod u+rwx {folder}"),
        ("owner", "the mode 0600, which does not let its owner read.", f"chmod u+rwx {folder}/artifacts"),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_files_of_another_user(tmp_path: Path) -> None:
    """As a command that somebody else ran leaves them; a server of the data directory's user cannot write those."""
    folder = tmp_path / "data"
    deploy(folder)
    os.chown(folder, 12345, 12345)
    for path in (folder / "seatrial.db", folder / "artifacts"):
        os.chown(path, 12345, 12345)
    others = [path for path in folder.rglob("*") if path.stat().st_uid == 0]

    assert sorted((finding.check, finding.detail, finding.remedy) for finding in wrong(folder)) == sorted(
        ("owner", f"{path} belongs to root, the data directory to 12345.", f"chown -h 12345 {path}") for path in others
    )
    assert len(others) > 3


def test_a_file_system_of_its_own_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Nobody needs to read it."""
    deploy(tmp_path / "data")
    (tmp_path / "data" / "lost+found").mkdir(mode=0)

    assert wrong(tmp_path / "data") == []


STRANGE = os.fsdecode(b"caf\xe9\x1b[2J 'x'")


def test_names_that_are_no_text_are_harmless(tmp_path: Path) -> None:
    """Printed as hexadecimal, and as a word that a shell understands; what lies about is counted as anything else."""
    folder = tmp_path / STRANGE
    deploy(folder)
    copy, draft = folder / f"seatrial.db.{STRANGE}.bak", folder / "artifacts" / STAGING / STRANGE
    for path in (copy, draft, folder / "artifacts" / "00" / STRANGE):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        path.chmod(0o604)
        os.utime(path, (0, 0))
    found = look(folder)
    bad = next(finding for finding in found if finding.level is Level.FAULT)
    echo = ["/bin/bash", "-c", f"printf %s {bad.remedy.removeprefix('chmod 600 ')}"]
    unquoted = subprocess.run(echo, capture_output=True, check=True)

    assert all(text.isprintable() for finding in found for text in (finding.detail, finding.remedy))
    assert json.dumps([finding.detail for finding in found], ensure_ascii=False).encode()
    assert "seatrial.db.caf\\xe9\\x1b[2J 'x'.bak has the mode 0604." in bad.detail
    assert os.fsdecode(unquoted.stdout) == str(copy)
    assert [finding.detail for finding in found if finding.check == "leftovers"] == [
        "No version names 2 of the files (0.0 MiB); 2 are older than an hour."
    ]
    with closing(prepare_registry(None, folder)) as registry:
        sweep_files(registry, ContentStore(folder / "artifacts"))
    assert not draft.exists()


def test_a_copy_of_the_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """As what was copied."""
    deploy(tmp_path / "data")
    engine = open_database(sqlite_url(tmp_path / "data"))
    schema.downgrade(engine, "base")
    engine.dispose()

    assert [finding.check for finding in wrong(tmp_path / "data")] == ["database"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\n", "is empty"),
        (b"\xff\xfes\x00", "holds bytes that are no ASCII text"),
        ("\u00e9".encode(), "no ASCII text"),
    ],
)
def test_a_token_that_is_none(tmp_path: Path, content: bytes, told: str) -> None:
    """It keeps every start from happening, and says so there too; a missing one is made by the next."""
    deploy(tmp_path / "data")
    token = tmp_path / "data" / "admin.token"
    token.write_bytes(content)
    (found,) = wrong(tmp_path / "data")
    with pytest.raises(ValueError, match=f"{told}. Delete it, and the next start makes a new one"):
        own_secret(tmp_path / "data", ADMIN_TOKEN)

    assert (found.check, f"{told}: no server starts with it." in found.detail) == ("admin token", True)
    assert found.remedy == f"Delete it, and the next start makes a new one: rm {token}"
    token.unlink()
    assert wrong(tmp_path / "data") == []


def test_a_token_that_cannot_be_read(tmp_path: Path) -> None:
    """Such as a folder of that name."""
    deploy(tmp_path / "data")
    token = tmp_path / "data" / "admin.token"
    token.unlink()
    token.mkdir(mode=0o700)

    assert [finding.detail for finding in wrong(tmp_path / "data")] == [f"{token} cannot be read: Is a directory."]


def test_files_that_are_missing_damaged_or_unreadable(tmp_path: Path, url: str | None) -> None:
    """Each is named, with those who need it and its place."""
    folder = tmp_path / "data"
    deploy(folder, url)
    store, model, golden = ContentStore(folder / "artifacts"), digest_of(MODEL), digest_of(GOLDEN)
    lying(folder, golden).unlink()
    lying(folder, model).write_bytes(b"modem")
    found = {finding.detail: finding.remedy for finding in wrong(folder, url)}

    assert list(found) == [
        f"echo:1: The model file on disk has the digest {digest_of(b'modem')}, and should have {model}.",
        f"echo:1: There is no golden file of the digest {golden} here.",
    ]
    assert f"artifacts/{model[7:9]}/{model[7:]}" in next(iter(found.values()))
    store.put(MODEL)
    unreadable = store.put(b"{}")
    with closing(prepare_registry(url, folder)) as registry:
        registry.add(a_version(a_manifest(name="other", artifact=MODEL)), Note("local:someone"))
    engine = open_database(url or sqlite_url(folder))
    with engine.begin() as connection:
        connection.execute(text("UPDATE versions SET golden = :golden"), {"golden": unreadable})
    engine.dispose()
    (only,) = wrong(folder, url)
    assert only.detail.startswith("echo:1, other:1: The golden answers cannot be read")


def test_proofs_and_documents_of_the_ledger(tmp_path: Path, url: str | None) -> None:
    """Each that is missing or damaged is named, with who rests on it."""
    folder = tmp_path / "data"
    deploy(folder, url)
    store = ContentStore(folder / "artifacts")
    proof, decision, replay, refusal = (store.put(name) for name in (b"proof", b"decision", b"replay", b"refusal"))
    with closing(prepare_registry(url, folder)) as registry:
        registry.add(replace(registry.get("echo:1"), version=2, stage=Stage.STAGING), NOTE)
        registry.evidence.open_trial(Trial("1" * 32, "echo", 2, 1.0, 2.0, "key:ci"))
        registry.evidence.submit(Submitted(proof, "echo", 2, "load.high", "1" * 32, 1.5, "key:ci", ()))
        registry.change("echo", lambda of, _: promote(of, 2, Stage.PRODUCTION), replace(NOTE, proof=decision))
        registry.change("echo", roll_back, replace(NOTE, proof=replay))
        registry.change("echo", lambda of, _: refuse(of, 2), replace(NOTE, proof=refusal))
    assert [finding.detail for finding in look(folder, url) if finding.check == "files"] == [
        "6 files, each with the digest that it is named by."
    ]
    assert [finding for finding in look(folder, url) if finding.check == "leftovers"] == []
    for digest in (proof, replay, refusal):
        lying(folder, digest).unlink()
    lying(folder, decision).write_bytes(b"decisive")
    moved, other = "entry 3 of the ledger, entry 4 of the ledger:", digest_of(b"decisive")
    places = [
        f"Bring back artifacts/{digest[7:9]}/{digest[7:]} from a backup."
        for digest in (proof, decision, replay, refusal)
    ]

    assert [(finding.check, finding.detail, finding.remedy) for finding in wrong(folder, url)] == [
        (
            "files", f"echo:2 (load.high): There is no proof of the digest {proof} here.",
            f"{places[0]} Or prove it again: `seatrial trial prove --submit`.",
        ),
        (
            "files", f"{moved} The decision on disk has the digest {other}, and should have {decision}.", places[1],
        ),
        (
            "files", f"entry 5 of the ledger, entry 6 of the ledger: There is no replay of the digest {replay} here.",
            places[2],
        ),
        ("files", f"entry 7 of the ledger: There is no decision of the digest {refusal} here.", places[3]),
    ]  # fmt: skip


def test_a_file_that_is_named_often_is_read_once(tmp_path: Path) -> None:
    """A store may be large."""

    class Counting(ContentStore):
        reads = 0

        def read(self, digest: str, what: str) -> bytes:
            self.reads += 1
            return super().read(digest, what)

    store = Counting(tmp_path)
    uses = {store.put(GOLDEN): [Use("model file", "a:1"), Use("golden file", "a:1"), Use("proof", "a:1 (golden)")]}

    assert [finding.level for finding in file_findings(uses, store)] == [Level.OK]
    assert store.reads == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 100_000, b"sha256:" + b"0" * 65, b"\n"])
def test_an_owner_that_is_none(tmp_path: Path, content: bytes) -> None:
    """It is told, and nothing is swept until it is gone: the files may be another registry's."""
    folder = tmp_path / "data"
    deploy(folder)
    store, owner = ContentStore(folder / "artifacts"), folder / "artifacts" / OWNER
    orphan = lying(folder, store.put(b"orphan"))
    os.utime(orphan, (0, 0))
    owner.write_bytes(content)
    (found,) = wrong(folder)
    assert found.detail == "artifacts/owner holds no digest of a registry, so none of the files is swept."
    with closing(prepare_registry(None, folder)) as registry:
        sweep_files(registry, store)
        assert orphan.exists()
        owner.unlink()
        sweep_files(registry, store)
    assert not orphan.exists()
    assert wrong(folder) == []


def test_an_owner_that_cannot_be_read(tmp_path: Path) -> None:
    """The same."""
    folder = tmp_path / "data"
    deploy(folder)
    (folder / "artifacts" / OWNER).unlink()
    (folder / "artifacts" / OWNER).mkdir(mode=0o700)

    assert [finding.detail for finding in wrong(folder)] == [
        "artifacts/owner cannot be read, so none of the files is swept: Is a directory."
    ]


def test_what_crashes_have_left_is_told(tmp_path: Path) -> None:
    """As information: the next start removes it."""
    folder = tmp_path / "data"
    deploy(folder)
    for name, age in (("old", 7200), ("new", 0)):
        path = lying(folder, ContentStore(folder / "artifacts").put(name.encode()))
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    (folder / "artifacts" / STAGING / "1.half").write_bytes(b"ha")

    (found,) = (finding for finding in look(folder) if finding.check == "leftovers")
    assert found.level is Level.INFORMATION
    assert found.detail == "No version names 3 of the files (0.0 MiB); 1 are older than an hour."


def test_files_of_another_registry_are_told(tmp_path: Path, postgres: Postgres) -> None:
    """Nothing is swept then, whichever database is the right one."""
    folder = tmp_path / "data"
    deploy(folder)
    url = postgres.new_database()
    deploy(folder, url)

    assert [(finding.check, finding.level) for finding in wrong(folder, url)] == [("leftovers", Level.WARNING)]
    assert wrong(folder) == []


def edit(folder: Path, url: str | None, *statements: str) -> None:
    engine = open_database(url or sqlite_url(folder))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_an_edited_ledger_is_a_fault(tmp_path: Path, url: str | None) -> None:
    """By somebody who takes the triggers away first; so is a version that stands elsewhere than the ledger says."""
    folder = tmp_path / "data"
    deploy(folder, url)
    trigger = "ledger_is_kept ON ledger" if url else "ledger_no_update"
    edit(folder, url, f"DROP TRIGGER {trigger}", "UPDATE ledger SET why = 'x'", "UPDATE versions SET stage = 'dev'")

    assert [finding.detail for finding in wrong(folder, url)] == [
        "entry 1 was edited.",
        "echo:1 is in dev, and the ledger says production.",
    ]


@pytest.mark.parametrize("revision", ["none", "9999"])
def test_another_schema_is_looked_at_no_further(tmp_path: Path, url: str | None, revision: str) -> None:
    """It cannot be known what its tables hold."""
    folder = tmp_path / "data"
    deploy(folder, url)
    edit(folder, url, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - ours

    (found,) = wrong(folder, url)
    assert f"has the schema {revision}, this release needs {schema.head()}" in found.detail


@pytest.mark.proves("R25")
def test_a_write_ahead_log_is_a_fault(tmp_path: Path) -> None:
    """It is not looked into: that would make files."""
    folder = tmp_path / "data"
    deploy(folder)
    with closing(sqlite3.connect(folder / "seatrial.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")

    (found,) = wrong(folder)
    assert (found.check, "'PRAGMA journal_mode = DELETE'" in found.remedy) == ("journal", True)


def test_a_change_that_was_cut_off_is_a_fault_until_it_is_taken_back(tmp_path: Path) -> None:
    """A crash left its journal: only who may write can do that."""
    folder, crashed = tmp_path / "data", tmp_path / "crashed"
    deploy(folder)
    with closing(sqlite3.connect(folder / "seatrial.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE much AS SELECT zeroblob(100000)")
        shutil.copytree(folder, crashed)
        connection.execute("ROLLBACK")

    assert (crashed / "seatrial.db-journal").exists()
    (found,) = wrong(crashed)
    assert found.detail == "A change was cut off in the middle, and has not been taken back yet."
    prepare_registry(None, crashed).close()
    assert wrong(crashed) == []


def cut(path: Path) -> None:
    """As a copy that was not finished."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 // 4096 * 4096])


@pytest.mark.parametrize(
    "damage", [cut, lambda path: path.write_bytes(b"anything else" * 1000)], ids=["cut", "something else"]
)
def test_a_damaged_database_is_a_fault(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """The remedy is a backup."""
    deploy(tmp_path / "data")
    damage(tmp_path / "data" / "seatrial.db")
    found = wrong(tmp_path / "data")

    assert found
    assert {finding.remedy.endswith("bring back seatrial.db and artifacts/ from a backup.") for finding in found} == {
        True
    }


def test_a_database_that_cannot_be_reached_is_a_fault(tmp_path: Path) -> None:
    """The rest is looked at all the same."""
    deploy(tmp_path / "data")
    (found,) = wrong(tmp_path / "data", "postgresql://127.0.0.1:1/x")

    assert found.check == "database"
    assert "SEATRIAL_DATABASE_URL" in found.remedy
    (tmp_path / "data" / "seatrial.db").unlink()
    assert [finding.remedy for finding in wrong(tmp_path / "data")] == ["Start `seatrial serve`, which makes it."]


def test_without_a_data_directory_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    """Nor where the URL is of no database of ours."""
    with pytest.raises(StorageUnavailable, match="There is no directory"):
        list(examine(None, tmp_path / "typo"))
    with pytest.raises(StorageUnavailable, match="SEATRIAL_DATABASE_URL: expected"):
        list(examine("mysql://x/y", tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_cannot_write(tmp_path: Path, url: str | None) -> None:
    """The database itself refuses."""
    deploy(tmp_path / "data", url)
    engine = open_read_only(url or sqlite_url(tmp_path / "data"))
    with pytest.raises(Exception, match=r"readonly database|read-only transaction"), engine.begin() as connection:
        connection.execute(text("UPDATE versions SET reason = 'x'"))
    engine.dispose()
