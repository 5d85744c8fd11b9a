"""Grade somebody else's proof by one's own SLO file, from its histograms and counts: its figures are not believed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from seatrial.contracts.proof import Block, Latency, Measure, Proof, SloUsed
from seatrial.grading.histogram import Histogram, decode, merged
from seatrial.grading.judge import judge
from seatrial.grading.measures import Measures, Steadiness
from seatrial.grading.steady import NO_LOAD, find_steady, ramp_seconds


class Unreadable(ValueError):
    """A proof that cannot be graded; the text says where, and why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a proof says was asked of its target: requests, those refused with a status of 400 or above, and latencies.

    `latency` holds every request that is counted, warm-up and blocks included, as measured. `unanswered` got none.
    """

    requests: int
    unanswered: int
    refused: int
    latency: Histogram


def regrade(proof: Proof, slo: SloUsed) -> Proof:
    """What the records in a proof show under an SLO file; everything that follows from others is made anew.

    Raises:
        Unreadable: a histogram is none.
    """
    run = proof.run
    measures = Measures(
        steadiness=_steadiness(proof),
        expected_rps=proof.expected_rps,
        total=_measure(proof.total, _seconds(proof)),
        endpoints=tuple(_measure(item, _seconds(proof)) for item in proof.endpoints),
        history=proof.history,
        curve=proof.curve,
        failures=proof.failures,
    )
    blocks = tuple(replace(block, latency=_latency(block.latency, _name(block))) for block in proof.blocks)
    return judge(run, measures, slo, blocks, proof.answers)


def asked(proof: Proof) -> Asked:
    """What the target must have seen. Raises `Unreadable` as `regrade` does."""
    whole = [item for item in proof.endpoints if not item.payload]
    texts = [text for item in whole for text in (item.measured, item.warm_up) if text]
    texts += [block.latency for block in proof.blocks]
    return Asked(
        requests=sum(item.requests for item in whole) + sum(block.latency.count for block in proof.blocks),
        unanswered=sum(failure.count for failure in proof.failures if not failure.status),
        refused=sum(failure.count for failure in proof.failures if failure.status >= 400),  # noqa: PLR2004 - HTTP
        latency=merged(_histogram(text, "latency") for text in texts),
    )


def require_readable(proof: Proof) -> None:
    """Raise `Unreadable` unless each histogram is one, and holds something."""
    for item in (proof.total, *proof.endpoints):
        _measure(item, None)
    for block in proof.blocks:
        _latency(block.latency, _name(block))


def contradictions(proof: Proof) -> Iterator[str]:
    """Where counts and histograms of a proof cannot be of one run. Raises `Unreadable` as `regrade` does."""
    whole = [item for item in proof.endpoints if not item.payload]
    for item in whole:
        kept = sum(latency.count for latency in (item.measured, item.warm_up) if latency)
        if kept != item.requests:
            yield f"{item.name}: {item.requests} requests, and latencies of {kept}"
        if item.measured and (not item.corrected or item.corrected.count < item.measured.count):
            yield f"{item.name}: fewer corrected latencies than measured ones"
        if item.corrected and item.measured and item.corrected.max_ms < item.measured.max_ms:
            yield f"{item.name}: the correction left out its longest wait"
    warm = sum(item.warm_up.count for item in whole if item.warm_up)
    most = sum(row.rps for row in proof.history if row.second < proof.warm_up_s)
    if proof.run.is_load and warm > most:
        yield f"{warm} requests in a warm-up of {proof.warm_up_s:g} s, in which {most:g} were sent"
    for name in ("requests", "failures", "wrong_answers"):
        total, parts = getattr(proof.total, name), sum(getattr(item, name) for item in whole)
        if total != parts:
            yield f"{total} {name.replace('_', ' ')} in all, {parts} at the endpoints"
    told = sum(failure.count for failure in proof.failures)
    if told != proof.total.failures:
        yield f"{proof.total.failures} failures in all, {told} by kind"


def _measure(item: Measure, seconds: float | None) -> Measure:
    """The same measure, with its figures made from its histograms, and the rate of a load from its counts."""
    measured = _latency(item.measured, item.title) if item.measured else None
    rated = item
    if seconds is not None:
        rated = replace(item, rps=measured.count / seconds if measured and seconds > 0 else 0.0)
    return replace(
        rated,
        measured=measured,
        corrected=_latency(item.corrected, item.title) if item.corrected else None,
        warm_up=_latency(item.warm_up, item.title) if item.warm_up else None,
    )


def _seconds(proof: Proof) -> float | None:
    """How long the steady state of a load took; none of benchmarks, whose spans are not kept."""
    run = proof.run
    return min(run.ended - run.started, run.duration_s) - proof.warm_up_s if run.is_load else None


def _steadiness(proof: Proof) -> Steadiness:
    if not proof.run.is_load:
        return NO_LOAD
    medians = [(row.second, row.p50_ms) for row in proof.history if row.p50_ms is not None]
    return find_steady(medians, ramp_seconds(proof.run))


def _latency(latency: Latency, where: str) -> Latency:
    found = _histogram(latency, where).summary()
    if found is None:
        raise Unreadable(f"{where}: an empty histogram")
    return replace(found, histogram=latency.histogram)


def _histogram(latency: Latency, where: str) -> Histogram:
    try:
        return decode(latency.histogram)
    except ValueError as error:
        raise Unreadable(f"{where}: {error}") from error


def _name(block: Block) -> str:
    return f"{block.endpoint}, {block.side} {block.pair}"
