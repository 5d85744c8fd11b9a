"""Bodies whose answers were found before: who sends the same again need not be read again."""

import hashlib
from weakref import ref

from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.pool import Snapshot
from seatrial.server.inference.runtime import Array

MOST = 10_000
"""Those that were noted first go first."""


class Question:
    """What a body asks: of which model, by which name, and whether with probabilities.

    `written` is what whoever wrote the answer keeps here: of which output, and what is written again of it.
    """

    __slots__ = ("_model", "name", "probabilities", "written")

    def __init__(self, model: LoadedModel, name: bytes, *, probabilities: bool) -> None:
        self._model = ref(model)
        self.name = name
        self.probabilities = probabilities
        self.written: tuple[ref[Array], bytes, bytes] | None = None

    @property
    def model(self) -> LoadedModel | None:
        """The model, where it is in memory still: nothing here keeps it there."""
        return self._model()


class Asked:
    """Those of one worker; used in its event loop only. It knows nothing of what was asked under another snapshot."""

    def __init__(self) -> None:
        self._known: dict[bytes, Question] = {}
        self._snapshot: ref[Snapshot] | None = None

    def find(self, body: bytes, snapshot: Snapshot) -> Question | None:
        """What a body asks; `None` where that is not known."""
        if not self._known:
            return None
        if self._snapshot is None or self._snapshot() is not snapshot:
            self._known.clear()  # another model may answer now
            return None
        return self._known.get(hashlib.sha256(body).digest())

    def forget(self, body: bytes) -> None:
        """Its answer is not remembered any more."""
        self._known.pop(hashlib.sha256(body).digest(), None)

    def note(self, body: bytes, snapshot: Snapshot, question: Question) -> None:
        """Remember what a body asked of a snapshot."""
        if self._snapshot is None or self._snapshot() is not snapshot:
            self._known.clear()
            self._snapshot = ref(snapshot)
        elif len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[hashlib.sha256(body).digest()] = question
