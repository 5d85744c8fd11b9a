"""Settings: where they come from, who wins, and what is refused."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from seatrial.server.limits.rate import Rate
from seatrial.server.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SEATRIAL_{name.upper()}", raising=False)


def test_the_defaults() -> None:
    """Without any choice the server is for this machine only."""
    settings = load_settings({})

    assert {name: getattr(settings, name) for name in Settings.model_fields} == {
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 1,
        "data_dir": Path.home() / ".local/share/seatrial",
        "database_url": None,
        "redis_url": None,
        "secret_key": None,
        "anonymous_scopes": None,
        "default_models": ("digits", "geoclimate"),
        "max_body_bytes": 16_777_216,
        "max_model_bytes": 2**30,
        "max_versions": 100,
        "request_timeout": 30.0,
        "queue_limit": 512,
        "cache_size": 10_000,
        "cache_ttl": 300.0,
        "rate_limit": Rate(6000, 60),
        "anonymous_rate_limit": Rate(600, 60),
        "registration": None,
        "trusted_proxies": (),
        "cors_origins": (),
        "allowed_hosts": None,
        "drain_seconds": None,
        "gate": "enforce",
        "slo": "default",
        "otlp_endpoint": None,
        "log_level": "info",
    }


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each setting is decided on its own."""
    (tmp_path / "seatrial.toml").write_text('port = 1\nworkers = 11\nhost = "file"\n')
    monkeypatch.setenv("SEATRIAL_PORT", "2")
    monkeypatch.setenv("SEATRIAL_WORKERS", "12")
    settings = load_settings({"port": 3})

    assert (settings.port, settings.workers, settings.host, settings.log_level) == (3, 12, "file", "info")


def test_a_named_file_takes_the_place_of_the_one_in_the_folder(tmp_path: Path) -> None:
    """Only one file is read."""
    (tmp_path / "seatrial.toml").write_text("port = 1\nworkers = 2\n")
    (tmp_path / "other.toml").write_text("port = 5\n")
    settings = load_settings({}, tmp_path / "other.toml")

    assert (settings.port, settings.workers) == (5, 1)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host", "::1", "::1"),
        ("port", "0", 0),
        ("port", "65535", 65535),
        ("workers", "256", 256),
        ("data_dir", "/var/lib/seatrial", Path("/var/lib/seatrial")),
        ("data_dir", "~/sea", Path.home() / "sea"),
        ("anonymous_scopes", "", ()),
        ("anonymous_scopes", "predict", ("predict",)),
        ("anonymous_scopes", " read , predict ,", ("read", "predict")),
        ("default_models", "", ()),
        ("default_models", "a,b, c", ("a", "b", "c")),
        ("allowed_hosts", "", ()),
        ("allowed_hosts", "one.example,two.example", ("one.example", "two.example")),
        ("rate_limit", "9/second", Rate(9, 1)),
        ("rate_limit", " 100/day ", Rate(100, 86400)),
        ("rate_limit", "", None),
        ("anonymous_rate_limit", "1000000000/hour", Rate(10**9, 3600)),
        ("anonymous_rate_limit", " ", None),
        ("registration", "open", "open"),
        ("registration", "closed", "closed"),
        ("trusted_proxies", "", ()),
        ("trusted_proxies", "10.0.0.7, fd00::/8", (ip_network("10.0.0.7/32"), ip_network("fd00::/8"))),
        ("trusted_proxies", "10.1.2.3/8", (ip_network("10.0.0.0/8"),)),
        ("cors_origins", "https://a.example,https://b.example", ("https://a.example", "https://b.example")),
        ("max_body_bytes", "1", 1),
        ("request_timeout", "0.5", 0.5),
        ("drain_seconds", "0", 0.0),
        ("drain_seconds", "3600", 3600.0),
        ("gate", "off", "off"),
        ("gate", "warn", "warn"),
        ("slo", "strict", "strict"),
        ("slo", "/etc/seatrial/slo.toml", "/etc/seatrial/slo.toml"),
        ("log_level", "error", "error"),
    ],
)
def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    """Texts become values; lists are separated by commas, and an empty text is an empty list."""
    monkeypatch.setenv(f"SEATRIAL_{name.upper()}", text)

    assert getattr(load_settings({}), name) == value


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ('default_models = ["b", "a"]', "default_models", ("b", "a")),
        ('default_models = "b,a"', "default_models", ("b", "a")),
        ("anonymous_scopes = []", "anonymous_scopes", ()),
        ("request_timeout = 5", "request_timeout", 5.0),
        ('rate_limit = "5/second"', "rate_limit", Rate(5, 1)),
        ('rate_limit = ""', "rate_limit", None),
        ('trusted_proxies = ["10.0.0.0/8"]', "trusted_proxies", (ip_network("10.0.0.0/8"),)),
        ('data_dir = "data"', "data_dir", Path("data")),
    ],
)
def test_the_file_is_read(tmp_path: Path, line: str, name: str, value: object) -> None:
    """A list may be a list; a relative folder is one of the folder that the server starts in."""
    (tmp_path / "seatrial.toml").write_text(line)
    expected = tmp_path / value if isinstance(value, Path) else value

    assert getattr(load_settings({}), name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", -1),
        ("port", 65536),
        ("port", 80.5),
        ("workers", 0),
        ("workers", 257),
        ("anonymous_scopes", "predict,admin"),
        ("anonymous_scopes", "models:write"),
        ("rate_limit", "0/minute"),
        ("rate_limit", "10/week"),
        ("rate_limit", "10 per minute"),
        ("rate_limit", "1.5/second"),
        ("rate_limit", "1000000001/second"),
        ("anonymous_rate_limit", "-1/minute"),
        ("registration", "yes"),
        ("trusted_proxies", "proxy.example"),
        ("secret_key", ""),
        ("secret_key", "x" * 31),
        ("max_body_bytes", 0),
        ("request_timeout", 0),
        ("request_timeout", -1),
        ("request_timeout", "inf"),
        ("request_timeout", "nan"),
        ("request_timeout", ""),
        ("drain_seconds", -1),
        ("drain_seconds", 3601),
        ("drain_seconds", "soon"),
        ("gate", "on"),
        ("gate", "Enforce"),
        ("log_level", "loud"),
        ("log_level", "INFO"),
    ],
)
@pytest.mark.parametrize("place", ["flag", "environment"])
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: Any, place: str) -> None:  # noqa: ANN401 - any value
    """The error says which setting it is."""
    if place == "environment":
        monkeypatch.setenv(f"SEATRIAL_{name.upper()}", str(value))
    with pytest.raises(ValidationError) as caught:
        load_settings({name: value} if place == "flag" else {})

    assert {error["loc"][0] for error in caught.value.errors()} == {name}


