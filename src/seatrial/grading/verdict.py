"""From checks, grades and comparisons to one verdict. What could not be measured is never a pass."""

import math
from collections.abc import Iterable, Sequence

from seatrial.contracts.proof import (
    AnswerCheck,
    Check,
    Comparison,
    Grade,
    GradeName,
    Outcome,
    Verdict,
)
from seatrial.contracts.slo import Total, parse_condition, parse_limit
from seatrial.grading.numbers import value
from seatrial.grading.validity import DOUBTS, LAG

POINTS: dict[GradeName, float] = {"target": 1.0, "acceptable": 0.9, "marginal": 0.5, "poor": 0.0}
"""What a grade is worth. A run that is acceptable everywhere scores 90 %: it passes, with nothing to spare."""
BELOW: tuple[GradeName, ...] = ("marginal", "poor")
RATES = frozenset({"rps", "rps_vs_expected"})
"""Indicators that a late generator spoils; failures and wrong answers it does not cause."""


def decide(
    total: Total,
    checks: Iterable[Check],
    grades: Sequence[Grade],
    comparisons: Sequence[Comparison] = (),
    answers: Sequence[AnswerCheck] = (),
    lag_ms: float = 0.0,
) -> Verdict:
    """The verdict of a run, whose generator lagged `lag_ms` behind its schedule at the 99th percentile.

    In this order: a check that does not hold voids the run, but one that was not steady or lagged may still fail, if it
    does by more than the lag can explain; a critical objective below acceptable, a regression or a wrong known answer
    fails it, whatever the score; so does a score that would be too low even if all that was not proven were on target;
    else what was not proven leaves the run not proven; then the score decides.
    """
    broken = [check for check in checks if check.holds is False]
    void = [_tell_check(check) for check in broken if check.name not in DOUBTS]
    if void:
        return _verdict("not proven", None, void)
    lagged = any(check.name == LAG for check in broken)
    passing, marginal = parse_condition(total.passing), parse_condition(total.marginal)
    critical = [item for item in grades if item.critical and item.grade in BELOW]
    failed = [_tell_grade(item) for item in critical if not lagged or _outlasts(item, lag_ms)]
    failed += [*_regressions(comparisons), *_wrong(answers)]
    score = _score(grades)
    if failed:
        return _verdict("fail", score, failed)
    unproven = [_tell_grade(item) for item in grades if item.grade == "not proven"]
    unproven += [_tell_comparison(item) for item in comparisons if item.outcome == "not proven"]
    if not lagged and _score(grades, hopeful=True) < marginal:
        return _verdict("fail", score, [_tell_score(score, marginal), *_poor(grades)])
    unproven += [_tell_check(check) for check in broken]
    if not (grades or comparisons or answers):
        unproven.append("no objective of the SLO file applies to this run")
    elif grades and not any(item.grade in POINTS for item in grades) and not unproven:
        unproven.append("no objective could be graded")
    if unproven:
        return _verdict("not proven", score, unproven)
    if score < passing:
        reasons = (_tell_score(score, passing), *_poor(grades))
        return Verdict(outcome="pass", marginal=True, score=score, reasons=reasons)
    return Verdict(outcome="pass", marginal=False, score=score, reasons=tuple(_poor(grades)))


def _verdict(outcome: Outcome, score: float | None, reasons: Sequence[str]) -> Verdict:
    return Verdict(outcome=outcome, marginal=False, score=score, reasons=tuple(reasons))


def _score(grades: Iterable[Grade], *, hopeful: bool = False) -> float:
    """The mean of what the grades are worth; `hopeful` counts what was not proven as on target."""
    points = [POINTS[item.grade] for item in grades if item.grade in POINTS]
    if hopeful:
        points += [1.0 for item in grades if item.grade == "not proven"]
    return math.fsum(points) / len(points) if points else 1.0


def _outlasts(item: Grade, lag_ms: float) -> bool:
    """Whether it is below acceptable even if every request was sent, and its answer read, as late as the lag."""
    if item.unit == "ms" and item.limit and item.value is not None:
        return not parse_limit(item.limit, item.sli).holds(item.value - 2 * lag_ms)
    return item.sli not in RATES


def _poor(grades: Iterable[Grade]) -> list[str]:
    return [_tell_grade(item) for item in grades if item.grade in BELOW]


def _regressions(comparisons: Iterable[Comparison]) -> list[str]:
    return [_tell_comparison(item) for item in comparisons if item.outcome == "fail"]


def _wrong(answers: Iterable[AnswerCheck]) -> list[str]:
    return [
        f"{item.model_id}, {item.check}: {item.right} of {item.cases} answers right; {item.example}"
        for item in answers
        if item.right < item.cases
    ]


def _tell_check(check: Check) -> str:
    return f"{check.name}: {check.received}; expected {check.expected}"


def _tell_grade(item: Grade) -> str:
    what = f"{item.sli} of {item.scope}"
    if item.reason:
        return f"{what}: {item.reason}"
    return f"{what} is {value(item.value, item.unit)}; acceptable is {item.limit}"


def _tell_comparison(item: Comparison) -> str:
    if item.reason:
        return f"{item.sli} of {item.endpoint}: {item.reason}"
    return (
        f"{item.sli} of {item.endpoint}: {item.ratio:.3f} times the champion's "
        f"({item.low:.3f} to {item.high:.3f}, {item.pairs} pairs); the limit is {item.limit:.3g}"
    )


def _tell_score(score: float, limit: float) -> str:
    return f"the score is {score:.0%}; {limit:.0%} is needed"
