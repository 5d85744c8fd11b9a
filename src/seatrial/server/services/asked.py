"""Bodies whose answers were found before: who sends the same again need not be read again."""

import hashlib
from weakref import ref

from cachetools import LRUCache

from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.pool import Snapshot

MOST = 10_000

Question = tuple[LoadedModel, bytes, bool]
"""The model that answers, the name of the question, and whether probabilities are asked for."""


class Asked:
    """Those of one worker; used in its event loop only.

    It knows nothing of what was asked under another snapshot, and keeps no model in memory.
    """

    def __init__(self) -> None:
        self._known: LRUCache[bytes, tuple[ref[LoadedModel], bytes, bool]] = LRUCache(MOST)
        self._snapshot: ref[Snapshot] | None = None

    def find(self, body: bytes, snapshot: Snapshot) -> Question | None:
        """What a body asks; `None` where that is not known."""
        if not self._known:
            return None
        if self._snapshot is None or self._snapshot() is not snapshot:
            self._known.clear()  # another model may answer now
            return None
        found = self._known.get(hashlib.sha256(body).digest())
        model = found[0]() if found is not None else None
        return None if found is None or model is None else (model, found[1], found[2])

    def forget(self, body: bytes) -> None:
        """Its answer is not remembered any more."""
        self._known.pop(hashlib.sha256(body).digest(), None)

    def note(self, body: bytes, snapshot: Snapshot, question: Question) -> None:
        """Remember what a body asked of a snapshot."""
        if self._snapshot is None or self._snapshot() is not snapshot:
            self._known.clear()
            self._snapshot = ref(snapshot)
        model, name, probabilities = question
        self._known[hashlib.sha256(body).digest()] = ref(model), name, probabilities
