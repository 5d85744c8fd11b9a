"""The gate: whether what is known of a version is enough for a stage. Pure; the caller reads, and the caller moves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from seatrial.contracts.gate import GateCheck, GateDecision, GateMode, ProofSummary, SloText
from seatrial.contracts.proof import Proof, SloUsed
from seatrial.contracts.slo import Objective, Promotion, parse_change, parse_duration, parse_limit
from seatrial.grading import plans, versus
from seatrial.grading.grade import percentile_of
from seatrial.grading.histogram import Histogram
from seatrial.grading.measures import ALL
from seatrial.grading.regrade import PAIRS, regrade, seen_as
from seatrial.grading.statistics import samples_needed
from seatrial.grading.steady import MOST_S
from seatrial.grading.verdict import BELOW, POINTS
from seatrial.server.core.clock import at_unix
from seatrial.server.registry.checks import check, digest_checks
from seatrial.server.registry.evidence import Submitted, Tally, latencies, span
from seatrial.server.registry.model import ModelVersion, Stage

START_S = 5.0
"""Seconds by which the users of a plan may come later than it says."""
GOLDEN = "golden"
UNGRADED = (*BELOW, "not proven", "unverifiable")
"""Grades that a critical objective must not have. `not measured` is what the target does not serve: its memory."""
LEAST_OF_RATE = 0.5
"""The share of the requests that a plan's users would send, which the server must have counted."""
LEAST_ASKED = 0.05
"""The share of a run's requests that the candidate itself must have answered."""
MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """A proof that was taken, and what it says."""

    submitted: Submitted
    proof: Proof


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides: the SLO file with its text, and how strictly it is kept."""

    slo: SloUsed
    text: str
    mode: GateMode = "enforce"


@dataclass(frozen=True, slots=True)
class _Case:
    """One question to the gate."""

    version: ModelVersion
    champion: ModelVersion | None
    promotion: Promotion
    slo: SloUsed
    serving: str
    known: int
    now: float


def examine(  # noqa: PLR0913, PLR0917 - everything that the answer depends on
    version: ModelVersion,
    new_stage: Stage,
    champion: ModelVersion | None,
    rules: Rules,
    found: Sequence[Evidence],
    now: float,
    serving: str = "",
    known: int = 1,
) -> GateDecision:
    """The gate's whole table for one promotion.

    Args:
        version: the candidate.
        new_stage: `staging` or `production`.
        champion: the version that is in production, if it is another.
        rules: what decides.
        found: the proofs of the candidate, the oldest first; of each need the last one counts.
        now: Unix time in seconds.
        serving: the digest of how the candidate is served here, if it is loaded.
        known: how many known answers the candidate has.
    """
    promotion = rules.slo.document.promotion.get(new_stage.value)  # type: ignore[call-overload] # of known stages
    needs = promotion.needs if promotion and rules.mode != "off" else ()
    latest = {item.submitted.need: item for item in found if item.submitted.need in needs}
    graded = {need: grade_alone(need, item.proof, rules.slo) for need, item in latest.items()}
    checks: list[GateCheck] = []
    if promotion is None and rules.mode != "off":
        told = f"nothing is said of it in {rules.slo.name}"
        checks.append(check("promotion", "stated", False, f"[promotion.{new_stage}] in the SLO file", told))  # noqa: FBT003 - its answer
    if promotion:
        case = _Case(version, champion, promotion, rules.slo, serving, known, now)
        for need in needs:
            checks += _first_failing(_steps(need, latest.get(need), graded.get(need), case))
    missing = [need for need in needs if any(line.need == need and line.holds is False for line in checks)]
    if needs:
        told = f"missing: {', '.join(missing)}" if missing else "all"
        checks.append(check("promotion", "complete", not missing, ", ".join(needs), told))
    return GateDecision(
        model_id=version.model_id,
        stage=version.stage.value,
        new_stage=new_stage.value,
        allowed=all(line.holds for line in checks),
        mode=rules.mode,
        needs=tuple(needs),
        checks=tuple(checks),
        proofs=tuple(summarize(latest[need].submitted, graded[need]) for need in needs if need in latest),
        slo=SloText(name=rules.slo.name, digest=rules.slo.digest, text=rules.text),
        champion=champion.model_id if champion else "",
        command=_command(version, missing),
    )


def grade_alone(need: str, proof: Proof, slo: SloUsed) -> Proof:
    """What a proof shows by itself. How it compares with a champion is asked apart, of the one that serves then."""
    return regrade(replace(proof, blocks=(), answers=proof.answers if need == GOLDEN else ()), slo)


def _steps(need: str, item: Evidence | None, graded: Proof | None, case: _Case) -> Iterator[GateCheck]:
    """The steps of one proof, in their order."""
    told = f"{item.submitted.digest[:19]} of {at_unix(item.submitted.submitted)}" if item else "none was submitted"
    yield check(need, "evidence", item is not None, f"a proof of {need}", told)
    if item is None or graded is None:
        return
    yield _trial(need, item)
    yield from digest_checks(need, item.proof, case.version, case.serving or None, case.slo.digest)
    age, most = case.now - item.submitted.submitted, parse_duration(case.promotion.max_age)
    yield check(need, "fresh", age <= most, f"at most {case.promotion.max_age} old", f"{age / 3600:.1f} h")
    yield from _valid(need, graded, item)
    if need == GOLDEN:
        yield _known_answers(graded, item, case)
    yield from _graded(need, graded)
    yield from _own_latency(need, graded, item, case)
    if need == "bench" and case.champion and versus.stated(case.slo.document, "bench"):
        yield from _against(need, item, case, case.champion)


def _trial(need: str, item: Evidence) -> GateCheck:
    requests = sum(tally.requests for tally in item.submitted.counted)
    told = f"trial {item.submitted.trial_id[:8]}: {requests} requests counted here"
    return check(need, "trial and counts", requests > 0, "a trial whose counts agreed", told)


def _valid(need: str, graded: Proof, item: Evidence) -> Iterator[GateCheck]:
    broken = [f"{one.name}: {one.received}" for one in graded.checks if one.holds is False]
    yield check(need, "run valid", not broken, "every check of the run holds", _told(broken))
    own, counted = f"{item.submitted.name}:{item.submitted.version}", item.submitted.counted
    share = _share_of(own, counted)
    yield check(
        need, "asked of it", share >= LEAST_ASKED, f"at least {LEAST_ASKED:.0%} of the requests", f"{share:.0%}"
    )
    if graded.run.verb == "load" and graded.run.plan in plans.NAMES:
        faults = list(_not_of_plan(plans.read_plan(graded.run.plan), graded, item.submitted.counted))
        yield check(need, "load of the plan", not faults, f"the users of {graded.run.plan}", _told(faults))


def _share_of(model_id: str, counted: tuple[Tally, ...]) -> float:
    """The share of the counted requests that this version answered."""
    requests = sum(tally.requests for tally in counted)
    return sum(tally.requests for tally in counted if tally.model_id == model_id) / requests if requests else 0.0


def _not_of_plan(plan: plans.Plan, graded: Proof, counted: tuple[Tally, ...]) -> Iterator[str]:
    """How a run falls short of the plan whose name it bears; the server's own counts tell how much came."""
    run, lasted = graded.run, span(counted)
    least, requests = parse_duration(plan.min_duration), sum(tally.requests for tally in counted)
    if graded.warm_up_s > plan.users / plan.spawn_rate + MOST_S + START_S:
        yield f"a warm-up of {graded.warm_up_s:.0f} s"
    if run.users < plan.users:
        yield f"{run.users} users instead of {plan.users}"
    if missing := set(plan.classes) - set(run.classes):
        yield f"without {', '.join(sorted(missing))}"
    if run.duration_s < least or lasted < 0.8 * least:
        yield f"{min(run.duration_s, lasted):.0f} s instead of {least:g} s"
    if requests < plan.min_samples:
        yield f"{requests} requests instead of {plan.min_samples}"
    expected = LEAST_OF_RATE * lasted * plans.most_requests_a_second(plan)
    if requests < expected:
        yield f"{requests} requests instead of {expected:.0f}, half of what its users send"


