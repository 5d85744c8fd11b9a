"""`seatrial users`: people who may log in. Whoever can write the database is the operator, and needs no token."""

import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from seatrial.cli.options import AsJson, Database, DataDir
from seatrial.cli.terminal import USAGE_ERROR, print_json, print_table, stop

if TYPE_CHECKING:
    from seatrial.server.access.principal import Role
    from seatrial.server.access.view import Account

users = typer.Typer(
    help="People who may log in.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ROLES = ("viewer", "engineer", "admin")
Email = Annotated[str, typer.Option(help="Their address.")]
RoleOption = Annotated[str, typer.Option(help="viewer (predict and read), engineer (all but admin) or admin.")]


@users.command()
def create(email: Email, role: RoleOption = "viewer", data_dir: DataDir = None, database_url: Database = None) -> None:
    """Open an account. The password is asked for, or read from standard input where that is no terminal."""
    from seatrial.cli.access import account_service, local_access
    from seatrial.cli.local import operator

    known = _role(role)
    with local_access(data_dir, database_url) as (_, registry):
        account = account_service(registry).create(email, _password(), known, operator())
    typer.echo(f"{account.email} may log in as {role}.")


@users.command("list")
def list_users(data_dir: DataDir = None, database_url: Database = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's flag
    """Everybody who has an account."""
    from seatrial.cli.access import local_access
    from seatrial.server.core.clock import at_unix

    with local_access(data_dir, database_url) as (_, registry):
        found = [
            {
                "email": account.email,
                "role": account.role,
                "disabled": account.disabled,
                "created_at": at_unix(account.created),
                "account_id": account.account_id,
            }
            for account in registry.keys.accounts()
        ]
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("No accounts yet: `seatrial users create --email E` opens one.")
    else:
        rows = ({**user, "disabled": "disabled" if user["disabled"] else ""} for user in found)
        print_table(found[0], (map(str, row.values()) for row in rows))


@users.command("set-role")
def set_role(email: Email, role: RoleOption, data_dir: DataDir = None, database_url: Database = None) -> None:
    """Let somebody do more or less. Their access tokens end within a second; a refresh or a login gives others."""
    account = _change(email, data_dir, database_url, role=_role(role))
    typer.echo(f"{account.email} is {role} now.")


@users.command()
def disable(email: Email, data_dir: DataDir = None, database_url: Database = None) -> None:
    """Keep somebody out: their sessions, tokens and keys end within a second."""
    account = _change(email, data_dir, database_url, disabled=True)
    typer.echo(f"{account.email} is disabled.")


@users.command()
def enable(email: Email, data_dir: DataDir = None, database_url: Database = None) -> None:
    """Let somebody in again who was disabled. Their keys are good again, too."""
    account = _change(email, data_dir, database_url, disabled=False)
    typer.echo(f"{account.email} may log in again.")


@users.command("set-password")
def set_password(email: Email, data_dir: DataDir = None, database_url: Database = None) -> None:
    """Another password for somebody who has forgotten theirs, asked for as `create` does; all their sessions end."""
    from seatrial.cli.access import account_service, local_access
    from seatrial.cli.local import operator

    with local_access(data_dir, database_url) as (_, registry):
        account = account_service(registry).reset_password(email, _password(), operator())
    typer.echo(f"{account.email} has another password.")


def _change(
    email: str, data_dir: DataDir, database_url: Database, *, role: "Role | None" = None, disabled: bool | None = None
) -> "Account":
    from seatrial.cli.access import local_access
    from seatrial.cli.local import operator
    from seatrial.server.access.audit import Deed
    from seatrial.server.services.accounts import normal

    with local_access(data_dir, database_url) as (_, registry):
        address = normal(email)
        told = f"role {role}" if role else "disabled" if disabled else "enabled"
        deed = Deed("account_changed", operator(), f"{address} ({told})")
        return registry.accounts.change(address, deed, role=role, disabled=disabled)


def _role(text: str) -> "Role":
    if text not in ROLES:
        stop(f"--role: expected {', '.join(ROLES[:-1])} or {ROLES[-1]}; received '{text[:50]}'", USAGE_ERROR)
    return cast("Role", text)


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")
