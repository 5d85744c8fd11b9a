"""From samples to measures: what a stall looks like, what is expected, what is warm-up."""

from dataclasses import replace

import pytest
from tests.fakes.runs import ANSWER, START, closed_loop, open_loop, run, stalled, steady

from seatrial.contracts.record import WRONG_ANSWER
from seatrial.grading.steady import find_steady
from seatrial.trials.measure.fold import fold


def test_a_stall_shows_in_the_corrected_percentiles() -> None:
    """100 users and a stall of 10 s: what they measured has a p95 of 6 ms, corrected it is seconds."""
    facts = run()
    total = fold(closed_loop(facts, stalled), facts).total

    assert total.measured is not None
    assert total.corrected is not None
    assert total.measured.p95_ms < 7
    assert total.corrected.p95_ms > 5000
    assert total.corrected.count > total.measured.count


def test_without_a_stall_both_are_the_same() -> None:
    """Nothing is added where nobody was kept waiting."""
    facts = run()
    total = fold(closed_loop(facts, steady), facts).total

    assert total.corrected == total.measured


def test_the_ramp_is_warm_up() -> None:
    """Rates and latencies begin when all users run; counts begin with the first request."""
    facts = run()
    measures = fold(closed_loop(facts, steady), facts)

    assert measures.steadiness.warm_up_s == 10.0
    assert measures.total.measured is not None
    assert measures.total.measured.count < measures.total.requests
    assert measures.total.rps == pytest.approx(100 / 2.0055, rel=0.05)


def test_the_expected_rate_is_derived() -> None:
    """Users / (think time + latency): 100 / 2.0055."""
    facts = run()
    expected = fold(closed_loop(facts, steady), facts).expected_rps

    assert expected == pytest.approx(100 / 2.0055, rel=0.001)


@pytest.mark.parametrize("users", [4, 5])
def test_users_are_shared_out_in_turn(users: int) -> None:
    """As Locust does it, by the names of the classes: of four users in three classes the first class has two."""
    classes = ("MNISTAPIUser", "Slow", "Alpha")  # 2 s, 1 s, 4 s between two requests
    cadences = {"MNISTAPIUser": 2000.0, "Slow": 1000.0, "Alpha": 4000.0}
    facts = replace(run(users=users), classes=classes, cadence_ms=cadences)
    expected = fold(closed_loop(facts, steady), facts).expected_rps
    shares = {"Alpha": 2, "MNISTAPIUser": 1 if users == 4 else 2, "Slow": 1}

    assert expected == pytest.approx(shares["Alpha"] / 4 + shares["MNISTAPIUser"] / 2.0055 + shares["Slow"], rel=0.001)


def test_lateness_counts_in_an_open_loop() -> None:
    """Latency is measured from the sending, and corrected from when it was due."""
    facts, samples = open_loop(100, 10)
    late = [replace(sample, start=sample.intended + 0.5) for sample in samples]
    total = fold(late, facts).total

    assert total.measured is not None
    assert total.corrected is not None
    assert (total.measured.p50_ms, total.corrected.p50_ms) == pytest.approx((5.0, 505.0), rel=0.001)


def test_a_second_without_answers_is_a_row_of_its_own() -> None:
    """History leaves no second out; one with nothing has no latency."""
    facts, samples = open_loop(10, 10)
    gap = [sample for sample in samples if not START + 4 <= sample.intended < START + 5]
    history = fold(gap, facts).history

    assert [row.second for row in history] == list(range(10))
    assert [row.p50_ms for row in history[3:6]] == [5.0, None, 5.0]
    assert history[4].rps == 0


def test_failures_are_counted_by_kind() -> None:
    """A kind is an endpoint, a fault up to its colon, and a status; the first one is the example."""
    facts, samples = open_loop(10, 10)
    wrong = f"{WRONG_ANSWER}: answer 0 expected 7, received 1"
    samples[20] = replace(samples[20], ok=False, fault=wrong)
    samples[30] = replace(samples[30], ok=False, fault=f"{WRONG_ANSWER}: answer 0 expected 2, received 3")
    samples[40] = replace(samples[40], ok=False, status=503, fault="status 503, expected 200")
    measures = fold(samples, facts)

    assert [(kind.fault, kind.count, kind.first_second) for kind in measures.failures] == [
        (wrong, 2, 2.0),
        ("status 503, expected 200", 1, 4.0),
    ]
    assert (measures.total.failures, measures.total.wrong_answers) == (3, 2)
    assert measures.total.goodput_rps == pytest.approx(9.7)


def test_endpoints_are_measured_apart() -> None:
    """Each has its own row, and the whole is all of them."""
    facts, samples = open_loop(10, 10)
    slow = [replace(sample, endpoint="GET /models", latency_ms=50.0) for sample in samples[::2]]
    measures = fold([*samples[1::2], *slow], facts)

    assert [(one.name, one.requests) for one in measures.endpoints] == [("GET /models", 50), ("POST /predict", 50)]
    assert measures.total.requests == 100


def test_an_empty_run_measures_nothing() -> None:
    """No samples: counts of 0, and no latency at all."""
    facts = run(users=0)
    measures = fold([], facts)

    assert (measures.total.requests, measures.total.measured, measures.history) == (0, None, ())


@pytest.mark.parametrize(
    ("medians", "warm_up_s", "told"),
    [
        ([5.0] * 20, 0.0, "steady"),
        ([80.0, 60.0, 40.0, *[5.0] * 20], 2.0, "steady"),
        ([80.0] * 10 + [5.0] * 10, 0.0, "not steady"),
        ([5.0] * 10 + [5.5, 6, 7, 8, 9, 10, 12, 14, 16, 18], 0.0, "not steady"),
        ([0.2] * 10 + [0.9] * 10, 0.0, "steady"),
        ([5.0] * 5, 0.0, "too short"),
    ],
    ids=["flat", "slow start", "never settles", "drifts", "below a millisecond", "too short"],
)
def test_warm_up_is_found(medians: list[float], warm_up_s: float, told: str) -> None:
    """A slow start is left out, up to a quarter of the run; a drift is not steady."""
    found = find_steady(list(enumerate(medians)), 0.0)

    assert (found.warm_up_s, {True: "steady", False: "not steady", None: "too short"}[found.steady]) == (
        warm_up_s,
        told,
    )


def test_a_ramp_that_never_ends_leaves_nothing() -> None:
    """Where the users never all ran, no second is steady."""
    facts = replace(run(), users=5000)
    measures = fold([ANSWER], facts)

    assert (measures.steadiness.steady, measures.total.measured) == (None, None)
