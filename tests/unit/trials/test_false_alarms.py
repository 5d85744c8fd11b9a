"""How often a comparison cries wolf, and whether it hears one: simulated sets of pairs on a machine with moods."""

import random
from collections import Counter

import pytest

from seatrial.grading.statistics import ratio_of_pairs
from seatrial.grading.versus import outcome

SETS = 100
PAIRS = 10
LIMIT = 1.1


def simulated(true_ratio: float, seed: int) -> str:
    """The outcome of ten pairs whose blocks share a drifting mood of the machine, each with 3 % noise of its own."""
    chance = random.Random(seed)  # noqa: S311 - a simulation
    champion: list[float] = []
    candidate: list[float] = []
    mood = 0.0
    for _ in range(PAIRS):
        for blocks, latency in ((champion, 4.0), (candidate, 4.0 * true_ratio)):
            mood = 0.9 * mood + chance.gauss(0, 0.02)
            blocks.append(latency * (1 + mood) * (1 + chance.gauss(0, 0.03)))
    return outcome(ratio_of_pairs(champion, candidate), LIMIT)


def outcomes(true_ratio: float) -> "Counter[str]":
    return Counter(simulated(true_ratio, seed) for seed in range(SETS))


@pytest.mark.parametrize("true_ratio", [1.0, 1.03])
def test_no_wolf_no_cry(true_ratio: float) -> None:
    """The same twice, and 3 % slower: never a failure in 100 sets, under a limit of 10 %; most pass."""
    found = outcomes(true_ratio)

    assert found["fail"] == 0
    assert found["pass"] >= 80


def test_a_wolf_is_heard() -> None:
    """25 % slower fails in all 100 sets."""
    assert outcomes(1.25) == {"fail": SETS}


def test_few_pairs_cannot_pass() -> None:
    """Nine pairs of equal blocks prove nothing, however equal."""
    assert outcome(ratio_of_pairs([4.0] * 9, [4.0] * 9), LIMIT) == "not proven"
