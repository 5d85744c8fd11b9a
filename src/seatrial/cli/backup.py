"""`seatrial backup` and `seatrial restore`: all that a deployment keeps, in one file and out of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seatrial.cli.options import Database, DataDir

if TYPE_CHECKING:
    from seatrial.server.storage.backup import Contents


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; nothing is replaced.")],
    data_dir: DataDir = None,
    database_url: Database = None,
) -> None:
    """Write the database, the files and the secrets of a deployment into one file. Servers go on meanwhile."""
    from seatrial.cli.local import explained, read_settings
    from seatrial.server.storage.backup import back_up

    with explained():
        settings = read_settings(data_dir, database_url)
        contents = back_up(settings.database_url, settings.data_dir, file)
    typer.echo(f"{file}: {_told(contents)}, {file.stat().st_size / 2**20:.1f} MiB")
    _warn(contents)


def restore(
    file: Annotated[Path, typer.Argument(help="What `seatrial backup` has written.")],
    data_dir: DataDir = None,
    database_url: Database = None,
) -> None:
    """Put a backup into an empty data directory and database, of either kind, after every byte of it was checked."""
    from seatrial.cli.local import explained, read_settings
    from seatrial.server.storage import backup as storage

    with explained():
        settings = read_settings(data_dir, database_url)
        contents = storage.restore(settings.database_url, settings.data_dir, file)
    typer.echo(f"restored {_told(contents)}, made at {contents.made_at}")
    typer.echo("`seatrial doctor` looks it through; `seatrial serve` serves it.")
    _warn(contents)


def _told(contents: "Contents") -> str:
    return f"{contents.rows} rows, {contents.files} files, {len(contents.secrets)} secrets, schema {contents.schema}"


def _warn(contents: "Contents") -> None:
    """Of what is not in it."""
    from seatrial.server.storage.secrets import SECRET_KEY

    if SECRET_KEY not in contents.secrets:
        typer.echo(
            "seatrial: the secret key is a setting, and not in the backup: keep SEATRIAL_SECRET_KEY as well.", err=True
        )
