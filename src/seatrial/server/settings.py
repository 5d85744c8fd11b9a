"""The one table of settings: flag of `serve` > environment > `./seatrial.toml` or `--config` > default."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from seatrial.contracts.gate import GateMode
from seatrial.server.limits.address import Network, parse_networks
from seatrial.server.limits.rate import Rate, parse_rate

CONFIG_FILE = Path("seatrial.toml")
SECRET_BYTES, SECRET_SIGNS = 32, 8


def _split(value: object) -> object:
    """A comma-separated list; the empty text is the empty list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
AnonymousScopes = Annotated[tuple[Literal["predict", "read"], ...], NoDecode, BeforeValidator(_split)]


def _rate(value: object) -> object:
    """A rate as it is written; the empty text is none."""
    return (parse_rate(value) if value.strip() else None) if isinstance(value, str) else value


def _networks(value: object) -> object:
    """Addresses and networks."""
    parts = _split(value)
    return parse_networks(map(str, parts)) if isinstance(parts, list) else value


def _long_enough(secret: SecretStr) -> SecretStr:
    """A secret that nobody guesses; what stands in examples is none."""
    text = secret.get_secret_value()
    if len(text.encode()) < SECRET_BYTES or len(set(text)) < SECRET_SIGNS:
        raise ValueError(f"expected at least {SECRET_BYTES} random bytes; `openssl rand -hex 32` makes some")
    return secret


def _store(url: SecretStr) -> SecretStr:
    """The address of a store that limits are kept in."""
    wrong = ValueError("expected redis://host:6379/0, rediss://... or unix:///path")
    try:
        parts = urlsplit(url.get_secret_value())
        place, _ = parts.path if parts.scheme == "unix" else parts.hostname, parts.port
    except ValueError:  # which may repeat a password
        raise wrong from None
    if parts.scheme not in {"redis", "rediss", "unix"} or not place:
        raise wrong
    return url


StoreUrl = Annotated[SecretStr, AfterValidator(_store)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
MaybeRate = Annotated[Rate | None, NoDecode, BeforeValidator(_rate)]
Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
Directory = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """Everything an operator can set. Made once, at the door; handed down as values."""

    model_config = SettingsConfigDict(env_prefix="SEATRIAL_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=256, description="Number of server processes.")
    data_dir: Directory = Field(
        default=Path("~/.local/share/seatrial"), validate_default=True, description="Where the server keeps its state."
    )
    database_url: str | None = Field(
        default=None, description="postgresql://... for several machines. Default: SQLite in the data directory."
    )
    redis_url: StoreUrl | None = Field(
        default=None,
        description="redis://... for limits that several workers share. Default: each enforces its part of them.",
    )
    secret_key: Secret | None = Field(
        default=None,
        description="Encrypts signing keys: at least 32 random bytes. Default: made once in the data directory; set it "
        "where that is not shared.",
    )
    anonymous_scopes: AnonymousScopes | None = Field(
        default=None,
        description="Scopes of callers without credentials, anywhere. Default: predict,read for loopback callers only; "
        "elsewhere nothing.",
    )
    default_models: Names = Field(
        default=("digits", "geoclimate"),
        description="Models that answer, in this order, when several accept an input that names none.",
    )
    max_body_bytes: int = Field(default=16 * 2**20, ge=1, description="Largest request body; beyond it 413.")
    max_model_bytes: int = Field(default=2**30, ge=1, description="Largest model file; beyond it 413.")
    max_versions: int = Field(default=100, ge=1, description="Most versions of a name; beyond them 409.")
    request_timeout: float = Field(
        default=30.0, gt=0, allow_inf_nan=False, description="Seconds a request may take; beyond them 504."
    )
    queue_limit: int = Field(
        default=512, ge=1, description="Requests that may wait for one model in a worker; beyond them 503."
    )
    cache_size: int = Field(default=10_000, ge=0, description="Answers that a worker remembers; 0 remembers none.")
    cache_ttl: float = Field(
        default=300.0, gt=0, allow_inf_nan=False, description="Seconds for which an answer is remembered."
    )
    rate_limit: MaybeRate = Field(
        default=Rate(6000, 60), description="Calls of a key or account, such as 6000/minute; empty: no limit."
    )
    anonymous_rate_limit: MaybeRate = Field(
        default=Rate(600, 60),
        description="Calls of an address without credentials. Default: none on loopback, else 600/minute.",
    )
    registration: Literal["open", "closed"] | None = Field(
        default=None,
        description="Whether people may open accounts. Default: on loopback open to this machine, else closed.",
    )
    trusted_proxies: Networks = Field(
        default=(), description="Addresses or networks of proxies whose X-Forwarded-For is believed."
    )
    cors_origins: Names = Field(default=(), description="Origins whose pages may call this server.")
    allowed_hosts: Names | None = Field(
        default=None, description="Host names that are answered. Default: loopback names on loopback, else any."
    )
    drain_seconds: float | None = Field(
        default=None,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds between SIGTERM and closing the listener. Default: 0 on loopback, else 5.",
    )
    gate: GateMode = Field(
        default="enforce", description="Whether a promotion needs proofs: enforce, warn (only says so) or off."
    )
    slo: str = Field(default="default", description="The SLO file that decides: a path, or default, or strict.")
    otlp_endpoint: str | None = Field(
        default=None, description="http://... of a receiver of OTLP, for traces. Default: nothing is traced."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: `load_settings` alone reads the environment and the file."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_settings(flags: dict[str, Any], config: Path | None = None) -> Settings:
    """The settings in force.

    Args:
        flags: what the command line gave, by field name.
        config: a TOML file of settings, which must exist; `None` takes `./seatrial.toml` where there is one.

    Raises:
        pydantic.ValidationError: a value is wrong.
        ValueError: the file is not TOML, or has a setting that does not exist.
        OSError: the file cannot be read.
    """
    file = _read(config) if config is not None or CONFIG_FILE.is_file() else {}
    environment = EnvSettingsSource(Settings)()
    return Settings(**{**file, **environment, **flags})


def _read(config: Path | None) -> dict[str, Any]:
    path = config or CONFIG_FILE
    with path.open("rb") as file:
        try:
            values = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not TOML: {error}.") from error
    unknown = sorted(set(values) - set(Settings.model_fields))
    if unknown:
        raise ValueError(f"{path}: there is no setting {', '.join(map(repr, unknown))}.")
    return values