def _known_answers(graded: Proof, item: Evidence, case: _Case) -> GateCheck:
    """As many as the version has were asked for, and each was right."""
    own = [answer for answer in graded.answers if answer.model_id == case.version.model_id]
    wrong = [f"{answer.check}: {answer.right} of {answer.cases} right" for answer in own if answer.right < answer.cases]
    asked = max((answer.cases for answer in own), default=0)
    requests = sum(tally.requests for tally in item.submitted.counted)
    holds = not wrong and asked >= case.known and requests >= case.known
    told = _told(wrong) if wrong else f"{asked} asked for, {requests} requests counted here"
    return check(GOLDEN, "known answers", holds, f"all {case.known}, each right", told)


def _graded(need: str, graded: Proof) -> Iterator[GateCheck]:
    critical = [item for item in graded.grades if item.critical]
    below = [f"{item.sli} of {item.scope} is {item.grade}" for item in critical if item.grade in UNGRADED]
    if need != GOLDEN and not any(item.grade in POINTS for item in graded.grades):
        below.append("no objective of the SLO file applies")
    yield check(need, "critical objectives", not below, "all graded, none below acceptable", _told(below))
    verdict = graded.verdict
    score = "" if verdict.score is None else f"score {verdict.score:.0%}"
    told = "; ".join([verdict.outcome, *([score] if score else []), *verdict.reasons[:MOST_SHOWN]])
    passed = verdict.outcome == "pass" and not verdict.marginal
    yield check(need, "score", passed, "pass, and not marginal", told)


