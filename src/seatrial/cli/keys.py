"""`seatrial keys`: keys of programs, and the keys that sign access tokens; here or at a server."""

from typing import TYPE_CHECKING, Annotated

import typer

from seatrial.cli.options import ApiKey, AsJson, Database, DataDir, ServerUrl
from seatrial.cli.terminal import UNAVAILABLE, USAGE_ERROR, print_json, print_table, stop

if TYPE_CHECKING:
    from seatrial.server.services.keys import Wish

keys = typer.Typer(
    help="API keys, and the keys that sign access tokens.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
KeyId = Annotated[str, typer.Argument(help="The id of a key, as `seatrial keys list` shows it.")]
LONGEST_SECONDS = 100 * 366 * 86400
SHOWN = ("key_id", "name", "owner", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")


@keys.command()
def create(  # noqa: PLR0913, PLR0917 - one option a choice
    name: Annotated[str, typer.Option(help="For people: what uses it.")],
    scopes: Annotated[str, typer.Option(help="Such as predict or predict,read.")],
    expires: Annotated[str, typer.Option(help="When it ends: in 90d, 12h or 30m. [default: never]")] = "",
    rate_limit: Annotated[str, typer.Option(help="Such as 600/minute. [default: the server's]")] = "",
    concurrency_limit: Annotated[int | None, typer.Option(min=1, help="Calls at once. [default: any]")] = None,
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Make a key. It is printed alone, and cannot be shown again."""
    from seatrial.cli.access import open_keys

    wish = _wish(name, scopes, expires, rate_limit, concurrency_limit)
    with open_keys(data_dir, database_url, server, api_key) as place:
        secret, key = place.make(wish)
    if as_json:
        print_json({**key, "key": secret})
        return
    typer.echo(f"Key {key['key_id']} ({key['name']}), to be kept now: it is not shown again.", err=True)
    typer.echo(secret)


@keys.command("list")
def list_keys(
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Every key, without what makes it one."""
    from seatrial.cli.access import open_keys

    with open_keys(data_dir, database_url, server, api_key) as place:
        found = place.list()
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("No keys yet: `seatrial keys create --name ci --scopes predict` makes one.")
    else:
        rows = ({**key, "scopes": ",".join(key["scopes"]), "owner": key["owner"] or "operator"} for key in found)
        print_table(SHOWN, (tuple(str(row[name] or "") for name in SHOWN) for row in rows))


@keys.command()
def revoke(
    key_id: KeyId,
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
) -> None:
    """End a key. Every worker of every server refuses it within a second."""
    from seatrial.cli.access import open_keys

    with open_keys(data_dir, database_url, server, api_key) as place:
        place.revoke(key_id)
    typer.echo(f"{key_id} is revoked.")


@keys.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(help="How long the old key is still good, such as 24h.")] = "24h",
    data_dir: DataDir = None,
    database_url: Database = None,
    server: ServerUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Make a key like an old one, which stays good for a while. The new one is printed alone."""
    from seatrial.cli.access import open_keys
    from seatrial.server.services.keys import LONGEST_OVERLAP_SECONDS

    seconds = _seconds(overlap, "--overlap")
    if seconds > LONGEST_OVERLAP_SECONDS:
        stop(f"--overlap: expected 90d at most; received '{overlap}'", USAGE_ERROR)
    with open_keys(data_dir, database_url, server, api_key) as place:
        secret, key = place.rotate(key_id, seconds)
    typer.echo(f"Key {key['key_id']} takes the place of {key_id}, which is good for {overlap} more.", err=True)
    typer.echo(secret)


@keys.command("rotate-signing")
def rotate_signing(
    at_once: Annotated[bool, typer.Option("--at-once", help="The old key has leaked: end all that it signed.")] = False,  # noqa: FBT002 - typer's flag
    data_dir: DataDir = None,
    database_url: Database = None,
) -> None:
    """Sign access tokens with a new key; those that the old one has signed stay good until they end."""
    from seatrial.cli.access import local_access
    from seatrial.cli.local import operator
    from seatrial.server.core import clock
    from seatrial.server.services import keys as services
    from seatrial.server.storage.secrets import SECRET_KEY, secret_key

    with local_access(data_dir, database_url) as (settings, registry):
        if settings.secret_key is None and not (settings.data_dir / SECRET_KEY).exists():
            told = f"there is no {SECRET_KEY} in {settings.data_dir}, and SEATRIAL_SECRET_KEY is not set"
            stop(f"Servers could not open a key that is sealed here: {told}.", UNAVAILABLE)
        secret = secret_key(settings.data_dir, settings.secret_key)
        kid = services.rotate_signing(registry.keys, secret, clock.wall(), operator(), at_once=at_once)
    typer.echo(f"{kid} signs from now on.")


def _wish(name: str, scopes: str, expires: str, rate_limit: str, concurrency: int | None) -> "Wish":
    from seatrial.server.access.principal import ALL_SCOPES
    from seatrial.server.core import clock
    from seatrial.server.limits.rate import parse_rate
    from seatrial.server.services.keys import Wish, require_key_name

    asked = {part.strip() for part in scopes.split(",") if part.strip()}
    if not asked or asked - ALL_SCOPES:
        told = ", ".join(sorted(asked - ALL_SCOPES)) or "none"
        stop(f"--scopes: expected some of {', '.join(sorted(ALL_SCOPES))}; received {told}", USAGE_ERROR)
    try:
        require_key_name(name)
    except ValueError as error:
        stop(f"--name: {error}", USAGE_ERROR)
    try:
        rate = parse_rate(rate_limit) if rate_limit else None
    except ValueError as error:
        stop(f"--rate-limit: {error}", USAGE_ERROR)
    ends = clock.wall() + _seconds(expires, "--expires") if expires else None
    return Wish(name, frozenset(scope for scope in ALL_SCOPES if scope in asked), ends, rate, concurrency)


def _seconds(text: str, option: str) -> float:
    """A time such as `90d`, in seconds."""
    from seatrial.contracts.slo import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        stop(f"{option}: {error}", USAGE_ERROR)
    if seconds > LONGEST_SECONDS:
        stop(f"{option}: expected a hundred years at most; received '{text[:50]}'", USAGE_ERROR)
    return seconds
