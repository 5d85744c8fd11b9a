"""A candidate against the champion, from blocks measured in turn: the ratio of each pair, and how sure it is."""

from collections.abc import Iterator
from statistics import median

from seatrial.contracts.proof import Comparison, Outcome
from seatrial.contracts.slo import Objective, Slo, parse_change
from seatrial.trials.measure.fold import ALL
from seatrial.trials.measure.pairs import Pairs, Side
from seatrial.trials.measure.statistics import Ratio, ratio_of_pairs

LEAST_PAIRS = 10
"""Pairs that a pass takes."""
LEAST_PAIRS_TO_FAIL = 6
"""With fewer, a 95 % interval would say more than so few pairs can: 2 x 2^-6 is the first below 5 %."""


def stated(slo: Slo, plan: str) -> list[Objective]:
    """The objectives of a plan that limit how much slower than the champion it may be."""
    return [objective for objective in slo.objective if objective.versus_champion and objective.applies_to(plan)]


def compare(slo: Slo, plan: str, pairs: Pairs) -> tuple[Comparison, ...]:
    """Each objective stated against a champion that was measured."""
    return tuple(_comparisons(slo, plan, pairs))


def _comparisons(slo: Slo, plan: str, pairs: Pairs) -> Iterator[Comparison]:
    for objective in stated(slo, plan):
        champion = _figures(objective, pairs, "champion")
        candidate = _figures(objective, pairs, "candidate")
        if champion and len(champion) == len(candidate):
            yield _comparison(objective, champion, candidate, _why_not(objective, pairs))


def _comparison(objective: Objective, champion: list[float], candidate: list[float], why_not: str) -> Comparison:
    ratio = ratio_of_pairs(champion, candidate)
    limit = parse_change(objective.versus_champion or "")
    return Comparison(
        endpoint=objective.endpoint or ALL,
        sli=objective.sli,
        pairs=ratio.pairs,
        champion=median(champion),
        candidate=median(candidate),
        ratio=ratio.ratio,
        low=ratio.low,
        high=ratio.high,
        limit=limit,
        outcome="not proven" if why_not else outcome(ratio, limit),
        reason=why_not,
    )


def _figures(objective: Objective, pairs: Pairs, side: Side) -> list[float]:
    """The objective's indicator in each block."""
    summaries = (histogram.summary() for histogram in pairs.histograms(side, objective.endpoint))
    return [float(getattr(summary, objective.sli)) for summary in summaries if summary]


def _why_not(objective: Objective, pairs: Pairs) -> str:
    """Failures make the speed of either meaningless: what fails may fail fast, or at a timeout."""
    sides: tuple[Side, ...] = ("champion", "candidate")
    failures = [(side, pairs.failures(side, objective.endpoint)) for side in sides]
    told = [f"{len(faults)} requests of the {side} failed ({faults[0]})" for side, faults in failures if faults]
    return "; ".join(told)


def outcome(ratio: Ratio, limit: float) -> Outcome:
    """Effect and confidence: fail if the ratio is over the limit and the interval above 1; pass if that is below it."""
    if ratio.ratio > limit and ratio.low > 1 and ratio.pairs >= LEAST_PAIRS_TO_FAIL:
        return "fail"
    if ratio.high < limit and ratio.pairs >= LEAST_PAIRS:
        return "pass"
    return "not proven"
