"""The ports through which the registry is kept."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from seatrial.contracts.golden import Golden
from seatrial.server.core.chain import Head
from seatrial.server.registry.candidate import Candidate, Inspected
from seatrial.server.registry.evidence import Submitted, Tally, Trial
from seatrial.server.registry.ledger import Entry, Move, Note
from seatrial.server.registry.lifecycle import Stages
from seatrial.server.registry.model import ModelVersion

Decide = Callable[[Stages, Sequence[Entry]], Sequence[Move]]
"""What becomes of the versions of a name, by their stages and their history; it may raise."""


MakeVersion = Callable[[int], ModelVersion]
"""Makes a version of the number that it gets."""


class Registry(Protocol):
    """All versions of all models, to read."""

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name, then by version."""

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `UnknownModel`."""


class Ledger(Registry, Protocol):
    """The registry, to change: every change is in the ledger, in the same step or not at all.

    Each call raises `StorageUnavailable` where it cannot be carried out.
    """

    def add(self, version: ModelVersion, note: Note) -> None:
        """Keep a version; raises `ValueError` where its `model_id` is taken."""

    def add_next(self, name: str, make: MakeVersion, note: Note, limit: int) -> ModelVersion:
        """Keep a new version of a name, under the number after its last, which nobody else gets.

        Raises `TooManyVersions` where the name has `limit` versions.
        """

    def change(self, name: str, decide: Decide, note: Note) -> Sequence[Entry]:
        """Move versions of a name as `decide` says, who sees nobody else's change come in between.

        The entries that were written; none where there was nothing to do. Raises `UnknownModel`, or as `decide` does.
        """

    def history(self, name: str | None = None) -> Sequence[Entry]:
        """The ledger of a name, or all of it, from its first entry."""

    def head(self) -> Head:
        """The last entry that was written. Whoever holds a copy knows by it whether that is old."""


class EvidenceStore(Protocol):
    """Trials, what was counted in them, and proofs. Each call raises `StorageUnavailable` where it cannot be done."""

    def open_trial(self, trial: Trial) -> None:
        """Begin a trial; where too many are open the oldest of the same caller ends, or `TrialConflict` is raised."""

    def trial(self, trial_id: str) -> Trial | None:
        """A trial, open or not; none where there was none of that id."""

    def open_trials(self, now: float) -> Sequence[Trial]:
        """Those that count at a moment, the oldest first."""

    def count(self, worker: str, trial_id: str, counted: Sequence[Tally]) -> None:
        """Keep all that a worker has counted under a trial, in the place of what it said before."""

    def tallies(self, trial_id: str) -> Sequence[Tally]:
        """What all workers have counted under a trial."""

    def submit(self, submitted: Submitted) -> None:
        """Keep a proof, and close its trial; raises `TrialConflict` where that, or this proof, was taken already."""

    def proofs(self, model_id: str, limit: int) -> Sequence[Submitted]:
        """The last proofs of a version, at most so many, the oldest of them first."""

    def latest_proofs(self, model_id: str) -> Sequence[Submitted]:
        """Of each need the last proof of a version, by need."""


class Artifacts(Protocol):
    """The files of versions, each found by its digest (`sha256:<hex>`)."""

    def model(self, digest: str) -> bytes:
        """The ONNX file; raises `ModelUnusable` where there is none, or its bytes are not those of the digest."""

    def golden(self, digest: str) -> Golden:
        """Golden answers; raises `ModelUnusable` where there are none, or they cannot be read."""


class Documents(Protocol):
    """Proofs and decisions of the gate, each found by its digest."""

    def put(self, content: bytes) -> str:
        """Keep a document, and its digest; raises `StorageUnavailable` where that cannot be done."""

    def document(self, digest: str) -> bytes:
        """A document; raises `ModelUnusable` where there is none, or its bytes are not those of the digest."""


class Draft(Protocol):
    """A file on its way in: nobody finds it yet, and it is gone in the end unless it was adopted."""

    size: int

    def write(self, block: bytes) -> None:
        """Append some bytes; raises `StorageUnavailable` where they cannot be kept."""

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""

    def reader(self) -> BinaryIO:
        """What was written so far, to read; close it in the end. It has a file descriptor."""


class Store(Artifacts, Protocol):
    """The files of versions, to add to. Each call raises `StorageUnavailable` where it cannot be carried out."""

    def draft(self, size: int = 0) -> AbstractContextManager[Draft]:
        """A new draft, empty; `size` is how many bytes are coming, as far as that is known.

        Raises `StorageFull`, as `Draft.write` does, where they would take the last room there is.
        """

    def adopt(self, draft: Draft) -> str:
        """Keep a draft of this store as a file, without copying it, and its digest. It is on disk then."""

    def put(self, content: bytes) -> str:
        """Keep a file, and its digest. It is on disk then."""


class Inspector(Protocol):
    """Looks into a file that nobody trusts, where it can do no harm."""

    def inspect(self, file: BinaryIO, candidate: Candidate) -> Inspected:
        """The whole manifest, and golden answers that the file reproduces.

        Raises:
            UnsupportedMediaType: it is no ONNX file.
            ModelRefused: it is one that cannot be served, or does not go with what was said of it.
            InspectionFailed, StorageUnavailable: it cannot be looked into, for no fault of its own.
            NotReady: `stop` was called.
        """

    def stop(self) -> None:
        """End every inspection at once, and begin no other; returns without waiting for them."""
