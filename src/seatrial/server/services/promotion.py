"""Move a version forward through the gate, or back, and tell what happened to a name so far."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import orjson

from seatrial.contracts.gate import GATED, GateDecision, decision_adapter
from seatrial.server.core.clock import Wall
from seatrial.server.core.errors import GateRefused, InferenceFailed, ModelUnusable, StageConflict, UnknownModel
from seatrial.server.inference.golden import Replay
from seatrial.server.registry import lifecycle
from seatrial.server.registry.gate import Rules, examine
from seatrial.server.registry.ledger import Entry, Move, Note
from seatrial.server.registry.lifecycle import Stages
from seatrial.server.registry.model import ModelVersion, Stage, require_name
from seatrial.server.registry.ports import Documents, EvidenceStore, Ledger
from seatrial.server.services.trials import latest_evidence

ATTEMPTS = 5
"""How often a promotion is examined anew because another one came in between."""
NEXT = {Stage.DEV: Stage.STAGING, Stage.ARCHIVED: Stage.STAGING}
"""Where a version is asked about if nobody says; else production."""


class _OvertakenError(Exception):
    """Something changed between the gate's answer and the move."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """A promotion that was carried out: its entries, none where the version stood there already."""

    entries: Sequence[Entry]
    decision: GateDecision | None = None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A rollback that was carried out: its entries, and the known answers that were asked again before it."""

    entries: Sequence[Entry]
    model_id: str
    replayed: Replay


class Promotion:
    """What moves versions; lives as long as the server, or the command.

    Args:
        ledger: the versions.
        evidence: trials and proofs.
        documents: where proofs and decisions are kept.
        rules: the SLO file that decides, and how strictly.
        replay: asks a version its known inputs again, without serving it; raises `SeatrialError`.
        known: tells how many known answers a version has; raises `ModelUnusable`.
        wall: tells Unix time in seconds.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        ledger: Ledger,
        evidence: EvidenceStore,
        documents: Documents,
        rules: Rules,
        replay: Callable[[ModelVersion], Replay],
        known: Callable[[ModelVersion], int],
        wall: Wall,
    ) -> None:
        self._ledger = ledger
        self._evidence = evidence
        self._documents = documents
        self._rules = rules
        self._replay = replay
        self._known = known
        self._wall = wall

    def gate(self, model_id: str, new_stage: Stage | None = None, serving: str = "") -> GateDecision:
        """What the gate would say of a promotion; changes nothing. Raises `UnknownModel`."""
        version = self._ledger.get(model_id)
        return self._examine(version, new_stage or NEXT.get(version.stage, Stage.PRODUCTION), serving)[0]

    def promote(
        self, model_id: str, new_stage: Stage, note: Note, *, override: bool = False, serving: str = ""
    ) -> Promoted:
        """Move a version to staging or production.

        Args:
            model_id: `name:version`.
            new_stage: where to.
            note: who, and why.
            override: whether to move it even where it is not proven; stands out in the ledger.
            serving: the digest of how it is served here, if it is loaded.

        Raises:
            UnknownModel: there is no such version.
            StageConflict: it cannot go there from where it stands.
            GateRefused: it is not proven for that, which the ledger keeps as well.
        """
        for _ in range(ATTEMPTS):
            version = self._ledger.get(model_id)
            if version.stage is new_stage:
                return Promoted(())
            _require_step(version, new_stage)
            decision, champion = self._examine(version, new_stage, serving)
            refused = not (decision.allowed or override or decision.mode != "enforce")
            mode = "override" if override and not decision.allowed else decision.mode
            written = Note(note.who, note.why, self._documents.put(decision_adapter.dump_json(decision)), mode)
            if refused:
                self._ledger.change(version.name, partial(_refusal, version), written)
                raise GateRefused(decision)
            try:
                entries = self._ledger.change(version.name, partial(_step, version, champion, new_stage), written)
            except _OvertakenError:
                continue
            return Promoted(entries, decision)
        raise StageConflict(f"The versions beside {model_id} kept changing; try again.")

    def roll_back(self, name: str, note: Note) -> RolledBack:
        """Return to the version that was in production before, once it has given its known answers again.

        Raises:
            UnknownModel: there is no such name.
            StageConflict: there is nothing to return to, or it does not answer as it did.
        """
        stages = {item.version: item.stage for item in self._ledger.versions() if item.name == require_name(name)}
        if not stages:
            raise UnknownModel(f"There is no model '{name}'.")
        moves = lifecycle.roll_back(stages, self._ledger.history(name))
        target = f"{name}:{moves[-1].version}"
        version = self._ledger.get(target)
        try:
            replayed = self._replay(version)
        except (ModelUnusable, InferenceFailed) as error:
            raise StageConflict(f"Nothing was rolled back: {target} does not answer as it did. {error}") from error
        probes = {"schema": "seatrial/replay/v1", "model_id": target, **asdict(replayed)}
        written = Note(note.who, note.why, self._documents.put(orjson.dumps(probes)), self._rules.mode)
        return RolledBack(self._ledger.change(name, partial(_back, version), written), target, replayed)

    def history(self, name: str) -> Sequence[tuple[Entry, GateDecision | None]]:
        """The ledger of a name; with each entry what the gate had said, where it is still kept.

        Raises:
            UnknownModel: there is no such name.
        """
        entries = self._ledger.history(require_name(name))
        if not entries:
            raise UnknownModel(f"There is no model '{name}'.")
        return [(entry, self._decision(entry)) for entry in entries]

    def _decision(self, entry: Entry) -> GateDecision | None:
        if entry.action not in {"promote", "refuse"} or not entry.proof:
            return None
        try:
            return decision_adapter.validate_json(self._documents.document(entry.proof))
        except (ModelUnusable, ValueError):
            return None

    def _examine(
        self, version: ModelVersion, new_stage: Stage, serving: str
    ) -> tuple[GateDecision, ModelVersion | None]:
        others = (item for item in self._ledger.versions() if item.name == version.name and item != version)
        champion = next((item for item in others if item.stage is Stage.PRODUCTION), None)
        found = latest_evidence(version.model_id, self._evidence, self._documents)
        rival = champion if new_stage is Stage.PRODUCTION else None
        try:
            known = self._known(version)
        except ModelUnusable as error:
            raise StageConflict(f"{version.model_id} cannot be served: {error}") from error
        return examine(version, new_stage, rival, self._rules, found, self._wall(), serving, known), champion


