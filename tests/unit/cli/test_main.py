"""The command line: help, version, and what is said where the configuration is wrong."""

import logging
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
import typer.main
from typer.testing import CliRunner

import seatrial
from seatrial.cli.main import CONFIGURATION_ERROR, app
from seatrial.server.app import prepare
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.settings import Settings
from seatrial.server.storage.opening import open_registry


@pytest.fixture(autouse=True)
def _process_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting from outside, and signal handlers and logging as they were."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SEATRIAL_{name.upper()}", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    root = logging.getLogger()
    log_handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    yield
    for number, previous in handlers.items():
        signal.signal(number, previous)
    structlog.configure(**configuration)
    root.handlers[:] = log_handlers
    root.setLevel(level)


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output, both streams."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    return result.exit_code, re.sub(r"\x1b\[[0-9;]*m", "", result.output)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_the_commands(flag: str) -> None:
    """It says what Seatrial is, and what there is to do."""
    code, output = run(flag)

    assert code == 0
    assert "Serve ML models" in output
    assert "serve" in output


def test_without_a_command_there_is_help() -> None:
    """And an exit code that is no success."""
    code, output = run()

    assert code == 2
    assert "Usage:" in output


def test_the_version_stands_alone() -> None:
    """It is one line."""
    assert run("--version") == (0, f"seatrial {seatrial.__version__}\n")


SECRET = {"redis_url", "secret_key"}
"""Settings that hold a secret: what stands on a command line everybody on the machine can read."""


def test_every_setting_has_a_flag() -> None:
    """`serve` takes each setting by its name, and a file of them; secrets come from the environment or the file."""
    commands = typer.main.get_command(app)
    flags = {parameter.name for parameter in commands.commands["serve"].params}  # type: ignore[attr-defined]

    assert flags - {"help"} == {*Settings.model_fields, "config"} - SECRET


def test_help_imports_neither_server_nor_framework() -> None:
    """`seatrial --help` answers at once."""
    program = (
        "import sys; from seatrial.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'fastapi', 'numpy', 'onnxruntime', 'uvicorn', 'seatrial.server'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "seatrial: SEATRIAL_PORT: Input should be less than or equal to 65535; received 70000."),
        (
            ["--log-level", "loud"],
            "seatrial: SEATRIAL_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'; received 'loud'.",
        ),
        (
            ["--anonymous-scopes", "admin"],
            "seatrial: SEATRIAL_ANONYMOUS_SCOPES: Input should be 'predict' or 'read'; received 'admin'.",
        ),
        (
            ["--trusted-proxies", "*"],
            "seatrial: SEATRIAL_TRUSTED_PROXIES: expected addresses or networks, such as 10.0.0.0/8; received '*'.",
        ),
        (
            ["--rate-limit", "fast"],
            (
                "seatrial: SEATRIAL_RATE_LIMIT: expected calls per second, minute, hour or day, such as 600/minute; "
                "received 'fast'."
            ),
        ),
        (["--config", "none.toml"], "seatrial: [Errno 2] No such file or directory: 'none.toml'"),
        (["--config", "wrong.toml"], "seatrial: wrong.toml: there is no setting 'prot'."),
    ],
)
def test_a_wrong_configuration_is_explained(tmp_path: Path, arguments: list[str], message: str) -> None:
    """The exit code is 3, and the message names the setting and what came."""
    (tmp_path / "wrong.toml").write_text("prot = 1")

    assert run("serve", *arguments) == (CONFIGURATION_ERROR, f"{message}\n")


def test_all_that_is_wrong_is_explained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the environment and flags, a line each."""
    monkeypatch.setenv("SEATRIAL_WORKERS", "many")
    code, output = run("serve", "--port", "-1")

    assert code == CONFIGURATION_ERROR
    assert [line.split(":")[-2].strip() for line in output.splitlines()] == ["SEATRIAL_PORT", "SEATRIAL_WORKERS"]


@pytest.mark.proves("S9")
@pytest.mark.parametrize("secret", ["changeme", "0123456789abcdef0123456789abcde", "a" * 64])
def test_a_secret_that_can_be_guessed_stops_the_start(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """With exit code 3, and a text that does not repeat it."""
    monkeypatch.setenv("SEATRIAL_SECRET_KEY", secret)

    told = "expected at least 32 random bytes; `openssl rand -hex 32` makes some; received something else"
    assert run("serve", "--port", "0") == (CONFIGURATION_ERROR, f"seatrial: SEATRIAL_SECRET_KEY: {told}.\n")


def test_a_flag_of_the_wrong_type_is_a_usage_error() -> None:
    """It does not get as far as the settings."""
    code, output = run("serve", "--port", "http")

    assert code == 2
    assert "--port" in output
    assert "valid integer" in output


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    """The message says which file, and where it breaks."""
    (tmp_path / "broken.toml").write_text("port =\n")
    code, output = run("serve", "--config", "broken.toml")

    assert code == CONFIGURATION_ERROR
    assert "broken.toml" in output
    assert "line 1" in output


def test_an_address_in_use_is_explained(tmp_path: Path) -> None:
    """The exit code is 3, and the message names the address."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, output = run("serve", "--port", str(port), "--data-dir", str(tmp_path))

    assert (code, output) == (
        CONFIGURATION_ERROR,
        f"seatrial: Cannot listen on 127.0.0.1 port {port}: Address already in use.\n",
    )


