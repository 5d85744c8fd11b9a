"""Grade somebody else's proof by one's own SLO file, from its histograms and counts: its figures are not believed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from seatrial.contracts.proof import Block, Failure, Latency, Measure, Proof, SloUsed
from seatrial.grading.histogram import Histogram, decode, merged
from seatrial.grading.judge import judge
from seatrial.grading.measures import Measures, Steadiness
from seatrial.grading.steady import NO_LOAD, find_steady, ramp_seconds

WARM_UP_REQUESTS = 20
"""Requests by which a benchmark warms up."""
MOST_CALLERS = 10
"""Callers of a benchmark at once, by whom its rate is bounded, given how long each waits."""
ROUNDING_S = 0.001


PAIRS = "pairs"
"""The phase of a run in which a candidate and the champion are asked in turn."""
_KIT_NAMES = dict.fromkeys(("concurrent requests", "throughput", "consistency"), "POST /predict")
"""Endpoints as benchmarks call them, and what they ask."""
Place = tuple[str, str]
"""Phase, empty but for pairs, and endpoint."""


class Unreadable(ValueError):
    """A proof that cannot be graded; the text says where, and why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a proof says was asked of a place: requests, those refused with a status of 400 or above, and latencies.

    `latency` holds every request that is counted, warm-up included, as measured. `unanswered` got none.
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
    endpoints = tuple(_measure(item, _seconds(proof)) for item in proof.endpoints)
    measures = Measures(
        steadiness=_steadiness(proof),
        expected_rps=proof.expected_rps,
        total=_whole(proof, endpoints),
        endpoints=endpoints,
        history=proof.history,
        curve=proof.curve,
        failures=proof.failures,
    )
    blocks = tuple(replace(block, latency=_latency(block.latency, _name(block))) for block in proof.blocks)
    return judge(run, measures, slo, blocks, proof.answers)


def asked(proof: Proof) -> dict[Place, Asked]:
    """What the target must have seen, by phase and endpoint. Raises `Unreadable` as `regrade` does."""
    found: dict[Place, Asked] = {}
    for item in proof.endpoints:
        if not item.payload:
            parts = [latency for latency in (item.measured, item.warm_up) if latency]
            own = [failure for failure in proof.failures if failure.endpoint == item.name]
            _add(found, ("", seen_as(item.name)), _asked(item.requests, own, parts, item.title))
    for block in proof.blocks:
        _add(found, (PAIRS, seen_as(block.endpoint)), _asked(block.latency.count, (), [block.latency], _name(block)))
    return found


def seen_as(endpoint: str) -> str:
    """The endpoint that the target sees where benchmarks have a name of their own for it."""
    return _KIT_NAMES.get(endpoint, endpoint)


def requests_of(proof: Proof) -> int:
    """How many requests a proof tells of."""
    own = sum(item.requests for item in proof.endpoints if not item.payload)
    return own + sum(block.latency.count for block in proof.blocks)


def _asked(requests: int, failures: Sequence[Failure], parts: Sequence[Latency], where: str) -> Asked:
    return Asked(
        requests=requests,
        unanswered=sum(failure.count for failure in failures if not failure.status),
        refused=sum(failure.count for failure in failures if failure.status >= 400),  # noqa: PLR2004 - HTTP
        latency=merged(_histogram(part, where) for part in parts),
    )


def _add(found: dict[Place, Asked], place: Place, more: Asked) -> None:
    before = found.get(place)
    if before is None:
        found[place] = more
        return
    before.latency.merge(more.latency)
    found[place] = Asked(
        requests=before.requests + more.requests,
        unanswered=before.unanswered + more.unanswered,
        refused=before.refused + more.refused,
        latency=before.latency,
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
    yield from _of_warm_up(proof, whole)
    for name in ("requests", "failures", "wrong_answers"):
        total, parts = getattr(proof.total, name), sum(getattr(item, name) for item in whole)
        if total != parts:
            yield f"{total} {name.replace('_', ' ')} in all, {parts} at the endpoints"
    told = sum(failure.count for failure in proof.failures)
    if told != proof.total.failures:
        yield f"{proof.total.failures} failures in all, {told} by kind"


def _of_warm_up(proof: Proof, whole: Sequence[Measure]) -> Iterator[str]:
    """What is called warm-up is not graded: of a load it ends where its history says, else it is a few requests."""
    warm = sum(item.warm_up.count for item in whole if item.warm_up)
    ends = _steadiness(proof).warm_up_s
    if abs(proof.warm_up_s - ends) > ROUNDING_S:
        yield f"a warm-up of {proof.warm_up_s:g} s, where its history shows one of {ends:g} s"
    if proof.run.is_load:
        most = sum(row.rps for row in proof.history if row.second < proof.warm_up_s)
    else:
        most = len(whole) * WARM_UP_REQUESTS
    if warm > most:
        yield f"{warm} requests in a warm-up of {proof.warm_up_s:g} s, in which {most:g} were sent"


def _whole(proof: Proof, endpoints: Sequence[Measure]) -> Measure:
    """The measure of the whole run; of a load its latencies are those of all endpoints together."""
    if not proof.run.is_load:
        return replace(proof.total, measured=None, corrected=None, warm_up=None, rps=0.0)
    own = [item for item in endpoints if not item.payload]
    together = replace(
        proof.total,
        measured=_together(item.measured for item in own),
        corrected=_together(item.corrected for item in own),
        warm_up=_together(item.warm_up for item in own),
    )
    return _measure(together, _seconds(proof))


def _together(parts: Iterable[Latency | None]) -> Latency | None:
    return merged(decode(part.histogram) for part in parts if part).summary()


def _measure(item: Measure, seconds: float | None) -> Measure:
    """The same measure, with its figures made from its histograms, and the rate of a load from its counts."""
    measured = _latency(item.measured, item.title) if item.measured else None
    if seconds is not None:
        rps = measured.count / seconds if measured and seconds > 0 else 0.0
    else:
        rps = min(item.rps, MOST_CALLERS * 1000 / measured.mean_ms) if measured else 0.0
    return replace(
        item,
        rps=rps,
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
