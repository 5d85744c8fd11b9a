"""Commands on a deployment of their own."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seatrial.cli.main import app
from seatrial.server.app import prepare
from seatrial.server.settings import Settings

Done = tuple[int, str, str]
Command = Callable[..., Done]


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data directory as `seatrial serve` makes it, and no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in (*Settings.model_fields, "api_key"):
        monkeypatch.delenv(f"SEATRIAL_{name.upper()}", raising=False)
    prepare(Settings(data_dir=tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def command(deployed: Path) -> Command:
    """`seatrial` on that directory: exit code, output and errors; `typed` comes on standard input."""

    def run(*arguments: str, typed: str = "", columns: int = 200) -> Done:
        known = (*arguments, "--data-dir", str(deployed))
        done = CliRunner().invoke(app, known, input=typed, env={"COLUMNS": str(columns)})
        return done.exit_code, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout), done.stderr

    return run
