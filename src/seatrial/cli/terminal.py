"""What the commands share: where they print, how they end, and how they explain a setting that is wrong."""

import json
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

SECRET = frozenset({"SECRET_KEY", "REDIS_URL", "DATABASE_URL"})
"""Settings whose value no text repeats."""
FAILED, USAGE_ERROR, UNAVAILABLE = 1, 2, 3
"""Exit codes of `models` and `db`: a refusal, a flag or a name that is wrong, and a place that cannot be used."""


def console(*, stderr: bool = False, width: int = 120) -> "Console":
    """Standard output or error; `width` columns where that is no terminal and nobody says how wide it is."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal and "COLUMNS" not in found._environ:  # noqa: SLF001 - no public way to ask
        found.width = width
    return found


def print_table(names: Iterable[str], rows: Iterable[Iterable[str]], *, folded: Collection[str] | None = None) -> None:
    """A table of texts, in which brackets are no markup. Where room is short columns are folded, all or some."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=folded is not None and name not in folded)
    for row in rows:
        table.add_row(*map(escape, row))
    console(width=160).print(table)


def print_json(document: object) -> None:
    """A document for programs."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def stop(text: str, code: int) -> NoReturn:
    """End the command, with a text on standard error."""
    typer.echo(f"seatrial: {text}", err=True)
    raise typer.Exit(code)


def as_text(argument: str) -> str:
    """An argument as text on one line: a terminal may send bytes that are none, and signs that move its cursor."""
    text = argument.encode("utf-8", "replace").decode()
    return "".join(sign if sign.isprintable() else " " for sign in text)


def explain(error: Exception) -> str:
    """A configuration error for a person: which setting, what came, what was expected."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    lines = []
    for entry in errors():
        name = str(entry["loc"][0]).upper() if entry["loc"] else "?"
        told = entry["msg"].removeprefix("Value error, ")
        if "received" not in told:
            told += f"; received {'something else' if name in SECRET else repr(entry['input'])}."
        lines.append(f"SEATRIAL_{name}: {told.removesuffix('.')}.")
    return "\n".join(lines)
