"""A copy of the registry in memory: what serves never waits for a database, and goes on without one."""

from collections.abc import Sequence

from seatrial.server.core.errors import StorageUnavailable, UnknownModel
from seatrial.server.registry.ledger import Head
from seatrial.server.registry.model import ModelVersion, parse_model_id
from seatrial.server.registry.ports import Ledger

WELL, LOST = "ok", "unavailable"


class Mirror:
    """Implements `registry.ports.Registry`; as new as its last `refresh`. Lives as long as the worker."""

    def __init__(self, source: Ledger) -> None:
        self._source = source
        self._versions: dict[tuple[str, int], ModelVersion] = {}
        self._head: Head | None = None
        self.fault = "not read yet"

    @property
    def state(self) -> str:
        """For everybody: `ok`, or `unavailable`. The fault, which may name hosts, is for the log."""
        return LOST if self.fault else WELL

    def refresh(self) -> bool:
        """Follow the source, and whether something changed; called in a thread.

        Where the source cannot be read the copy stays, and `fault` says why.
        """
        before = self._head
        try:
            head = self._source.head()
            if head != self._head:
                versions = {(version.name, version.version): version for version in self._source.versions()}
                self._versions, self._head = versions, head
            self.fault = ""
        except StorageUnavailable as error:
            self.fault = str(error)
        return self._head != before

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name, then by version."""
        return list(self._versions.values())

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `UnknownModel`."""
        try:
            return self._versions[parse_model_id(model_id)]
        except KeyError:
            raise UnknownModel(f"There is no model '{model_id}'.") from None
