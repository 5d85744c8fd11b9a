"""Latency distributions: HDR histograms of microseconds with three digits, mergeable and kept in the proof.

All percentiles of all reports come from these, so that anyone can compute them again from `proof.json`. A percentile is
the smallest recorded value that this share of the values does not exceed, within 0.1 %.
"""

import base64
import zlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from seatrial.contracts.proof import CurvePoint, Latency

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
DIGITS = 3
HEADER_BYTES = 8
MOST_BYTES = 1 << 20
"""What the counts of a histogram of this range and these digits can take unpacked, and more."""
CURVE = tuple(round(100 * (1 - 10 ** (-step / 10)), 6) for step in range(51))
"""The percentiles of the curve: even steps of rarity, 0 to 99.999."""

Milliseconds = npt.NDArray[np.float64]


def _buckets() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The lowest value of each bucket, and how many values it spans: 2 048 single ones, then doubling every 1 024."""
    empty = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    index = np.arange(empty.counts_len)
    half = int(empty.sub_bucket_half_count)
    doubling = np.maximum(index // half - 1, 0)
    within = np.where(index < half, index, index % half + half)
    return within << doubling, np.int64(1) << doubling


_LOW, _SPAN = _buckets()


class Histogram:
    """A distribution of latencies; values are milliseconds outside, microseconds within.

    The library records and encodes; its walks over the buckets are loops in Python, so figures come from its counts.
    """

    def __init__(self, values: Milliseconds | None = None) -> None:
        self._hdr = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        if values is not None:
            self.add(values)

    @property
    def count(self) -> int:
        """How many values it holds."""
        return int(self._hdr.get_total_count())

    def add(self, values: Milliseconds) -> None:
        """Record values; one above an hour counts as an hour."""
        whole, counts = np.unique(
            np.clip(np.rint(values * 1000), LOWEST_US, HIGHEST_US).astype(int), return_counts=True
        )
        for value, count in zip(whole.tolist(), counts.tolist(), strict=True):
            self._hdr.record_value(value, count)

    def merge(self, other: "Histogram") -> None:
        """Add all values of another."""
        self._hdr.add(other._hdr)  # noqa: SLF001 - of our own class

    def percentiles(self, *wanted: float) -> tuple[float, ...]:
        """The values in milliseconds at percentiles from 0 to 100; of a bucket, the highest."""
        rank = np.maximum(np.ceil(np.array(wanted) / 100 * self.count - 1e-9), 1)
        index = np.searchsorted(np.cumsum(self._counts()), rank)
        return tuple(((_LOW + _SPAN - 1)[index] / 1000).tolist())

    def percentile(self, percentile: float) -> float:
        """The value in milliseconds at one percentile."""
        return self.percentiles(percentile)[0]

    def summary(self) -> Latency | None:
        """Its figures, and itself as base64; None if it is empty."""
        if not self.count:
            return None
        counts, middle = self._counts(), _LOW + _SPAN // 2
        mean = float(np.average(middle, weights=counts))
        deviation = float(np.sqrt(np.average((middle - mean) ** 2, weights=counts)))
        p50, p90, p95, p99, p99_9, most = self.percentiles(50, 90, 95, 99, 99.9, 100)
        return Latency(
            count=self.count,
            mean_ms=mean / 1000,
            p50_ms=p50,
            p90_ms=p90,
            p95_ms=p95,
            p99_ms=p99,
            p99_9_ms=p99_9,
            max_ms=most,
            variation=deviation / mean,
            histogram=self.encoded(),
        )

    def encoded(self) -> str:
        """Itself as base64."""
        return str(self._hdr.encode().decode("ascii"))

    def _counts(self) -> npt.NDArray[np.uint64]:
        return np.frombuffer(self._hdr.counts, dtype=np.uint64)


def decode(text: str) -> Histogram:
    """A histogram from its base64 text, whoever wrote it; raises `ValueError` where it is none."""
    found = Histogram()
    try:
        _require_small(text)
        found._hdr.decode_and_add(text)  # noqa: SLF001 - of our own class
    except Exception as error:  # the library's errors have no common root but Exception
        raise ValueError(f"no HdrHistogram: {error}") from error
    return found


def _require_small(text: str) -> None:
    """The library unpacks whatever it is given."""
    packed = base64.b64decode(text, validate=True)[HEADER_BYTES:]
    if len(zlib.decompressobj().decompress(packed, MOST_BYTES)) == MOST_BYTES:
        raise ValueError("it unpacks to more than a histogram takes")


def curve(measured: Histogram, corrected: Histogram) -> tuple[CurvePoint, ...]:
    """Points of both percentile curves, up to the last percentile that this many values can show."""
    if not measured.count or not corrected.count:
        return ()
    most = 100 * (1 - 1 / max(2, corrected.count))
    wanted = [at for at in CURVE if at <= most]
    ours, theirs = measured.percentiles(*wanted), corrected.percentiles(*wanted)
    return tuple(
        CurvePoint(percentile=at, measured_ms=our, corrected_ms=their)
        for at, our, their in zip(wanted, ours, theirs, strict=True)
    )


def back_filled(values: Milliseconds, interval_ms: float) -> Milliseconds:
    """What those would have seen who would have asked, every `interval_ms`, while a value was awaited.

    Coordinated omission: a user who waits does not ask. A value v stands for v - interval, v - 2 interval, ..., as long
    as one is at least the interval. Source: HdrHistogram's correction for an expected interval.
    """
    slow = values[values >= 2 * interval_ms] if interval_ms > 0 else values[:0]
    filled = [value - interval_ms * np.arange(1, value // interval_ms) for value in slow.tolist()]
    return np.concatenate(filled) if filled else np.empty(0)


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of all."""
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole
