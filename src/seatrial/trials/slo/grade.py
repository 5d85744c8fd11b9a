"""Each objective of an SLO file against the measures of a run: a table of grades, and the reasons."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from statistics import median

from seatrial.contracts.proof import Comparison, Grade, GradeName, Latency, Measure
from seatrial.contracts.record import Run
from seatrial.contracts.slo import UNITS, Objective, Slo, parse_limit
from seatrial.trials.measure.fold import ALL, Measures
from seatrial.trials.measure.statistics import samples_needed

RATE_NEEDS_S = 60.0
"""Seconds from which on the rate of a closed loop says something: think times even out."""
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

    One that is stated against a champion only has its own table where it was `compared`. `champion`: one was measured.
    """
    told = {(item.sli, item.endpoint) for item in compared}
    elsewhere = slo.machine not in {None, run.machine.digest}
    return tuple(
        _elsewhere(_grade(objective, run, measures, champion=champion), elsewhere=elsewhere)
        for objective in slo.objective
        if objective.applies_to(run.plan)
        and not (_only_compared(objective) and (objective.sli, objective.endpoint or ALL) in told)
    )


def _elsewhere(found: Grade, *, elsewhere: bool) -> Grade:
    """Limits of time and rate that were set for another machine say nothing on this one."""
    if elsewhere and found.unit in {"ms", "rps"}:
        return replace(found, grade="unverifiable", reason="its limits were set for another machine")
    return found


def _only_compared(objective: Objective) -> bool:
    return bool(objective.versus_champion) and not (objective.target or objective.acceptable)


def _grade(objective: Objective, run: Run, measures: Measures, *, champion: bool) -> Grade:
    scope = _scope(objective.endpoint, measures)
    reading = _read(objective.sli, run, measures, scope)
    samples = scope.requests if scope else 0
    needed = needed_samples(objective, run)
    name, reason = _judge(objective, reading, samples, needed, champion=champion)
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
        grade=name,
        reason=reason,
    )


def needed_samples(objective: Objective, run: Run) -> int:
    """The fewest samples that the objective is graded from: its own floor, the plan's, that of its percentile."""
    found = _PERCENTILE.fullmatch(objective.sli)
    floor = samples_needed(float(f"{found[1]}.{found[2] or 0}")) if found else 1
    return max(floor, objective.min_samples or run.min_samples)


def _scope(endpoint: str | None, measures: Measures) -> Measure | None:
    if endpoint is None:
        return measures.total
    return next((measure for measure in measures.endpoints if measure.name == endpoint), None)


def _judge(
    objective: Objective, reading: Reading, samples: int, needed: int, *, champion: bool
) -> tuple[GradeName, str]:
    if not (objective.target or objective.acceptable):
        return _no_limit(objective, champion=champion)
    if reading.absent == "not measured" and reading.value is None:
        return "not measured", reading.reason
    if samples < needed:
        return "not proven", f"{samples} samples, {needed} needed"
    if reading.value is None:
        return "not proven", reading.reason or "no such metric in this run"
    return _compare(objective, reading.value), ""


def _no_limit(objective: Objective, *, champion: bool) -> tuple[GradeName, str]:
    if not objective.versus_champion:
        return "unverifiable", "no limit is stated"
    if champion:
        return "not proven", "the champion was not measured at it"
    return "unverifiable", "stated against a champion only: --against URL"


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
        return Reading(float(max((beat.users for beat in run.beats), default=0)))
    if scope is None or not scope.requests:
        return Reading(None, reason="nothing was asked of it")
    if sli == "rps_vs_expected":
        return _rate(run, measures)
    counted = {
        "error_ratio": scope.failures / scope.requests,
        "wrong_answers": float(scope.wrong_answers),
        "rps": scope.rps,
    }
    if sli in counted:
        return Reading(counted[sli])
    return Reading(_of(scope.corrected, sli), _of(scope.measured, sli), reason=_why_no_latency(run))


def _why_no_latency(run: Run) -> str:
    return "nothing in the steady state" if run.is_load else f"of {run.verb}, an endpoint must be named"


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
    readings = [reading.bytes for reading in run.memory]
    quarter = len(readings) // 4
    if not quarter:
        why = f"{len(readings)} readings of process_resident_memory_bytes, 4 needed"
        return Reading(None, absent="not measured", reason=why)
    before, after = median(readings[quarter : 2 * quarter]), median(readings[-quarter:])
    return Reading(after / before - 1)
