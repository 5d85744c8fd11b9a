"""A proof against what the server knows: each line on which they may differ."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.fakes.evidence import NOW, SERVING, SLO, TRIAL, a_proof, a_trial, counted
from tests.fakes.models import a_manifest, a_version

from seatrial.contracts.gate import GateCheck
from seatrial.contracts.proof import Failure, Proof
from seatrial.grading.histogram import Histogram
from seatrial.server.registry.agreement import agree
from seatrial.server.registry.evidence import Tally, Trial, read_header
from seatrial.server.registry.model import ModelVersion, Stage

MANIFEST = a_manifest(name="digits", classes=(0, 1))
SECOND, OTHER = a_version(MANIFEST, 2, Stage.STAGING), a_version(MANIFEST, 3, Stage.DEV)
ANOTHER = replace(MANIFEST, digest="sha256:" + "a" * 64)
PROOFS = {need: a_proof(need, SECOND) for need in ("load.smoke", "load.high", "golden", "bench")}


def lines(  # noqa: PLR0913 - what may be wrong
    proof: Proof = PROOFS["load.high"],
    *,
    version: ModelVersion = SECOND,
    trial: Trial | None = None,
    unknown: bool = False,
    tallies: tuple[Tally, ...] | None = None,
    serving: str = SERVING,
    slo: str = SLO.digest,
    now: float = NOW,
) -> tuple[GateCheck, ...]:
    known = None if unknown else trial or a_trial(SECOND)
    seen = counted(proof, SECOND) if tallies is None else tallies
    return agree(proof, version, known, lambda: seen, serving, slo, now)


@pytest.mark.parametrize("need", PROOFS)
def test_an_honest_proof_agrees_on_every_line(need: str) -> None:
    """Of each kind."""
    found = lines(PROOFS[need])

    assert {line.holds for line in found} == {True}
    assert [line.step for line in found][:3] == ["trial", "subject", "trial is open"]


def slower(tally: Tally, factor: float) -> Tally:
    values = np.full(tally.requests, 5.0 * factor)
    return replace(tally, histogram=Histogram(values).encoded())


HIGH = PROOFS["load.high"]
ONE = counted(HIGH, SECOND)[0]


BENCH = PROOFS["bench"]


def relabelled() -> Proof:
    """Health checks are called predictions, and predictions something else."""
    names = {"GET /health": "POST /predict", "POST /predict": "GET /health"}
    swapped = tuple(replace(item, name=names.get(item.name, item.name)) for item in BENCH.endpoints)
    first, *rest = swapped
    assert first.measured
    fewer = Histogram(np.full(100, 10.0)).summary()
    return replace(
        BENCH,
        endpoints=(replace(first, requests=100, measured=fewer, corrected=fewer), *rest),
        total=replace(BENCH.total, requests=BENCH.total.requests - first.requests + 100),
    )


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("trial", lambda: lines(unknown=True)),
        ("subject", lambda: lines(trial=a_trial(OTHER))),
        ("subject", lambda: lines(version=OTHER)),
        ("subject", lambda: lines(replace(HIGH, run=replace(HIGH.run, model="digits:3")))),
        ("trial is open", lambda: lines(trial=a_trial(SECOND, closed=True))),
        ("trial is open", lambda: lines(now=NOW + 7200)),
        ("plan", lambda: lines(replace(BENCH, run=replace(BENCH.run, plan="x")), tallies=counted(BENCH, SECOND))),
        ("records", lambda: lines(replace(HIGH, warm_up_s=58.0))),
        ("requests", lambda: lines(relabelled(), tallies=counted(BENCH, SECOND))),
        ("latency", lambda: lines(BENCH, tallies=tuple(slower(tally, 3.0) for tally in counted(BENCH, SECOND)))),
        (
            "model digest",
            lambda: lines(version=replace(SECOND, manifest=replace(MANIFEST, digest="sha256:" + "a" * 64))),
        ),
        ("serving config digest", lambda: lines(serving="sha256:" + "b" * 64)),
        ("serving config digest", lambda: lines(serving="")),
        ("SLO digest", lambda: lines(slo="sha256:" + "c" * 64)),
        ("records", lambda: lines(replace(HIGH, total=replace(HIGH.total, failures=1)))),
        ("requests", lambda: lines(tallies=())),
        ("requests", lambda: lines(tallies=(replace(ONE, requests=int(ONE.requests * 0.98)),))),
        ("requests", lambda: lines(tallies=(replace(ONE, requests=int(ONE.requests * 1.02)),))),
        ("errors", lambda: lines(tallies=(replace(ONE, errors=1),))),
        ("latency", lambda: lines(tallies=(slower(ONE, 1.1),))),
        ("duration", lambda: lines(tallies=(replace(ONE, last=ONE.first + 40),))),
    ],
)
def test_the_first_line_that_differs_ends_the_table(step: str, found: Callable[[], tuple[GateCheck, ...]]) -> None:
    """It says what was expected, and what came."""
    table = found()

    assert (table[-1].step, table[-1].holds) == (step, False)
    assert {line.holds for line in table[:-1]} <= {True}
    assert table[-1].expected != table[-1].received


def test_counts_may_differ_by_one_percent() -> None:
    """Not by more; requests that got no answer may or may not have been seen."""
    close = replace(ONE, requests=int(ONE.requests * 0.991))
    lost = Failure(endpoint="POST /predict", fault="no answer: none", status=0, count=900, first_second=1.0)
    total = replace(HIGH.total, failures=900)
    unseen = replace(HIGH, failures=(lost,), total=total, endpoints=(replace(HIGH.endpoints[0], failures=900),))

    assert lines(tallies=(close,))[-1].holds
    assert lines(unseen, tallies=(replace(ONE, requests=ONE.requests - 900),))[-1].holds


def test_errors_that_were_counted_must_be_told() -> None:
    """And those that are told must have been counted."""
    told = Failure(endpoint="POST /predict", fault="status 500", status=500, count=50, first_second=1.0)
    total = replace(HIGH.total, failures=50)
    honest = replace(HIGH, failures=(told,), total=total, endpoints=(replace(HIGH.endpoints[0], failures=50),))

    assert lines(honest, tallies=(replace(ONE, errors=50),))[-1].holds
    assert lines(honest, tallies=(ONE,))[-1].step == "errors"


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (TRIAL, (TRIAL, "")),
        (f"{TRIAL}/pairs", (TRIAL, "pairs")),
        (TRIAL.upper(), None),
        (f"{TRIAL}/", None),
        (f"{TRIAL}/Pairs", None),
        (f"{TRIAL}0", None),
        ("", None),
    ],
)
def test_the_header_of_a_trial(header: str, read: tuple[str, str] | None) -> None:
    """32 digits of hex, and perhaps the name of a phase."""
    assert read_header(header) == read
