"""A proof in a terminal: verdict, graded table, endpoints, failures, generator. Reads well without colour."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from seatrial.contracts.proof import Proof
from seatrial.trials.report import words

COLOURS = {
    "target": "bold green",
    "acceptable": "green",
    "marginal": "yellow",
    "poor": "bold red",
    "not proven": "magenta",
    "not measured": "dim",
    "unverifiable": "dim",
}
OUTCOMES = {"pass": "bold white on green", "fail": "bold white on red", "not proven": "bold white on magenta"}
SHOWN_FAILURES = 10


def render(proof: Proof) -> RenderableType:
    """All of it, for a console of 80 columns or more."""
    return Group(*_parts(proof))


def _parts(proof: Proof) -> Iterator[RenderableType]:
    yield Text()
    yield _banner(proof)
    yield Text(f"{words.load(proof)}; {proof.run.target}", style="dim")
    for change in proof.run.changed:
        yield Text(f"changed: {change}", style="yellow")
    for reason in proof.verdict.reasons:
        yield Text(f"  • {reason}")
    if proof.grades:
        yield Text()
        yield _grades(proof)
    if proof.comparisons:
        yield Text()
        yield _comparisons(proof)
    if proof.answers:
        yield Text()
        yield _answers(proof)
    if proof.endpoints:
        yield Text()
        yield _endpoints(proof)
    yield from _failures(proof)
    yield Text()
    yield _checks(proof)


def _banner(proof: Proof) -> Text:
    verdict = proof.verdict
    text = Text(f" {words.verdict(verdict)} ", style=OUTCOMES[verdict.outcome])
    text.append(f"  {words.title(proof)}, graded by {proof.slo.name}", style="not bold default on default")
    if verdict.score is not None:
        text.append(f", score {words.score(verdict)}", style="not bold default on default")
    return text


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index < left else "right", overflow="fold")
    return table


def _grades(proof: Proof) -> Table:
    table = _table("objective", "value", "measured", "target", "acceptable", "grade")
    for grade in proof.grades:
        shown = f"{grade.grade}: {grade.reason}" if grade.reason else grade.grade
        table.add_row(
            escape(words.what(grade)) + (" *" if grade.critical else ""),
            words.value(grade.value, grade.unit),
            words.value(grade.measured, grade.unit),
            grade.target or words.NOTHING,
            grade.acceptable or words.NOTHING,
            Text(shown, style=COLOURS[grade.grade]),
        )
    table.caption = "* critical. Latency is graded as corrected for coordinated omission; measured is what users saw."
    table.caption_justify = "left"
    return table


def _endpoints(proof: Proof) -> Table:
    table = _table("endpoint (ms)", "requests", "failed", "req/s", "p50", "p95", "p99", "corrected p95", "p99")
    for row in (*proof.endpoints, proof.total):
        seen, full = row.measured, row.corrected
        table.add_row(
            escape(row.name),
            str(row.requests),
            Text(str(row.failures), style="bold red" if row.failures else ""),
            words.rate(row.rps),
            *((words.ms(seen.p50_ms), words.ms(seen.p95_ms), words.ms(seen.p99_ms)) if seen else [words.NOTHING] * 3),
            *((words.ms(full.p95_ms), words.ms(full.p99_ms)) if full else [words.NOTHING] * 2),
        )
    return table


def _failures(proof: Proof) -> Iterator[RenderableType]:
    if not proof.failures:
        return
    table = _table("failures", "count", "first at", left=1)
    for failure in proof.failures[:SHOWN_FAILURES]:
        told = f"{failure.endpoint}: {failure.fault}"
        table.add_row(escape(told), str(failure.count), f"{failure.first_second:.1f} s")
    yield Text()
    yield table
    if (left := len(proof.failures) - SHOWN_FAILURES) > 0:
        yield Text(f"and {left} more kinds", style="dim")


def _comparisons(proof: Proof) -> Table:
    table = _table(
        "against the champion", "pairs", "champion", "candidate", "ratio", "95 % interval", "limit", "outcome"
    )
    for item in proof.comparisons:
        table.add_row(
            escape(f"{item.sli} of {item.endpoint}"),
            str(item.pairs),
            words.ms(item.champion),
            words.ms(item.candidate),
            f"{item.ratio:.3f}",
            f"{item.low:.3f} to {item.high:.3f}",
            f"{item.limit:.2f}",
            item.outcome,
        )
    return table


def _answers(proof: Proof) -> Table:
    table = _table("known answers", "check", "right", "worst difference", "tolerance", left=2)
    for item in proof.answers:
        style = "" if item.right == item.cases else "bold red"
        table.add_row(
            escape(item.model_id),
            escape(item.check),
            Text(f"{item.right} of {item.cases}", style=style),
            f"{item.worst:.3g}",
            f"{item.tolerance:g}",
        )
    return table


def _checks(proof: Proof) -> Table:
    table = _table("run and generator", "received", "expected", "holds", left=3)
    for check in proof.checks:
        style = {True: "green", False: "bold red", None: "dim"}[check.holds]
        table.add_row(escape(check.name), check.received, check.expected, Text(words.holds(check.holds), style=style))
    return table
