#!/usr/bin/env python3
"""Write into SECURITY.md which tests prove which of its statements: those marked `@pytest.mark.proves("S9")`.

Run it after a change of a mark, as `.venv/bin/python scripts/proofs.py`. `--check` changes nothing, and fails where the
page is not what the marks say; another folder than this checkout can be named. A statement that no test proves keeps
the reason in its row; it must have one.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^\| (S\d+) \| (.*?) \| (.*?) \|$", re.MULTILINE)
NO_TEST = "No test: "


def marks(path: Path) -> Iterator[tuple[str, str]]:
    """Each statement that a test of a file is marked to prove, and the test's name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in (part for decorator in node.decorator_list for part in ast.walk(decorator)):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "proves":
                yield ast.literal_eval(call.args[0]), node.name


def proofs(root: Path) -> dict[str, list[str]]:
    """Links to the tests of each statement."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        for statement, test in marks(path):
            link = f"[{test.removeprefix('test_')}]({path.relative_to(root)})"
            if statement.startswith("S") and link not in found[statement]:
                found[statement].append(link)
    return dict(found)


def with_proofs(page: str, proven: dict[str, list[str]]) -> str:
    """The page with the tests of each statement in its row.

    Raises:
        ValueError: a row has neither a test nor a reason, or a mark has no row.
    """
    rows = [match[1] for match in ROW.finditer(page)]
    if rows != [f"S{number}" for number in range(1, len(rows) + 1)]:
        raise ValueError("the statements are not numbered one after the other")
    if unknown := sorted(proven.keys() - set(rows)):
        raise ValueError(f"tests prove what SECURITY.md does not state: {', '.join(unknown)}")

    def row(match: re.Match[str]) -> str:
        statement, text, cell = match.groups()
        if statement not in proven and not (cell.startswith(NO_TEST) and len(cell) > len(NO_TEST)):
            raise ValueError(f"{statement} has no test: state the reason in its row, as '{NO_TEST}...'")
        return f"| {statement} | {text} | {'; '.join(proven[statement]) if statement in proven else cell} |"

    return ROW.sub(row, page)


def main() -> None:
    """Write the page, or check it."""
    path = next((Path(name) for name in sys.argv[1:] if not name.startswith("-")), ROOT) / "SECURITY.md"
    page = path.read_text(encoding="utf-8")
    try:
        right = with_proofs(page, proofs(path.parent))
    except ValueError as error:
        sys.exit(f"SECURITY.md: {error}")
    if "--check" not in sys.argv:
        path.write_text(right, encoding="utf-8")
    elif right != page:
        sys.exit("SECURITY.md: not what the marks of the tests say; run scripts/proofs.py")


if __name__ == "__main__":
    main()
