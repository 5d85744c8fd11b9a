"""The rooms of the house: who may import whom, and that importing does nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def import_everything(package: str, folder: Path) -> str:
    """What importing a package did besides: what it printed, then what import_everything.py found."""
    findings = folder / "findings"
    command = [sys.executable, str(Path(__file__).with_name("import_everything.py")), package, str(findings)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr + findings.read_text(encoding="utf-8")


def test_floors_hold() -> None:
    """Every contract of import-linter in pyproject.toml is kept."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_importing_is_inert(tmp_path: Path) -> None:
    """Importing every module starts no thread, reads no SEATRIAL_ variable, patches and prints nothing."""
    assert import_everything("seatrial", tmp_path) == ""


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("print('loud')", "loud\n"),
        ("import os; os.getenv('SEATRIAL_HOST')", "SEATRIAL_HOST was read while pack.room was imported"),
        ("import os; dict(os.environ)", "SEATRIAL_CANARY was read while pack.room was imported"),
        (
            "import threading; threading.Thread(target=threading.Event().wait, name='t', daemon=True).start()",
            "threads ran after pack.room was imported: ['t']",
        ),
    ],
)
def test_an_import_that_does_more_is_found(tmp_path: Path, source: str, finding: str) -> None:
    """The check names what an import printed, read or started, and in which module."""
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "room.py").write_text(source)

    assert import_everything("pack", tmp_path) == finding
