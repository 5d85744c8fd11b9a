"""A copy of the registry that serves on when the source is gone."""

from collections.abc import Sequence

import pytest
from tests.fakes.models import a_manifest, a_version

from seatrial.server.core.errors import StorageUnavailable, UnknownModel
from seatrial.server.registry.ledger import Head, Note
from seatrial.server.registry.mirror import LOST, WELL, Mirror
from seatrial.server.registry.model import ModelVersion
from seatrial.server.storage.memory import MemoryRegistry

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


def test_it_follows_the_source() -> None:
    """As new as its last refresh; read whole only where something changed."""
    source = Source([a_version(a_manifest())])
    mirror = Mirror(source)
    assert (mirror.versions(), mirror.state) == ([], LOST)

    assert (mirror.refresh(), mirror.refresh()) == (True, False)
    assert ([item.model_id for item in mirror.versions()], source.reads, mirror.state) == (["echo:1"], 1, WELL)
    source.add(a_version(a_manifest(name="other")), NOTE)
    mirror.refresh()
    assert mirror.get("other:1").name == "other"
    with pytest.raises(UnknownModel):
        mirror.get("nobody:1")


def test_it_stays_what_it_was_while_the_source_is_gone() -> None:
    """And says why; once it is back, so is the copy."""
    source = Source([a_version(a_manifest())])
    mirror = Mirror(source)
    mirror.refresh()
    source.gone = True
    mirror.refresh()

    assert ([item.model_id for item in mirror.versions()], mirror.state) == (["echo:1"], LOST)
    assert mirror.fault == "The database cannot be used now: gone."
    source.gone = False
    mirror.refresh()
    assert mirror.state == WELL
