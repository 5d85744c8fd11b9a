"""Promotion and rollback: through the gate, under the lock, and back only to what answers as it did."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.fakes.evidence import NOW, SERVING, SLO, MemoryDocuments, MemoryEvidence, a_trial, body, evidence
from tests.fakes.models import a_manifest, a_version
from tests.fakes.registry import MemoryRegistry

from seatrial.contracts.gate import decision_adapter
from seatrial.server.core.chain import faults
from seatrial.server.core.errors import GateRefused, ModelUnusable, StageConflict, UnknownModel
from seatrial.server.inference.golden import Replay
from seatrial.server.registry import lifecycle
from seatrial.server.registry.evidence import Submitted
from seatrial.server.registry.gate import Evidence, Rules
from seatrial.server.registry.ledger import Entry, Note, misplaced
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.registry.ports import Decide
from seatrial.server.services.promotion import Promotion

FIRST = a_version(a_manifest(name="digits", classes=(0, 1), artifact=b"first"), 1)
SECOND = a_version(a_manifest(name="digits", classes=(0, 1)), 2, Stage.STAGING)
THIRD = a_version(a_manifest(name="digits", classes=(0, 1), artifact=b"third"), 3, Stage.STAGING)
WHY = Note("key:ci", "it is better")
REPLAYED = Replay(60, 1e-7, 1e-4)
PROOFS = [evidence(need, SECOND, FIRST if need == "bench" else None) for need in ("load.high", "golden", "bench")]


class Place:
    """Versions, evidence, documents, and what moves them."""

    def __init__(self, *proofs: Evidence, ledger: MemoryRegistry | None = None, rules: Rules | None = None) -> None:
        self.ledger = ledger or MemoryRegistry([FIRST, SECOND])
        self.evidence = MemoryEvidence()
        self.documents = MemoryDocuments()
        self.replayed: list[str] = []
        self.unusable = ""
        for number, item in enumerate(proofs):
            self.take(number, item)
        self.promotion = Promotion(
            self.ledger,
            self.evidence,
            self.documents,
            rules or Rules(SLO, "text"),
            self.replay,
            lambda _: 60,
            lambda: NOW + 60,
        )

    def take(self, number: int, item: Evidence) -> None:
        """A proof that was taken."""
        trial = replace(a_trial(SECOND), trial_id=f"{number:032x}")
        self.evidence.open_trial(trial)
        digest = self.documents.put(body(item.proof))
        kept: Submitted = replace(item.submitted, digest=digest, trial_id=trial.trial_id)
        self.evidence.submit(kept)

    def replay(self, version: ModelVersion) -> Replay:
        """Ask it again."""
        self.replayed.append(version.model_id)
        if self.unusable:
            raise ModelUnusable(self.unusable)
        return REPLAYED

    def stages(self) -> dict[str, str]:
        """Where each version stands."""
        return {version.model_id: version.stage.value for version in self.ledger.versions()}


def test_a_proven_version_replaces_the_one_that_serves() -> None:
    """The ledger says who, why, and on which decision, which names the proofs."""
    place = Place(*PROOFS)
    done = place.promotion.promote("digits:2", Stage.PRODUCTION, WHY, serving=SERVING)
    told = place.promotion.history("digits")
    entry, decision = told[-1]

    assert place.stages() == {"digits:1": "archived", "digits:2": "production"}
    assert [(one.version, one.who, one.why, one.gate) for one in done.entries] == [
        (1, "key:ci", "it is better", "enforce"), (2, "key:ci", "it is better", "enforce"),
    ]  # fmt: skip
    assert decision == done.decision == decision_adapter.validate_json(place.documents.kept[entry.proof])
    assert decision
    assert [proof.need for proof in decision.proofs] == ["load.high", "golden", "bench"]
    assert list(faults([item for item, _ in told], place.ledger.head())) == []


def test_an_unproven_version_stays_where_it_is() -> None:
    """The refusal holds the whole table, and what to run; the ledger keeps who asked, why, and what was missing."""
    place = Place(*PROOFS[1:])
    with pytest.raises(GateRefused, match=r"load.high, evidence: .* none was submitted. Run: seatrial trial prove"):
        place.promotion.promote("digits:2", Stage.PRODUCTION, WHY)

    assert place.stages() == {"digits:1": "production", "digits:2": "staging"}
    entry, decision = place.promotion.history("digits")[-1]
    assert (entry.action, entry.version, entry.who, entry.why, entry.gate) == (
        "refuse", 2, "key:ci", "it is better", "enforce",
    )  # fmt: skip
    assert (entry.before, entry.after) == (Stage.STAGING, Stage.STAGING)
    assert decision
    assert [(line.need, line.step) for line in decision.refused] == [
        ("load.high", "evidence"), ("promotion", "complete"),
    ]  # fmt: skip
    asked = place.promotion.gate("digits:2")
    assert (asked.allowed, asked.new_stage, asked.refused[0].need) == (False, "production", "load.high")


def test_a_refusal_is_no_step_back() -> None:
    """Whatever was refused in between, a rollback returns to the version that served before; the ledger stays whole."""
    place = Place(*PROOFS, ledger=MemoryRegistry([FIRST, SECOND, THIRD]))
    place.promotion.promote("digits:2", Stage.PRODUCTION, WHY, serving=SERVING)
    reasons = {version.model_id: version.reason for version in place.ledger.versions()}
    for _ in range(3):
        with pytest.raises(GateRefused):
            place.promotion.promote("digits:3", Stage.PRODUCTION, replace(WHY, why="try again"))
    assert {version.model_id: version.reason for version in place.ledger.versions()} == reasons
    place.promotion.roll_back("digits", WHY)

    assert place.stages() == {"digits:1": "production", "digits:2": "staging", "digits:3": "staging"}
    entries = place.ledger.history()
    assert [entry.action for entry in entries[-5:]] == ["refuse"] * 3 + ["rollback"] * 2
    stages = {version.model_id: version.stage for version in place.ledger.versions()}
    assert [*faults(entries, place.ledger.head()), *misplaced(entries, stages)] == []


@pytest.mark.parametrize(
    ("mode", "override", "written"), [("enforce", True, "override"), ("warn", False, "warn"), ("off", False, "off")]
)
def test_what_goes_unproven_stands_out(mode: str, override: bool, written: str) -> None:  # noqa: FBT001 - a case
    """In the ledger, with the decision that was passed over."""
    place = Place(rules=replace(Rules(SLO, "text"), mode=mode))  # type: ignore[arg-type]
    done = place.promotion.promote("digits:2", Stage.PRODUCTION, WHY, override=override)

    assert {entry.gate for entry in done.entries} == {written}
    assert done.decision
    assert done.decision.allowed == (mode == "off")


def test_an_override_that_is_not_needed_is_none() -> None:
    """Who is proven has not been let through."""
    done = Place(*PROOFS).promotion.promote("digits:2", Stage.PRODUCTION, WHY, override=True)

    assert {entry.gate for entry in done.entries} == {"enforce"}


def test_a_proof_that_was_good_is_too_old_a_day_later() -> None:
    """A promotion rests on what is so now."""
    day = 24 * 3600
    old = [replace(item, submitted=replace(item.submitted, submitted=NOW - day)) for item in PROOFS]
    with pytest.raises(GateRefused, match=r"load.high, fresh: expected at most 24h old; received 24.0 h"):
        Place(*old).promotion.promote("digits:2", Stage.PRODUCTION, WHY)


class Overtaken(MemoryRegistry):
    """Somebody else promotes the third version just before the first change that is asked for."""

    overtaken = False

    def change(self, name: str, decide: Decide, note: Note) -> Sequence[Entry]:
        """Change, after somebody else."""
        if not self.overtaken:
            self.overtaken = True
            super().change(name, lambda stages, _: lifecycle.promote(stages, 3, Stage.PRODUCTION), Note("key:other"))
        return super().change(name, decide, note)


def test_a_promotion_that_was_overtaken_is_examined_anew() -> None:
    """It was proven against the version that served then; another one does now."""
    place = Place(*PROOFS, ledger=Overtaken([FIRST, SECOND, THIRD]))
    with pytest.raises(GateRefused, match="bench, champion: expected measured against digits:3, which serves now"):
        place.promotion.promote("digits:2", Stage.PRODUCTION, WHY)

    assert place.stages() == {"digits:1": "archived", "digits:2": "staging", "digits:3": "production"}


@pytest.mark.parametrize(
    ("model_id", "stage", "error", "told"),
    [
        ("digits:9", Stage.STAGING, UnknownModel, "digits:9"),
        ("digits:2", Stage.ARCHIVED, StageConflict, "promoted to staging or production, not to 'archived'"),
        ("digits:1", Stage.STAGING, StageConflict, "in 'production' cannot be promoted"),
        ("digits:3", Stage.PRODUCTION, StageConflict, "in 'dev' cannot be promoted to 'production'"),
    ],
)
def test_steps_that_there_are_not(model_id: str, stage: Stage, error: type[Exception], told: str) -> None:
    """Whatever is proven, and whoever overrides."""
    ledger = MemoryRegistry([FIRST, SECOND, replace(THIRD, stage=Stage.DEV)])
    with pytest.raises(error, match=told):
        Place(*PROOFS, ledger=ledger).promotion.promote(model_id, stage, WHY, override=True)


def test_the_same_stage_again_is_no_change() -> None:
    """Nothing is asked, and nothing written."""
    place = Place()

    assert (place.promotion.promote("digits:2", Stage.STAGING, WHY).entries, place.stages()["digits:2"]) == (
        (),
        "staging",
    )


def promoted() -> Place:
    place = Place(*PROOFS)
    place.promotion.promote("digits:2", Stage.PRODUCTION, WHY)
    return place


def test_a_rollback_asks_the_known_answers_again_first() -> None:
    """And then returns; the ledger names what was replayed."""
    place = promoted()
    done = place.promotion.roll_back("digits", Note("key:ci", "it was slow"))

    assert (done.model_id, done.replayed, place.replayed) == ("digits:1", REPLAYED, ["digits:1"])
    assert place.stages() == {"digits:1": "production", "digits:2": "staging"}
    assert b'"cases":60' in place.documents.kept[done.entries[-1].proof]


def test_a_version_that_no_longer_answers_as_it_did_is_not_returned_to() -> None:
    """The one that serves goes on."""
    place = promoted()
    place.unusable = "Golden inference: 1 of 60 answers differ."
    with pytest.raises(StageConflict, match=r"Nothing was rolled back: digits:1 does not answer as it did. Golden"):
        place.promotion.roll_back("digits", WHY)

    assert place.stages() == {"digits:1": "archived", "digits:2": "production"}


def test_there_must_be_something_to_return_to() -> None:
    """A name, and a version before."""
    with pytest.raises(UnknownModel):
        Place().promotion.roll_back("nobody", WHY)
    with pytest.raises(StageConflict, match="No version was in production before version 1"):
        Place().promotion.roll_back("digits", WHY)