@pytest.mark.proves("S34")
@pytest.mark.parametrize("everybody", ["*", "0.0.0.0/0", "::/0", "10.0.0.1,0.0.0.0/0", "1.2.3.4/0"])
def test_not_everybody_can_be_trusted(monkeypatch: pytest.MonkeyPatch, everybody: str) -> None:
    """Then whoever calls would say what their address is."""
    monkeypatch.setenv("SEATRIAL_TRUSTED_PROXIES", everybody)

    with pytest.raises(ValidationError, match=r"name your proxies|expected addresses or networks"):
        load_settings({})


RANDOM = "3f9c0a7be1d24856b0c93d7f1e6a8254"


@pytest.mark.proves("S9")
@pytest.mark.parametrize(
    "secret",
    ["secret", "changeme", RANDOM[:31], "x" * 64, "change-me" * 2, "0" * 32, "ab" * 40, "\N{SNOWMAN}" * 11],
)
def test_a_secret_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """Fewer than 32 bytes, or fewer than 8 different signs: a placeholder keeps nothing secret."""
    monkeypatch.setenv("SEATRIAL_SECRET_KEY", secret)

    with pytest.raises(ValidationError, match="expected at least 32 random bytes"):
        load_settings({})


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may be printed or logged; what they hold is there for whoever asks for it by name."""
    monkeypatch.setenv("SEATRIAL_SECRET_KEY", RANDOM)
    monkeypatch.setenv("SEATRIAL_REDIS_URL", "redis://:hush-hush@cache.example/0")
    settings = load_settings({})

    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == RANDOM
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:hush-hush@cache.example/0"
    assert RANDOM not in f"{settings} {settings!r} {settings.model_dump()}"
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()}"


def test_a_setting_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A slip in the file is not silently without effect."""
    (tmp_path / "seatrial.toml").write_text("prot = 1\nport = 2\nHOST = 'x'\n")

    with pytest.raises(ValueError, match=r"seatrial\.toml: there is no setting 'HOST', 'prot'"):
        load_settings({})


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    """The error says where it breaks."""
    (tmp_path / "seatrial.toml").write_text("port = \n")

    with pytest.raises(ValueError, match="line 1"):
        load_settings({})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """The default one need not."""
    with pytest.raises(FileNotFoundError):
        load_settings({}, tmp_path / "none.toml")


def test_settings_do_not_change() -> None:
    """They are made once, at the door."""
    settings = load_settings({})

    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    """Each has a sentence that says what it is for."""
    assert all(str(field.description).endswith(".") for field in Settings.model_fields.values())
