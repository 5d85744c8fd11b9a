"""Bodies whose answers were found before: who sends the same again need not be read again."""

import hashlib

from cachetools import LRUCache

from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.pool import Snapshot

MOST = 10_000

Question = tuple[LoadedModel, bytes, bool]
"""The model that answers, the name of the question, and whether probabilities are asked for."""


class Asked:
    """Those of one worker; used in its event loop only. It knows nothing of what was asked under another snapshot."""

    def __init__(self) -> None:
        self._known: LRUCache[bytes, Question] = LRUCache(MOST)
        self._snapshot: Snapshot | None = None

    def find(self, body: bytes, snapshot: Snapshot) -> Question | None:
        """What a body asks; `None` where that is not known."""
        if not self._known:
            return None
        if snapshot is not self._snapshot:
            self._forget()  # another model may answer now
            return None
        return self._known.get(hashlib.sha256(body).digest())

    def note(self, body: bytes, snapshot: Snapshot, question: Question) -> None:
        """Remember what a body asked of a snapshot."""
        if snapshot is not self._snapshot:
            self._forget()
            self._snapshot = snapshot
        self._known[hashlib.sha256(body).digest()] = question

    def _forget(self) -> None:
        self._known.clear()
        self._snapshot = None
