"""A proof in a terminal: verdict, graded table, endpoints, failures, generator. Reads well without colour."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seatrial.contracts.proof import Proof
from seatrial.trials.report import layout, words

COLOURS = {
    "": "",
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
    for sheet in layout.sheets(proof):
        yield Text()
        yield from table(sheet)
        if len(sheet.rows) > SHOWN_FAILURES and sheet.title == layout.FAILURES:
            yield Text(f"and {len(sheet.rows) - SHOWN_FAILURES} more kinds", style="dim")


def _banner(proof: Proof) -> Text:
    verdict = proof.verdict
    text = Text(f" {words.verdict(verdict)} ", style=OUTCOMES[verdict.outcome])
    text.append(f"  {words.title(proof)}, graded by {proof.slo.name}", style="not bold default on default")
    if verdict.score is not None:
        text.append(f", score {words.score(verdict)}", style="not bold default on default")
    return text


def table(sheet: layout.Sheet) -> Iterator[RenderableType]:
    """A table, and the note below it."""
    shown = sheet.narrow()
    found = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in shown.columns:
        found.add_column(column.name, justify="left" if column.left else "right", overflow="fold")
    rows = shown.rows[:SHOWN_FAILURES] if sheet.title == layout.FAILURES else shown.rows
    for row in rows:
        found.add_row(*(_cell(cell) for cell in row))
    yield found
    if sheet.note:
        yield Text(sheet.note, style="dim")


def _cell(cell: str | layout.Cell) -> Text:
    if isinstance(cell, str):
        return Text(cell)
    return Text(f"{cell.text}: {cell.more}" if cell.more else cell.text, style=COLOURS[cell.tone])
