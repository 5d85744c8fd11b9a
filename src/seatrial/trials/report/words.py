"""How runs and outcomes are called, wherever they are shown."""

from datetime import UTC, datetime

from seatrial.contracts.proof import Grade, Proof, Verdict
from seatrial.grading.numbers import NOTHING

VERDICTS = {"pass": "PASS", "fail": "FAIL", "not proven": "NOT PROVEN"}


def verdict(found: Verdict) -> str:
    """PASS, PASS (marginal), FAIL or NOT PROVEN."""
    return VERDICTS[found.outcome] + (" (marginal)" if found.marginal else "")


def score(found: Verdict) -> str:
    """The score in per cent, if there is one."""
    return NOTHING if found.score is None else f"{found.score:.0%}"


def what(grade: Grade) -> str:
    """The indicator and where it was taken: `p95_ms`, `p95_ms of POST /predict`."""
    return grade.sli if grade.endpoint == "all" else f"{grade.sli} of {grade.scope}"


def title(proof: Proof) -> str:
    """What was run: `load high`, `open`."""
    run = proof.run
    return run.verb if run.plan == run.verb else f"{run.verb} {run.plan}"


def load(proof: Proof) -> str:
    """How much was asked, in words."""
    run = proof.run
    if run.offered_rps:
        return f"{run.offered_rps:g} requests/s for {run.duration_s:g} s, open loop"
    if run.users or run.verb == "load":
        return f"{run.users} users ({', '.join(run.classes)}) for {run.duration_s:g} s, closed loop"
    if run.verb == "bench":
        return f"{len(proof.endpoints)} benchmarks, {proof.total.requests} requests"
    return f"{proof.total.requests} requests in {run.ended - run.started:.0f} s"


def moment(seconds: float) -> str:
    """A point in time, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def holds(found: bool | None) -> str:  # noqa: FBT001 - a value, not a switch
    """Whether a check holds."""
    return {True: "yes", False: "NO", None: "not measured"}[found]