def _own_latency(need: str, graded: Proof, item: Evidence, case: _Case) -> Iterator[GateCheck]:
    """Each critical percentile over the version's own requests alone, by the server's clock.

    The grades are of the whole run, of which others may have answered most. What no version answers, such as
    `GET /health`, and what is no latency of one load, is left out.
    """
    run = graded.run
    for objective in case.slo.document.objective:
        percentile = percentile_of(objective.sli)
        if percentile is None or not (objective.critical and objective.limit and objective.applies_to(run.plan)):
            continue
        place = objective.endpoint and seen_as(objective.endpoint)
        there = [tally for tally in item.submitted.counted if tally.phase != PAIRS and place in {None, tally.endpoint}]
        if run.is_load if place is None else any(tally.model_id for tally in there):
            own = latencies(tuple(tally for tally in there if tally.model_id == case.version.model_id))
            yield _own_percentile(need, objective, percentile, own, graded)


def _own_percentile(need: str, objective: Objective, percentile: float, own: Histogram, graded: Proof) -> GateCheck:
    """One of them. The server cannot tell benchmarks apart that ask the same endpoint, by one caller or by ten.

    So of a benchmark the fastest count, as many as the proof has of it: if it kept its limit, so do they.
    """
    limit, needed = objective.limit or "", _least_own(percentile, graded)
    expected = f"{objective.sli} of {objective.endpoint or ALL} {limit}, by the server's own clock"
    if own.count < needed:
        return check(need, "its own latency", False, expected, f"{own.count} requests of its own, {needed} needed")  # noqa: FBT003 - its answer
    if not graded.run.is_load:
        counts = [one.measured.count for one in graded.endpoints if one.measured and one.name == objective.endpoint]
        percentile *= min(1.0, max(counts, default=0) / own.count)
    value = own.percentile(percentile)
    holds = parse_limit(limit, objective.sli).holds(value)
    return check(need, "its own latency", holds, expected, f"{value:.4g} ms in {own.count} requests of its own")


