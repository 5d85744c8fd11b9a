"""`seatrial doctor` as operators meet it: lines, JSON, exit codes."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seatrial.cli.doctor import CANNOT_LOOK, WRONG, summary
from seatrial.cli.main import app
from seatrial.server.app import prepare
from seatrial.server.settings import Settings
from seatrial.server.storage.finding import Finding, Level


def doctor(*arguments: str) -> tuple[int, str]:
    """Exit code and output, both streams."""
    result = CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "200", "SEATRIAL_DATABASE_URL": None})
    return result.exit_code, result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory as a start leaves it."""
    prepare(Settings(data_dir=tmp_path / "data"))
    return tmp_path / "data"


def test_what_is_well_has_a_check_mark(folder: Path) -> None:
    """A line each, and a sentence at the end; exit code 0."""
    code, output = doctor("--data-dir", str(folder))
    lines = output.splitlines()

    assert code == 0
    assert lines[0].split() == ["✓", "permissions", str(folder), "is", "for", "its", "owner", "only."]
    assert "✗" not in output


def test_what_is_wrong_has_a_remedy(folder: Path) -> None:
    """Below it; exit code 1."""
    folder.chmod(0o755)
    code, output = doctor("--data-dir", str(folder))
    lines = output.splitlines()

    assert code == WRONG
    assert lines[0].split()[:2] == ["✗", "permissions"]
    assert lines[1].split() == ["→", "chmod", "700", str(folder)]
    assert lines[-1].startswith("1 fault")


def test_programs_get_a_list(folder: Path) -> None:
    """With the same exit codes."""
    folder.chmod(0o755)
    code, output = doctor("--data-dir", str(folder), "--json")
    first, *rest = json.loads(output)

    assert code == WRONG
    assert first == {
        "check": "permissions", "level": "fault", "detail": f"{folder} has the mode 0755.",
        "remedy": f"chmod 700 {folder}",
    }  # fmt: skip
    assert {"fault"} & {finding["level"] for finding in rest} == set()


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_name_that_is_no_text_can_be_printed(folder: Path, more: tuple[str, ...]) -> None:
    """As hexadecimal, in lines and in JSON."""
    strange = folder.rename(folder.with_name(os.fsdecode(b"caf\xe9")))
    strange.chmod(0o755)
    code, output = doctor("--data-dir", str(strange), *more)

    assert code == WRONG
    assert (r"caf\\xe9" if more else r"caf\xe9 has the mode 0755.") in output
    assert r"$'" in output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--data-dir", "typo"), "There is no directory "),
        (("--database-url", "mysql://x/y", "--data-dir", "."), "SEATRIAL_DATABASE_URL: expected"),
    ],
)
def test_where_it_cannot_look_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], text: str
) -> None:
    """Exit code 3, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    code, output = doctor(*arguments)

    assert (code, output.startswith(f"seatrial: {text}")) == (CANNOT_LOOK, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("levels", "text"),
    [
        ([Level.OK, Level.INFORMATION], "All is well."),
        ([Level.WARNING, Level.OK], "1 warning."),
        ([Level.FAULT, Level.FAULT, Level.WARNING], "2 faults, 1 warning."),
    ],
)
def test_the_last_line_counts(levels: list[Level], text: str) -> None:
    """Faults first; information is nothing to worry about."""
    assert summary([Finding("x", level, "") for level in levels]) == text
