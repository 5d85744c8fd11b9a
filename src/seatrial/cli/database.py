"""`seatrial db`: the database of a deployment, and its schema."""

import typer

from seatrial.cli.options import Database, DataDir
from seatrial.cli.terminal import FAILED

db = typer.Typer(
    help="The database and its schema.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@db.command()
def check(data_dir: DataDir = None, database_url: Database = None) -> None:
    """Say which schema the database has; exit code 1 where it is not this server's."""
    from seatrial.cli.local import explained, read_settings
    from seatrial.server.storage.opening import schema_of

    with explained():
        settings = read_settings(data_dir, database_url)
        found, needed = schema_of(settings.database_url, settings.data_dir)
    typer.echo(f"schema {found}, this server needs {needed}")
    if found != needed:
        raise typer.Exit(FAILED)


@db.command()
def upgrade(data_dir: DataDir = None, database_url: Database = None) -> None:
    """Bring the database to this server's schema; a copy of a SQLite file is kept beside it."""
    from seatrial.cli.local import explained, read_settings
    from seatrial.server.storage.opening import upgrade_database

    with explained():
        settings = read_settings(data_dir, database_url)
        typer.echo(f"schema {upgrade_database(settings.database_url, settings.data_dir)}")
