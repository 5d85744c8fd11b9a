"""`seatrial models add`: a file that nobody trusts, into the registry of a deployment."""

import re
from pathlib import Path
from typing import Annotated

import typer

from seatrial.cli.documents import Upload
from seatrial.cli.opening import open_place
from seatrial.cli.options import ApiKey, AsJson, Database, DataDir, ServerUrl
from seatrial.cli.terminal import USAGE_ERROR, as_text, print_json, stop


def add(  # noqa: PLR0913, PLR0917 - one option a thing to say
    file: Annotated[Path, typer.Argument(help="An ONNX file.")],
    name: Annotated[str, typer.Option(help="The model's name; its next version is made.")],
    manifest: Annotated[Path | None, typer.Option(help="What the graph does not tell, as TOML or JSON.")] = None,
    golden: Annotated[Path | None, typer.Option(help="Known inputs and answers. [default: some are recorded]")] = None,
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")] = "",
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Inspect a file, and keep it as the next version of a name, in `dev`."""
    from seatrial.contracts.manifest import NAME_PATTERN

    if not re.fullmatch(NAME_PATTERN, name):
        stop(f"'{name}' is no name of a model: that matches {NAME_PATTERN}.", USAGE_ERROR)
    upload = Upload(file, name, as_text(reason), _content(manifest), _content(golden))
    with open_place(data_dir, database_url, server, api_key) as place:
        version = place.add(upload)
    if as_json:
        print_json(version)
        return
    shape = ", ".join(f"{item['name']} {item['dtype']}{item['shape'] or ''}" for item in version["manifest"]["inputs"])
    typer.echo(f"{version['model_id']}  {version['stage']}  {version['digest']}")
    typer.echo(f"{version['manifest']['task']} of {shape}")


def _content(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        stop(f"Cannot read {path}: {error.strerror}.", USAGE_ERROR)
