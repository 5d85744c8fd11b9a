"""What must hold for a run to count at all: the generator's certificate, and that there was a run."""

from collections.abc import Iterator
from http import HTTPStatus

from seatrial.contracts.proof import Check
from seatrial.contracts.record import Run
from seatrial.grading.measures import Measures
from seatrial.grading.numbers import value

MOST_OF_CEILING = 0.8
LEAST_ACHIEVED = 0.98
LEAST_LAG_MS = 1.0
LAG_SHARE = 0.05
USERS_LAG_MS = 5.0
MOST_CPU = 0.8
MOST_STEAL = 0.05
STEADY = "steady state"
LAG = "dispatch lag p99"
DOUBTS = frozenset({STEADY, LAG})
"""The checks without which a run may fail, but not pass."""


def check(run: Run, measures: Measures) -> tuple[Check, ...]:
    """Every check of a run, in the order in which they are told."""
    return tuple(_checks(run, measures))


def _checks(run: Run, measures: Measures) -> Iterator[Check]:
    requests = measures.total.requests
    yield Check(name="requests", holds=requests > 0, received=str(requests), expected="at least 1")
    faults = run.generator.faults
    yield Check(name="generator ran whole", holds=not faults, received="; ".join(faults) or "yes", expected="no fault")
    yield from _limits(measures)
    if run.verb == "golden":
        return
    yield from _generator(run, measures)
    if run.is_load:
        steady = measures.steadiness
        yield Check(name=STEADY, holds=bool(steady.steady), received=steady.told, expected="within 1.5 times, or 1 ms")


def _limits(measures: Measures) -> Iterator[Check]:
    """Whoever is refused for asking too often measures the limit, and not the service."""
    limited = sum(failure.count for failure in measures.failures if failure.status == HTTPStatus.TOO_MANY_REQUESTS)
    if limited:
        yield Check(
            name="within the caller's limits",
            holds=False,
            received=f"{limited} of {measures.total.requests} answers were 429",
            expected="none: ask with a key whose limits allow the load (--api-key), or raise them at the target",
        )


def _generator(run: Run, measures: Measures) -> Iterator[Check]:
    """The generator's certificate.

    Benchmarks have no rate to reach and no schedule to keep: who asks again as soon as an answer is there can only be
    slow, which counts against the service. A client busier than the service measures itself all the same.
    """
    if run.is_load:
        yield from _schedule(run, measures)
    yield _at_most("CPU of a generator process", run.generator.cpu, MOST_CPU, "%")
    yield _at_most("steal", run.generator.steal, MOST_STEAL, "%")


def _schedule(run: Run, measures: Measures) -> Iterator[Check]:
    generator = run.generator
    rate = max(measures.total.rps, run.offered_rps or 0.0)
    ceiling = generator.ceiling_rps
    yield Check(
        name="rate within the generator's ceiling",
        holds=None if ceiling is None else rate <= MOST_OF_CEILING * ceiling,
        received=f"{rate:.0f} of {'?' if ceiling is None else f'{ceiling:.0f}'} requests/s",
        expected=f"at most {MOST_OF_CEILING:.0%} of it",
    )
    if run.offered_rps:
        offered = run.offered_rps * run.duration_s
        achieved = min(measures.total.requests, generator.in_time or 0) / offered
        yield Check(
            name="achieved / offered",
            holds=achieved >= LEAST_ACHIEVED,
            received=f"{achieved:.3f}",
            expected=f"at least {LEAST_ACHIEVED}",
        )
    yield _at_most(LAG, generator.lag_p99_ms, _most_lag(run, measures), "ms")


def _most_lag(run: Run, measures: Measures) -> float:
    """1 ms, or 5 % of the median latency; 5 ms for users who think: it counts against the service, never for it."""
    median = measures.total.measured.p50_ms if measures.total.measured else 0.0
    return max(USERS_LAG_MS if run.cadence_ms else LEAST_LAG_MS, LAG_SHARE * median)


def _at_most(name: str, received: float | None, limit: float, unit: str) -> Check:
    expected = f"at most {value(limit, unit)}"
    if received is None:
        return Check(name=name, holds=None, received="not measured", expected=expected)
    return Check(name=name, holds=received <= limit, received=value(received, unit), expected=expected)
