"""Arrivals and the search for the knee."""

from dataclasses import replace
from itertools import pairwise
from statistics import mean, pstdev

import orjson
import pytest
from tests.fakes.runs import open_loop

from seatrial.grading.spec import read_slo
from seatrial.grading.toml import WrongFile
from seatrial.trials.load.openloop.arrivals import due_times, read_arrivals
from seatrial.trials.load.openloop.knee import Block, Knee, find, judge
from seatrial.trials.measure.prove import prove


def test_constant_arrivals_are_evenly_spaced() -> None:
    """Exactly rate times duration of them."""
    assert list(due_times("constant", 4, 1.5, 1)) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_poisson_arrivals_keep_the_rate_and_have_exponential_gaps() -> None:
    """The gaps' standard deviation is their mean; the same seed gives the same arrivals."""
    moments = list(due_times("poisson", 100, 200, 5))
    gaps = [later - earlier for earlier, later in pairwise(moments)]

    assert len(moments) == pytest.approx(20_000, rel=0.02)
    assert pstdev(gaps) == pytest.approx(mean(gaps), rel=0.05)
    assert moments == list(due_times("poisson", 100, 200, 5))


def test_arrivals_are_of_two_kinds() -> None:
    """Another word is refused with both."""
    assert read_arrivals("poisson") == "poisson"
    with pytest.raises(WrongFile, match="expected constant or poisson; received 'bursts'"):
        read_arrivals("bursts")


def search(first: float, limit: float, generator: float = 1e9) -> Knee:
    """The knee of a target that holds up to a limit, by a generator that reaches another."""

    def measure(rate: float) -> Block:
        if rate > generator:
            return Block(rate, None, "CPU of a generator process: 1.0")
        return Block(rate, rate <= limit, "" if rate <= limit else "p99_ms: 5000")

    return find(first, measure)


@pytest.mark.parametrize("limit", [130.0, 500.0, 1000.0, 7777.0])
def test_the_knee_is_found_within_5_per_cent(limit: float) -> None:
    """By doubling, then by halving the step."""
    knee = search(100, limit)

    assert knee.rate is not None
    assert limit / 1.05 <= knee.rate <= limit
    assert knee.limited_by == "it did not (p99_ms: 5000)"


def test_a_generator_that_is_the_bottleneck_is_told() -> None:
    """What is found is then a lower bound of what the target can do, and why."""
    knee = search(100, limit=1e9, generator=450)

    assert knee.rate is not None
    assert 428 <= knee.rate <= 450
    assert knee.limited_by == "nothing is proven (CPU of a generator process: 1.0)"
    assert knee.told.splitlines()[-1].startswith("the highest rate that held is 4")


def test_what_could_not_be_told_is_measured_once_more() -> None:
    """A generator that was held up for a moment does not make a knee."""
    held_up = iter([True, False, False, True])
    knee = find(100, lambda rate: Block(rate, None, "lag") if next(held_up, False) else Block(rate, rate <= 300, ""))

    assert [block.rate for block in knee.blocks[:6]] == [100, 100, 200, 400, 400, 300]
    assert knee.rate is not None
    assert 285 <= knee.rate <= 300


@pytest.mark.parametrize(
    ("limit", "generator", "outcome"), [(50.0, 1e9, "pass"), (0.0, 1e9, "fail"), (0.0, 0.0, "not proven")]
)
def test_a_search_has_an_outcome(limit: float, generator: float, outcome: str) -> None:
    """Found, nothing holds, or nobody can say; programs read the same."""
    knee = search(100, limit, generator)
    document = orjson.loads(knee.as_json())

    assert (knee.outcome, document["outcome"], document["rate"]) == (outcome, outcome, knee.rate)
    assert len(document["blocks"]) == len(knee.blocks)


@pytest.mark.parametrize("limit", [3.0, 50.0, 99.0])
def test_the_knee_may_lie_below_the_first_rate(limit: float) -> None:
    """Then the search goes down from it."""
    knee = search(100, limit)

    assert knee.rate is not None
    assert limit / 1.05 <= knee.rate <= limit


def test_a_target_that_holds_nothing_ends_the_search() -> None:
    """Below one request a second nobody looks."""
    knee = search(100, limit=0)

    assert (knee.rate, [block.rate for block in knee.blocks]) == (None, [100, 50, 25, 12.5, 6.25, 3.125, 1.5625])
    assert knee.told.endswith("no rate held: it did not (p99_ms: 5000)")


def test_a_search_ends() -> None:
    """After 16 blocks, whatever holds."""
    knee = search(1, limit=1e12)

    assert (len(knee.blocks), knee.limited_by) == (16, "nothing was found that does not hold")


@pytest.mark.parametrize(
    ("latency_ms", "lag_ms", "held", "why"),
    [
        (5.0, 0.3, True, ""),
        (700.0, 0.3, False, "p95_ms: 700"),
        (5000.0, 400.0, False, "p99_ms of all is 5 001 ms; acceptable is <= 4000"),
        (700.0, 400.0, None, "dispatch lag p99: 400 ms"),
    ],
)
def test_a_block_holds_or_not_or_says_nothing(latency_ms: float, lag_ms: float, held: bool | None, why: str) -> None:  # noqa: FBT001 - the answer
    """Below acceptable it does not hold; a late generator says nothing, unless the target fails by far more."""
    facts, samples = open_loop(100, 10)
    slow = [replace(sample, latency_ms=latency_ms) for sample in samples]
    late = replace(facts, generator=replace(facts.generator, lag_p99_ms=lag_ms))

    found = judge(prove(late, slow, read_slo("default")))
    assert (found[0], found[1].partition(".")[0]) == (held, why)


def test_a_block_with_failures_does_not_hold() -> None:
    """Even one, whatever the limits say of few requests."""
    facts, samples = open_loop(100, 10)
    samples[3] = replace(samples[3], ok=False, fault="status 503, expected 200")

    assert judge(prove(facts, samples, read_slo("default"))) == (False, "1 of 1000 failed")
