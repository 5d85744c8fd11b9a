"""`seatrial models` and `seatrial db`: what the operator sees of the registry, in the database of a deployment."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from seatrial.cli.terminal import console, explain

if TYPE_CHECKING:
    from seatrial.contracts.gate import GateDecision
    from seatrial.server.registry.ledger import Entry, Note
    from seatrial.server.registry.model import ModelVersion, Stage
    from seatrial.server.registry.ports import Decide
    from seatrial.server.services.promotion import Promotion
    from seatrial.server.settings import Settings
    from seatrial.server.storage.registry import SqlRegistry

USAGE_ERROR, FAILED, UNAVAILABLE = 2, 1, 3
_context = {"help_option_names": ["-h", "--help"]}
models = typer.Typer(
    help="The models: what there is, in which stage, and how it came there.",
    no_args_is_help=True,
    context_settings=_context,
)
db = typer.Typer(help="The database and its schema.", no_args_is_help=True, context_settings=_context)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the server keeps its state.")]
Database = Annotated[str | None, typer.Option("--database-url", help="postgresql://... [default: in the data dir]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@models.command("list")
def list_models(
    data_dir: DataDir = None,
    database_url: Database = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Every version of every model."""
    with _registry(data_dir, database_url) as registry:
        versions = registry.versions()
    if as_json:
        _print_json([_summary(version) for version in versions])
    elif not versions:
        typer.echo("No models yet: `seatrial serve` registers those that come with it.")
    else:
        names = ("model_id", "stage", "registered", "reason", "digest")
        rows = ((v.model_id, str(v.stage), v.registered_at, v.reason, v.manifest.digest[:19]) for v in versions)
        _print_table(names, rows)


