"""Deeds that wait for the audit."""

import threading

import pytest
from tests.fakes.access import MemoryAccess

from seatrial.server.access.audit import Deed
from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.services.trail import MOST, TOGETHER, Trail


class SlowAudit(MemoryAccess):
    """Cannot be written while `away`; while it writes, `meanwhile` goes on happening."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.meanwhile: list[Deed] = []
        self.trail: Trail | None = None
        self.writes = 0

    def note(self, *deeds: Deed) -> None:
        """See `Audit.note`."""
        if self.away:
            raise StorageUnavailable("away")
        self.writes += 1
        super().note(*deeds)
        while self.trail and self.meanwhile:
            self.trail.note(self.meanwhile.pop())


def deed(number: int) -> Deed:
    return Deed("rate_limit_exceeded", f"key:{number}", outcome="failure")


def written(audit: MemoryAccess) -> list[str]:
    return [entry.who for entry in audit.entries()[0]]


@pytest.mark.proves("S57")
def test_a_deed_is_told_at_once_and_written_later() -> None:
    """Each once, in their order."""
    audit, said = MemoryAccess(), list[Deed]()
    trail = Trail(audit, said.append)
    for number in range(3):
        trail.note(deed(number))
    assert (said, written(audit)) == ([deed(0), deed(1), deed(2)], [])

    trail.flush()
    trail.flush()
    assert written(audit) == ["key:0", "key:1", "key:2"]


def test_what_cannot_be_written_waits() -> None:
    """Nothing is lost, doubled or put in another order."""
    audit = SlowAudit()
    trail = Trail(audit, lambda _: None)
    trail.note(deed(0))
    audit.away = True
    for number in (1, 2):
        with pytest.raises(StorageUnavailable):
            trail.flush()
        trail.note(deed(number))
    audit.away = False
    trail.flush()

    assert written(audit) == ["key:0", "key:1", "key:2"]


def test_while_the_database_is_away_the_oldest_are_lost() -> None:
    """So that memory is bounded; the log has had them all."""
    audit, said = MemoryAccess(), list[Deed]()
    trail = Trail(audit, said.append)
    for number in range(MOST + 2):
        trail.note(deed(number))
    trail.flush()

    assert written(audit) == [f"key:{number}" for number in range(2, MOST + 2)]
    assert len(said) == MOST + 2


def test_what_comes_while_a_full_queue_is_written_takes_nothing_with_it() -> None:
    """Neither what is being written, nor what comes next."""
    audit = SlowAudit()
    trail = audit.trail = Trail(audit, lambda _: None)
    for number in range(MOST):
        trail.note(deed(number))
    audit.meanwhile = [deed(MOST)]
    trail.flush()
    trail.flush()

    assert written(audit) == [f"key:{number}" for number in range(MOST + 1)]


def test_two_who_flush_at_once_write_each_deed_once() -> None:
    """The second waits for the first: a stop does not wait for whoever follows the database."""
    begun, go = threading.Event(), threading.Event()

    class HeldAudit(MemoryAccess):
        def note(self, *deeds: Deed) -> None:
            begun.set()
            go.wait(10)
            super().note(*deeds)

    audit = HeldAudit()
    trail = Trail(audit, lambda _: None)
    trail.note(deed(0))
    threads = [threading.Thread(target=trail.flush) for _ in range(2)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join()

    assert written(audit) == ["key:0"]


def test_a_flood_is_written_together() -> None:
    """Whoever flushes has other things to do: it is few writes, and what comes meanwhile is for the next time."""
    audit = SlowAudit()
    trail = audit.trail = Trail(audit, lambda _: None)
    for number in range(2 * TOGETHER + 1):
        trail.note(deed(number))
    audit.meanwhile = [deed(-1)]
    trail.flush()

    assert (audit.writes, len(written(audit))) == (3, 2 * TOGETHER + 1)
