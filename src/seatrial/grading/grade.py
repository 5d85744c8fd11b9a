"""Each objective of an SLO file against the measures of a run: a table of grades, and the reasons."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from statistics import median

from seatrial.contracts.proof import Comparison, Grade, GradeName, Latency, Measure
from seatrial.contracts.record import Run
from seatrial.contracts.slo import UNITS, Objective, Slo, parse_limit
from seatrial.grading.measures import ALL, Measures
from seatrial.grading.statistics import samples_needed

RATE_NEEDS_S = 60.0
"""Seconds from which on the rate of a closed loop says something: think times even out."""
COUNTS = frozenset({"error_ratio", "wrong_answers", "users", "memory_growth"})
"""Indicators that do not come from the steady state only."""
ORDER: dict[GradeName, int] = {"target": 1, "acceptable": 2, "marginal": 3, "poor": 4}
_PERCENTILE = re.compile(r"p(\d+)(?:_(\d+))?_ms")


@dataclass(frozen=True, slots=True)
class Reading:
    """An indicator's value as graded, the same without correction, and what stands in the way of either."""

    value: float | None
    measured: float | None = None
    absent: GradeName = "not proven"
    reason: str = ""


def grade(
    slo: Slo, run: Run, measures: Measures, *, champion: bool = False, compared: Collection[Comparison] = ()
) -> tuple[Grade, ...]:
    """The grade of every objective that applies to the run's plan, in the order of the file.

    What is stated against a champion has its own table where it was `compared`. `champion`: one was measured.
    """
    told = {(item.sli, item.endpoint) for item in compared}
    elsewhere = slo.machine not in {None, run.machine.digest}
    stated = [objective for objective in slo.objective if objective.applies_to(run.plan)]
    return tuple(
        _elsewhere(item, elsewhere=elsewhere)
        for objective in stated
        for item in _grades(objective, run, measures, champion=champion, told=told)
    )


def _grades(
    objective: Objective, run: Run, measures: Measures, *, champion: bool, told: Collection[tuple[str, str]]
) -> Iterator[Grade]:
    """Of its own limits, if it has any; and of that against a champion, where that has no table of its own."""
    if objective.limit or not objective.versus_champion:
        yield _worst(objective, run, measures)
    if objective.versus_champion and (objective.sli, objective.endpoint or ALL) not in told:
        yield _against_champion(objective, champion=champion)


def _elsewhere(found: Grade, *, elsewhere: bool) -> Grade:
    """Limits of time and rate that were set for another machine say nothing on this one."""
    if elsewhere and found.unit in {"ms", "rps"}:
        return replace(found, grade="unverifiable", reason="its limits were set for another machine")
    return found


def _against_champion(objective: Objective, *, champion: bool) -> Grade:
    reason = "the champion was not measured at it" if champion else "against a champion only: bench --against URL"
    return replace(
        _told(objective, Reading(None), 0, 0),
        target=objective.versus_champion,
        acceptable=None,
        poor=None,
        grade="not proven" if champion else "unverifiable",
        reason=reason,
    )


def _worst(objective: Objective, run: Run, measures: Measures) -> Grade:
    """The objective's grade; where its endpoint was asked for several models, that of the one which did worst.

    A kind of payload of which too little was sent leaves the answer to the others, and to all of them together.
    """
    scopes = _scopes(objective.endpoint, measures)
    grades = [_grade(objective, run, measures, scope) for scope in scopes]
    graded = [item for item in grades[1:] if item.grade in ORDER]
    return max([grades[0], *graded], key=lambda item: ORDER.get(item.grade, 0))


def _grade(objective: Objective, run: Run, measures: Measures, scope: Measure | None) -> Grade:
    reading = _read(objective.sli, run, measures, scope)
    samples = _samples(objective.sli, scope)
    needed = needed_samples(objective, run)
    name, reason = _judge(objective, reading, samples, needed)
    found = _told(objective, reading, samples, needed)
    return replace(found, payload=scope.payload if scope else "", grade=name, reason=reason)


def _told(objective: Objective, reading: Reading, samples: int, needed: int) -> Grade:
    return Grade(
        sli=objective.sli,
        endpoint=objective.endpoint or ALL,
        unit=UNITS[objective.sli],
        value=reading.value,
        measured=reading.measured,
        samples=samples,
        needed=needed,
        target=objective.target,
        acceptable=objective.acceptable,
        poor=objective.poor,
        critical=objective.critical,
        grade="unverifiable",
    )


