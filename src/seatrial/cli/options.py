"""The options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the server keeps its state.")]
Database = Annotated[str | None, typer.Option("--database-url", help="postgresql://... [default: in the data dir]")]
ServerUrl = Annotated[str | None, typer.Option("--server", help="Ask the server at this URL instead.")]
ApiKey = Annotated[
    str, typer.Option("--api-key", envvar="SEATRIAL_API_KEY", help="Sent as a bearer token.", show_envvar=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
