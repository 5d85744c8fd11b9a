"""A deployment in its data directory and database. Who can write there is the operator, and needs no token."""

import os
import pwd
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.cli.documents import Document, Moved, Returned, Upload, change_of, summary_of, with_faults
from seatrial.cli.place import Place
from seatrial.cli.terminal import FAILED, UNAVAILABLE, USAGE_ERROR, explain, stop
from seatrial.contracts.manifest import manifest_as_dict
from seatrial.grading.toml import WrongFile
from seatrial.server.core.chain import faults
from seatrial.server.core.errors import (
    ModelRefused,
    ModelUnusable,
    StageConflict,
    StorageUnavailable,
    TooManyVersions,
    UnknownModel,
    UnsupportedMediaType,
)
from seatrial.server.registry import lifecycle
from seatrial.server.registry.ledger import Note, entry_as_dict, misplaced
from seatrial.server.registry.model import ModelVersion, Stage, parse_model_id
from seatrial.server.runtimes import stacks
from seatrial.server.settings import Settings, load_settings

if TYPE_CHECKING:
    from seatrial.server.registry.ports import Draft
    from seatrial.server.services.promotion import Promotion
    from seatrial.server.storage.registry import SqlRegistry

BLOCK = 2**20


@contextmanager
def local_place(data_dir: Path | None, database_url: str | None) -> Iterator[Place]:
    """The deployment that flags and settings name; what stands in the way ends the command with a text."""
    with explained():
        yield _Local(read_settings(data_dir, database_url))


def read_settings(data_dir: Path | None, database_url: str | None) -> Settings:
    """Which data directory and database: from where `serve` takes them. Raises `ValueError` or `OSError`."""
    flags: dict[str, Any] = {"data_dir": data_dir, "database_url": database_url}
    return load_settings({name: value for name, value in flags.items() if value is not None})


@contextmanager
def explained() -> Iterator[None]:
    """What stands in the way ends the command, with a text and a line for each fault."""
    try:
        yield
    except UnknownModel as error:
        stop(str(error), USAGE_ERROR)
    except ModelRefused as error:
        stop(with_faults(str(error), error.faults), FAILED)
    except (StageConflict, TooManyVersions, UnsupportedMediaType) as error:
        stop(str(error), FAILED)
    except (ModelUnusable, StorageUnavailable, WrongFile, ValueError, OSError) as error:
        stop(explain(error), UNAVAILABLE)


class _Local:
    """See `Place`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def versions(self) -> list[Document]:
        """See `Place.versions`."""
        with self._registry() as registry:
            return [summary_of(version) for version in registry.versions()]

    def version(self, model_id: str) -> Document:
        """See `Place.version`."""
        with self._registry() as registry:
            return _whole(registry.get(model_id))

    def history(self, name: str | None, *, verify: bool) -> tuple[list[Document], list[str]]:
        """See `Place.history`; what is verified is the ledger of all names, since one entry follows another's."""
        with self._registry() as registry:
            everything, head, stages = registry.whole()
        entries = [change_of(entry_as_dict(entry)) for entry in everything if name in {None, entry.name}]
        if name and not entries:
            raise UnknownModel(f"There is no model '{name}'.")
        return entries, [*faults(everything, head), *misplaced(everything, stages)] if verify else []

    def add(self, upload: Upload) -> Document:
        """See `Place.add`. The file is inspected in a process of its own."""
        from seatrial.server.runtimes.inspector import ProcessInspector
        from seatrial.server.services.register import Registrar, read_wish
        from seatrial.server.storage.artifacts import ContentStore

        wish = read_wish(upload.name, _note(upload.reason), upload.manifest, upload.golden)
        store = ContentStore(self._settings.data_dir / "artifacts")
        with self._registry() as registry, store.draft() as draft:
            _copy(upload.file, draft, self._settings.max_model_bytes)
            with closing(Registrar(registry, store, ProcessInspector(), self._settings.max_versions)) as registrar:
                return _whole(registrar.register(draft, wish))

    def promote(self, model_id: str, stage: str, reason: str, *, override: bool) -> Moved:
        """See `Place.promote`; by the gate's settings here, as those of the server should be."""
        with self._promotion() as promotion:
            done = promotion.promote(model_id, Stage(stage), _note(reason), override=override)
        return Moved([change_of(entry_as_dict(entry)) for entry in done.entries], done.decision)

    def roll_back(self, name: str, reason: str) -> Returned:
        """See `Place.roll_back`."""
        with self._promotion() as promotion:
            done = promotion.roll_back(name, _note(reason))
        changes = [change_of(entry_as_dict(entry)) for entry in done.entries]
        return Returned(changes, done.model_id, done.replayed.cases, done.replayed.worst)

    def archive(self, model_id: str, reason: str) -> Moved:
        """See `Place.archive`; the version in production cannot be."""
        name, version = parse_model_id(model_id)
        with self._registry() as registry:
            entries = registry.change(name, lambda stages, _: lifecycle.archive(stages, version), _note(reason))
        return Moved([change_of(entry_as_dict(entry)) for entry in entries])

    @contextmanager
    def _registry(self) -> "Iterator[SqlRegistry]":
        from seatrial.server.storage.opening import open_registry

        with closing(open_registry(self._settings.database_url, self._settings.data_dir)) as registry:
            yield registry

    @contextmanager
    def _promotion(self) -> "Iterator[Promotion]":
        from seatrial.server.app import open_promotion

        stacks.make_room()
        with self._registry() as registry:
            yield open_promotion(self._settings, registry)


def _whole(version: ModelVersion) -> Document:
    return {**summary_of(version), "manifest": manifest_as_dict(version.manifest)}


def _note(reason: str) -> Note:
    """Who it is, and why."""
    return Note(operator(), reason)


def operator() -> str:
    """What the ledger and the audit call whoever runs a command here."""
    return f"local:{_user()}"


def _user() -> str:
    """Whose process this is: the environment, which says so too, can be set to anything."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that runs under any number
        return f"uid-{os.getuid()}"


def _copy(file: Path, draft: "Draft", limit: int) -> None:
    """Into the store, block by block."""
    try:
        with file.open("rb") as source:
            while block := source.read(BLOCK):
                draft.write(block)
                if draft.size > limit:
                    stop(f"{file} has more than {limit} bytes, the limit (SEATRIAL_MAX_MODEL_BYTES).", FAILED)
    except OSError as error:
        stop(f"Cannot read {file}: {error.strerror}.", USAGE_ERROR)
