"""SECURITY.md names, for each statement, the tests that prove it, or why there are none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = "| | statement | proven by |\n|---|---|---|\n"
MARKED = '@pytest.mark.proves("{0}")\n@pytest.mark.parametrize("x", [1])\ndef test_it_is_so():\n    pass\n'


def proofs(*arguments: str | Path) -> tuple[int, str]:
    """`scripts/proofs.py`: exit code and errors."""
    command = [sys.executable, str(ROOT / "scripts" / "proofs.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def checkout(folder: Path, rows: str, marked: str = "") -> Path:
    """A folder with a page of these rows, and a test of one statement."""
    (folder / "SECURITY.md").write_text(f"Before.\n\n{HEAD}{rows}\nAfter.\n")
    (folder / "tests" / "unit").mkdir(parents=True)
    (folder / "tests" / "unit" / "test_it.py").write_text(MARKED.format(marked) if marked else "")
    return folder


def test_the_page_is_what_the_marks_say() -> None:
    """Whoever marks a test, or takes one away, writes the page again."""
    assert proofs("--check") == (0, "")


def test_every_statement_stands_in_the_page() -> None:
    """Sixty of them, each with a test that is there or a reason."""
    rows = re.findall(r"^\| (S\d+) \| (.+?) \| (.+?) \|$", (ROOT / "SECURITY.md").read_text("utf-8"), re.MULTILINE)
    linked = {link for *_, cell in rows for link in re.findall(r"\[(\w+)\]\((tests/[\w/]+\.py)\)", cell)}

    assert [number for number, *_ in rows] == [f"S{number}" for number in range(1, 61)]
    assert all(cell.startswith(("No test: ", "[")) for *_, cell in rows)
    assert linked
    assert not [(name, file) for name, file in linked if f"def test_{name}(" not in (ROOT / file).read_text("utf-8")]


def test_a_test_takes_the_place_of_a_reason(tmp_path: Path) -> None:
    """And nothing else of the page changes; then it is as the marks say."""
    folder = checkout(tmp_path, "| S1 | One. | No test: later. |\n| S2 | Two. | No test: never. |\n", "S1")
    before = proofs("--check", folder)
    written = proofs(folder)

    assert before == (1, "SECURITY.md: not what the marks of the tests say; run scripts/proofs.py\n")
    assert (written, proofs("--check", folder)) == ((0, ""), (0, ""))
    rows = "| S1 | One. | [it_is_so](tests/unit/test_it.py) |\n| S2 | Two. | No test: never. |\n"
    assert (folder / "SECURITY.md").read_text() == f"Before.\n\n{HEAD}{rows}\nAfter.\n"


@pytest.mark.parametrize(
    ("rows", "marked", "told"),
    [
        ("| S1 | One. | [gone](tests/test_gone.py) |\n", "", "S1 has no test: state the reason in its row"),
        ("| S1 | One. | No test: |\n", "", "S1 has no test: state the reason in its row"),
        ("| S1 | One. | No test: later. |\n", "S2", "tests prove what SECURITY.md does not state: S2"),
        ("| S1 | One. | No test: x. |\n| S3 | Three. | No test: x. |\n", "", "not numbered one after the other"),
    ],
    ids=["its test is gone", "its reason is empty", "a mark without a row", "a row is missing"],
)
def test_what_cannot_be_written_is_told(tmp_path: Path, rows: str, marked: str, told: str) -> None:
    """The page stays as it was."""
    folder = checkout(tmp_path, rows, marked)
    before = (folder / "SECURITY.md").read_text()
    code, text = proofs(folder)

    assert (code, told in text) == (1, True), text
    assert (folder / "SECURITY.md").read_text() == before
