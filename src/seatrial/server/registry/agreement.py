"""Whether a proof is of what this server saw. Nothing that a submission says of its target is taken on trust."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from seatrial.contracts.gate import GateCheck
from seatrial.contracts.proof import Proof
from seatrial.grading.histogram import Histogram
from seatrial.grading.regrade import PAIRS, Asked, Place, asked, contradictions
from seatrial.server.registry.checks import check, digest_checks
from seatrial.server.registry.evidence import Tally, Trial, latencies, need_of, span
from seatrial.server.registry.model import ModelVersion

MOST_APART = 0.01
"""By how much the counts of both sides may differ."""
ROUNDING_MS = 0.05
"""By how much a histogram, or a clock, may make a server's latency seem longer than that of who asked."""
COMPARED = (50.0, 90.0, 95.0, 99.0, 100.0)
LEAST_OF_DURATION = 0.8
PAUSE_S = 5.0
"""How long the users of a small load may all be thinking."""


def agree(  # noqa: PLR0913, PLR0917 - everything that a proof is held against
    proof: Proof,
    version: ModelVersion,
    trial: Trial | None,
    tallies: Callable[[], Sequence[Tally]],
    serving_config_digest: str,
    slo_digest: str,
    now: float,
) -> tuple[GateCheck, ...]:
    """Every line on which a proof and this server must agree; the first that does not ends the table.

    Args:
        proof: as submitted.
        version: that it is submitted for.
        trial: of the id that it names, if there is one.
        tallies: gives what was counted under it; asked only where all else agrees.
        serving_config_digest: of how the version is served here; empty where it is not loaded.
        slo_digest: of the SLO file that decides here.
        now: Unix time in seconds.
    """
    lines: list[GateCheck] = []
    for found in (
        _trial(proof, version, trial, now),
        digest_checks(need_of(proof), proof, version, serving_config_digest, slo_digest),
        _consistent(proof),
        _counts(proof, tallies),
    ):
        for line in found:
            lines.append(line)
            if not line.holds:
                return tuple(lines)
    return tuple(lines)


def _trial(proof: Proof, version: ModelVersion, trial: Trial | None, now: float) -> Iterator[GateCheck]:
    run, need = proof.run, need_of(proof)
    known = "none of that id" if trial is None else f"a trial of {trial.model_id}"
    yield check(need, "trial", trial is not None, "a trial that this server began", f"{run.trial or 'no id'}: {known}")
    if trial is not None:
        right = trial.model_id == version.model_id == run.model
        told = f"the trial is of {trial.model_id}, the proof of {run.model or 'no model'}"
        yield check(need, "subject", right, f"a trial and a proof of {version.model_id}", told)
        state = "it led to a proof already" if trial.closed else "it has expired"
        holds = trial.counts_at(now)
        yield check(need, "trial is open", holds, "one proof a trial, in its time", "yes" if holds else state)
    plan = run.plan if run.verb == "load" else run.verb
    yield check(need, "plan", run.plan == plan, plan, run.plan)


def _consistent(proof: Proof) -> Iterator[GateCheck]:
    found = list(contradictions(proof))
    yield check(need_of(proof), "records", not found, "counts and histograms of one run", "; ".join(found[:3]) or "yes")


def _counts(proof: Proof, tallies: Callable[[], Sequence[Tally]]) -> Iterator[GateCheck]:
    """Place by place: what the proof says was asked there, and what the server has counted."""
    need, told, counted = need_of(proof), asked(proof), tuple(tallies())
    ours: dict[Place, tuple[Tally, ...]] = {}
    for tally in counted:
        place = tally.phase, tally.endpoint
        ours[place] = (*ours.get(place, ()), tally)
    places = sorted(told.keys() | ours.keys())
    yield _differing(need, "requests", (_requests(place, told, ours) for place in places))
    yield _differing(need, "errors", (_errors(place, told, ours) for place in places))
    yield _differing(need, "latency", (_latency(place, told, ours) for place in places))
    if proof.run.is_load:
        run, lasted = proof.run, span(counted)
        took = run.ended - run.started
        long_enough = lasted >= LEAST_OF_DURATION * run.duration_s - PAUSE_S
        holds = long_enough and took >= LEAST_OF_DURATION * lasted - PAUSE_S
        received = f"{lasted:.0f} s here, {took:.0f} s from its start to its end"
        yield check(need, "duration", holds, f"{run.duration_s:g} s, as it says", received)


Difference = tuple[str, str]
"""What was expected, and what came."""


def _differing(need: str, step: str, found: Iterable[Difference | None]) -> GateCheck:
    first = next((difference for difference in found if difference), None)
    if first is None:
        return check(need, step, True, "at each endpoint as counted here, within 1 %", "yes")  # noqa: FBT003 - its answer
    return check(need, step, False, *first)  # noqa: FBT003 - its answer


NOTHING = Asked(0, 0, 0, Histogram())


def _requests(place: Place, told: Mapping[Place, Asked], ours: Mapping[Place, tuple[Tally, ...]]) -> Difference | None:
    theirs, mine = told.get(place, NOTHING), sum(tally.requests for tally in ours.get(place, ()))
    if _close(mine, theirs.requests, theirs.unanswered):
        return None
    return f"{mine} to {_at(place)}, within 1 %", str(theirs.requests)


def _errors(place: Place, told: Mapping[Place, Asked], ours: Mapping[Place, tuple[Tally, ...]]) -> Difference | None:
    theirs, mine = told.get(place, NOTHING), sum(tally.errors for tally in ours.get(place, ()))
    if place[0] == PAIRS or _close(mine, theirs.refused, theirs.unanswered):  # failures of blocks void their comparison
        return None
    return f"{mine} from {_at(place)}, within 1 %", str(theirs.refused)


def _latency(place: Place, told: Mapping[Place, Asked], ours: Mapping[Place, tuple[Tally, ...]]) -> Difference | None:
    theirs, mine = told.get(place, NOTHING).latency, latencies(ours.get(place, ()))
    if not theirs.count or not mine.count:
        return None
    received, least = theirs.percentiles(*COMPARED), mine.percentiles(*COMPARED)
    if all(their >= _least(own) for own, their in zip(least, received, strict=True)):
        return None
    told_least = f"at least the {_list(least)} ms (p50, p90, p95, p99, max) that {_at(place)} took here"
    return told_least, f"{_list(received)} ms"


def _at(place: Place) -> str:
    phase, endpoint = place
    return f"{endpoint} ({phase})" if phase else endpoint


def _least(milliseconds: float) -> float:
    return milliseconds * (1 - MOST_APART) - ROUNDING_MS


def _close(ours: int, theirs: int, unanswered: int) -> bool:
    """Within 1 %; requests that got no answer may, or may not, have come here."""
    slack = int(max(ours, theirs) * MOST_APART)
    return theirs - unanswered - slack <= ours <= theirs + slack + unanswered


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
