"""A registry in memory: nothing survives the process."""

from collections.abc import Sequence
from dataclasses import replace
from threading import RLock

from seatrial.server.core.chain import Head
from seatrial.server.core.clock import timestamp
from seatrial.server.core.errors import TooManyVersions, UnknownModel
from seatrial.server.registry.ledger import Entry, Move, Note, following
from seatrial.server.registry.model import ModelVersion, parse_model_id
from seatrial.server.registry.ports import Decide, MakeVersion

SETUP = Note("local:setup", "given at the start")


class MemoryRegistry:
    """Implements `registry.ports.Ledger`; lives as long as the server."""

    def __init__(self, versions: Sequence[ModelVersion] = ()) -> None:
        self._lock = RLock()
        self._versions: dict[tuple[str, int], ModelVersion] = {}
        self._ledger: list[Entry] = []
        for version in versions:
            self.add(version, SETUP)

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name, then by version."""
        return [self._versions[key] for key in sorted(self._versions)]

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `UnknownModel`."""
        try:
            return self._versions[parse_model_id(model_id)]
        except KeyError:
            raise UnknownModel(f"There is no model '{model_id}'.") from None

    def add(self, version: ModelVersion, note: Note) -> None:
        """Keep a version; raises `ValueError` where its `model_id` is taken."""
        key = (version.name, version.version)
        with self._lock:
            if key in self._versions:
                raise ValueError(f"{version.model_id} is registered already")
            self._versions[key] = version
            self._write(version.name, Move(version.version, None, version.stage, "register"), note)

    def add_next(self, name: str, make: MakeVersion, note: Note, limit: int) -> ModelVersion:
        """See `Ledger.add_next`."""
        with self._lock:
            numbers = [number for of, number in self._versions if of == name]
            if len(numbers) >= limit:
                raise TooManyVersions(name, limit)
            version = make(max(numbers, default=0) + 1)
            self.add(version, note)
            return version

    def change(self, name: str, decide: Decide, note: Note) -> Sequence[Entry]:
        """See `Ledger.change`."""
        with self._lock:
            stages = {number: item.stage for (of, number), item in sorted(self._versions.items()) if of == name}
            if not stages:
                raise UnknownModel(f"There is no model '{name[:100]}'.")
            begin = len(self._ledger)
            for move in decide(stages, self.history(name)):
                key = (name, move.version)
                if move.after is not move.before:
                    self._versions[key] = replace(self._versions[key], stage=move.after, reason=note.why)
                self._write(name, move, note)
            return self._ledger[begin:]

    def history(self, name: str | None = None) -> Sequence[Entry]:
        """The ledger of a name, or all of it."""
        return [entry for entry in self._ledger if name in {None, entry.name}]

    def head(self) -> Head:
        """The last entry."""
        return Head.at(self._ledger[-1]) if self._ledger else Head()

    def _write(self, name: str, move: Move, note: Note) -> None:
        self._ledger.append(following(self.head(), name, move, note, timestamp()))
