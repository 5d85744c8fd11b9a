"""Register: a file that nobody trusts becomes a version in `dev`, or nothing is left of it."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import orjson
from pydantic import ValidationError

from seatrial.contracts.golden import Golden, golden_as_dict, parse_golden
from seatrial.contracts.manifest import ManifestDraft, parse_draft
from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.server.core.clock import timestamp
from seatrial.server.core.errors import Busy, ModelRefused, NotReady, TooManyVersions
from seatrial.server.inference.faults import faults_of
from seatrial.server.registry.candidate import Candidate
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.registry.ports import Draft, Inspector, Ledger, Store

Part = TypeVar("Part")
INSPECTIONS = 2
"""How many files are inspected at once."""
ADMITTED = 32
"""How many registrations may be going on, their uploads included."""
RETRY_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody says of a file, read and checked; `note` says who, and why."""

    name: str
    note: Note
    draft: ManifestDraft = field(default_factory=ManifestDraft)
    golden: Golden | None = None


def read_wish(name: str, note: Note, manifest: bytes | None, golden: bytes | None) -> Wish:
    """What came with a file, as text; raises `ModelRefused`, with a fault for each part that is wrong."""
    draft = ManifestDraft() if manifest is None else _read(parse_draft, manifest, "manifest")
    if draft.name not in {None, name}:
        told = Fault("/manifest/name", "The manifest is of another model.", name, str(draft.name)[:100])
        raise ModelRefused("The manifest has another name than the request.", [told])
    return Wish(name, note, draft, None if golden is None else _read(_golden, golden, "golden"))


def _golden(content: bytes) -> Golden:
    """Golden answers that can be kept; raises as `parse_golden` does, or `ValueError`."""
    golden = parse_golden(content)
    try:
        orjson.dumps(golden_as_dict(golden))
    except TypeError as error:  # a whole number of more than 64 bits
        raise ValueError(str(error)) from error
    return golden


class Registrar:
    """Takes files in; lives as long as the server.

    Args:
        ledger: where versions are kept.
        store: where files are.
        inspector: looks into them.
        max_versions: of one name.
        look: called after a change, so that it is seen here at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        inspector: Inspector,
        max_versions: int,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self._ledger = ledger
        self._inspector = inspector
        self._max_versions = max_versions
        self._look = look
        self._threads = ThreadPoolExecutor(INSPECTIONS, "register")
        self._admitted = 0
        self._stopped = False

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Around one registration, in the event loop; raises `Busy` where there are too many."""
        if self._admitted >= ADMITTED:
            raise Busy(f"{ADMITTED} models are being registered.", RETRY_SECONDS)
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def register_in_turn(self, draft: Draft, wish: Wish) -> ModelVersion:
        """`register` in a thread, once it is its turn; raises as that does, and `NotReady` after a stop."""
        if self._stopped:
            raise NotReady({"registration": "the server is stopping"})
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.register, draft, wish)

    def register(self, draft: Draft, wish: Wish) -> ModelVersion:
        """Inspect a file, keep it, then name it: whatever happens, a version that is there has its files.

        Raises:
            UnsupportedMediaType, ModelRefused, TooManyVersions: it is not taken.
            StorageUnavailable: it cannot be kept.
            InspectionFailed: it could not be inspected.
            NotReady: `stop` was called meanwhile.
        """
        self._check_room(wish.name)
        with draft.reader() as file:
            inspected = self._inspector.inspect(file, Candidate(wish.name, draft.digest, wish.draft, wish.golden))
        golden = self.store.put(orjson.dumps(golden_as_dict(inspected.golden)))
        self.store.adopt(draft)

        def make(number: int) -> ModelVersion:
            return ModelVersion(
                wish.name, number, Stage.DEV, inspected.manifest, golden, timestamp(), wish.note.why
            )  # fmt: skip

        version = self._ledger.add_next(wish.name, make, wish.note, self._max_versions)
        self._look()
        return version

    def stop(self) -> None:
        """Begin nothing more, and end what is being inspected at once; returns without waiting for it."""
        self._stopped = True
        self._inspector.stop()

    def close(self) -> None:
        """`stop`, and let go of the threads."""
        self.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check_room(self, name: str) -> None:
        """Before anything dear is done; the ledger has the last word."""
        if sum(version.name == name for version in self._ledger.versions()) >= self._max_versions:
            raise TooManyVersions(name, self._max_versions)


def _read(parse: Callable[[bytes], Part], content: bytes, what: str) -> Part:
    try:
        return parse(content)
    except ValidationError as error:
        faults = faults_of(error, what)
        summary = f"The {what} cannot be read: {faults[0].pointer}: {faults[0].detail}."
        raise ModelRefused(summary, faults[:MAX_LISTED], len(faults)) from error
    except ValueError as error:
        told = Fault(f"/{what}", f"The {what} cannot be read: {str(error)[:200]}.", "JSON or TOML in UTF-8", "neither")
        raise ModelRefused(told.detail, [told]) from error
