"""`seatrial models`: what the operator sees of the registry and does to it, here or at a server."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from seatrial.cli.opening import open_place
from seatrial.cli.options import ApiKey, AsJson, Database, DataDir, ServerUrl
from seatrial.cli.terminal import FAILED, USAGE_ERROR, as_text, console, print_json, print_table, stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.cli.documents import Document
    from seatrial.contracts.gate import GateDecision

models = typer.Typer(
    help="The models: what there is, in which stage, and how it came there.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DIGITS = 12
"""Of a digest, that are shown where there is no room for all of it."""


@models.command("list")
def list_models(
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Every version of every model."""
    with open_place(data_dir, database_url, server, api_key) as place:
        versions = place.versions()
    if as_json:
        print_json(versions)
    elif not versions:
        typer.echo("No models yet: `seatrial serve` registers those that come with it.")
    else:
        rows = ((*list(version.values())[:-1], version["digest"][:19]) for version in versions)
        print_table(("model_id", "stage", "registered", "reason", "digest"), rows)


@models.command()
def show(
    model_id: Annotated[str, typer.Argument(help="name:version, such as digits:1.")],
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """One version, with its manifest."""
    with open_place(data_dir, database_url, server, api_key) as place:
        document = place.version(model_id)
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        shown = json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value
        typer.echo(f"{name:<14} {shown}")


@models.command()
def history(  # noqa: PLR0913, PLR0917 - the same
    name: Annotated[str | None, typer.Argument(help="A model's name, such as digits. [default: all]")] = None,
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
    verify: Annotated[bool, typer.Option("--verify", help="Find what was edited or dropped since.")] = False,  # noqa: FBT002 - typer's flag
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """The ledger: what came to serve when, who changed it, and why."""
    with open_place(data_dir, database_url, server, api_key) as place:
        entries, faults = place.history(name, verify=verify)
    if as_json:
        print_json(entries)
    else:
        names = ("number", "at", "model_id", "action", "from", "to", "gate", "who", "why", "proof")
        shown = {"at": _to_the_second, "proof": _short}
        rows = (tuple(shown.get(name, str)(str(entry[name] or "")) for name in names) for entry in entries)
        print_table(names, rows)
    if faults:
        stop("\n".join(f"the ledger is not whole: {fault}" for fault in faults), FAILED)
    if verify:
        typer.echo("The ledger is whole: nothing was edited or dropped.", err=as_json)


@models.command()
def promote(  # noqa: PLR0913, PLR0917 - the same
    model_id: Annotated[str, typer.Argument(help="name:version, such as digits:2.")],
    stage: Annotated[str, typer.Argument(help="staging or production.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")] = "",
    override: Annotated[bool, typer.Option("--override", help="Even if it is not proven; needs a reason.")] = False,  # noqa: FBT002 - typer's flag
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Move a version to staging or production, through the gate; the one that it replaces becomes archived."""
    from seatrial.server.core.errors import GateRefused

    if override and not reason.strip():
        stop("--override needs a --reason", USAGE_ERROR)
    if stage not in {"staging", "production"}:
        stop(f"STAGE: expected staging or production; received '{stage[:50]}'", USAGE_ERROR)
    with open_place(data_dir, database_url, server, api_key) as place:
        try:
            done = place.promote(model_id, stage, as_text(reason), override=override)
        except GateRefused as error:
            _print_gate(error.decision)
            run = f" Run: {error.decision.command}" if error.decision.command else ""
            stop(f"{model_id} is not proven for {stage}.{run}", FAILED)
    if done.decision and (done.decision.refused or done.decision.mode != "enforce"):
        _print_gate(done.decision)
    _print_changes(done.changes)


@models.command()
def rollback(
    name: Annotated[str, typer.Argument(help="A model's name, such as digits.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")],
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Return to the version that was in production before, once it has given its known answers again."""
    with open_place(data_dir, database_url, server, api_key) as place:
        done = place.roll_back(name, as_text(reason))
    worst = f"the worst differs by {done.worst:.2g}"
    typer.echo(f"{done.model_id} gave its {done.cases} known answers again; {worst}.")
    _print_changes(done.changes)


@models.command()
def archive(
    model_id: Annotated[str, typer.Argument(help="name:version, such as digits:2.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")] = "",
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Put a version aside: it is not loaded any more. The one in production cannot be."""
    with open_place(data_dir, database_url, server, api_key) as place:
        _print_changes(place.archive(model_id, as_text(reason)).changes)


def _short(digest: str) -> str:
    """Enough of a digest to find it by."""
    return digest.removeprefix("sha256:")[:DIGITS]


def _to_the_second(moment: str) -> str:
    """A moment in UTC for people, which folds between date and time."""
    return f"{moment[:19].replace('T', ' ')}Z"


def _print_gate(decision: "GateDecision") -> None:
    from seatrial.cli.gate import render

    console(width=160).print(render(decision))


def _print_changes(changes: "Sequence[Document]") -> None:
    """What became of the versions."""
    for change in changes:
        typer.echo(f"{change['model_id']}  {change['from']} -> {change['to']}")
    if not changes:
        typer.echo("Nothing to do.")
