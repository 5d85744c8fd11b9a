"""A candidate against the champion, from blocks measured in turn: the ratio of each pair, and how sure it is."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median

from seatrial.contracts.proof import Block, Comparison, Outcome, Side
from seatrial.contracts.slo import Objective, Slo, parse_change
from seatrial.grading.histogram import decode, merged
from seatrial.grading.measures import ALL
from seatrial.grading.statistics import Ratio, ratio_of_pairs

LEAST_PAIRS = 10
"""Pairs that a pass takes."""
LEAST_PAIRS_TO_FAIL = 6
"""With fewer, a 95 % interval would say more than so few pairs can: 2 x 2^-6 is the first below 5 %."""


def stated(slo: Slo, plan: str) -> list[Objective]:
    """The objectives of a plan that limit how much slower than the champion it may be."""
    return [objective for objective in slo.objective if objective.versus_champion and objective.applies_to(plan)]


def compare(slo: Slo, plan: str, blocks: Sequence[Block]) -> tuple[Comparison, ...]:
    """Each objective stated against a champion that was measured."""
    return tuple(_comparisons(slo, plan, blocks))


def _comparisons(slo: Slo, plan: str, blocks: Sequence[Block]) -> Iterator[Comparison]:
    for objective in stated(slo, plan):
        wanted = [block for block in blocks if block.pair and objective.endpoint in {None, block.endpoint}]
        champion, candidate = _figures(objective, wanted, "champion"), _figures(objective, wanted, "candidate")
        if champion and len(champion) == len(candidate):
            yield _comparison(objective, champion, candidate, _why_not(wanted))


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


def _figures(objective: Objective, blocks: Sequence[Block], side: Side) -> list[float]:
    """The objective's indicator in each pair's block, over its endpoints."""
    ordered = sorted((block for block in blocks if block.side == side), key=lambda block: block.pair)
    together = (
        merged(decode(block.latency.histogram) for block in group)
        for _, group in groupby(ordered, key=lambda block: block.pair)
    )
    return [float(getattr(summary, objective.sli)) for histogram in together if (summary := histogram.summary())]


def _why_not(blocks: Sequence[Block]) -> str:
    """Failures make the speed of either meaningless: what fails may fail fast, or at a timeout."""
    sides: tuple[Side, ...] = ("champion", "candidate")
    told = []
    for side in sides:
        failed = [block for block in blocks if block.side == side and block.failures]
        if failed:
            count = sum(block.failures for block in failed)
            told.append(f"{count} requests of the {side} failed ({failed[0].fault})")
    return "; ".join(told)


def outcome(ratio: Ratio, limit: float) -> Outcome:
    """Effect and confidence: fail if the ratio is over the limit and the interval above 1; pass if that is below it."""
    if ratio.ratio > limit and ratio.low > 1 and ratio.pairs >= LEAST_PAIRS_TO_FAIL:
        return "fail"
    if ratio.high < limit and ratio.pairs >= LEAST_PAIRS:
        return "pass"
    return "not proven"