def _samples(sli: str, scope: Measure | None) -> int:
    """How many requests the value is made of: those of the steady state, or of counts all."""
    if scope is None:
        return 0
    if sli in COUNTS:
        return scope.requests
    return scope.measured.count if scope.measured else 0


def needed_samples(objective: Objective, run: Run) -> int:
    """The fewest samples that the objective is graded from: its own floor, the plan's, that of its percentile."""
    percentile = percentile_of(objective.sli)
    floor = 1 if percentile is None else samples_needed(percentile)
    return max(floor, objective.min_samples or run.min_samples)


def percentile_of(sli: str) -> float | None:
    """The percentile from 0 to 100 that an indicator is, such as 99.9 of `p99_9_ms`; none where it is no percentile."""
    found = _PERCENTILE.fullmatch(sli)
    return float(f"{found[1]}.{found[2] or 0}") if found else None


def _scopes(endpoint: str | None, measures: Measures) -> list[Measure | None]:
    """The whole of what an objective is about, then its kinds of payload."""
    if endpoint is None:
        return [measures.total]
    return [measure for measure in measures.endpoints if measure.name == endpoint] or [None]


def _judge(objective: Objective, reading: Reading, samples: int, needed: int) -> tuple[GradeName, str]:
    if not objective.limit:
        return "unverifiable", "no limit is stated"
    if reading.absent == "not measured" and reading.value is None:
        return "not measured", reading.reason
    if samples < needed:
        return "not proven", f"{samples} samples, {needed} needed"
    if reading.value is None:
        return "not proven", reading.reason or "no such metric in this run"
    return _compare(objective, reading.value), ""


def _compare(objective: Objective, value: float) -> GradeName:
    """The best limit that holds. Without an acceptable one the target is it; below it, without a poor one, is poor."""
    if objective.target and parse_limit(objective.target, objective.sli).holds(value):
        return "target"
    if objective.acceptable and parse_limit(objective.acceptable, objective.sli).holds(value):
        return "acceptable"
    if objective.poor and not parse_limit(objective.poor, objective.sli).holds(value):
        return "marginal"
    return "poor"


def _read(sli: str, run: Run, measures: Measures, scope: Measure | None) -> Reading:
    if sli == "memory_growth":
        return memory_growth(run)
    if sli == "users":
        return _users(run)
    if scope is None or not scope.requests:
        return Reading(None, reason="nothing was asked of it")
    if sli == "rps_vs_expected":
        return _rate(run, measures)
    counted = {"error_ratio": scope.failures / scope.requests, "wrong_answers": float(scope.wrong_answers)}
    if sli in counted:
        return Reading(counted[sli])
    return _speed(sli, run, scope)


def _speed(sli: str, run: Run, scope: Measure) -> Reading:
    """Rate and latency, which a series of unlike benchmarks has not as a whole."""
    if scope.name == ALL and not run.is_load:
        return Reading(None, absent="not measured", reason=f"of {run.verb}, an endpoint must be named")
    if sli == "rps":
        return Reading(scope.rps)
    return Reading(_of(scope.corrected, sli), _of(scope.measured, sli), reason="nothing in the steady state")


def _users(run: Run) -> Reading:
    if run.verb != "load":
        return Reading(None, absent="not measured", reason="users of a closed loop only")
    return Reading(float(max((beat.users for beat in run.beats), default=0)))


def _of(latency: Latency | None, sli: str) -> float | None:
    return None if latency is None else float(getattr(latency, sli))


def _rate(run: Run, measures: Measures) -> Reading:
    if not measures.expected_rps:
        return Reading(None, absent="not measured", reason="users of a closed loop only")
    if run.duration_s < RATE_NEEDS_S:
        return Reading(None, absent="not measured", reason=f"graded from {RATE_NEEDS_S:.0f} s on")
    return Reading(measures.total.rps / measures.expected_rps)


def memory_growth(run: Run) -> Reading:
    """How much the server's resident memory grew: the median of the last quarter against that of the second one."""
    readings = [reading.bytes for reading in run.memory if reading.bytes > 0]
    quarter = len(readings) // 4
    if not quarter:
        why = f"{len(readings)} readings of process_resident_memory_bytes, 4 needed"
        return Reading(None, absent="not measured", reason=why)
    before, after = median(readings[quarter : 2 * quarter]), median(readings[-quarter:])
    return Reading(after / before - 1)
