"""What every registry does (`registry.ports.Ledger`), in memory and in both databases."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import Engine
from tests.fakes.models import a_manifest, a_version
from tests.fakes.registry import MemoryRegistry

from seatrial.server.core.chain import Head, faults
from seatrial.server.core.errors import StageConflict, TooManyVersions, UnknownModel
from seatrial.server.registry import lifecycle
from seatrial.server.registry.ledger import Entry, Note
from seatrial.server.registry.model import Stage
from seatrial.server.registry.ports import Ledger
from seatrial.server.storage.registry import SqlRegistry

A, B = a_manifest(name="a"), a_manifest(name="b")
TEN = [a_version(A, number, Stage.DEV) for number in (10, 2, 1)]
NOTE = Note("local:someone", "because", proof="sha256:" + "1" * 64, gate="enforce")


@pytest.fixture
def registry(engine: Engine | None) -> Ledger:
    """Each implementation, empty."""
    return SqlRegistry(engine) if engine else MemoryRegistry()


def stages(registry: Ledger) -> dict[str, Stage]:
    return {version.model_id: version.stage for version in registry.versions()}


def promote(registry: Ledger, name: str, version: int, *to: Stage) -> list[Entry]:
    return [
        entry
        for stage in to
        for entry in registry.change(name, lambda of, _: lifecycle.promote(of, version, stage), NOTE)  # noqa: B023 - used at once
    ]


def test_a_new_registry_is_empty(registry: Ledger) -> None:
    """It has no versions, finds none, and nothing was written."""
    assert list(registry.versions()) == []
    assert (list(registry.history()), registry.head()) == ([], Head())
    with pytest.raises(UnknownModel):
        registry.get("a:1")


def test_a_version_is_found_by_its_id(registry: Ledger) -> None:
    """All that was kept comes back."""
    version = a_version(A, 3, Stage.STAGING)
    registry.add(version, NOTE)
    registry.add(a_version(B, 3), NOTE)

    assert registry.get("a:3") == version


def test_versions_come_by_name_then_by_number(registry: Ledger) -> None:
    """2 comes before 10, and the order in which they were added does not matter."""
    for version in (a_version(B, 1), *TEN):
        registry.add(version, NOTE)

    assert [version.model_id for version in registry.versions()] == ["a:1", "a:2", "a:10", "b:1"]


@pytest.mark.parametrize("model_id", ["b:1", "a:2", "a", "a:", "a:01", "A:1", "", "a:1:1", "a:latest"])
def test_any_other_id_is_an_unknown_model(registry: Ledger, model_id: str) -> None:
    """Of another name, another number, or another form."""
    registry.add(a_version(A), NOTE)

    with pytest.raises(UnknownModel):
        registry.get(model_id)


def test_an_id_is_taken_once(registry: Ledger) -> None:
    """A second version of an id is refused, the first stays, and nothing of it is in the ledger."""
    first = a_version(A)
    registry.add(first, NOTE)

    with pytest.raises(ValueError, match="a:1"):
        registry.add(a_version(A, 1, Stage.DEV), NOTE)
    assert registry.get("a:1") == first
    assert len(registry.history()) == 1


def test_the_next_number_is_the_one_after_the_last(registry: Ledger) -> None:
    """Of its name, whatever gaps there are; and that is in the ledger."""
    for version in (a_version(A, 3, Stage.ARCHIVED), a_version(B, 7)):
        registry.add(version, NOTE)
    added = registry.add_next("a", lambda number: a_version(A, number, Stage.DEV), NOTE, limit=9)
    first = registry.add_next("c", lambda number: a_version(a_manifest(name="c"), number, Stage.DEV), NOTE, limit=9)

    assert (added.model_id, first.model_id) == ("a:4", "c:1")
    assert registry.get("a:4") == added
    assert [(e.version, e.action, e.before, e.after) for e in registry.history("a")][1:] == [
        (4, "register", None, Stage.DEV)
    ]


def test_a_name_has_only_so_many_versions(registry: Ledger) -> None:
    """Another one is refused, and nothing of it is kept; another name has its own."""
    for number in (1, 5):
        registry.add(a_version(A, number, Stage.DEV), NOTE)
    before = registry.head()

    with pytest.raises(TooManyVersions, match="'a' has 2 versions"):
        registry.add_next("a", lambda number: a_version(A, number, Stage.DEV), NOTE, limit=2)
    assert registry.head() == before
    assert registry.add_next("b", lambda number: a_version(B, number), NOTE, limit=2).model_id == "b:1"


def test_twenty_registrations_at_once_get_twenty_numbers(registry: Ledger) -> None:
    """None is lost, none is given twice, and the ledger is whole."""
    with ThreadPoolExecutor(20) as threads:
        added = list(
            threads.map(
                lambda _: registry.add_next("a", lambda number: a_version(A, number, Stage.DEV), NOTE, limit=20),
                range(20),
            )
        )

    assert sorted(version.version for version in added) == list(range(1, 21))
    assert len(registry.versions()) == len(registry.history("a")) == 20
    assert list(faults(registry.history(), registry.head())) == []


def test_a_list_of_versions_stays_as_it_was_read(registry: Ledger) -> None:
    """Adding later does not change what a reader holds."""
    registry.add(a_version(A), NOTE)
    before = registry.versions()
    registry.add(a_version(B), NOTE)

    assert [version.model_id for version in before] == ["a:1"]


def test_a_change_is_in_the_ledger(registry: Ledger) -> None:
    """Who, why, from, to, on what proof and under what gate; the replaced version has an entry of its own."""
    registry.add(a_version(A, 1), NOTE)
    registry.add(a_version(A, 2, Stage.DEV), replace(NOTE, why="new"))
    written = promote(registry, "a", 2, Stage.STAGING, Stage.PRODUCTION)

    assert stages(registry) == {"a:1": Stage.ARCHIVED, "a:2": Stage.PRODUCTION}
    assert registry.get("a:2").reason == "because"
    assert [(e.version, e.action, e.before, e.after) for e in registry.history("a")] == [
        (1, "register", None, Stage.PRODUCTION),
        (2, "register", None, Stage.DEV),
        (2, "promote", Stage.DEV, Stage.STAGING),
        (1, "promote", Stage.PRODUCTION, Stage.ARCHIVED),
        (2, "promote", Stage.STAGING, Stage.PRODUCTION),
    ]
    assert list(registry.history("a"))[2:] == written
    assert {(e.who, e.why, e.proof, e.gate) for e in written} == {
        ("local:someone", "because", "sha256:" + "1" * 64, "enforce")
    }
    assert registry.head() == Head.at(written[-1])
    assert list(faults(registry.history(), registry.head())) == []


def test_the_ledger_of_a_name_is_its_own(registry: Ledger) -> None:
    """Numbers count over all names."""
    for version in (a_version(A), a_version(B), a_version(A, 2, Stage.DEV)):
        registry.add(version, NOTE)

    assert [(entry.number, entry.version) for entry in registry.history("a")] == [(1, 1), (3, 2)]
    assert [entry.name for entry in registry.history()] == ["a", "b", "a"]
    assert registry.history("nobody") == []


def test_a_change_that_is_refused_changes_nothing(registry: Ledger) -> None:
    """Neither a stage nor the ledger; nor does one that is none."""
    registry.add(a_version(A, 1, Stage.DEV), NOTE)
    before = (stages(registry), registry.head())

    with pytest.raises(StageConflict):
        promote(registry, "a", 1, Stage.PRODUCTION)
    with pytest.raises(UnknownModel):
        promote(registry, "b", 1, Stage.STAGING)
    assert promote(registry, "a", 1, Stage.DEV) == []
    assert (stages(registry), registry.head()) == before


def test_a_version_is_rolled_back_to_the_one_before(registry: Ledger) -> None:
    """It becomes staging, the one before serves again; and that is in the ledger."""
    for number, stage in ((1, Stage.PRODUCTION), (2, Stage.STAGING)):
        registry.add(a_version(A, number, stage), NOTE)
    promote(registry, "a", 2, Stage.PRODUCTION)
    registry.change("a", lifecycle.roll_back, replace(NOTE, why="it was slow"))

    assert stages(registry) == {"a:1": Stage.PRODUCTION, "a:2": Stage.STAGING}
    assert [(e.version, e.action, e.why) for e in registry.history("a")][-2:] == [
        (2, "rollback", "it was slow"),
        (1, "rollback", "it was slow"),
    ]


def test_twenty_promotions_at_once_leave_one_in_production(registry: Ledger) -> None:
    """Each sees the stages as the one before it left them; the ledger has them in that order, and is whole."""
    versions = range(1, 21)
    for number in versions:
        registry.add(a_version(A, number, Stage.STAGING), NOTE)
    with ThreadPoolExecutor(20) as threads:
        done = list(threads.map(lambda number: promote(registry, "a", number, Stage.PRODUCTION), versions))
    last = registry.history("a")[-1]

    assert [name for name, stage in stages(registry).items() if stage is Stage.PRODUCTION] == [f"a:{last.version}"]
    assert sorted(map(len, done)) == [1, *[2] * 19]
    assert len(registry.history()) == 20 + 39
    assert list(faults(registry.history(), registry.head())) == []


def test_promotions_and_rollbacks_at_once_leave_one_in_production(registry: Ledger) -> None:
    """In whatever order they come."""
    registry.add(a_version(A, 1), NOTE)
    for number in range(2, 12):
        registry.add(a_version(A, number, Stage.STAGING), NOTE)

    def do(number: int) -> None:
        with suppress(StageConflict):
            promote(registry, "a", number, Stage.PRODUCTION)
        with suppress(StageConflict):
            registry.change("a", lifecycle.roll_back, NOTE)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(do, range(2, 12)))

    assert list(stages(registry).values()).count(Stage.PRODUCTION) == 1
    assert list(faults(registry.history(), registry.head())) == []