def _least_own(percentile: float, graded: Proof) -> int:
    """How many of its own requests tell a percentile: as many as an upper bound of it takes, 59 for p95, 299 for p99.

    A shipped plan may be too small for that, since not all of its users ask the version. Then it is the share that is
    asked of it anyway, of what the plan's users would send: 8 for `smoke`, which in 20 s sends 157 requests, some 17 of
    them to a regression; 30 for `baseline`, 263 for p99 of `medium`. Of so few the slowest, or nearly, is what must
    keep the limit. A run that is cut short needs as many.
    """
    needed, run = samples_needed(percentile), graded.run
    if run.verb == "load" and run.plan in plans.NAMES:
        plan = plans.read_plan(run.plan)
        needed = min(needed, math.ceil(LEAST_ASKED * plans.most_requests_a_second(plan) * plan.seconds))
    return needed


def _against(need: str, item: Evidence, case: _Case, champion: ModelVersion) -> Iterator[GateCheck]:
    """Not slower than what serves now: by the proof's pairs, and by the server's own latencies in them."""
    known = {subject.model_id: subject.digest for subject in item.proof.run.subjects}
    same = known.get(champion.model_id) == champion.manifest.digest
    told = ", ".join(sorted(known)) or "nothing"
    yield check(need, "champion", same, f"measured against {champion.model_id}, which serves now", told)
    found = {c.endpoint: c for c in versus.compare(case.slo.document, "bench", item.proof.blocks)}
    for objective in versus.stated(case.slo.document, "bench"):
        endpoint, limit = objective.endpoint or "all", parse_change(objective.versus_champion or "")
        own = _own_ratio(item.submitted.counted, objective.endpoint, case.version.model_id, champion.model_id)
        compared = found.get(endpoint)
        holds = compared is not None and compared.outcome == "pass" and own is not None and own <= limit
        ratio = f"{compared.ratio:.3f} ({compared.low:.3f} to {compared.high:.3f})" if compared else "not measured"
        here = "not measured" if own is None else f"{own:.3f}"
        expected = f"{objective.sli} of {endpoint} at most {limit:.3g} times {champion.model_id}'s"
        yield check(need, "versus champion", holds, expected, f"{ratio}; by the server's own clock {here}")


def _own_ratio(counted: tuple[Tally, ...], endpoint: str | None, candidate: str, champion: str) -> float | None:
    """The candidate's median over the champion's, as the server measured them while they were asked in turn."""
    asked = endpoint and seen_as(endpoint)
    medians = []
    for model_id in (candidate, champion):
        own = tuple(
            tally
            for tally in counted
            if tally.phase == PAIRS and tally.model_id == model_id and asked in {None, tally.endpoint}
        )
        histogram = latencies(own)
        if not histogram.count:
            return None
        medians.append(histogram.percentile(50))
    return medians[0] / medians[1]


def _first_failing(steps: Iterator[GateCheck]) -> Iterator[GateCheck]:
    """Each step up to the first that does not hold."""
    for line in steps:
        yield line
        if not line.holds:
            return


def summarize(submitted: Submitted, graded: Proof) -> ProofSummary:
    """What is told of a proof, after the server's own grading."""
    return ProofSummary(
        digest=submitted.digest,
        need=submitted.need,
        trial_id=submitted.trial_id,
        submitted_at=at_unix(submitted.submitted),
        who=submitted.who,
        outcome=graded.verdict.outcome,
        score=graded.verdict.score,
    )


def _command(version: ModelVersion, missing: Sequence[str]) -> str:
    loads: Mapping[str, str] = {need: need.partition(".")[2] for need in missing if need.startswith("load.")}
    if not missing:
        return ""
    plan = f" --plan {next(iter(loads.values()))}" if loads else ""
    return f"seatrial trial prove --model {version.model_id}{plan} --submit"


def _told(faults: Sequence[str]) -> str:
    more = len(faults) - MOST_SHOWN
    return "; ".join(faults[:MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "") if faults else "yes"
