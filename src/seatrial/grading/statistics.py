"""What a number of samples can show, and how sure a ratio is."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

CONFIDENCE = 0.95
DRAWS = 2000


def samples_needed(percentile: float) -> int:
    """The fewest samples whose largest is, with 95 % confidence, above a percentile from 0 to 100.

    59 for p95, 299 for p99, 2 995 for p99.9: with fewer there is no upper bound free of assumptions.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percentile / 100))


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the ratios of pairs, and its 95 % bootstrap interval."""

    pairs: int
    ratio: float
    low: float
    high: float


def ratio_of_pairs(champion: Sequence[float], candidate: Sequence[float], seed: int = 1) -> Ratio:
    """How the candidate compares with the champion, from blocks measured in turn.

    Resamples pairs, not requests: those of one block are not independent. `seed` makes it repeatable.
    """
    ratios = [new / old for old, new in zip(champion, candidate, strict=True)]
    chance = random.Random(seed)  # noqa: S311 - resampling, not cryptography
    medians = sorted(median(chance.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    tail = (1 - CONFIDENCE) / 2
    return Ratio(len(ratios), median(ratios), medians[int(DRAWS * tail)], medians[int(DRAWS * (1 - tail)) - 1])
