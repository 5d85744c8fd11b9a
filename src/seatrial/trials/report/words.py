"""How numbers and outcomes are written, wherever they are shown."""

from datetime import UTC, datetime

from seatrial.contracts.proof import Grade, Proof, Verdict

VERDICTS = {"pass": "PASS", "fail": "FAIL", "not proven": "NOT PROVEN"}
NOTHING = "–"
MANY = 100.0
SOME = 10.0


def verdict(found: Verdict) -> str:
    """PASS, PASS (marginal), FAIL or NOT PROVEN."""
    return VERDICTS[found.outcome] + (" (marginal)" if found.marginal else "")


def score(found: Verdict) -> str:
    """The score in per cent, if there is one."""
    return NOTHING if found.score is None else f"{found.score:.0%}"


def ms(value: float | None) -> str:
    """Milliseconds with three significant digits, thousands set apart."""
    if value is None:
        return NOTHING
    if value >= MANY:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= SOME else f"{value:.2f}"


def rate(value: float) -> str:
    """Requests a second."""
    return f"{value:,.1f}".replace(",", " ")


def value(number: float | None, unit: str) -> str:
    """A value with its unit."""
    if number is None:
        return NOTHING
    if unit == "%":
        return f"{number * 100:.3g} %"
    if unit == "ms":
        return f"{ms(number)} ms"
    return f"{number:,.5g} {unit}".rstrip().replace(",", " ")


def what(grade: Grade) -> str:
    """The indicator and where it was taken: `p95_ms`, `p95_ms of POST /predict`."""
    return grade.sli if grade.endpoint == "all" else f"{grade.sli} of {grade.endpoint}"


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
    return f"{proof.total.requests} requests in {run.ended - run.started:.0f} s"


def moment(seconds: float) -> str:
    """A point in time, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def holds(found: bool | None) -> str:  # noqa: FBT001 - a value, not a switch
    """Whether a check holds."""
    return {True: "yes", False: "NO", None: "not measured"}[found]
