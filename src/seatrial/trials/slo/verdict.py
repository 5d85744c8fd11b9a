"""From checks, grades and comparisons to one verdict. What could not be measured is never a pass."""

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
from seatrial.contracts.slo import Total, parse_condition
from seatrial.trials.slo.validity import STEADY

POINTS: dict[GradeName, float] = {"target": 1.0, "acceptable": 0.9, "marginal": 0.5, "poor": 0.0}
"""What a grade is worth. A run that is acceptable everywhere scores 90 %: it passes, with nothing to spare."""
BELOW: tuple[GradeName, ...] = ("marginal", "poor")


def decide(
    total: Total,
    checks: Iterable[Check],
    grades: Sequence[Grade],
    comparisons: Sequence[Comparison] = (),
    answers: Sequence[AnswerCheck] = (),
) -> Verdict:
    """The verdict of a run.

    In this order: a check that does not hold voids the run (one that is not steady may still fail); a critical
    objective below acceptable, a regression or a wrong known answer fails it; what was not proven leaves it not proven,
    unless the score fails even if all of that were on target; then the score decides.
    """
    broken = [check for check in checks if check.holds is False]
    void = [_tell_check(check) for check in broken if check.name != STEADY]
    if void:
        return _verdict("not proven", None, void)
    failed = [*_criticals(grades), *_regressions(comparisons), *_wrong(answers)]
    score = _score(grades)
    if failed:
        return _verdict("fail", score, failed)
    unproven = [_tell_grade(item) for item in grades if item.grade == "not proven"]
    unproven += [_tell_comparison(item) for item in comparisons if item.outcome == "not proven"]
    marginal = parse_condition(total.marginal).score
    if _score(grades, hopeful=True) < marginal:
        return _verdict("fail", score, [_tell_score(score, marginal), *_poor(grades)])
    unproven += [_tell_check(check) for check in broken]
    if not (grades or comparisons or answers):
        unproven.append("no objective of the SLO file applies to this run")
    elif grades and not any(item.grade in POINTS for item in grades) and not unproven:
        unproven.append("no objective could be graded")
    if unproven:
        return _verdict("not proven", score, unproven)
    passing = parse_condition(total.passing).score
    if score >= passing:
        return _verdict("pass", score, _poor(grades))
    return Verdict(outcome="pass", marginal=True, score=score, reasons=(_tell_score(score, passing), *_poor(grades)))


def _verdict(outcome: Outcome, score: float | None, reasons: Sequence[str]) -> Verdict:
    return Verdict(outcome=outcome, marginal=False, score=score, reasons=tuple(reasons))


def _score(grades: Iterable[Grade], *, hopeful: bool = False) -> float:
    """The mean of what the grades are worth; `hopeful` counts what was not proven as on target."""
    points = [POINTS[item.grade] for item in grades if item.grade in POINTS]
    if hopeful:
        points += [1.0 for item in grades if item.grade == "not proven"]
    return sum(points) / len(points) if points else 1.0


def _criticals(grades: Iterable[Grade]) -> list[str]:
    return [_tell_grade(item) for item in grades if item.critical and item.grade in BELOW]


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
    what = f"{item.sli} of {item.endpoint}"
    if item.reason:
        return f"{what}: {item.reason}"
    limit = item.acceptable or item.target
    return f"{what} is {tell_value(item.value, item.unit)}; acceptable is {limit}"


def _tell_comparison(item: Comparison) -> str:
    return (
        f"{item.sli} of {item.endpoint}: {item.ratio:.3f} times the champion's "
        f"({item.low:.3f} to {item.high:.3f}, {item.pairs} pairs); the limit is {item.limit:.3g}"
    )


def _tell_score(score: float, limit: float) -> str:
    return f"the score is {score:.0%}; {limit:.0%} is needed"


def tell_value(value: float | None, unit: str) -> str:
    """A value with its unit, as people read it: `12.3 ms`, `0.12 %`."""
    if value is None:
        return "nothing"
    if unit == "%":
        return f"{value * 100:.4g} %"
    return f"{value:.4g} {unit}".rstrip()
