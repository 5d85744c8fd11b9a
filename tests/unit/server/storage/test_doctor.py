"""What the doctor decides, without a deployment; what it finds in one is in tests/ports."""

from pathlib import Path

import pytest
from tests.fakes.models import a_manifest, a_version
from tests.fakes.registry import MemoryRegistry

from seatrial.server.core.chain import Head
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.lifecycle import archive
from seatrial.server.registry.model import Stage
from seatrial.server.storage import schema
from seatrial.server.storage.doctor import (
    disk_space,
    file_system,
    ledger_findings,
    library,
    schema_finding,
    unserved,
)
from seatrial.server.storage.finding import Finding, Level

GIB = 2**30
MOUNTS = (
    "/dev/vda / ext4 rw,relatime 0 0\n"
    "server:/models /srv/models nfs4 rw,vers=4.2 0 0\n"
    "tmpfs /srv/models/fast tmpfs rw 0 0\n"
    "//host/share /mnt/a\\040b\\040\u00e9 cifs rw 0 0\n"
    "server:/x /mnt/\udce9 nfs rw 0 0\n"
    "one /twice nfs rw 0 0\n"
    "two /twice ext4 rw 0 0\n"
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/seatrial.db", "ext4"),
        ("/srv/models/seatrial.db", "nfs4"),
        ("/srv/models/fast/seatrial.db", "tmpfs"),
        ("/srv/models2/seatrial.db", "ext4"),
        ("/mnt/a b \u00e9/seatrial.db", "cifs"),
        ("/mnt/\udce9/seatrial.db", "nfs"),
        ("/twice/seatrial.db", "ext4"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    """That of the nearest mount point above; the later of two at the same place."""
    assert file_system(Path(path), MOUNTS) == kind


def test_without_a_list_of_mounts_the_file_system_is_unknown() -> None:
    """As on systems that have no /proc."""
    assert file_system(Path("/x"), "") == ""


@pytest.mark.parametrize(
    ("total", "free", "level"),
    [
        (100 * GIB, 5 * GIB, Level.OK),
        (100 * GIB, 5 * GIB - 1, Level.WARNING),
        (2 * GIB, GIB, Level.OK),
        (2 * GIB, GIB - 1, Level.WARNING),
        (0, 0, Level.WARNING),
    ],
)
def test_little_space_is_a_warning(total: int, free: int, level: Level) -> None:
    """Below one GiB, or below five percent."""
    assert disk_space(total, free).level is level


@pytest.mark.proves("R25")
@pytest.mark.parametrize(
    ("version", "level"), [((3, 51, 2), Level.INFORMATION), ((3, 51, 3), Level.OK), ((4, 0, 0), Level.OK)]
)
def test_an_old_library_is_told_and_is_safe(version: tuple[int, int, int], level: Level) -> None:
    """Because of the journal that we use."""
    found = library(version)

    assert found.level is level
    assert "rollback journal" in found.detail


@pytest.mark.parametrize(
    ("found", "remedy"),
    [("none", "Run `seatrial db upgrade`."), ("9999", "Install the release that made it, or bring back")],
)
def test_another_schema_is_a_fault(found: str, remedy: str) -> None:
    """An older one is upgraded, a newer one is left alone."""
    finding = schema_finding(found, "SQLite")

    assert (finding.level, finding.remedy.startswith(remedy)) == (Level.FAULT, True)
    assert schema_finding(schema.head(), "SQLite") == Finding("database", Level.OK, f"SQLite, schema {schema.head()}.")


def test_a_version_that_stands_elsewhere_than_the_ledger_says_is_a_fault() -> None:
    """Though the ledger is whole: somebody has changed the other table."""
    registry = MemoryRegistry([a_version(a_manifest(name="a")), a_version(a_manifest(name="b"))])
    a, b = registry.versions()
    stages = {a.model_id: a.stage, b.model_id: b.stage}
    entries, head = registry.history(), registry.head()

    assert [finding.level for finding in ledger_findings(stages, entries, head)] == [Level.OK]
    assert [finding.detail for finding in ledger_findings({a.model_id: Stage.DEV}, entries, head)] == [
        "a:1 is in dev, and the ledger says production.",
        "b:1 is in no stage, and the ledger says production.",
    ]
    assert [finding.detail for finding in ledger_findings(stages, entries[:1], Head.at(entries[0]))] == [
        "b:1 is in production, and the ledger says nothing of it."
    ]


def test_names_without_a_version_in_production_are_told() -> None:
    """As information: somebody may want it so."""
    registry = MemoryRegistry([a_version(a_manifest(name=name), stage=Stage.DEV) for name in "ab"])
    registry.change("a", lambda stages, _: archive(stages, 1), Note("local:someone"))
    registry.add(a_version(a_manifest(name="c")), Note("local:someone"))

    assert [(finding.level, finding.detail) for finding in unserved(registry.versions())] == [
        (Level.INFORMATION, "No version of a is in production."),
        (Level.INFORMATION, "No version of b is in production."),
        (Level.OK, "3 versions of 3 names, 1 in production."),
    ]
