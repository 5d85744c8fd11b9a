"""Two runs side by side: what differs between them, and the ratio of each figure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Group, RenderableType
from rich.text import Text

from seatrial.contracts.proof import Measure, Proof
from seatrial.grading.numbers import ms
from seatrial.trials.report import words
from seatrial.trials.report.html import comparison
from seatrial.trials.report.layout import Column, Sheet
from seatrial.trials.report.text import table

FIGURES = ("mean_ms", "p50_ms", "p95_ms", "p99_ms")
SCHEMA = "seatrial/comparison/v1"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one endpoint in both runs; corrected latency. `ratio` is second / first."""

    endpoint: str
    figure: str
    first: float
    second: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Two proofs and their figures. `differences` says what makes a comparison doubtful; none is best."""

    first: Proof
    second: Proof
    differences: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def sheet(self) -> Sheet:
        """The figures as a table."""
        names = ("endpoint", "figure", "first", "second", "ratio")
        rows = ((row.endpoint, row.figure, ms(row.first), ms(row.second), f"{row.ratio:.3f}") for row in self.rows)
        return Sheet("Figures", tuple(Column(name, left=name in names[:2]) for name in names), tuple(rows))


def compare(first: Proof, second: Proof) -> Compared:
    """Compare what both runs asked."""
    theirs = {measure.title: measure for measure in (*second.endpoints, second.total)}
    pairs = [(mine, theirs[mine.title]) for mine in (*first.endpoints, first.total) if mine.title in theirs]
    rows = [row for mine, other in pairs for row in _rows(mine, other)]
    return Compared(first, second, tuple(_differences(first, second)), tuple(rows))


def _rows(first: Measure, second: Measure) -> Iterator[Row]:
    if not (first.corrected and second.corrected):
        return
    for figure in FIGURES:
        before, after = getattr(first.corrected, figure), getattr(second.corrected, figure)
        yield Row(first.title, figure, before, after, after / before)


def _differences(first: Proof, second: Proof) -> Iterator[str]:
    if first.run.machine.digest != second.run.machine.digest:
        yield "not comparable: the machines differ; only ratios measured in one run would be"
    facts = {
        "run": (words.title(first), words.title(second)),
        "load": (words.load(first), words.load(second)),
        "target": (first.run.target, second.run.target),
        "models": (_models(first), _models(second)),
        "SLO file": (_slo(first), _slo(second)),
    }
    for name, (before, after) in facts.items():
        if before != after:
            yield f"{name}: {before} / {after}"


def _slo(proof: Proof) -> str:
    return f"{proof.slo.name} {proof.slo.digest[:19]}"


def _models(proof: Proof) -> str:
    return ", ".join(f"{item.model_id} {item.digest[:19]}" for item in proof.run.subjects) or "not told"


def write(compared: Compared, folder: Path) -> None:
    """`compare.html` and `compare.json`."""
    folder.joinpath("compare.html").write_text(comparison(compared), encoding="utf-8")
    folder.joinpath("compare.json").write_bytes(as_document(compared))


def as_document(compared: Compared) -> bytes:
    """`compare.json`, for programs."""
    document = {
        "schema": SCHEMA,
        "verdicts": [words.verdict(proof.verdict) for proof in (compared.first, compared.second)],
        "differences": compared.differences,
        "rows": compared.rows,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def render(compared: Compared) -> RenderableType:
    """For a terminal."""
    verdicts = (words.verdict(proof.verdict) for proof in (compared.first, compared.second))
    notes = [Text(f"  • {difference}") for difference in compared.differences]
    return Group(Text(" / ".join(verdicts), style="bold"), *notes, Text(), *table(compared.sheet))
