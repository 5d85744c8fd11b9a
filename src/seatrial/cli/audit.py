"""`seatrial audit`: what was done with accounts, keys and models, by whom and from where."""

from dataclasses import asdict
from typing import Annotated

import typer

from seatrial.cli.options import AsJson, Database, DataDir
from seatrial.cli.terminal import FAILED, print_json, print_table, stop

SHOWN = ("number", "at", "event", "outcome", "who", "subject", "address", "request_id")


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
    from seatrial.server.core.chain import faults

    with local_access(data_dir, database_url) as (_, registry):
        everything, head = registry.audit.entries()
    found = [asdict(entry) for entry in everything if event in {"", entry.event}][-last:]
    if as_json:
        print_json(found)
    else:
        print_table(SHOWN, (tuple(str(entry[name]) for name in SHOWN) for entry in found))
    if not verify:
        return
    wrong = list(faults(everything, head, "audit"))
    if wrong:
        stop("\n".join(f"the audit is not whole: {fault}" for fault in wrong), FAILED)
    typer.echo("The audit is whole: nothing was edited or dropped.", err=as_json)