def test_a_data_directory_that_is_none_is_explained(tmp_path: Path) -> None:
    """A fault of the folder is not called one of the address."""
    (tmp_path / "file").touch()
    code, output = run("serve", "--port", "0", "--data-dir", str(tmp_path / "file"))

    assert code == CONFIGURATION_ERROR
    assert "Cannot listen" not in output
    assert str(tmp_path / "file") in output.replace("\n", "")


def test_another_secret_than_that_of_the_signing_key_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With exit code 3, and what to do: no fault of the data directory. Under a key of its own it goes on."""
    prepare(Settings(data_dir=tmp_path))
    monkeypatch.setenv("SEATRIAL_SECRET_KEY", "3f9c0a7be1d24856b0c93d7f1e6a8254")
    code, output = run("serve", "--port", "0", "--data-dir", str(tmp_path))
    rotated = run("keys", "rotate-signing", "--data-dir", str(tmp_path))[0]
    with socket.create_server(("127.0.0.1", 0)) as other:
        after = run("serve", "--port", str(other.getsockname()[1]), "--data-dir", str(tmp_path))

    assert (code, output.startswith("seatrial: the signing key ")) == (CONFIGURATION_ERROR, True)
    assert "another SEATRIAL_SECRET_KEY" in output
    assert "`seatrial keys rotate-signing`" in output
    assert (rotated, "Address already in use" in after[1]) == (0, True)


def test_an_empty_token_stops_the_start(tmp_path: Path) -> None:
    """It would let everybody in; the text names the file, and what to do."""
    (tmp_path / "admin.token").touch()

    assert run("serve", "--port", "0", "--data-dir", str(tmp_path)) == (
        CONFIGURATION_ERROR,
        f"seatrial: {tmp_path}/admin.token is empty. Delete it, and the next start makes a new one.\n",
    )


def test_what_stands_in_the_ledger_is_shown_as_it_is(tmp_path: Path) -> None:
    """Brackets in a reason are no markup, which would end the command with a stack."""
    prepare(Settings(data_dir=tmp_path))
    with closing(open_registry(None, tmp_path)) as registry:
        registry.add(replace(registry.get("digits:1"), version=2, stage=Stage.DEV), Note("[red]", "[/why]"))
    code, output = run("models", "history", "digits", "--data-dir", str(tmp_path))

    assert code == 0
    assert "[red]" in output
    assert "[/why]" in output


def test_the_history_shows_on_which_proof(tmp_path: Path) -> None:
    """The first digits of its digest, in the last column, whole at 120 columns too; empty where there is none."""
    prepare(Settings(data_dir=tmp_path))
    note = Note(
        "key:continuous-integration", "trained on twice the data", "sha256:" + "0123456789abcdef" * 4, "enforce"
    )
    with closing(open_registry(None, tmp_path)) as registry:
        registry.add(replace(registry.get("geoclimate:1"), version=2, stage=Stage.DEV), note)
    result = CliRunner().invoke(app, ["models", "history", "--data-dir", str(tmp_path)], env={"COLUMNS": "120"})
    lines = result.output.splitlines()
    (proven,) = (line.rstrip() for line in lines if "geoclimate:2" in line)
    (bundled,) = (line.rstrip() for line in lines if "digits:1" in line)

    assert max(map(len, lines)) <= 120
    assert lines[0].split()[-1] == "proof"
    assert proven.endswith(" 0123456789ab")
    assert bundled.endswith(" bundled")


@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["models", "promote", "digits:1", "production"]])
def test_an_slo_file_that_cannot_be_used_stops_what_needs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    """With the exit code of a wrong configuration, and a text that names it."""
    prepare(Settings(data_dir=tmp_path))
    monkeypatch.setenv("SEATRIAL_SLO", "nowhere.toml")
    code, output = run(*arguments, "--data-dir", str(tmp_path))

    assert code == CONFIGURATION_ERROR
    assert "nowhere.toml: expected the path of an SLO file" in output
