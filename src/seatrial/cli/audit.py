"""`seatrial audit`: what was done with accounts, keys and models, by whom and from where."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from seatrial.cli.options import AsJson, Database, DataDir
from seatrial.cli.terminal import FAILED, USAGE_ERROR, print_json, print_table, stop

if TYPE_CHECKING:
    from seatrial.server.access.audit import AuditEntry

SHOWN = ("number", "at", "event", "who", "subject", "address", "request_id")
FOLDED = frozenset({"who", "subject"})
ID_CHARACTERS = 12
"""How much of a request id is shown: enough to find it in the log."""


def audit(
    data_dir: DataDir = None,
    database_url: Database = None,
    last: Annotated[int, typer.Option(min=1, help="How many entries, the newest.")] = 50,
    event: Annotated[str, typer.Option(help="Only this event, such as authn_login_fail.")] = "",
    verify: Annotated[bool, typer.Option("--verify", help="Find what was edited or dropped since.")] = False,  # noqa: FBT002 - typer's flag
    as_json: AsJson = False,  # noqa: FBT002 - the same
) -> None:
    """Show the audit: logins, keys, roles, models, limits."""
    from seatrial.cli.access import local_access
    from seatrial.server.access.audit import Event
    from seatrial.server.core.chain import faults

    if event and event not in get_args(Event):
        stop(f"--event: expected one of {', '.join(get_args(Event))}; received '{event[:50]}'", USAGE_ERROR)
    with local_access(data_dir, database_url) as (_, registry):
        entries, head = registry.audit.entries(None if event or verify else last)
    found = [entry for entry in entries if event in {"", entry.event}][-last:]
    if as_json:
        print_json([asdict(entry) for entry in found])
    else:
        print_table(SHOWN, map(_row, found), folded=FOLDED)
    if not verify:
        return
    wrong = list(faults(entries, head, "audit"))
    if wrong:
        stop("\n".join(f"the audit is not whole: {fault}" for fault in wrong), FAILED)
    typer.echo("The audit is whole: nothing was edited or dropped.", err=as_json)


def _row(entry: "AuditEntry") -> tuple[str, ...]:
    """An entry for a person: its second, and the beginning of the request's id. What failed, its event says."""
    at, request_id = f"{entry.at[:19]}Z", entry.request_id[:ID_CHARACTERS]
    return str(entry.number), at, entry.event, entry.who, entry.subject, entry.address, request_id
