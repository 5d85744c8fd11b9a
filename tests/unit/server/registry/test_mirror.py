"""A copy of the registry that serves on when the source is gone."""

from collections.abc import Sequence

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_version
from tests.fakes.registry import MemoryRegistry

from seatrial.server.core.chain import Head
from seatrial.server.core.errors import StorageUnavailable, UnknownModel
from seatrial.server.registry.evidence import Trial
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.mirror import LOST, OLD_SECONDS, WELL, Mirror
from seatrial.server.registry.model import ModelVersion
from seatrial.server.registry.ports import Registry

NOTE = Note("local:x")


class Source(MemoryRegistry):
    """Counts how often it is read whole, and can be gone."""

    gone = False
    reads = 0

    def head(self) -> Head:
        """See `Ledger.head`."""
        if self.gone:
            raise StorageUnavailable("The database cannot be used now: gone.")
        return super().head()

    def versions(self) -> Sequence[ModelVersion]:
        """See `Registry.versions`."""
        self.reads += 1
        return super().versions()


def ids(registry: Registry) -> list[str]:
    return [version.model_id for version in registry.versions()]


def test_it_follows_the_source() -> None:
    """As new as its last refresh; read whole only where something changed, and prepared before anybody sees it."""
    source = Source([a_version(a_manifest())])
    mirror = Mirror(source, ManualClock())
    prepared: list[tuple[list[str], list[str]]] = []
    assert (ids(mirror), mirror.state) == ([], LOST)

    for _ in range(2):
        mirror.refresh(lambda new: prepared.append((ids(new), ids(mirror))))
    assert (ids(mirror), source.reads, mirror.state, prepared) == (["echo:1"], 1, WELL, [(["echo:1"], [])])
    source.add(a_version(a_manifest(name="other")), NOTE)
    mirror.refresh(lambda _: None)
    assert mirror.get("other:1").name == "other"
    with pytest.raises(UnknownModel):
        mirror.get("nobody:1")


def test_a_copy_that_lags_says_so() -> None:
    """While what is new is being prepared, and where that fails."""
    source = Source([a_version(a_manifest())])
    mirror = Mirror(source, ManualClock())
    mirror.refresh(lambda _: None)
    source.add(a_version(a_manifest(name="other")), NOTE)
    seen: list[tuple[int, int]] = []

    mirror.refresh(lambda _: seen.append(mirror.entries))

    assert (seen, mirror.entries) == ([(1, 2)], (2, 2))


def test_it_stays_what_it_was_while_the_source_is_gone() -> None:
    """And says why; once it is back, so is the copy."""
    source = Source([a_version(a_manifest())])
    mirror = Mirror(source, ManualClock())
    mirror.refresh(lambda _: None)
    source.gone = True
    mirror.refresh(lambda _: None)

    assert (ids(mirror), mirror.state) == (["echo:1"], LOST)
    assert mirror.fault == "The database cannot be used now: gone."
    source.gone = False
    mirror.refresh(lambda _: None)
    assert (mirror.state, mirror.fault) == (WELL, "")


def test_what_could_not_be_prepared_is_not_shown() -> None:
    """It is tried again at the next refresh."""
    source = Source([a_version(a_manifest())])
    mirror = Mirror(source, ManualClock())

    def fail(_: Registry) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        mirror.refresh(fail)
    assert ids(mirror) == []
    mirror.refresh(lambda _: None)
    assert ids(mirror) == ["echo:1"]


def test_a_copy_that_nobody_compares_any_more_is_none() -> None:
    """A database that hangs gives no fault: the time tells."""
    clock = ManualClock()
    mirror = Mirror(Source(), clock)
    mirror.refresh(lambda _: None)
    clock.advance(OLD_SECONDS)
    assert mirror.state == WELL
    clock.advance(0.1)
    assert mirror.state == LOST


def test_a_source_that_has_not_changed_is_not_read() -> None:
    """Its stamp says so; where it says nothing, and while trials are open, which end by the clock, it is read."""
    source, clock = Source([a_version(a_manifest())]), ManualClock()
    stamps: list[int | None] = [1]
    trials: list[Trial] = []
    mirror = Mirror(source, clock, lambda: trials, lambda: stamps[0])
    mirror.refresh(lambda _: None)
    source.gone = True
    clock.advance(2 * OLD_SECONDS)
    mirror.refresh(lambda _: None)
    assert (mirror.fault, mirror.state) == ("", WELL)

    for stamp in (2, None):
        stamps[0] = stamp
        mirror.refresh(lambda _: None)
        assert mirror.state == LOST
        source.gone = False
        mirror.refresh(lambda _: None)
        assert mirror.state == WELL
        source.gone = True
    source.gone, stamps[0] = False, 3
    trials.append(Trial("t1", "echo", 1, 0.0, 1.0, "somebody"))
    mirror.refresh(lambda _: None)
    assert set(mirror.view.trials) == {"t1"}
    trials.clear()
    mirror.refresh(lambda _: None)
    assert set(mirror.view.trials) == set()
