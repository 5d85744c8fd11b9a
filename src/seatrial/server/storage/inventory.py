"""Which files the database names, whether the store has them, and what else is in the store."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select

from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.ledger import Entry
from seatrial.server.registry.model import ModelVersion
from seatrial.server.storage.artifacts import OWNER, SAFE_SECONDS, ContentStore, is_registry, read_golden
from seatrial.server.storage.database import reading
from seatrial.server.storage.finding import Finding, Level
from seatrial.server.storage.tables import proofs

MODEL, GOLDEN, PROOF, DECISION, REPLAY, DOCUMENT = (
    "model file", "golden file", "proof", "decision", "replay", "document",
)  # fmt: skip
DOCUMENTS = {"promote": DECISION, "refuse": DECISION, "rollback": REPLAY}
"""What an action rests on."""
MENDED = "The next start mends those of bundled models."
REMEDIES = {MODEL: MENDED, GOLDEN: MENDED, PROOF: "Or prove it again: `seatrial trial prove --submit`."}
"""What helps beside a backup."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a file is, and who needs it."""

    what: str
    who: str


Uses = Mapping[str, Sequence[Use]]
"""The uses of each file, by its digest."""


def uses_of(versions: Sequence[ModelVersion], entries: Sequence[Entry], engine: Engine) -> Uses:
    """Every file that a database names: by its versions, its proofs and its ledger."""
    found: dict[str, list[Use]] = {}
    for version in versions:
        found.setdefault(version.manifest.digest, []).append(Use(MODEL, version.model_id))
        found.setdefault(version.golden, []).append(Use(GOLDEN, version.model_id))
    for digest, use in _proofs(engine):
        found.setdefault(digest, []).append(use)
    for entry in entries:
        if entry.proof:
            use = Use(DOCUMENTS.get(entry.action, DOCUMENT), f"entry {entry.number} of the ledger")
            found.setdefault(entry.proof, []).append(use)
    return found


def _proofs(engine: Engine) -> Sequence[tuple[str, Use]]:
    """The digest of each proof, the oldest first, and of which version and load it is."""
    wanted = select(proofs.c.digest, proofs.c.name, proofs.c.version, proofs.c.need).order_by(proofs.c.submitted)
    with reading(engine) as connection:
        rows = connection.execute(wanted).all()
    return [(row.digest, Use(PROOF, f"{row.name}:{row.version} ({row.need})")) for row in rows]


def file_findings(uses: Uses, store: ContentStore) -> Iterator[Finding]:
    """Each file is read once, as the server reads it."""
    wrong = 0
    for digest, found in uses.items():
        try:
            content = store.read(digest, found[0].what)
            if any(use.what == GOLDEN for use in found):
                read_golden(content)
        except ModelUnusable as error:
            wrong += 1
            place = f"artifacts/{digest[7:9]}/{digest[7:]}"
            remedy = f"Bring back {place} from a backup. {REMEDIES.get(found[0].what, '')}".rstrip()
            yield Finding("files", Level.FAULT, f"{', '.join(use.who for use in found)}: {error}", remedy)
    if not wrong:
        yield Finding("files", Level.OK, f"{len(uses)} files, each with the digest that it is named by.")


def leftovers(named: Collection[str], origin: str, store: ContentStore) -> Iterator[Finding]:
    """What crashes have left, and what the next start will do about it.

    Args:
        named: the digests of all files that the database names.
        origin: what tells its registry from others.
        store: where the files are.
    """
    remedy = f"If this is the right database, delete artifacts/{OWNER}: the next start writes it anew."
    try:
        owner = store.owner()
    except OSError as error:
        detail = f"artifacts/{OWNER} cannot be read, so none of the files is swept: {error.strerror}."
        yield Finding("leftovers", Level.WARNING, detail, remedy)
        return
    if owner and not is_registry(owner):
        detail = f"artifacts/{OWNER} holds no digest of a registry, so none of the files is swept."
        yield Finding("leftovers", Level.WARNING, detail, remedy)
        return
    if owner not in {"", origin}:
        yield Finding(
            "leftovers", Level.WARNING, "The files were put there by the registry of another database: none is swept.",
            f"Say which database is the right one (--database-url). If it is this one, delete artifacts/{OWNER}.",
        )  # fmt: skip
        return
    yield from _nobodys([*store.orphans(named), *store.drafts()])


def _nobodys(paths: Sequence[Path]) -> Iterator[Finding]:
    """Files that nobody names. One may be gone by now: a server may be at work."""
    before, found = time.time() - SAFE_SECONDS, []
    for path in paths:
        with suppress(OSError):
            found.append(path.lstat())
    old = sum(one.st_mtime < before for one in found)
    size = sum(one.st_size for one in found)
    if found:
        detail = f"No version names {len(found)} of the files ({size / 2**20:.1f} MiB); {old} are older than an hour."
        remedy = "The next start of `seatrial serve` removes those." if old else ""
        yield Finding("leftovers", Level.INFORMATION, detail, remedy)
