"""`summary.md`: what a CI system shows beside the run."""

from collections.abc import Iterable, Iterator, Sequence

from seatrial.contracts.proof import Proof
from seatrial.trials.report import words

SIGNS = {"pass": "✅", "fail": "❌", "not proven": "❔"}
GRADE_SIGNS = {"target": "✅", "acceptable": "✅", "marginal": "⚠️", "poor": "❌", "not proven": "❔"}


def summary(proof: Proof) -> str:
    """The verdict, the reasons, the table, the endpoints and the failures."""
    return "\n".join(_lines(proof)) + "\n"


def _lines(proof: Proof) -> Iterator[str]:
    verdict = proof.verdict
    yield f"## {SIGNS[verdict.outcome]} {words.verdict(verdict)}: {words.title(proof)}"
    yield ""
    yield f"{words.load(proof)}; {_code(proof.run.target)}; score {words.score(verdict)}; SLO {_code(proof.slo.name)}."
    yield from (f"Changed: {change}." for change in proof.run.changed)
    if verdict.reasons:
        yield ""
        yield from (f"- {_plain(reason)}" for reason in verdict.reasons)
    if proof.grades:
        yield from _table(("objective", "value", "measured", "target", "acceptable", "grade"), _grades(proof))
    if proof.comparisons:
        yield from _table(("against the champion", "ratio", "95 % interval", "limit", "outcome"), _comparisons(proof))
    if proof.answers:
        yield from _table(("known answers", "check", "right"), _answers(proof))
    if proof.endpoints:
        columns = ("endpoint", "requests", "failed", "req/s", "p50 ms", "p95 ms", "p99 ms", "corrected p99 ms")
        yield from _table(columns, _endpoints(proof))
    if proof.failures:
        yield from _table(("failure", "count", "first at"), _failures(proof))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield "|---" + "|---:" * (len(columns) - 1) + "|"
    for row in rows:
        yield f"| {' | '.join(_plain(cell) for cell in row)} |"


def _grades(proof: Proof) -> Iterator[Sequence[str]]:
    for grade in proof.grades:
        yield (
            words.what(grade) + (" (critical)" if grade.critical else ""),
            words.value(grade.value, grade.unit),
            words.value(grade.measured, grade.unit),
            grade.target or words.NOTHING,
            grade.acceptable or words.NOTHING,
            f"{GRADE_SIGNS.get(grade.grade, '')} {grade.grade}{f': {grade.reason}' if grade.reason else ''}".strip(),
        )


def _comparisons(proof: Proof) -> Iterator[Sequence[str]]:
    for item in proof.comparisons:
        interval = f"{item.low:.3f} to {item.high:.3f}"
        yield f"{item.sli} of {item.endpoint}", f"{item.ratio:.3f}", interval, f"{item.limit:.2f}", item.outcome


def _answers(proof: Proof) -> Iterator[Sequence[str]]:
    for item in proof.answers:
        yield item.model_id, item.check, f"{item.right} of {item.cases}"


def _endpoints(proof: Proof) -> Iterator[Sequence[str]]:
    for row in (*proof.endpoints, proof.total):
        seen = row.measured
        figures = (
            (words.ms(seen.p50_ms), words.ms(seen.p95_ms), words.ms(seen.p99_ms)) if seen else (words.NOTHING,) * 3
        )
        corrected = words.ms(row.corrected.p99_ms) if row.corrected else words.NOTHING
        yield row.name, str(row.requests), str(row.failures), words.rate(row.rps), *figures, corrected


def _failures(proof: Proof) -> Iterator[Sequence[str]]:
    for failure in proof.failures:
        yield f"{failure.endpoint}: {failure.fault}", str(failure.count), f"{failure.first_second:.1f} s"


def _plain(text: str) -> str:
    """Text that stays text: what a target answered may hold any sign."""
    for sign in "\\`|<>*[]#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"