def _require_step(version: ModelVersion, new_stage: Stage) -> None:
    """Whether it may be asked to go there at all; raises `StageConflict`."""
    if new_stage.value not in GATED:
        raise StageConflict(f"A version is promoted to {' or '.join(GATED)}, not to '{new_stage}'.")
    lifecycle.promote({version.version: version.stage}, version.version, new_stage)


def _step(
    version: ModelVersion, champion: ModelVersion | None, new_stage: Stage, stages: Stages, _: Sequence[Entry]
) -> Sequence[Move]:
    """The move that the gate has allowed, if what it looked at is still so."""
    serves = lifecycle.production(stages)
    if stages.get(version.version) is not version.stage or serves != (champion.version if champion else None):
        raise _OvertakenError
    return lifecycle.promote(stages, version.version, new_stage)


def _refusal(version: ModelVersion, stages: Stages, _: Sequence[Entry]) -> Sequence[Move]:
    return lifecycle.refuse(stages, version.version)


def _back(target: ModelVersion, stages: Stages, history: Sequence[Entry]) -> Sequence[Move]:
    """The rollback that was prepared, if it still leads there."""
    moves = lifecycle.roll_back(stages, history)
    if moves[-1].version != target.version:
        raise StageConflict("Another change came in between; look at the history, and try again.")
    return moves
