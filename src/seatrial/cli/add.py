"""`seatrial models add`: a file that nobody trusts, into the registry of a deployment."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seatrial.cli.registry import FAILED, USAGE_ERROR, AsJson, Database, DataDir, _faults, _stop, _summary, _user

if TYPE_CHECKING:
    from seatrial.server.registry.model import ModelVersion
    from seatrial.server.registry.ports import Draft
    from seatrial.server.services.register import Wish
    from seatrial.server.settings import Settings

BLOCK = 2**20


def add(  # noqa: PLR0913, PLR0917 - one option a thing to say
    file: Annotated[Path, typer.Argument(help="An ONNX file.")],
    name: Annotated[str, typer.Option(help="The model's name; its next version is made.")],
    manifest: Annotated[Path | None, typer.Option(help="What the graph does not tell, as TOML or JSON.")] = None,
    golden: Annotated[Path | None, typer.Option(help="Known inputs and answers. [default: some are recorded]")] = None,
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")] = "",
    data_dir: DataDir = None,
    database_url: Database = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Inspect a file, and keep it as the next version of a name, in `dev`."""
    from seatrial.contracts.manifest import NAME_PATTERN, manifest_as_dict
    from seatrial.server.registry.ledger import Note
    from seatrial.server.services.register import read_wish
    from seatrial.server.settings import load_settings

    if not re.fullmatch(NAME_PATTERN, name):
        _stop(f"'{name}' is no name of a model: that matches {NAME_PATTERN}.", USAGE_ERROR)
    flags = {"data_dir": data_dir, "database_url": database_url}
    why = reason.encode("utf-8", "replace").decode()  # a terminal may send what is no text
    with _refusals(), _faults():
        settings = load_settings({key: value for key, value in flags.items() if value is not None})
        wish = read_wish(name, Note(f"local:{_user()}", why), _content(manifest), _content(golden))
        version = _register(settings, file, wish)
    if as_json:
        typer.echo(json.dumps({**_summary(version), "manifest": manifest_as_dict(version.manifest)}, indent=2))
        return
    shape = ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape) or ''}" for spec in version.manifest.inputs)
    typer.echo(f"{version.model_id}  {version.stage}  {version.manifest.digest}")
    typer.echo(f"{version.manifest.task} of {shape}")


@contextmanager
def _refusals() -> Iterator[None]:
    """A file that is not taken ends the command, with a line for each fault."""
    from seatrial.server.core.errors import ModelRefused, TooManyVersions, UnsupportedMediaType

    try:
        yield
    except ModelRefused as error:
        lines = [
            f"  {fault.pointer}: {fault.detail} Expected {fault.expected}, received {fault.received}."
            for fault in error.faults
        ]
        _stop("\n".join([str(error), *lines]), FAILED)
    except (TooManyVersions, UnsupportedMediaType) as error:
        _stop(str(error), FAILED)


def _register(settings: "Settings", file: Path, wish: "Wish") -> "ModelVersion":
    from seatrial.server.runtimes.inspector import ProcessInspector
    from seatrial.server.services.register import Registrar
    from seatrial.server.storage.artifacts import ContentStore
    from seatrial.server.storage.opening import open_registry

    store = ContentStore(settings.data_dir / "artifacts")
    with closing(open_registry(settings.database_url, settings.data_dir)) as registry, store.draft() as draft:
        _copy(file, draft, settings.max_model_bytes)
        with closing(Registrar(registry, store, ProcessInspector(), settings.max_versions)) as registrar:
            return registrar.register(draft, wish)


def _copy(file: Path, draft: "Draft", limit: int) -> None:
    """Into the store, block by block."""
    try:
        with file.open("rb") as source:
            while block := source.read(BLOCK):
                draft.write(block)
                if draft.size > limit:
                    _stop(f"{file} has more than {limit} bytes, the limit (SEATRIAL_MAX_MODEL_BYTES).", FAILED)
    except OSError as error:
        _stop(f"Cannot read {file}: {error.strerror}.", USAGE_ERROR)


def _content(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        _stop(f"Cannot read {path}: {error.strerror}.", USAGE_ERROR)
