"""When requests are due, in seconds from the start."""

import random
from collections.abc import Iterator
from typing import Literal, get_args

from seatrial.grading.toml import WrongFile

Arrivals = Literal["constant", "poisson"]
KINDS: tuple[Arrivals, ...] = get_args(Arrivals)


def read_arrivals(text: str) -> Arrivals:
    """`constant` or `poisson`, or WrongFile."""
    for kind in KINDS:
        if text == kind:
            return kind
    raise WrongFile(f"--arrivals: expected {' or '.join(KINDS)}; received {text!r}")


def due_times(kind: Arrivals, rate: float, duration_s: float, seed: int) -> Iterator[float]:
    """Evenly spaced, or with exponential gaps as of callers who do not know of each other."""
    return _constant(rate, duration_s) if kind == "constant" else _poisson(rate, duration_s, seed)


def _constant(rate: float, duration_s: float) -> Iterator[float]:
    for index in range(int(rate * duration_s)):
        yield index / rate


def _poisson(rate: float, duration_s: float, seed: int) -> Iterator[float]:
    chance = random.Random(seed)  # noqa: S311 - arrivals, not cryptography
    moment = chance.expovariate(rate)
    while moment < duration_s:
        yield moment
        moment += chance.expovariate(rate)
