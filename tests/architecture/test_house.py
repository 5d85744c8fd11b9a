"""The measures of the house, the tool that takes them, and the habits of tests."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST_FILES = sorted((ROOT / "tests").rglob("*.py"))


def house(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts" / "house.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_aims_of_the_house_are_met() -> None:
    """No cycles, short functions and files, return types everywhere, no sleep in a test, few deferred imports."""
    result = house("--check")

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import pack.other\n", "import cycles: pack.other <-> pack.room"),
        ("from . import other\n", "import cycles: pack.other <-> pack.room"),
        (
            "def late() -> None:\n    from pack import other\n",
            "deferred imports of our own outside cli and server.app: room.py:2",
        ),
        ("def untyped():\n    return 1\n", "functions without a return type: room.py:1"),
        ("x = 1\n" * 401, "modules over 400 lines: room.py"),
        ("def long() -> None:\n" + "    x = 1\n" * 30, "p90 of function lines over 30: 31"),
    ],
)
def test_a_missed_aim_is_found(tmp_path: Path, source: str, complaint: str) -> None:
    """The check names what is wrong and where, and fails."""
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "room.py").write_text(source)
    (package / "other.py").write_text("from pack.room import *\n\n\ndef short() -> None: ...\n")
    result = house("--check", "--package", package, "--tests", tmp_path / "tests")

    assert (result.returncode, result.stderr) == (1, f"missed: {complaint}\n")


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import time\ntime.sleep(0.1)\n", "2"),
        ("import asyncio as a\nasync def f() -> None:\n    await a.sleep(pause)\n", "3"),
        ("from time import sleep as nap\nnap(1)\n", "2"),
        ("import time\ntime.sleep(0)\n", ""),
        ("def f(clock: Clock) -> None:\n    clock.sleep(5)\n", ""),
    ],
)
def test_a_sleep_on_the_clock_is_found(tmp_path: Path, source: str, lines: str) -> None:
    """A sleep on the real clock counts under any name; a yield and a fake clock do not."""
    package, tests = tmp_path / "pack", tmp_path / "tests"
    package.mkdir()
    tests.mkdir()
    (package / "room.py").write_text("def short() -> None: ...\n")
    (tests / "test_it.py").write_text(source)
    result = house("--check", "--package", package, "--tests", tests)

    assert result.stderr == (f"missed: sleeps on the clock in tests: test_it.py:{lines}\n" if lines else "")


def test_nothing_to_measure_is_no_pass(tmp_path: Path) -> None:
    """An empty package is an error of its own, not a house without faults."""
    assert house("--check", "--package", tmp_path, "--tests", tmp_path).returncode == 2


def test_every_test_says_what_it_shows() -> None:
    """Every test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in TEST_FILES
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert not silent


def test_no_test_uses_mocks() -> None:
    """Tests import fakes of ours, never unittest.mock or a plugin around it."""
    mocks = {"mock", "unittest.mock", "pytest_mock"}
    users = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in TEST_FILES
        for node in ast.walk(ast.parse(path.read_bytes()))
        if (isinstance(node, ast.Import) and mocks & {alias.name for alias in node.names})
        or (
            isinstance(node, ast.ImportFrom) and mocks & {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        )
        or (isinstance(node, ast.arg) and node.arg == "mocker")
    ]

    assert not users