@models.command()
def show(
    model_id: Annotated[str, typer.Argument(help="name:version, such as digits:1.")],
    data_dir: DataDir = None,
    database_url: Database = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """One version, with its manifest."""
    from seatrial.contracts.manifest import manifest_as_dict

    with _registry(data_dir, database_url) as registry:
        version = registry.get(model_id)
    document = {**_summary(version), "manifest": manifest_as_dict(version.manifest)}
    if as_json:
        _print_json(document)
        return
    for name, value in document.items():
        shown = json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value
        typer.echo(f"{name:<14} {shown}")


@models.command()
def history(
    name: Annotated[str | None, typer.Argument(help="A model's name, such as digits. [default: all]")] = None,
    data_dir: DataDir = None,
    database_url: Database = None,
    verify: Annotated[bool, typer.Option("--verify", help="Find what was edited or dropped since.")] = False,  # noqa: FBT002 - typer's flag
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """The ledger: what came to serve when, who changed it, and why."""
    from seatrial.server.registry.ledger import faults, misplaced

    with _registry(data_dir, database_url) as registry:
        everything, head, stages = registry.whole()
    entries = [entry for entry in everything if name in {None, entry.name}]
    if name and not entries:
        _stop(f"There is no model '{name}'.", USAGE_ERROR)
    found = [*faults(everything, head), *misplaced(everything, stages)] if verify else []
    if as_json:
        _print_json([_line(entry) for entry in entries])
    else:
        names = ("number", "at", "model_id", "action", "from", "to", "gate", "who", "why")
        _print_table(names, (tuple(str(_line(entry)[name]) for name in names) for entry in entries))
    if found:
        _stop("\n".join(f"the ledger is not whole: {fault}" for fault in found), FAILED)
    if verify:
        typer.echo("The ledger is whole: nothing was edited or dropped.", err=as_json)


@models.command()
def promote(
    model_id: Annotated[str, typer.Argument(help="name:version, such as digits:2.")],
    stage: Annotated[str, typer.Argument(help="staging or production.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")] = "",
    override: Annotated[bool, typer.Option("--override", help="Even if it is not proven; needs a reason.")] = False,  # noqa: FBT002 - typer's flag
    data_dir: DataDir = None,
    database_url: Database = None,
) -> None:
    """Move a version to staging or production, through the gate; the one that it replaces becomes archived."""
    from seatrial.server.core.errors import GateRefused

    if override and not reason.strip():
        _stop("--override needs a --reason", USAGE_ERROR)
    with _promotion(data_dir, database_url) as promotion:
        try:
            done = promotion.promote(model_id, _stage(stage), _note(reason), override=override)
        except GateRefused as error:
            _print_gate(error.decision)
            run = f" Run: {error.decision.command}" if error.decision.command else ""
            _stop(f"{model_id} is not proven for {stage}.{run}", FAILED)
    if done.decision and (done.decision.refused or done.decision.mode != "enforce"):
        _print_gate(done.decision)
    _tell(done.entries)


@models.command()
def rollback(
    name: Annotated[str, typer.Argument(help="A model's name, such as digits.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")],
    data_dir: DataDir = None,
    database_url: Database = None,
) -> None:
    """Return to the version that was in production before, once it has given its known answers again."""
    with _promotion(data_dir, database_url) as promotion:
        done = promotion.roll_back(name, _note(reason))
    worst = f"the worst differs by {done.replayed.worst:.2g}"
    typer.echo(f"{done.model_id} gave its {done.replayed.cases} known answers again; {worst}.")
    _tell(done.entries)


@models.command()
def archive(
    model_id: Annotated[str, typer.Argument(help="name:version, such as digits:2.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")] = "",
    data_dir: DataDir = None,
    database_url: Database = None,
) -> None:
    """Put a version aside: it is not loaded any more. The one in production cannot be."""
    from seatrial.server.registry import lifecycle
    from seatrial.server.registry.model import parse_model_id

    with _faults():
        name, version = parse_model_id(model_id)
    _change(name, lambda stages, _: lifecycle.archive(stages, version), reason, (data_dir, database_url))


def _change(name: str, decide: "Decide", reason: str, place: tuple[Path | None, str | None]) -> None:
    """Change the stages of a name's versions, and print what became of them."""
    with _registry(*place) as registry:
        _tell(registry.change(name, decide, _note(reason)))


def _note(reason: str) -> "Note":
    """Who it is, and why."""
    from seatrial.server.registry.ledger import Note

    text = reason.encode("utf-8", "replace").decode()  # a terminal may send what is no text
    return Note(f"local:{_user()}", "".join(sign if sign.isprintable() else " " for sign in text))


def _stage(text: str) -> "Stage":
    from seatrial.server.registry.model import Stage

    if text not in {"staging", "production"}:
        _stop(f"STAGE: expected staging or production; received '{text[:50]}'", USAGE_ERROR)
    return Stage(text)


def _print_gate(decision: "GateDecision") -> None:
    from seatrial.cli.gate import render

    console(width=160).print(render(decision))


def _tell(entries: "Sequence[Entry]") -> None:
    """What became of the versions."""
    for entry in entries:
        typer.echo(f"{entry.name}:{entry.version}  {entry.before} -> {entry.after}")
    if not entries:
        typer.echo("Nothing to do.")


def _user() -> str:
    """Whose process this is: the environment, which says so too, can be set to anything."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that runs under any number
        return f"uid-{os.getuid()}"


@db.command()
def check(data_dir: DataDir = None, database_url: Database = None) -> None:
    """Say which schema the database has; exit code 1 where it is not this server's."""
    from seatrial.server.storage.opening import schema_of

    with _faults():
        found, needed = schema_of(*_place(data_dir, database_url))
    typer.echo(f"schema {found}, this server needs {needed}")
    if found != needed:
        raise typer.Exit(FAILED)


@db.command()
def upgrade(data_dir: DataDir = None, database_url: Database = None) -> None:
    """Bring the database to this server's schema; a copy of a SQLite file is kept beside it."""
    from seatrial.server.storage.opening import upgrade_database

    with _faults():
        typer.echo(f"schema {upgrade_database(*_place(data_dir, database_url))}")


@contextmanager
def _registry(data_dir: Path | None, database_url: str | None) -> Iterator["SqlRegistry"]:
    """The registry of a deployment; what stands in the way ends the command with a text."""
    from seatrial.server.storage.opening import open_registry

    with _faults(), closing(open_registry(*_place(data_dir, database_url))) as registry:
        yield registry


@contextmanager
def _promotion(data_dir: Path | None, database_url: str | None) -> Iterator["Promotion"]:
    """What moves versions, by the settings of the deployment; what stands in the way ends the command with a text."""
    from seatrial.grading.toml import WrongFile
    from seatrial.server.app import open_promotion
    from seatrial.server.storage.opening import open_registry

    with _faults():
        settings = _settings(data_dir, database_url)
        with closing(open_registry(settings.database_url, settings.data_dir)) as registry:
            try:
                yield open_promotion(settings, registry)
            except WrongFile as error:
                _stop(str(error), UNAVAILABLE)


@contextmanager
def _faults() -> Iterator[None]:
    from seatrial.server.core.errors import StageConflict, StorageUnavailable, UnknownModel

    try:
        yield
    except UnknownModel as error:
        _stop(str(error), USAGE_ERROR)
    except StageConflict as error:
        _stop(str(error), FAILED)
    except (StorageUnavailable, ValueError, OSError) as error:
        _stop(explain(error), UNAVAILABLE)


def _place(data_dir: Path | None, database_url: str | None) -> tuple[str | None, Path]:
    """The database's URL, none for that in the data directory, and the latter: from where `serve` takes them."""
    settings = _settings(data_dir, database_url)
    return settings.database_url, settings.data_dir


def _settings(data_dir: Path | None, database_url: str | None) -> "Settings":
    from seatrial.server.settings import load_settings

    flags: dict[str, Any] = {"data_dir": data_dir, "database_url": database_url}
    return load_settings({name: value for name, value in flags.items() if value is not None})


def _summary(version: "ModelVersion") -> dict[str, Any]:
    return {
        "model_id": version.model_id,
        "stage": str(version.stage),
        "registered_at": version.registered_at,
        "reason": version.reason,
        "digest": version.manifest.digest,
    }


def _line(entry: "Entry") -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": entry.at,
        "model_id": f"{entry.name}:{entry.version}",
        "action": entry.action,
        "from": str(entry.before) if entry.before else "",
        "to": str(entry.after),
        "who": entry.who,
        "why": entry.why,
        "proof": entry.proof,
        "gate": entry.gate,
        "digest": entry.digest,
    }


def _print_table(names: tuple[str, ...], rows: Any) -> None:  # noqa: ANN401 - rows of texts
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console(width=160).print(table)


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _stop(text: str, code: int) -> NoReturn:
    typer.echo(f"seatrial: {text}", err=True)
    raise typer.Exit(code)
