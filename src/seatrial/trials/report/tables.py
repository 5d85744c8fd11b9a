"""`stats.csv`: a row for each endpoint and for all; `history.csv`: a row for each second. Milliseconds, UTF-8."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, fields

from seatrial.contracts.proof import Interval, Latency, Measure, Proof

FIGURES = tuple(field.name for field in fields(Latency) if field.name != "histogram")
COUNTS = tuple(field.name for field in fields(Measure) if field.name not in {"measured", "corrected"})
HISTORY = tuple(field.name for field in fields(Interval))


def stats(proof: Proof) -> str:
    """Endpoints, then all of them together."""
    header = [*COUNTS, *(f"{kind}_{name}" for kind in ("measured", "corrected") for name in FIGURES)]
    return _csv(header, map(_row, (*proof.endpoints, proof.total)))


def history(proof: Proof) -> str:
    """Seconds, from the first."""
    return _csv(HISTORY, (list(asdict(interval).values()) for interval in proof.history))


def _row(measure: Measure) -> list[object]:
    figures = [getattr(of, name) if of else None for of in (measure.measured, measure.corrected) for name in FIGURES]
    return [*(getattr(measure, name) for name in COUNTS), *figures]


def _csv(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(header)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return file.getvalue()


def _safe(cell: object) -> object:
    """No cell that a spreadsheet would run as a formula: names of endpoints come from files of others."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell
