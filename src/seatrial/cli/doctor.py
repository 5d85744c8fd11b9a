"""`seatrial doctor`: what is wrong with a deployment, and what to do about it."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seatrial.cli.options import Database, DataDir
from seatrial.cli.terminal import console, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.server.storage.finding import Finding

WRONG, CANNOT_LOOK = 1, 3
MARKS = {"ok": "[green]✓", "information": "[blue]·", "warning": "[yellow]![/]", "fault": "[red]✗"}


def doctor(
    data_dir: DataDir = None,
    database_url: Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Examine a deployment: its directory, its database, its files. Changes nothing; exit code 1 where it is wrong."""
    from seatrial.server.core.errors import StorageUnavailable
    from seatrial.server.settings import load_settings
    from seatrial.server.storage.doctor import examine

    flags: dict[str, Any] = {"data_dir": data_dir, "database_url": database_url}
    try:
        settings = load_settings({name: value for name, value in flags.items() if value is not None})
        findings = list(examine(settings.database_url, settings.data_dir))
    except (StorageUnavailable, ValueError, OSError) as error:
        typer.echo(f"seatrial: {explain(error)}", err=True)
        raise typer.Exit(CANNOT_LOOK) from error
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        _print(findings)
    if any(finding.level == "fault" for finding in findings):
        raise typer.Exit(WRONG)


def _print(findings: "Sequence[Finding]") -> None:
    """A line for each finding, its remedy below it, and a sentence at the end."""
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2), pad_edge=False)
    for style in ("", "dim", ""):
        table.add_column(style=style, overflow="fold")
    for finding in findings:
        remedy = f"\n[bold]→[/] {escape(finding.remedy)}" if finding.remedy else ""
        table.add_row(MARKS[finding.level], finding.check, escape(finding.detail) + remedy)
    out = console()
    out.print(table)
    out.print(f"\n{summary(findings)}")


def summary(findings: "Sequence[Finding]") -> str:
    """How many faults and warnings there are."""
    levels = [finding.level for finding in findings]
    counts = {name: sum(level == name for level in levels) for name in ("fault", "warning")}
    told = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count]
    return f"{', '.join(told)}." if told else "All is well."
