"""`summary.md`: what a CI system shows beside the run."""

from collections.abc import Iterator

from seatrial.contracts.proof import Proof
from seatrial.trials.report import layout, words

SIGNS = {"pass": "✅", "fail": "❌", "not proven": "❔"}
GRADE_SIGNS = {"target": "✅", "acceptable": "✅", "marginal": "⚠️", "poor": "❌", "not proven": "❔"}


def summary(proof: Proof) -> str:
    """The verdict, the reasons, and every table."""
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
    for sheet in layout.sheets(proof):
        yield from _table(sheet.narrow())


def _table(sheet: layout.Sheet) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(column.name for column in sheet.columns)} |"
    yield f"|{'|'.join('---' if column.left else '---:' for column in sheet.columns)}|"
    for row in sheet.rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"


def _cell(cell: str | layout.Cell) -> str:
    if isinstance(cell, str):
        return _plain(cell)
    text = _plain(f"{cell.text}: {cell.more}" if cell.more else cell.text)
    return f"{GRADE_SIGNS.get(cell.tone, '')} {text}".strip()


def _plain(text: str) -> str:
    """Text that stays text: what a target answered may hold any sign."""
    for sign in "\\`|<>*[]#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"
