"""A worker's copy of accounts and keys."""

import pytest
from tests.fakes.access import MemoryAccess
from tests.fakes.clock import ManualClock

from seatrial.server.access.audit import Deed
from seatrial.server.access.mirror import NOTED_SECONDS, AccessMirror
from seatrial.server.access.tokens import new_signing_key
from seatrial.server.access.view import Account, ApiKey
from seatrial.server.core.errors import StorageUnavailable

DEED = Deed("account_changed", "local:someone")
ADA = Account("a1", "ada@example.org", "viewer", 0.0)


class FailingAccess(MemoryAccess):
    """Cannot be used while `away`; counts how often accounts were read."""

    away = False
    reads = 0

    def generation(self) -> int:
        """See `AccessSource.generation`."""
        self._reach()
        return super().generation()

    def accounts(self) -> list[Account]:
        """See `AccessSource.accounts`."""
        self.reads += 1
        return list(super().accounts())

    def note_used(self, used: dict[str, float]) -> None:
        """See `AccessSource.note_used`."""
        self._reach()
        super().note_used(used)

    def _reach(self) -> None:
        if self.away:
            raise StorageUnavailable("away")


@pytest.fixture
def source() -> FailingAccess:
    """Ada, with two keys."""
    access = FailingAccess()
    access.create(ADA, "hash", DEED)
    for key_id in ("k1", "k2"):
        access.add_key(ApiKey(key_id, "ci", "a1", key_id, frozenset({"predict"}), 0.0), DEED)
    return access


@pytest.mark.proves("S16")
def test_a_copy_follows_its_source(source: FailingAccess) -> None:
    """Once it looks: what was changed meanwhile holds from then on."""
    known = AccessMirror(source, ManualClock())
    assert known.view.account("a1") is None
    known.refresh()
    assert known.view.of_key("k1", 0.0)[0] is not None

    source.change(ADA.email, DEED, disabled=True)
    assert known.view.of_key("k1", 0.0)[0] is not None
    known.refresh()
    assert known.view.of_key("k1", 0.0)[0] is None


@pytest.mark.proves("S15")
def test_a_new_signing_key_is_seen(source: FailingAccess) -> None:
    """Like any other change."""
    known = AccessMirror(source, ManualClock())
    known.refresh()
    key, sealed = new_signing_key(b"0" * 32, 0.0)
    source.add_signing_key(key, sealed, 0.0, DEED)
    known.refresh()

    assert known.view.signing == (key,)


def test_what_has_not_changed_is_not_read_again(source: FailingAccess) -> None:
    """It is the same copy."""
    known = AccessMirror(source, ManualClock())
    known.refresh()
    view = known.view
    known.refresh()

    assert (known.view is view, source.reads) == (True, 1)


def test_a_copy_outlives_the_database(source: FailingAccess) -> None:
    """It stays as it was, and follows again afterwards."""
    known = AccessMirror(source, ManualClock())
    known.refresh()
    source.away = True
    with pytest.raises(StorageUnavailable):
        known.refresh()
    assert known.view.account("a1") == ADA

    source.away = False
    source.change(ADA.email, DEED, role="admin")
    known.refresh()
    assert known.view.account("a1") != ADA


@pytest.mark.proves("S28")
def test_the_last_use_is_kept_to_the_minute(source: FailingAccess) -> None:
    """The first at once, a later one once a minute has passed; of keys that are not used nothing."""
    clock = ManualClock(5.0)
    known = AccessMirror(source, clock)
    used = []
    for seconds in (0.0, NOTED_SECONDS - 1, 1.0):
        clock.advance(seconds)
        known.note_used("k1")
        known.write_used()
        used.append(source.get_key("k1").used)

    assert used == [5.0, 5.0, 5.0 + NOTED_SECONDS]
    assert source.get_key("k2").used is None


def test_the_last_use_waits_for_the_database(source: FailingAccess) -> None:
    """It is written when that is back, though nobody has used the key since."""
    known = AccessMirror(source, ManualClock(500.0))
    known.note_used("k1")
    source.away = True
    with pytest.raises(StorageUnavailable):
        known.write_used()
    source.away = False
    known.write_used()

    assert source.get_key("k1").used == 500.0


def test_a_source_that_has_not_changed_is_not_read(source: FailingAccess) -> None:
    """Its stamp says so; where it says nothing it is read."""
    stamps: list[int | None] = [1]
    known = AccessMirror(source, ManualClock(), lambda: stamps[0])
    known.refresh()
    source.away = True
    known.refresh()
    for stamp in (2, 2, None):
        stamps[0] = stamp
        with pytest.raises(StorageUnavailable):
            known.refresh()
    source.away = False
    known.refresh()
    assert source.reads == 1
