"""Trials: begun for a version that can serve, ended by one proof that agrees."""

import json
from dataclasses import replace

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.evidence import NOW, SERVING, SLO, MemoryDocuments, MemoryEvidence, a_proof, body, counted
from tests.fakes.models import a_manifest, a_version
from tests.fakes.registry import MemoryRegistry

from seatrial.contracts.gate import TrialOpened
from seatrial.contracts.proof import Proof
from seatrial.server.core.errors import InvalidInput, InvalidJSON, ProofRefused, TrialConflict, UnknownModel
from seatrial.server.registry.gate import Rules
from seatrial.server.registry.model import Stage
from seatrial.server.services.trials import Trials

SECOND = a_version(a_manifest(name="digits", classes=(0, 1)), 2, Stage.DEV)
OLD = a_version(a_manifest(name="digits", classes=(0, 1), artifact=b"old"), 1, Stage.ARCHIVED)


class Place:
    """A server's side of trials, whose workers have counted what they are told to."""

    def __init__(self) -> None:
        self.evidence = MemoryEvidence()
        self.documents = MemoryDocuments()
        self.clock = ManualClock(NOW)
        self.late: list[Proof] = []
        self.trials = Trials(
            MemoryRegistry([OLD, SECOND]),
            self.evidence,
            self.documents,
            Rules(SLO, "text"),
            lambda _: SERVING,
            self.refresh,
            self.clock,
        )

    def refresh(self) -> None:
        """A look, in which a worker says what it has counted."""
        for proof in self.late:
            self.evidence.count("worker", proof.run.trial, counted(proof, SECOND))

    def prove(self) -> tuple[TrialOpened, Proof]:
        """A trial, and a proof of it that every worker has seen."""
        opened = self.trials.begin("digits:2", "key:ci")
        made = a_proof("golden", SECOND)
        proof = replace(made, run=replace(made.run, trial=opened.trial_id))
        self.late = [proof]
        return opened, proof


def test_a_trial_leads_to_a_proof() -> None:
    """It is kept under its digest with what was counted; graded by this server."""
    place = Place()
    opened, proof = place.prove()
    taken = place.trials.submit("digits:2", body(proof), "key:ci")
    (told,) = place.trials.proofs("digits:2")

    assert (opened.model_id, opened.digest, len(opened.trial_id)) == ("digits:2", SECOND.manifest.digest, 32)
    assert {line.holds for line in taken.checks} == {True}
    assert told == taken.summary
    assert (told.need, told.outcome, told.who) == ("golden", "pass", "key:ci")
    assert place.documents.kept[told.digest] == body(proof)
    assert place.evidence.trial(opened.trial_id).closed  # type: ignore[union-attr]


def test_a_proof_is_taken_once() -> None:
    """The trial that it is of has led to it."""
    place = Place()
    _, proof = place.prove()
    place.trials.submit("digits:2", body(proof), "key:ci")
    with pytest.raises(ProofRefused, match=r"golden, trial is open: .* received it led to a proof already"):
        place.trials.submit("digits:2", body(proof), "key:ci")


def test_a_proof_of_no_trial_is_refused() -> None:
    """Nothing of it is kept."""
    place = Place()
    with pytest.raises(ProofRefused, match="golden, trial: expected a trial that this server began"):
        place.trials.submit("digits:2", body(a_proof("golden", SECOND)), "key:ci")

    assert (place.documents.kept, place.trials.proofs("digits:2")) == ({}, [])


def test_a_refused_proof_leaves_its_trial_open() -> None:
    """Whoever sent the wrong file may send the right one."""
    place = Place()
    _, proof = place.prove()
    with pytest.raises(ProofRefused, match="SLO digest"):
        place.trials.submit("digits:2", body(replace(proof, slo=replace(SLO, digest="sha256:lax"))), "key:ci")

    assert place.trials.submit("digits:2", body(proof), "key:ci").summary.outcome == "pass"


def test_trials_are_of_versions_that_can_be_served() -> None:
    """One that is not there is not put on trial, nor one that was archived: it is not loaded, so nothing is counted."""
    trials = Place().trials
    assert trials.begin("digits:2", "key:ci").model_id == "digits:2"
    for ask in (lambda: trials.begin("nobody:1", "x"), lambda: trials.proofs("nobody:1")):
        with pytest.raises(UnknownModel):
            ask()
    with pytest.raises(TrialConflict, match="digits:1 is archived, and is not loaded: register its file again"):
        trials.begin("digits:1", "key:ci")


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b"[]", ""),
        (b'{"subject": []}', "/predicate"),
        (body(a_proof("golden", SECOND)).replace(b'"score"', b'"scored"'), "/predicate/verdict/score"),
        (body(a_proof("golden", SECOND)).replace(b"HISTF", b"XISTF"), "/predicate/endpoints"),
    ],
    ids=["a list", "half", "an unknown member", "no histogram"],
)
def test_what_is_no_proof_is_told_with_its_place(content: bytes, pointer: str) -> None:
    """A JSON pointer to the first fault."""
    with pytest.raises(InvalidInput, match="This is no proof") as told:
        Place().trials.submit("digits:2", content, "key:ci")

    assert told.value.faults[0].pointer == pointer


def test_a_bad_proof_is_told_what_was_expected() -> None:
    """In words, beside what was wrong; the first twenty faults, and how many there are."""
    content = json.loads(body(a_proof("golden", SECOND)))
    content["predicate"]["endpoints"] = [1] * 30
    del content["predicate"]["run"]["verb"]
    with pytest.raises(InvalidInput) as told:
        Place().trials.submit("digits:2", json.dumps(content).encode(), "key:ci")
    faults = {fault.pointer: (fault.expected, fault.received) for fault in told.value.faults}

    assert faults["/predicate/endpoints/0"] == ("an object", "1")
    assert faults["/predicate/run/verb"] == ("a value", "nothing")
    assert (len(told.value.faults), told.value.total) == (20, 31)
    assert [fault.detail for fault in told.value.faults if fault.detail == fault.expected] == []


def test_what_is_no_json_is_told() -> None:
    """Before it is anything else."""
    with pytest.raises(InvalidJSON, match="The body is not JSON"):
        Place().trials.submit("digits:2", b"", "key:ci")
