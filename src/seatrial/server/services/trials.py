"""Begin a trial of a version, and take the proof that it leads to, if it agrees with what this server has seen."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from pydantic import ValidationError

from seatrial.contracts.gate import GateCheck, ProofSummary, TrialOpened
from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.contracts.proof import Proof, statement_adapter
from seatrial.grading.regrade import Unreadable, requests_of, require_readable
from seatrial.server.core import ids
from seatrial.server.core.clock import Wall, at_unix
from seatrial.server.core.errors import (
    Busy,
    InvalidInput,
    InvalidJSON,
    ModelUnusable,
    ProofRefused,
    StorageUnavailable,
    TrialConflict,
)
from seatrial.server.inference.faults import faults_of
from seatrial.server.registry.agreement import agree
from seatrial.server.registry.evidence import TRIAL_SECONDS, Submitted, Tally, Trial, need_of
from seatrial.server.registry.gate import Evidence, Rules, grade_alone, summarize
from seatrial.server.registry.model import Stage
from seatrial.server.registry.ports import Documents, EvidenceStore, Ledger

SETTLE_SECONDS = 3.0
"""How long a submission waits for the counts of the other workers, which write them twice a second."""
STEP_SECONDS = 0.1
MOST_LOOKED_AT = 4
"""Proofs that are looked at at once, by this worker: each may wait for the counts of others."""
RETRY_SECONDS = 5
MOST_TOLD = 20
"""Proofs of a version that are told: each is read and graded."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A proof that was taken: what it says, and each line on which it agrees with this server."""

    summary: ProofSummary
    checks: tuple[GateCheck, ...]


class Trials:
    """What trials need; lives as long as the server.

    Args:
        ledger: the versions.
        evidence: where trials and proofs are kept.
        documents: where their files are.
        rules: what decides.
        serving: gives the digest of how a version is served here, empty where it is not loaded.
        refresh: makes this worker's counts, and what it knows of trials, new.
        wall: tells Unix time in seconds.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        ledger: Ledger,
        evidence: EvidenceStore,
        documents: Documents,
        rules: Rules,
        serving: Callable[[str], str],
        refresh: Callable[[], None],
        wall: Wall,
    ) -> None:
        self._ledger = ledger
        self._evidence = evidence
        self._documents = documents
        self._rules = rules
        self._serving = serving
        self._refresh = refresh
        self._wall = wall
        self._looking = threading.BoundedSemaphore(MOST_LOOKED_AT)

    def begin(self, model_id: str, who: str) -> TrialOpened:
        """Begin a trial; once it is loaded the version answers requests that name it, and carry the trial's id.

        Raises:
            UnknownModel: there is no such version.
            TrialConflict: too many trials of others are open, or the version was archived, and is not loaded.
        """
        version = self._ledger.get(model_id)
        if version.stage is Stage.ARCHIVED:
            raise TrialConflict(f"{model_id} is archived, and is not loaded: register its file again to prove it.")
        now = self._wall()
        trial = Trial(ids.secret_id(), version.name, version.version, now, now + TRIAL_SECONDS, who)
        self._evidence.open_trial(trial)
        self._refresh()
        return TrialOpened(
            trial_id=trial.trial_id,
            model_id=version.model_id,
            digest=version.manifest.digest,
            expires_at=at_unix(trial.expires),
        )

    def submit(self, model_id: str, body: bytes, who: str) -> Taken:
        """Take a proof.

        Raises:
            UnknownModel: there is no such version.
            InvalidJSON: it is not JSON.
            InvalidInput: it is no proof; says what is wrong, and where.
            ProofRefused: it does not agree with what this server knows; says in which line.
            TrialConflict: another proof of the same trial came first.
            Busy: too many proofs are being looked at.
        """
        if not self._looking.acquire(blocking=False):
            raise Busy(f"{MOST_LOOKED_AT} proofs are being looked at.", RETRY_SECONDS)
        try:
            return self._take(model_id, body, who)
        finally:
            self._looking.release()

    def _take(self, model_id: str, body: bytes, who: str) -> Taken:
        version = self._ledger.get(model_id)
        proof = read_proof(body)
        trial = self._evidence.trial(proof.run.trial)
        counted: tuple[Tally, ...] = ()

        def count() -> Sequence[Tally]:
            nonlocal counted
            counted = tuple(self._counts(proof))
            return counted

        now = self._wall()
        checks = agree(proof, version, trial, count, self._serving(model_id), self._rules.slo.digest, now)
        if not checks[-1].holds:
            raise ProofRefused(checks)
        submitted = Submitted(
            digest=self._documents.put(body),
            name=version.name,
            version=version.version,
            need=need_of(proof),
            trial_id=proof.run.trial,
            submitted=now,
            who=who,
            counted=counted,
        )
        self._evidence.submit(submitted)
        self._refresh()
        return Taken(self._summary(submitted, proof), checks)

    def proofs(self, model_id: str) -> Sequence[ProofSummary]:
        """The last proofs of a version, graded by this server's SLO file, the oldest first; raises `UnknownModel`."""
        self._ledger.get(model_id)
        found = evidence_of(self._evidence.proofs(model_id, MOST_TOLD), self._documents)
        return [self._summary(item.submitted, item.proof) for item in found]

    def proofs_if_told(self, model_id: str) -> Sequence[ProofSummary]:
        """The same, or none where the database cannot be asked: what is in memory is told all the same."""
        try:
            return self.proofs(model_id)
        except StorageUnavailable:
            return []

    def _summary(self, submitted: Submitted, proof: Proof) -> ProofSummary:
        return summarize(submitted, grade_alone(submitted.need, proof, self._rules.slo))

    def _counts(self, proof: Proof) -> Sequence[Tally]:
        """What was counted under a trial, once every worker has had the time to say so."""
        deadline, requests = time.monotonic() + SETTLE_SECONDS, requests_of(proof)
        while True:
            self._refresh()
            counted = self._evidence.tallies(proof.run.trial)
            enough = sum(tally.requests for tally in counted) >= requests
            if enough or time.monotonic() > deadline:
                return counted
            time.sleep(STEP_SECONDS)


def latest_evidence(model_id: str, store: EvidenceStore, documents: Documents) -> Sequence[Evidence]:
    """Of each kind the last proof of a version, with what it says; one whose file is gone is no evidence."""
    return evidence_of(store.latest_proofs(model_id), documents)


def evidence_of(proofs: Sequence[Submitted], documents: Documents) -> Sequence[Evidence]:
    """Proofs with what they say; one whose file is gone, or is not what it was, is left out."""
    found = []
    for submitted in proofs:
        try:
            found.append(Evidence(submitted, read_proof(documents.document(submitted.digest))))
        except (ModelUnusable, InvalidJSON, InvalidInput):
            continue
    return found


def read_proof(body: bytes) -> Proof:
    """The proof in a `proof.json`; raises `InvalidJSON` or `InvalidInput`. Numbers are finite, histograms whole."""
    try:
        proof = statement_adapter.validate_python(orjson.loads(body)).predicate
        require_readable(proof)
    except orjson.JSONDecodeError as error:
        raise InvalidJSON(f"The body is not JSON: {error.msg}") from error
    except Unreadable as error:
        place = Fault("/predicate/endpoints", str(error), "base64 of an HdrHistogram (V2)", "something else")
        raise InvalidInput("This is no proof.", [place]) from error
    except ValidationError as error:
        faults = faults_of(error, most=MAX_LISTED)
        raise InvalidInput("This is no proof.", faults, error.error_count()) from error
    return proof
