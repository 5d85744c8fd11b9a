"""`seatrial`: the commands. Each imports its room when it runs, so that `seatrial --help` answers at once."""

import gc
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import seatrial
from seatrial.cli import audit, backup, database, doctor, keys, models, trial, users
from seatrial.cli.add import add
from seatrial.cli.terminal import explain

CONFIGURATION_ERROR = 3

app = typer.Typer(
    name="seatrial",
    help="Serve ML models, and let none into production that has not proven itself under load.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(trial.app, name="trial")
models.models.command()(add)
app.add_typer(models.models, name="models")
app.add_typer(database.db, name="db")
app.add_typer(users.users, name="users")
app.add_typer(keys.keys, name="keys")
app.command()(audit.audit)
app.command()(doctor.doctor)
app.command()(backup.backup)
app.command()(backup.restore)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"seatrial {seatrial.__version__}")
        raise typer.Exit


@app.callback()
def seatrial_command(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Serve ML models, and let none into production that has not proven itself under load."""
    del version


@app.command()
def serve(  # noqa: PLR0913, PLR0917 - one option a setting
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [default: 8000]")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of server processes. [default: 1]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the server keeps its state.")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="postgresql://... [default: SQLite in the data directory]")
    ] = None,
    anonymous_scopes: Annotated[
        str | None, typer.Option(help="Scopes of callers without credentials, anywhere: predict,read or empty.")
    ] = None,
    default_models: Annotated[
        str | None, typer.Option(help="Models that answer, in this order, inputs that name none.")
    ] = None,
    max_body_bytes: Annotated[int | None, typer.Option(help="Largest request body. [default: 16777216]")] = None,
    max_model_bytes: Annotated[int | None, typer.Option(help="Largest model file. [default: 1073741824]")] = None,
    max_versions: Annotated[int | None, typer.Option(help="Most versions of a name. [default: 100]")] = None,
    request_timeout: Annotated[float | None, typer.Option(help="Seconds a request may take. [default: 30]")] = None,
    queue_limit: Annotated[int | None, typer.Option(help="Requests that may wait for a model. [default: 512]")] = None,
    cache_size: Annotated[
        int | None, typer.Option(help="Answers that a worker remembers; 0 remembers none. [default: 10000]")
    ] = None,
    cache_ttl: Annotated[float | None, typer.Option(help="Seconds for which it does. [default: 300]")] = None,
    rate_limit: Annotated[
        str | None, typer.Option(help="Calls of a key or account; empty: any number. [default: 6000/minute]")
    ] = None,
    anonymous_rate_limit: Annotated[
        str | None,
        typer.Option(help="Calls of an address without credentials. [default: any on loopback, else 600/minute]"),
    ] = None,
    registration: Annotated[
        str | None, typer.Option(help="Whether people may open accounts: open, closed. [default: open on loopback]")
    ] = None,
    trusted_proxies: Annotated[
        str | None, typer.Option(help="Addresses or networks of proxies whose X-Forwarded-For is believed.")
    ] = None,
    cors_origins: Annotated[str | None, typer.Option(help="Origins whose pages may call this server.")] = None,
    allowed_hosts: Annotated[str | None, typer.Option(help="Host names that are answered.")] = None,
    drain_seconds: Annotated[
        float | None,
        typer.Option(help="Seconds between SIGTERM and closing the listener. [default: 0 on loopback, else 5]"),
    ] = None,
    gate: Annotated[
        str | None, typer.Option(help="Whether a promotion needs proofs: enforce, warn or off. [default: enforce]")
    ] = None,
    slo: Annotated[
        str | None, typer.Option(help="The SLO file that decides: a path, default or strict. [default: default]")
    ] = None,
    otlp_endpoint: Annotated[
        str | None, typer.Option(help="http://... of a receiver of OTLP, for traces. [default: none]")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: info]")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of settings. [default: ./seatrial.toml, if any]")
    ] = None,
) -> None:
    """Serve predictions. Each flag is a setting; SEATRIAL_<NAME> in the environment sets it too."""
    flags = {name: value for name, value in locals().items() if name != "config" and value is not None}
    _serve(flags, config)


def _serve(flags: dict[str, Any], config: Path | None) -> None:
    from seatrial.server.settings import load_settings

    try:
        settings = load_settings(flags, config)
    except (ValueError, OSError) as error:
        _refuse(explain(error))

    gc.disable()  # nothing that is loaded here is garbage, and looking for it is a fifth of a start
    from functools import partial

    from seatrial.grading.toml import WrongFile
    from seatrial.server import process
    from seatrial.server.app import announce, create_app, drain_seconds, prepare, read_rules
    from seatrial.server.core.errors import ModelUnusable, StorageUnavailable
    from seatrial.server.telemetry import logs

    gc.freeze()
    gc.enable()
    try:
        read_rules(settings)
        prepare(settings)
    except (StorageUnavailable, ModelUnusable, WrongFile, ValueError) as error:
        _refuse(f"{str(error).removesuffix('.')}.")
    except OSError as error:
        _refuse(f"Cannot use the data directory {settings.data_dir}: {error.strerror or error}.")
    try:
        listener = process.listen(settings.host, settings.port)
    except OSError as error:
        _refuse(f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}.")
    logs.configure(settings.log_level)
    announce(settings)
    process.serve(
        partial(create_app, settings),
        listener,
        workers=settings.workers,
        log_level=settings.log_level,
        drain_seconds=drain_seconds(settings),
        grace_seconds=settings.request_timeout,
    )


def _refuse(message: str) -> NoReturn:
    typer.echo(f"seatrial: {message}", err=True)
    raise typer.Exit(CONFIGURATION_ERROR)
