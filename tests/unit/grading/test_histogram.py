"""HDR histograms, the correction for coordinated omission, and the floors of samples."""

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from seatrial.grading.histogram import DIGITS, HIGHEST_US, LOWEST_US, Histogram, back_filled, curve, decode
from seatrial.grading.statistics import ratio_of_pairs, samples_needed


def test_percentiles_are_within_a_thousandth() -> None:
    """A percentile is the value that its share of the values does not exceed, within 0.1 %."""
    histogram = Histogram(np.arange(1, 10_001) / 10)

    assert [histogram.percentile(at) for at in (50, 95, 99, 99.9, 100)] == pytest.approx(
        [500, 950, 990, 999, 1000], rel=0.001
    )


def test_figures_are_the_librarys_own() -> None:
    """Percentiles, mean and deviation agree with what HdrHistogram computes bucket by bucket."""
    values = np.random.default_rng(3).lognormal(2, 2, 3000)
    theirs = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for value in np.rint(values * 1000).astype(int).tolist():
        theirs.record_value(value)
    found = Histogram(values)
    summary = found.summary()

    assert summary is not None
    assert [found.percentile(at) * 1000 for at in (1, 50, 99, 99.9, 100)] == pytest.approx(
        [theirs.get_value_at_percentile(at) for at in (1, 50, 99, 99.9, 100)]
    )
    assert summary.mean_ms * 1000 == pytest.approx(theirs.get_mean_value())
    assert summary.variation == pytest.approx(theirs.get_stddev() / theirs.get_mean_value())


def test_parts_of_a_millisecond_are_kept() -> None:
    """0.4 ms is not rounded to 0, nor 2.4 to 2."""
    histogram = Histogram(np.array([0.4, 0.4, 2.4]))

    assert (histogram.percentile(50), histogram.percentile(100)) == pytest.approx((0.4, 2.4), rel=0.001)


def test_its_text_holds_all_of_it() -> None:
    """What is decoded from a proof has the same figures."""
    summary = Histogram(np.random.default_rng(1).exponential(5, 5000)).summary()

    assert summary is not None
    assert decode(summary.histogram).summary() == summary


def test_merging_is_adding() -> None:
    """Two histograms merged are one of all their values."""
    values = np.random.default_rng(2).exponential(5, 1000)
    whole, part = Histogram(values[:300]), Histogram(values[300:])
    whole.merge(part)

    assert whole.summary() == Histogram(values).summary()


def test_an_empty_one_has_no_figures() -> None:
    """Nothing recorded is None and an empty curve, not zeros."""
    assert Histogram().summary() is None
    assert curve(Histogram(), Histogram()) == ()


def test_a_wait_stands_for_those_who_would_have_asked() -> None:
    """10 s of waiting by a user who asks every 2 s hides 8, 6, 4 and 2 s."""
    assert back_filled(np.array([3.0, 10_000.0]), 2000.0).tolist() == [8000.0, 6000.0, 4000.0, 2000.0]


@pytest.mark.parametrize(
    ("values", "interval"), [([3.0, 1999.0], 2000.0), ([3999.0], 2000.0), ([10_000.0], 0.0), ([], 2000.0)]
)
def test_nothing_is_filled_in_where_nothing_was_left_out(values: list[float], interval: float) -> None:
    """Answers faster than two intervals, or a user without a cadence, hide nothing."""
    assert back_filled(np.array(values), interval).tolist() == []


def test_the_curve_ends_where_the_samples_do() -> None:
    """1 000 values tell nothing about p99.99."""
    histogram = Histogram(np.arange(1.0, 1001.0))

    assert [point.percentile for point in curve(histogram, histogram)][-1] == 99.9


@pytest.mark.parametrize(("percentile", "samples"), [(95, 59), (99, 299), (99.9, 2995)])
def test_floors_of_samples(percentile: float, samples: int) -> None:
    """The fewest samples that bound a percentile from above with 95 % confidence."""
    assert samples_needed(percentile) == samples


def test_the_interval_of_a_ratio() -> None:
    """It is of the pairs' ratios, holds their median, and is the same every time."""
    champion = [10.0, 11.0, 9.0, 10.5, 9.5, 10.0, 10.2, 9.9, 10.1, 10.0]
    candidate = [value * 1.25 for value in champion]
    found = ratio_of_pairs(champion, candidate)

    assert (found.pairs, found.ratio, found.low, found.high) == (10, 1.25, 1.25, 1.25)
    assert ratio_of_pairs(champion, candidate[::-1]) == ratio_of_pairs(champion, candidate[::-1])
