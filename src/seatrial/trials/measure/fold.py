"""From samples to measures: one pass over the records of a run, and nothing else."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from seatrial.contracts.proof import Failure, Interval, Measure
from seatrial.contracts.record import WARM_UP, WRONG_ANSWER, Run, Sample
from seatrial.grading.histogram import Histogram, back_filled, curve, merged
from seatrial.grading.measures import ALL, OTHER, Measures, Scope
from seatrial.grading.steady import NO_LOAD, find_steady, ramp_seconds


def fold(samples: Iterable[Sample], run: Run) -> Measures:
    """Measure a run by its records. Warm-up leaves out what was answered in it: who still waited at its end counts."""
    ordered = sorted(samples, key=lambda sample: sample.intended)
    history = tuple(_history(ordered, run)) if run.is_load else ()
    medians = [(interval.second, interval.p50_ms) for interval in history if interval.p50_ms is not None]
    steadiness = find_steady(medians, ramp_seconds(run)) if run.is_load else NO_LOAD
    begin = run.started + steadiness.warm_up_s
    seconds = max(0.0, min(run.ended, run.started + run.duration_s) - begin)
    early, steady = _apart(ordered, begin)
    typical = _median_by_class(steady, run)
    intervals = {name: run.cadence_ms[name] + latency for name, latency in typical.items()}

    every, settled, before = _by_scope(ordered), _by_scope(steady), _by_scope(early)
    distributions = {scope: (*_distributions(settled[scope], intervals), _measured(before[scope])) for scope in every}
    endpoints = tuple(
        _measure(scope, group, settled[scope], seconds if run.is_load else _span(settled[scope]), distributions[scope])
        for scope, group in sorted(every.items())
    )
    mixed = [of for scope, of in distributions.items() if run.is_load and not scope.payload]
    whole = (merged(of[0] for of in mixed), merged(of[1] for of in mixed), merged(of[2] for of in mixed))
    return Measures(
        steadiness=steadiness,
        expected_rps=_expected_rps(typical, run, begin),
        total=_measure(Scope(ALL), ordered, steady, seconds, whole),
        endpoints=endpoints,
        history=history,
        curve=curve(*whole[:2]),
        failures=_failures(ordered, run.started),
    )


def _apart(ordered: Iterable[Sample], begin: float) -> tuple[list[Sample], list[Sample]]:
    """What belongs to the warm-up, and the rest."""
    early: list[Sample] = []
    steady: list[Sample] = []
    for sample in ordered:
        warm = sample.user != WARM_UP and sample.start + sample.latency_ms / 1000 >= begin
        (steady if warm else early).append(sample)
    return early, steady


def _by_scope(samples: Sequence[Sample]) -> defaultdict[Scope, list[Sample]]:
    """Every endpoint; and apart each kind of payload, by its model, where an endpoint was asked for more than one."""
    groups: defaultdict[Scope, list[Sample]] = defaultdict(list)
    models: defaultdict[str, set[str]] = defaultdict(set)
    for sample in samples:
        groups[Scope(sample.endpoint)].append(sample)
        models[sample.endpoint].add(sample.model)
    for sample in samples:
        if len(models[sample.endpoint]) > 1:
            groups[Scope(sample.endpoint, sample.model or OTHER)].append(sample)
    return groups


def _median_by_class(samples: Sequence[Sample], run: Run) -> dict[str, float]:
    latencies: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if sample.user in run.cadence_ms:
            latencies[sample.user].append(sample.latency_ms)
    return {name: float(np.median(values)) for name, values in latencies.items()}


def _distributions(samples: Sequence[Sample], intervals: dict[str, float]) -> tuple[Histogram, Histogram]:
    """As measured, and corrected for coordinated omission."""
    measured, corrected = _measured(samples), Histogram()
    by_user: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_user[sample.user].append(sample)
    for user, group in by_user.items():
        latency = np.array([sample.latency_ms for sample in group])
        late = np.array([(sample.start - sample.intended) * 1000 for sample in group]).clip(min=0)
        corrected.add(latency + late)
        corrected.add(back_filled(latency + late, intervals.get(user, 0.0)))
    return measured, corrected


def _measured(samples: Sequence[Sample]) -> Histogram:
    return Histogram(np.array([sample.latency_ms for sample in samples]))


def _measure(
    scope: Scope,
    samples: Sequence[Sample],
    steady: Sequence[Sample],
    seconds: float,
    histograms: tuple[Histogram, Histogram, Histogram],
) -> Measure:
    good = sum(sample.ok for sample in steady)
    return Measure(
        name=scope.endpoint,
        payload=scope.payload,
        requests=len(samples),
        failures=sum(not sample.ok for sample in samples),
        wrong_answers=sum(sample.fault.startswith(WRONG_ANSWER) for sample in samples),
        rps=len(steady) / seconds if seconds else 0.0,
        goodput_rps=good / seconds if seconds else 0.0,
        bytes=sum(sample.bytes for sample in samples),
        measured=histograms[0].summary(),
        corrected=histograms[1].summary(),
        warm_up=histograms[2].summary(),
    )


def _span(samples: Sequence[Sample]) -> float:
    """Seconds from the first request to the last answer, of what comes one after the other."""
    ends = [sample.start + sample.latency_ms / 1000 for sample in samples]
    return max(ends) - samples[0].start if ends else 0.0


def _expected_rps(typical: Mapping[str, float], run: Run, begin: float) -> float | None:
    """Requests per second of a closed loop: for each class, its users / (mean think time + median latency)."""
    if not run.cadence_ms or not run.classes:
        return None
    beats = [beat.users for beat in run.beats if begin <= beat.time <= run.started + run.duration_s] or [run.users]
    users = _users_by_class(run, sum(beats) / len(beats))
    cadences = {name: run.cadence_ms[name] + typical.get(name, 0.0) for name in users}
    return sum(users[name] * 1000 / cadence for name, cadence in cadences.items() if cadence)


def _users_by_class(run: Run, users: float) -> dict[str, float]:
    """How Locust shares them out: in turn, by the names of the classes."""
    share, rest = divmod(users, len(run.classes))
    return {name: share + min(1.0, max(0.0, rest - turn)) for turn, name in enumerate(sorted(run.classes))}


def _history(ordered: Sequence[Sample], run: Run) -> Iterator[Interval]:
    """One row for each second in which requests were due, from the start to the last of them."""
    if not ordered:
        return
    by_second: dict[int, list[Sample]] = defaultdict(list)
    for sample in ordered:
        by_second[max(0, int(sample.intended - run.started))].append(sample)
    users = _users_by_second(run, max(by_second) + 1)
    for second in range(max(by_second) + 1):
        group = by_second.get(second, [])
        latency = np.array([sample.latency_ms for sample in group])
        p50, p95, p99 = np.percentile(latency, (50, 95, 99)).tolist() if group else (None, None, None)
        failures = sum(not sample.ok for sample in group)
        yield Interval(
            second=second,
            users=users[second],
            rps=float(len(group)),
            failures=failures,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
        )


def _users_by_second(run: Run, seconds: int) -> list[int]:
    """How many users ran in each second: the last beat that is not after it."""
    users, beats, current = [], sorted(run.beats, key=lambda beat: beat.time), 0
    position = 0
    for second in range(seconds):
        while position < len(beats) and beats[position].time < run.started + second + 1:
            current = beats[position].users
            position += 1
        users.append(current)
    return users


def _failures(ordered: Sequence[Sample], started: float) -> tuple[Failure, ...]:
    """Kinds of failure, the most frequent first; faults of one kind differ in what was received."""
    kinds: Counter[tuple[str, str, int]] = Counter()
    first: dict[tuple[str, str, int], Sample] = {}
    for sample in ordered:
        if not sample.ok:
            kind = (sample.endpoint, sample.fault.partition(":")[0], sample.status)
            kinds[kind] += 1
            first.setdefault(kind, sample)
    return tuple(
        Failure(
            endpoint=kind[0],
            fault=first[kind].fault,
            status=kind[2],
            count=count,
            first_second=round(max(0.0, first[kind].start - started), 3),
        )
        for kind, count in kinds.most_common()
    )
