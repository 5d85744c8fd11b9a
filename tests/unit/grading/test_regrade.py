"""Grading somebody else's proof: only histograms and counts are believed, and those must be of one run."""

import base64
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.fakes.runs import bench, closed_loop, open_loop, pairs, run, stalled, steady

from seatrial.contracts.proof import Latency, Measure, Proof
from seatrial.grading.histogram import Histogram, decode
from seatrial.grading.regrade import Unreadable, asked, contradictions, regrade, requests_of
from seatrial.grading.spec import read_slo
from seatrial.trials.measure.prove import prove

DEFAULT, STRICT = read_slo("default"), read_slo("strict")
RUNS: dict[str, Callable[[], Proof]] = {
    "load": lambda: prove(run(), closed_loop(run(), steady), DEFAULT),
    "stalled": lambda: prove(run(), closed_loop(run(), stalled), DEFAULT),
    "open": lambda: prove(*open_loop(100, 20), DEFAULT),
    "bench": lambda: prove(*bench(), DEFAULT, pairs(1.0)),
}


def load() -> Proof:
    return RUNS["load"]()


def first(proof: Proof) -> tuple[Measure, Latency]:
    measure = proof.endpoints[0]
    assert measure.measured
    return measure, measure.measured


@pytest.mark.parametrize("kind", RUNS)
def test_an_honest_proof_is_graded_as_it_was(kind: str) -> None:
    """By the same file: the same checks, grades, comparisons and verdict, and no contradiction."""
    proof = RUNS[kind]()
    again = regrade(proof, DEFAULT)

    assert (again.checks, again.grades, again.comparisons) == (proof.checks, proof.grades, proof.comparisons)
    assert (again.verdict, list(contradictions(proof))) == (proof.verdict, [])


def test_another_file_decides_anew() -> None:
    """What the floors let pass, a stricter limit does not."""
    lax = RUNS["stalled"]()
    objective = replace(STRICT.document.objective[0], plan="high", sli="p95_ms", target="<= 1", acceptable=None)
    strict = replace(STRICT, document=replace(STRICT.document, objective=(objective,)))

    assert regrade(lax, strict).verdict.outcome == "fail"
    assert regrade(load(), DEFAULT).verdict.outcome == "pass"


def test_figures_beside_the_histograms_are_not_believed() -> None:
    """A percentile, a grade, a verdict and a rate that were written by hand: all are made anew."""
    honest = RUNS["stalled"]()
    total = honest.total
    assert total.corrected
    edited = replace(
        honest,
        total=replace(total, corrected=replace(total.corrected, p95_ms=1.0, p99_ms=1.0), rps=1e6),
        grades=tuple(replace(grade, grade="target") for grade in honest.grades),
        verdict=replace(honest.verdict, outcome="pass"),
    )

    assert regrade(edited, DEFAULT) == regrade(honest, DEFAULT)
    assert regrade(edited, DEFAULT).verdict.outcome == "fail"


def test_a_total_that_was_written_by_hand_is_not_believed() -> None:
    """It is what plans are graded by: its latencies are those of all endpoints together."""
    honest = RUNS["stalled"]()
    fast = Histogram(np.full(honest.total.requests, 1.0)).summary()
    forged = replace(honest, total=replace(honest.total, measured=fast, corrected=fast, warm_up=None))

    assert regrade(forged, DEFAULT) == regrade(honest, DEFAULT)
    assert regrade(forged, DEFAULT).verdict.outcome == "fail"


def test_the_rate_of_a_benchmark_is_no_more_than_its_callers_can_ask() -> None:
    """Ten at once, each of whom waits for the answer: 10 ms each make a thousand a second."""
    proof = RUNS["bench"]()
    claimed = replace(proof, endpoints=tuple(replace(item, rps=1e6) for item in proof.endpoints))

    assert max(item.rps for item in regrade(claimed, DEFAULT).endpoints) == pytest.approx(1000, rel=0.01)


def test_what_was_asked_is_every_request() -> None:
    """Those of the warm-up and of the blocks too, each with its latency."""
    for make in RUNS.values():
        proof = make()
        found = asked(proof)
        blocks = sum(block.latency.count for block in proof.blocks)
        requests = [item.requests for item in found.values()]

        assert requests == [item.latency.count for item in found.values()]
        assert sum(requests) == requests_of(proof) == proof.total.requests + blocks
        assert {(item.unanswered, item.refused) for item in found.values()} == {(0, 0)}


def left_out(proof: Proof) -> Proof:
    """A histogram from which the slow half was taken."""
    measure, measured = first(proof)
    return replace(proof, endpoints=(replace(measure, measured=replace(measured, count=measured.count // 2)),))


def uncorrected(proof: Proof) -> Proof:
    measure, measured = first(proof)
    return replace(proof, endpoints=(replace(measure, corrected=replace(measured, max_ms=measured.max_ms / 2)),))


def hidden(proof: Proof) -> Proof:
    measure, _ = first(proof)
    return replace(proof, endpoints=(replace(measure, failures=3),))


def slow_ones_called_warm_up(proof: Proof) -> Proof:
    """Half of all requests, none of them from the ramp."""
    measure, measured = first(proof)
    half = Histogram(np.full(measure.requests // 2, 5.0)).summary()
    rest = Histogram(np.full(measure.requests - measure.requests // 2, 5.0)).summary()
    return replace(proof, endpoints=(replace(measure, warm_up=half, measured=rest, corrected=measured),))


def untold(proof: Proof) -> Proof:
    measure, _ = first(proof)
    return replace(proof, endpoints=(replace(measure, failures=3),), total=replace(proof.total, failures=3))


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (left_out, "POST /predict: 2804 requests, and latencies of"),
        (uncorrected, "POST /predict: the correction left out its longest wait"),
        (hidden, "0 failures in all, 3 at the endpoints"),
        (slow_ones_called_warm_up, "1402 requests in a warm-up of 10 s, in which "),
        (untold, "3 failures in all, 0 by kind"),
    ],
)
def test_contradictions_are_told(edit: Callable[[Proof], Proof], told: str) -> None:
    """Counts and histograms that cannot be of one run."""
    assert next(contradictions(edit(load()))).startswith(told)


def wrapped(content: bytes) -> str:
    packed = zlib.compress(content)
    return base64.b64encode(struct.pack(">II", 0x1C849304, len(packed)) + packed).decode()


@pytest.mark.parametrize(
    "text",
    ["", "x", "AAAA", "HISTFAAAAA==", "é", wrapped(b"a" * 100), wrapped(b"\0" * 10**7)],
    ids=["empty", "no base64", "short", "cut off", "no ASCII", "no histogram", "unpacks to megabytes"],
)
def test_what_is_no_histogram_is_told(text: str) -> None:
    """And is not unpacked without end."""
    measure, measured = first(load())
    forged = replace(load(), endpoints=(replace(measure, measured=replace(measured, histogram=text)),))

    with pytest.raises(ValueError, match="no HdrHistogram"):
        decode(text)
    with pytest.raises(Unreadable, match="POST /predict: no HdrHistogram"):
        regrade(forged, DEFAULT)
    with pytest.raises(Unreadable, match="POST /predict: no HdrHistogram"):
        asked(forged)
