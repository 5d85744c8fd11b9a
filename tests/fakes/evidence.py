"""Trials and proofs in memory, and proofs of runs that never were, with what a server would have counted in them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.fakes.runs import ANSWER, START, bench, pairs, run

from seatrial.contracts.digest import digest_of
from seatrial.contracts.proof import AnswerCheck, Proof, state, statement_adapter
from seatrial.contracts.record import Run, Sample, Subject
from seatrial.grading.histogram import Histogram, decode, merged
from seatrial.grading.plans import WAITS, read_plan
from seatrial.grading.regrade import PAIRS, asked
from seatrial.grading.spec import read_slo
from seatrial.server.core.errors import ModelUnusable, TrialConflict
from seatrial.server.registry.evidence import MOST_OPEN_TRIALS, Submitted, Tally, Trial, need_of
from seatrial.server.registry.gate import Evidence
from seatrial.server.registry.model import ModelVersion, parse_model_id
from seatrial.trials.measure.prove import prove

NOW = START + 3600
SLO = read_slo("default")
SERVING = "sha256:" + "5" * 64
PREDICT = "POST /predict"
TRIAL = "0123456789abcdef" * 2


class MemoryEvidence:
    """Implements `registry.ports.EvidenceStore`."""

    def __init__(self) -> None:
        self._trials: dict[str, Trial] = {}
        self._counts: dict[tuple[str, str], tuple[Tally, ...]] = {}
        self._proofs: list[Submitted] = []

    def open_trial(self, trial: Trial) -> None:
        """See `EvidenceStore.open_trial`."""
        running = self.open_trials(trial.opened)
        if len(running) >= MOST_OPEN_TRIALS:
            own = next((item for item in running if item.who == trial.who), None)
            if own is None:
                raise TrialConflict(f"{MOST_OPEN_TRIALS} trials of others are open.")
            self._trials[own.trial_id] = replace(own, closed=True)
        self._trials[trial.trial_id] = trial

    def trial(self, trial_id: str) -> Trial | None:
        """See `EvidenceStore.trial`."""
        return self._trials.get(trial_id)

    def open_trials(self, now: float) -> Sequence[Trial]:
        """See `EvidenceStore.open_trials`."""
        return tuple(trial for trial in self._trials.values() if trial.counts_at(now))

    def count(self, worker: str, trial_id: str, counted: Sequence[Tally]) -> None:
        """See `EvidenceStore.count`."""
        self._counts[worker, trial_id] = tuple(counted)

    def tallies(self, trial_id: str) -> Sequence[Tally]:
        """See `EvidenceStore.tallies`."""
        return tuple(tally for (_, of), counted in self._counts.items() if of == trial_id for tally in counted)

    def submit(self, submitted: Submitted) -> None:
        """See `EvidenceStore.submit`."""
        trial = self._trials.get(submitted.trial_id)
        if trial is None or trial.closed or any(item.digest == submitted.digest for item in self._proofs):
            raise TrialConflict("taken already")
        self._trials[trial.trial_id] = replace(trial, closed=True)
        self._proofs.append(submitted)

    def proofs(self, model_id: str, limit: int) -> Sequence[Submitted]:
        """See `EvidenceStore.proofs`."""
        own = (item for item in self._proofs if (item.name, item.version) == parse_model_id(model_id))
        return tuple(sorted(own, key=lambda item: (item.submitted, item.digest))[-limit:])

    def latest_proofs(self, model_id: str) -> Sequence[Submitted]:
        """See `EvidenceStore.latest_proofs`."""
        last = {item.need: item for item in self.proofs(model_id, len(self._proofs))}
        return tuple(last[need] for need in sorted(last))


class MemoryDocuments:
    """Implements `registry.ports.Documents`."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        """See `Documents.put`."""
        self.kept[digest_of(content)] = content
        return digest_of(content)

    def document(self, digest: str) -> bytes:
        """See `Documents.document`."""
        if digest not in self.kept:
            raise ModelUnusable(f"There is no document of the digest {digest}.")
        return self.kept[digest]


def a_trial(version: ModelVersion, *, opened: float = START, closed: bool = False) -> Trial:
    """An open trial of a version."""
    return Trial(TRIAL, version.name, version.version, opened, opened + 7200, "local:test", closed)


def a_proof(need: str, version: ModelVersion, champion: ModelVersion | None = None, *, ratio: float = 1.0) -> Proof:
    """A proof that passes: of `load.<plan>` with its users, of 300 requests a benchmark, or of golden answers.

    With a champion, a bench has ten pairs, in which the candidate takes `ratio` times as long.
    """
    verb, _, plan = need.partition(".")
    if verb == "load":
        facts = _of_plan(plan)
        return prove(_about(facts, version), _users(facts), SLO)
    facts, samples = bench()
    if verb == "golden":
        facts = replace(facts, verb="golden", plan="golden")
        answers = [AnswerCheck(model_id=version.model_id, check="one by one", cases=60, right=60, worst=0, tolerance=1)]
        return prove(_about(facts, version), samples[300:], SLO, (), answers)
    known = _about(facts, version)
    if champion:
        rival = Subject(model_id=champion.model_id, digest=champion.manifest.digest)
        known = replace(known, subjects=(*known.subjects, rival))
    samples = [replace(sample, endpoint=name) for sample, name in zip(samples * 3, _benchmarks(), strict=True)]
    return prove(known, samples, SLO, _pairs(ratio) if champion else ())


def counted(proof: Proof, version: ModelVersion, champion: ModelVersion | None = None) -> tuple[Tally, ...]:
    """What a server would have counted in the run of a proof: as many, as fast."""
    lasted = proof.run.duration_s
    found = [
        _tally(place, version, item.requests, item.latency, lasted, item.refused)
        for place, item in asked(proof).items()
        if place[0] != PAIRS
    ]
    for side, model in (("candidate", version), ("champion", champion)):
        for endpoint in sorted({block.endpoint for block in proof.blocks}):
            blocks = [block for block in proof.blocks if (block.side, block.endpoint) == (side, endpoint)]
            own = merged(decode(block.latency.histogram) for block in blocks)
            found.append(_tally((PAIRS, endpoint), model or version, own.count, own, lasted))
    return tuple(found)


def evidence(
    need: str,
    version: ModelVersion,
    champion: ModelVersion | None = None,
    *,
    submitted: float = NOW,
    ratio: float = 1.0,
) -> Evidence:
    """A proof that was taken."""
    proof = a_proof(need, version, champion, ratio=ratio)
    kept = Submitted(
        digest=digest_of(body(proof)),
        name=version.name,
        version=version.version,
        need=need_of(proof),
        trial_id=TRIAL,
        submitted=submitted,
        who="local:test",
        counted=counted(proof, version, champion),
    )
    return Evidence(kept, proof)


def body(proof: Proof) -> bytes:
    """`proof.json`."""
    return statement_adapter.dump_json(state(proof), by_alias=True)


def _tally(
    where: tuple[str, str], model: ModelVersion, requests: int, latency: Histogram, lasted: float, errors: int = 0
) -> Tally:
    answered_by = model.model_id if where[1].startswith(PREDICT) else ""
    return Tally(*where, answered_by, requests, errors, latency.encoded(), START, START + lasted)


def _about(facts: Run, version: ModelVersion) -> Run:
    own = Subject(model_id=version.model_id, digest=version.manifest.digest, serving_config_digest=SERVING)
    return replace(facts, model=version.model_id, trial=TRIAL, subjects=(own,))


def _of_plan(name: str) -> Run:
    plan = read_plan(name)
    seconds = max(plan.seconds, 60.0) if name == "high" else plan.seconds
    cadence: dict[str, float] = {of: sum(WAITS[of]) / 2 * 1000 for of in plan.classes}
    facts = run(name, users=plan.users, duration_s=min(seconds, 60.0))
    return replace(facts, classes=plan.classes, cadence_ms=cadence, spawn_rate=plan.spawn_rate, min_samples=59)


def _users(facts: Run) -> Iterator[Sample]:
    """What its users ask: each waits for the answer, 5 ms, then as long as its class does."""
    chance = random.Random(1)  # noqa: S311 - think times, not cryptography
    waits = dict(WAITS.items())
    for user in range(facts.users):
        name = facts.classes[user % len(facts.classes)]
        moment = user / facts.spawn_rate
        while moment < facts.duration_s:
            at = START + moment
            yield replace(ANSWER, intended=at, start=at, user=name)
            moment += 0.005 + chance.uniform(*waits[name])  # type: ignore[index]


def _benchmarks() -> list[str]:
    names = ("GET /health", "GET /models", "GET /metrics", "POST /predict", "throughput", "consistency")
    return [name for name in names for _ in range(300)]


def _pairs(ratio: float) -> Iterator[Sample]:
    for endpoint in ("POST /predict", "POST /predict/batch"):
        for sample in pairs(ratio):
            yield replace(sample, endpoint=endpoint)
