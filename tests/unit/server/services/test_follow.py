"""Following the registry: whatever goes wrong is told, and does not end it."""

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_version
from tests.fakes.registry import MemoryRegistry

from seatrial.server.core.chain import Head
from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.mirror import WELL, Mirror
from seatrial.server.registry.ports import Registry
from seatrial.server.services.follow import RETRY_SECONDS, Follower


class Source(MemoryRegistry):
    """Raises what it is told to."""

    error: Exception | None = None

    def head(self) -> Head:
        """See `Ledger.head`."""
        if self.error:
            raise self.error
        return super().head()


class Watched:
    """A follower of a source, and all that it did."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.source = Source([a_version(a_manifest())])
        self.said: list[tuple[str, ...]] = []
        self.served: list[int] = []
        self.whole = True
        self.follower = Follower(Mirror(self.source, self.clock), lambda *told: self.said.append(told), self.clock)
        self.follower.serve = self.serve

    def serve(self, registry: Registry) -> bool:
        """Serve it; whether all of it could be loaded is up to the test."""
        self.served.append(len(registry.versions()))
        return self.whole


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StorageUnavailable("The database cannot be used now: gone."), "The database cannot be used now: gone."),
        (ValueError("a manifest of a newer release"), "ValueError: a manifest of a newer release"),
    ],
)
def test_a_loss_is_told_once_and_so_is_the_return(error: Exception, told: str) -> None:
    """Also where nobody expected what happened."""
    watched = Watched()
    watched.follower.look()
    for watched.source.error in (error, error, None):
        watched.follower.look()

    assert watched.said == [("database_lost", told), ("database_back", "")]
    assert watched.follower.mirror.state == WELL
    assert watched.served == [1]


def test_a_loss_at_the_start_is_told_too() -> None:
    """Then there is nothing to serve, and once it is back there is."""
    watched = Watched()
    for watched.source.error in (StorageUnavailable("gone"), None):
        watched.follower.look()

    assert (watched.said, watched.served) == ([("database_lost", "gone"), ("database_back", "")], [1])


def test_a_change_is_served_once() -> None:
    """And nothing is loaded where nothing changed."""
    watched = Watched()
    for _ in range(3):
        watched.follower.look()
    watched.source.add(a_version(a_manifest(name="b")), Note("local:x"))
    for _ in range(3):
        watched.follower.look()

    assert watched.served == [1, 2]


def test_what_could_not_be_loaded_is_tried_again_after_a_while() -> None:
    """As long as something is missing."""
    watched = Watched()
    watched.whole = False
    watched.follower.look()
    watched.follower.look()
    assert watched.served == [1]
    watched.clock.advance(RETRY_SECONDS)
    watched.whole = True
    for _ in range(3):
        watched.follower.look()
    watched.clock.advance(RETRY_SECONDS)
    watched.follower.look()

    assert watched.served == [1, 1]
