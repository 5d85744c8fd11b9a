"""The gate's table, as the commands print it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from seatrial.contracts.gate import GateDecision

MARKS = {True: "[green]✔[/]", False: "[bold red]✘[/]", None: ""}
DIGEST_SHOWN = 19


def render(decision: "GateDecision") -> "Table":
    """A line a step; a long digest is cut, the JSON has it whole."""
    from rich.markup import escape
    from rich.table import Table

    title = f"{decision.model_id}: {decision.stage} → {decision.new_stage}, by {decision.slo.name} ({decision.mode})"
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for name in ("", "proof", "step", "expected", "received"):
        table.add_column(name, overflow="fold")
    before = ""
    for line in decision.checks:
        need = "" if line.need == before else line.need
        before = line.need
        texts = (escape(_short(text)) for text in (need, line.step, line.expected, line.received))
        table.add_row(MARKS[line.holds], *texts)
    return table


def _short(text: str) -> str:
    return text[:DIGEST_SHOWN] + "…" if text.startswith("sha256:") and " " not in text else text
